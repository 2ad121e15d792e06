package monitor

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// lease is this node's hold on the right to save and to run the observer.
type lease struct {
	state State
	ttl   time.Duration
	log   *slog.Logger

	mu      sync.Mutex
	epoch   int64 // 0: another node holds it
	until   time.Time
	held    context.Context // ends with the lease
	end     context.CancelFunc
	changed chan struct{} // holds one
}

func newLease(state State, ttl time.Duration, log *slog.Logger) *lease {
	return &lease{state: state, ttl: ttl, log: log, changed: make(chan struct{}, 1)}
}

// renewals within the time of a lease: one may be lost, and a node that waits
// for it takes it soon.
const renewals = 4

// keep renews the lease, or waits for it, until ctx ends.
func (l *lease) keep(ctx context.Context) {
	tick := time.NewTicker(l.ttl / renewals)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			l.renew(ctx)
		}
	}
}

func (l *lease) renew(ctx context.Context) {
	asked := time.Now() // the lease may have been given just then
	ctx, cancel := context.WithTimeout(ctx, l.ttl/renewals)
	defer cancel()
	epoch, err := l.state.Hold(ctx, l.ttl)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case err == nil && epoch == 0:
		l.set(0)
	case err == nil:
		l.until = asked.Add(l.ttl)
		l.set(epoch)
	case l.epoch != 0 && time.Now().After(l.until):
		l.log.Warn("monitor: the lease ran out, since it could not be renewed", "error", err)
		l.set(0)
	}
}

// set is called with mu held.
func (l *lease) set(epoch int64) {
	if epoch == l.epoch {
		return
	}
	if l.end != nil {
		l.end()
	}
	l.epoch = epoch
	l.held, l.end = nil, nil
	if epoch != 0 {
		l.held, l.end = context.WithCancel(context.Background())
		l.log.Info("monitor: this node holds the lease", "epoch", epoch)
	}
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// current gives the epoch and a context that ends with the lease. A process that
// stood still finds its lease run out.
func (l *lease) current() (int64, context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch != 0 && time.Now().After(l.until) {
		l.set(0)
	}
	return l.epoch, l.held
}

// lost is told when a save was refused.
func (l *lease) lost(epoch int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.epoch == epoch {
		l.log.Warn("monitor: another node has taken the lease", "epoch", epoch)
		l.set(0)
	}
}

// release gives it back, so that no one has to wait.
func (l *lease) release() {
	epoch, _ := l.current()
	l.mu.Lock()
	l.set(0)
	l.mu.Unlock()
	if epoch == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), l.ttl/renewals)
	defer cancel()
	if err := l.state.Release(ctx); err != nil {
		l.log.Warn("monitor: the lease could not be given back; another node takes it when it runs out", "error", err)
	}
}

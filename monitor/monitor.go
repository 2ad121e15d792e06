package monitor

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"tidings"
)

// Options of a [Monitor].
type Options struct {
	// State is where checkpoints and the lease are kept. Nil: nowhere; the
	// monitor holds the lease, and a restart reads the feed from its oldest change.
	State State
	// Observer is told of every change on the node that holds the lease. Nil: none.
	Observer Observer
	// Limits bound what is kept.
	Limits Limits
	// LeaseTTL is how long a node that says nothing more is waited for before another
	// takes over. Zero: 6 s.
	LeaseTTL time.Duration
	// CheckpointEvery is the time between checkpoints; large ones are made less
	// often. Zero: 5 s.
	CheckpointEvery time.Duration
	// SilentAfter is when a running job that never had a lease counts as
	// stalled. Zero: 5 min. Negative: never.
	SilentAfter time.Duration
	// Logger gets what goes wrong. Nil: [slog.Default].
	Logger *slog.Logger

	tick time.Duration // between two calls of [Observer.Tick]; zero: tickEvery
}

func (o Options) withDefaults() Options {
	orDefault(&o.LeaseTTL, 6*time.Second)
	orDefault(&o.CheckpointEvery, 5*time.Second)
	orDefault(&o.SilentAfter, 5*time.Minute)
	orDefault(&o.tick, tickEvery)
	o.SilentAfter = max(o.SilentAfter, 0)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// Monitor follows the feed of a store and answers what it adds up to. Safe for
// concurrent use.
type Monitor struct {
	store tidings.Store
	opts  Options
	log   *slog.Logger

	ctx   context.Context // ends with Stop
	stop  context.CancelFunc
	group sync.WaitGroup

	mu   sync.RWMutex
	fold *Fold // changed by the goroutine of run alone, which holds mu then

	lease    *lease
	progress progress
	saves    saves
	beats    beats
	marks    marks
}

// Start begins to follow the feed. ctx bounds the start only; what the monitor
// needs may be unreachable for now, and is waited for. The error says which option is
// wrong.
func Start(ctx context.Context, store tidings.Store, opts *Options) (*Monitor, error) {
	if opts == nil {
		opts = &Options{}
	}
	o := opts.withDefaults()
	if o.LeaseTTL < 0 || o.CheckpointEvery < 0 {
		return nil, errors.New("monitor: the lease's time and the time between checkpoints can't be negative")
	}
	if o.State == nil {
		o.State = &memory{}
	}
	m := &Monitor{store: store, opts: o, log: o.Logger, fold: NewFold(o.Limits), saves: saves{done: make(chan snapshot, 1)}}
	m.ctx, m.stop = context.WithCancel(context.WithoutCancel(ctx))
	m.lease = newLease(o.State, o.LeaseTTL, o.Logger)
	m.lease.renew(ctx)
	m.group.Go(func() { m.lease.keep(m.ctx) })
	m.group.Go(m.run)
	m.group.Go(m.tend)
	return m, nil
}

// Stop makes a last checkpoint, gives the lease back, so that another node takes
// over at once, and waits for everything to end.
func (m *Monitor) Stop() {
	m.stop()
	m.group.Wait()
}

// run follows the feed until Stop, beginning again from the last checkpoint
// whenever this node takes the lease.
func (m *Monitor) run() {
	for pause := time.Duration(0); m.ctx.Err() == nil; pause = min(2*pause+100*time.Millisecond, 5*time.Second) {
		if !sleep(m.ctx, pause) {
			break
		}
		err := m.term(&pause)
		if err != nil && m.ctx.Err() == nil {
			m.progress.fail()
			m.log.Warn("monitor: following the feed failed; it is tried again", "error", err)
		}
	}
	m.lease.release()
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d == 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

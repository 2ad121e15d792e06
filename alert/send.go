package alert

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

// sendTimeout bounds one attempt; Standard Webhooks recommends 15 to 30 s.
const sendTimeout = 20 * time.Second

// lookEvery is how often the outbox is looked at if nothing happens.
const lookEvery = time.Second

// deliver sends what is in the outbox, as long as this node holds the lease:
// notices of one receiver one after the other, those of different ones at once.
func (e *Engine) deliver(held context.Context) {
	ctx, cancel := context.WithCancel(held)
	defer cancel()
	defer context.AfterFunc(e.ctx, cancel)()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		e.sendDue(ctx)
		select {
		case <-e.wake:
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (e *Engine) sendDue(ctx context.Context) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if ctx.Err() != nil || !e.leading() {
		return
	}
	for name, notifier := range e.notifiers {
		if r, _ := e.state.next(name, time.Now()); r != nil {
			r.sending = true
			notice := e.noticeOf(r)
			e.group.Go(func() { e.send(ctx, r, notice, notifier) })
		}
	}
}

func (e *Engine) noticeOf(r *row) *Notice {
	return &Notice{ID: r.ID, Receiver: r.Receiver, GroupKey: r.GroupKey, GroupLabels: r.GroupLabels, Reason: r.Reason,
		Alerts: r.Alerts, Truncated: r.Truncated, At: r.At, PanelURL: e.opts.PanelURL}
}

func (e *Engine) send(ctx context.Context, r *row, n *Notice, to Notifier) {
	attempt, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	err := notifySafely(attempt, to, n)
	e.mu.Lock()
	defer e.mu.Unlock()
	defer e.poke()
	r.sending = false
	if err != nil && ctx.Err() != nil {
		return // the lease or the process ends; whoever goes on sends it again
	}
	e.dirty = true
	e.viewDirty.Store(true)
	now := time.Now().UTC()
	if err == nil {
		e.counters.count(r.Receiver, "sent")
		e.state.delivered(r, now)
		return
	}
	failure := deliveryError(err)
	e.counters.count(r.Receiver, "failed")
	wait := backoff(r.Attempts)
	e.state.failed(r, failure, now, wait+rand.N(wait/4+1)) // so that many don't come at once
	if !r.DoneAt.IsZero() {
		e.counters.count(r.Receiver, "given_up")
	}
	e.log.Warn("alerts: a notice did not get through", "receiver", r.Receiver, "id", r.ID, "attempts", r.Attempts, "permanent", failure.Permanent, "error", failure.Reason)
}

func notifySafely(ctx context.Context, to Notifier, n *Notice) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the notifier panicked: %v", p)
		}
	}()
	return to.Notify(ctx, n)
}

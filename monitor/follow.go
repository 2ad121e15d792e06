package monitor

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidings"
)

// batch is what one read of the feed gave.
type batch struct {
	changes []tidings.Change
	err     error
}

// tickEvery is the time between two calls of [Observer.Tick].
const tickEvery = time.Second

// term is one stretch of following: from a checkpoint until the lease comes to
// this node, the feed breaks off, or Stop.
func (m *Monitor) term(pause *time.Duration) error {
	epoch, held := m.lease.current()
	saved, err := m.load(m.ctx)
	if err != nil {
		return err
	}
	observer := m.opts.Observer
	if epoch == 0 {
		observer = nil
	}
	if observer != nil {
		if err := observer.Lead(held, saved.Observer); err != nil {
			return fmt.Errorf("the alerts' state can't be read: %w", err)
		}
	}
	feed, err := m.store.Feed(m.ctx, saved.Cursor)
	if _, wrong := errors.AsType[*tidings.InvalidError](err); wrong {
		m.log.Warn("monitor: the checkpoint's cursor is of another store; the feed is read from its start", "error", err)
		m.reset()
		saved.Cursor = ""
		feed, err = m.store.Feed(m.ctx, "")
	}
	if err != nil {
		return err
	}
	defer feed.Close()
	*pause = 0
	m.progress.begin(saved.Cursor)
	f := &follower{m: m, feed: feed, epoch: epoch, held: held, observer: observer, cursor: saved.Cursor}
	return f.run()
}

// Before less than so many changes are followed by others, that many more may come.
const (
	fewChanges = 32 // less than any store gives at once when it has more
	gather     = 20 * time.Millisecond
)

// follower is what one term needs.
type follower struct {
	m        *Monitor
	feed     tidings.Feed
	epoch    int64           // 0: others save
	held     context.Context // of the lease; nil: another node has it
	observer Observer
	cursor   string
	urgent   bool // the observer wants a checkpoint
}

func (f *follower) run() error {
	ctx, cancel := context.WithCancel(f.m.ctx)
	batches := make(chan batch, 1)
	var reader sync.WaitGroup
	reader.Go(func() { f.read(ctx, batches) })
	defer reader.Wait()
	defer cancel()
	tick := time.NewTicker(f.m.opts.tick)
	defer tick.Stop()
	for {
		select {
		case b := <-batches:
			if err := f.take(b); err != nil {
				return errors.Join(err, f.last())
			}
		case <-tick.C:
			f.tick()
		case done := <-f.m.saves.done:
			f.m.finishSave(done)
		case <-f.m.lease.changed:
			if over := f.leaseChanged(); over {
				f.settle()
				return nil
			}
		case <-f.m.ctx.Done():
			return f.last()
		}
	}
}

// read hands on what the feed gives. A gap is told once and the feed goes on
// behind it; any other error is the last thing.
//
// What comes while little does is taken together: a read takes longer than a
// change.
func (f *follower) read(ctx context.Context, to chan<- batch) {
	for {
		changes, err := f.feed.Next(ctx)
		select {
		case to <- batch{changes, err}:
		case <-ctx.Done():
			return
		}
		if _, gap := errors.AsType[*tidings.GapError](err); err != nil && !gap {
			return
		}
		if err == nil && len(changes) < fewChanges && !sleep(ctx, gather) {
			return
		}
	}
}

func (f *follower) take(b batch) error {
	if gap, ok := errors.AsType[*tidings.GapError](b.err); ok {
		if startsOver(gap) {
			f.m.log.Warn("monitor: the store is another one, or an older state of it; all that it holds is counted anew")
			f.m.progress.gaps.Add(1)
			f.m.reset()
			return nil
		}
		return f.m.bridge(f.m.ctx)
	}
	if b.err != nil {
		return b.err
	}
	m := f.m
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fold.SetHorizon(time.Now().Add(time.Minute))
	for i := range b.changes {
		c := &b.changes[i]
		done, fresh := m.fold.Apply(c)
		if fresh && f.observer != nil {
			f.observer.Observe(&done, m.fold)
		}
		f.cursor = c.Cursor
	}
	m.progress.note(f.cursor, len(b.changes), m.fold.Now())
	return nil
}

func (f *follower) tick() {
	now := time.Now()
	if _, held := f.m.lease.current(); held != f.held {
		return // what changes is told by the channel
	}
	if f.observer != nil && f.observer.Tick(now, f.m) {
		f.urgent = true
	}
	if f.epoch != 0 && f.m.saves.due(now, f.cursor, f.urgent) {
		f.urgent = false
		f.m.beginSave(f.snapshot())
	}
}

// leaseChanged says whether the term is over: a node that takes the lease goes
// on from the checkpoint of the one before, not from what it has folded itself,
// so that the observer sees each change once. One that loses it reads on. It may
// have been lost and taken again meanwhile, with the same epoch even, but the
// observer was told to end.
func (f *follower) leaseChanged() (over bool) {
	_, held := f.m.lease.current()
	if held == nil {
		f.epoch, f.held, f.observer = 0, nil, nil
	}
	return held != f.held
}

// settle waits for the checkpoint that is being saved: the next term must not begin
// with the one before it, and be told later that this one is saved.
func (f *follower) settle() {
	if m := f.m; m.saves.busy {
		m.finishSave(<-m.saves.done)
	}
}

// last makes the checkpoint before following ends.
func (f *follower) last() error {
	m := f.m
	f.settle()
	if _, held := m.lease.current(); held == nil || held != f.held || (m.saves.cursor == f.cursor && f.observer == nil) {
		return nil
	}
	m.beginSave(f.snapshot())
	f.settle()
	return nil
}

// startsOver reports whether the feed goes on with what was read before, or was
// never of the store that was read: to add that to what was counted would count twice.
func startsOver(gap *tidings.GapError) bool {
	asked := gap.Cursor
	return asked.Incarnation != "" && (asked.Incarnation != gap.Incarnation || !asked.ID.Less(gap.First))
}

// bridge takes over which jobs go on from the store, since the feed has lost
// what became of them.
func (m *Monitor) bridge(ctx context.Context) error {
	m.log.Warn("monitor: changes were trimmed away before the monitor read them; counts lack them")
	m.progress.gaps.Add(1)
	var open []tidings.Job
	q := tidings.JobsQuery{Status: []tidings.Status{tidings.StatusQueued, tidings.StatusRunning, tidings.StatusWaiting, tidings.StatusCancelling}, Limit: 500}
	for len(open) < m.fold.limits.Jobs {
		page, err := m.store.Jobs(ctx, q)
		if err != nil {
			return err
		}
		open = append(open, page.Jobs...)
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			break
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fold.Replace(open)
	return nil
}

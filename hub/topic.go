package hub

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"tidings"
)

// topic follows one watched job. Its run goroutine is the only writer.
type topic struct {
	hub   *Hub
	jobID string
	since time.Time // when it was made

	// Guarded by hub.mu.
	viewers  int
	lastSeen time.Time // when the last viewer left

	ready    chan struct{} // closed when the ring is loaded or err is set
	readyErr error
	loading  chan struct{} // held while a page of history is read
	wanted   wanted

	mu          sync.RWMutex
	ring        ring
	incarnation string
	life        int                   // grows when the log was rewound
	rewound     *tidings.RewoundError // how, the last time
	ended       bool
	deleted     bool
	broken      error // the store was closed
	stalled     bool
	wake        chan struct{} // closed at every change
}

func newTopic(h *Hub, jobID string) *topic {
	t := &topic{
		hub:      h,
		jobID:    jobID,
		since:    time.Now(),
		lastSeen: time.Now(),
		ready:    make(chan struct{}),
		loading:  make(chan struct{}, 1),
		wake:     make(chan struct{}),
	}
	return t
}

func (t *topic) await(ctx context.Context) error {
	select {
	case <-t.ready:
		return t.readyErr
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// run loads the newest frames, follows the job and tends the viewers until the
// hub is closed or nobody watches any more.
func (t *topic) run() {
	ctx, cancel := context.WithCancel(t.hub.ctx)
	defer cancel()
	defer t.hub.pages.drop(t)

	err := t.load(ctx)
	t.readyErr = err
	if err != nil {
		t.hub.retire(t, true)
		close(t.ready)
		return
	}
	close(t.ready)

	var following sync.WaitGroup
	following.Go(func() { t.follow(ctx) })
	t.tend(ctx)
	cancel()
	following.Wait()
}

// load fills the ring with the newest events.
func (t *topic) load(ctx context.Context) error {
	t.hub.reads.Add(1)
	tail, err := t.hub.source.Read(ctx, t.jobID, tidings.Query{
		Backward: true,
		Limit:    t.hub.opts.PageEvents,
		MaxBytes: t.hub.ringBytes() / 2,
	})
	if err != nil {
		return err
	}
	floor, err := t.floorOf(ctx, &tail)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.incarnation = tail.Incarnation
	t.ring.limit = t.hub.ringBytes()
	t.ring.clear(floor)
	var frame []byte
	for i := len(tail.Events) - 1; i >= 0; i-- {
		e := &tail.Events[i]
		frame = t.hub.encode(frame[:0], e, tail.Incarnation)
		t.ring.add(e.ID, e.Type, frame)
	}
	t.ended = tail.Closed
	return nil
}

// floorOf tells how far back the newest events reach: to the start of the log,
// or, if older ones exist or were trimmed, to just before the oldest of them.
// Then a viewer from before is sent to the store, which says what is missing.
func (t *topic) floorOf(ctx context.Context, tail *tidings.Page) (tidings.ID, error) {
	if len(tail.Events) == 0 {
		return tail.LastID, nil
	}
	oldest := tail.Events[len(tail.Events)-1].ID.Prev()
	if tail.More {
		return oldest, nil
	}
	t.hub.reads.Add(1)
	_, err := t.hub.source.Read(ctx, t.jobID, tidings.Query{Limit: 1})
	if _, trimmed := errors.AsType[*tidings.GapError](err); trimmed {
		return oldest, nil
	}
	return tidings.ID{}, err
}

// follow reads the log on until it ends, is deleted, or ctx is over. Failures
// of the store are waited out: viewers stay.
func (t *topic) follow(ctx context.Context) {
	for t.open() && ctx.Err() == nil {
		err := t.followOnce(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		switch {
		case errors.Is(err, tidings.ErrUnknownJob):
			t.change(func() { t.deleted = true })
			t.hub.retire(t, true)
			return
		case errors.Is(err, tidings.ErrStoreClosed):
			t.change(func() { t.broken = err })
			t.hub.retire(t, true)
			return
		}
		t.hub.opts.Logger.Warn("following failed; trying again", "job", t.jobID, "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(followRetry):
		}
	}
}

const followRetry = time.Second

// followOnce returns nil when the log has ended.
func (t *topic) followOnce(ctx context.Context) error {
	t.mu.RLock()
	after := tidings.Cursor{ID: t.ring.last, Incarnation: t.incarnation}
	t.mu.RUnlock()
	f, err := t.hub.source.Follow(ctx, t.jobID, after)
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		events, err := f.Next(ctx)
		switch {
		case err == nil:
			t.publish(events, f.Incarnation())
		case errors.Is(err, io.EOF):
			t.change(func() { t.ended = true })
			return nil
		default:
			if !t.restart(err) {
				return err
			}
		}
	}
}

// restart takes a gap or a rewound log into the ring; it reports whether err
// was one of these, after which the follower goes on.
func (t *topic) restart(err error) bool {
	if gap, ok := errors.AsType[*tidings.GapError](err); ok {
		t.change(func() {
			// Viewers below the new floor ask the store and are told.
			t.ring.clear(gap.First.Prev())
		})
		return true
	}
	if rewound, ok := errors.AsType[*tidings.RewoundError](err); ok {
		t.hub.pages.drop(t)
		t.change(func() {
			t.life++
			t.rewound = rewound
			t.incarnation = rewound.Incarnation
			t.ring.clear(tidings.ID{})
		})
		return true
	}
	return false
}

func (t *topic) publish(events []tidings.Event, incarnation string) {
	var frame []byte
	t.change(func() {
		t.incarnation = incarnation
		t.stalled = false
		t.ring.limit = t.hub.ringBytes()
		for i := range events {
			frame = t.hub.encode(frame[:0], &events[i], incarnation)
			t.ring.add(events[i].ID, events[i].Type, frame)
		}
	})
}

// change applies f under the lock and wakes the viewers.
func (t *topic) change(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
	close(t.wake)
	t.wake = make(chan struct{})
}

func (t *topic) wakeAll() { t.change(func() {}) }

func (t *topic) open() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return !t.ended && !t.deleted && t.broken == nil
}

package hub

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"tidings"
)

// Notice is what a viewer has to be told besides events.
type Notice int

// The notices. After [NoticeEnd], [NoticeDeleted] and [NoticeShutdown] nothing
// follows.
const (
	NoticeNone     Notice = iota
	NoticeIdle            // nothing happened for a heartbeat
	NoticeGap             // events behind the cursor were trimmed; the rest follows
	NoticeRewound         // the log is another than the cursor's; it follows from its start
	NoticeStalled         // the job gives no sign of life
	NoticeResumed         // signs of life are back
	NoticeEnd             // the log has ended and everything was delivered
	NoticeDeleted         // the job was deleted
	NoticeShutdown        // the node goes down; come back elsewhere or later
)

// Delivery is what a viewer gets: frames or a notice.
type Delivery struct {
	Frames []byte // shared with other viewers; must not be changed
	Last   tidings.ID
	Live   bool // the viewer had everything before these frames and waited for them
	Notice Notice
	Gap    *tidings.GapError     // of NoticeGap
	Rewind *tidings.RewoundError // of NoticeRewound
	Status tidings.Status        // of NoticeEnd: how the job ended
}

// Viewer is one who watches a job: a cursor. Not safe for concurrent use, but
// Close may be called from anywhere.
type Viewer struct {
	topic        *topic
	cursor       tidings.ID
	life         int
	types        map[string]bool // nil: all
	stalled      bool            // as told
	told         *Delivery       // to be given first
	delivery     Delivery        // given last
	waited       bool            // it had everything there was
	lastDelivery time.Time
	closed       atomic.Bool
}

// place puts the viewer behind the cursor it came with.
func (v *Viewer) place(ctx context.Context, after tidings.Cursor) error {
	t := v.topic
	t.mu.RLock()
	last, incarnation := t.ring.last, t.incarnation
	v.life = t.life
	t.mu.RUnlock()

	v.cursor = after.ID
	switch {
	case after.Incarnation != "" && after.Incarnation != incarnation:
		v.rewind(&tidings.RewoundError{JobID: t.jobID, Cursor: after, Last: last, Incarnation: incarnation})
	case last.Less(after.ID):
		// This node may not have heard of the newest events yet; the store knows.
		t.hub.reads.Add(1)
		_, err := t.hub.source.Read(ctx, t.jobID, tidings.Query{After: after, Limit: 1})
		if rewound, ok := errors.AsType[*tidings.RewoundError](err); ok {
			v.rewind(rewound)
			return nil
		}
		return err
	}
	return nil
}

func (v *Viewer) rewind(to *tidings.RewoundError) {
	v.told = &Delivery{Notice: NoticeRewound, Rewind: to}
	v.cursor = tidings.ID{}
}

// AtEnd reports whether the log has ended and the viewer had seen all of it
// when it came.
func (v *Viewer) AtEnd() bool {
	t := v.topic
	t.mu.RLock()
	defer t.mu.RUnlock()
	return v.told == nil && t.ended && !v.cursor.Less(t.ring.last)
}

// Next waits for a delivery, at most about a heartbeat. The delivery is valid
// until the next call. Errors are ctx's and the store's.
func (v *Viewer) Next(ctx context.Context) (*Delivery, error) {
	// What lies on the stack below a waiting viewer is most of what it costs:
	// little enough is left here for the stack to shrink to the smallest.
	for {
		wake, err := v.take(ctx, &v.delivery)
		if err != nil {
			return nil, err
		}
		if wake == nil {
			return &v.delivery, nil
		}
		if err := await(ctx, wake); err != nil {
			return nil, err
		}
	}
}

func await(ctx context.Context, wake <-chan struct{}) error {
	if ctx.Done() == nil {
		<-wake
		return nil
	}
	select {
	case <-wake:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// take fills d with what there is, or gives the channel to wait for.
func (v *Viewer) take(ctx context.Context, d *Delivery) (wake <-chan struct{}, err error) {
	var found bool
	if v.told != nil {
		*d, found = *v.told, true
		v.told = nil
	}
	for !found {
		*d, wake, found = v.look()
		if wake != nil {
			return wake, nil
		}
		if found {
			break
		}
		if *d, found, err = v.history(ctx); err != nil {
			return nil, err
		}
	}
	v.lastDelivery = time.Now()
	v.topic.hub.deliveries.Add(1)
	return nil, nil
}

// look takes what there is without waiting. Found nothing, it gives the channel
// to wait for, or nil if the cursor lies before the ring.
func (v *Viewer) look() (d Delivery, wake <-chan struct{}, found bool) {
	t := v.topic
	t.mu.RLock()
	defer t.mu.RUnlock()
	switch {
	case t.hub.closing.Load() || t.broken != nil:
		return Delivery{Notice: NoticeShutdown}, nil, true
	case t.deleted:
		return Delivery{Notice: NoticeDeleted}, nil, true
	case v.life != t.life:
		v.life = t.life
		told := *t.rewound
		told.Cursor.ID = v.cursor // the viewer's own place in the log that was
		v.cursor = tidings.ID{}
		return Delivery{Notice: NoticeRewound, Rewind: &told}, nil, true
	case v.stalled != t.stalled:
		v.stalled = t.stalled
		if v.stalled {
			return Delivery{Notice: NoticeStalled}, nil, true
		}
		return Delivery{Notice: NoticeResumed}, nil, true
	case v.cursor.Less(t.ring.floor):
		return Delivery{}, nil, false
	}
	frames, last := t.ring.take(v.cursor, v.types)
	for len(frames) == 0 && v.cursor.Less(last) { // none of the viewer's types: look on
		v.cursor = last
		frames, last = t.ring.take(v.cursor, v.types)
	}
	v.cursor = last
	switch {
	case len(frames) > 0:
		return Delivery{Frames: frames, Last: last, Live: v.waited}, nil, true
	case t.ended:
		return Delivery{Notice: NoticeEnd, Last: t.ring.last, Status: endStatus(t.ring.lastType())}, nil, true
	case time.Since(v.lastDelivery) >= t.hub.opts.Heartbeat/2:
		return Delivery{Notice: NoticeIdle}, nil, true
	}
	v.waited = true
	return Delivery{}, t.wake, false
}

// endStatus is the status of a job that an event of this type has ended.
func endStatus(terminal string) tidings.Status {
	switch terminal {
	case tidings.TypeDone:
		return tidings.StatusCompleted
	case tidings.TypeCancelled:
		return tidings.StatusCancelled
	}
	return tidings.StatusFailed
}

// history takes the page behind the cursor, which lies before the ring.
func (v *Viewer) history(ctx context.Context) (Delivery, bool, error) {
	t := v.topic
	p, err := t.page(ctx, tidings.Cursor{ID: v.cursor})
	if gap, ok := errors.AsType[*tidings.GapError](err); ok {
		if !v.cursor.IsZero() { // else it begins with what is there
			t.hub.gaps.Add(1)
		}
		v.cursor = gap.First.Prev()
		if gap.First.IsZero() { // nothing is held any more: go on with what comes
			t.mu.RLock()
			v.cursor = t.ring.floor
			t.mu.RUnlock()
		}
		return Delivery{Notice: NoticeGap, Gap: gap}, true, nil
	}
	if rewound, ok := errors.AsType[*tidings.RewoundError](err); ok {
		v.cursor = tidings.ID{}
		return Delivery{Notice: NoticeRewound, Rewind: rewound}, true, nil
	}
	switch {
	case errors.Is(err, tidings.ErrUnknownJob):
		return Delivery{Notice: NoticeDeleted}, true, nil
	case errors.Is(err, tidings.ErrUnavailable):
		// The viewer stays; it is told something within a heartbeat.
		select {
		case <-time.After(followRetry):
		case <-ctx.Done():
			return Delivery{}, false, context.Cause(ctx)
		}
		if time.Since(v.lastDelivery) >= t.hub.opts.Heartbeat/2 {
			return Delivery{Notice: NoticeIdle}, true, nil
		}
		return Delivery{}, false, nil
	case err != nil:
		return Delivery{}, false, err
	case p == nil: // nothing left before the ring
		t.mu.RLock()
		v.cursor = t.ring.floor
		t.mu.RUnlock()
		return Delivery{}, false, nil
	}
	frames, last := p.take(v.cursor, v.types)
	v.cursor = last
	if len(frames) == 0 {
		return Delivery{}, false, nil
	}
	return Delivery{Frames: frames, Last: last}, true, nil
}

// Close takes the viewer out of the hub. Calling it again does nothing.
func (v *Viewer) Close() {
	if v.closed.CompareAndSwap(false, true) {
		v.topic.hub.leave(v.topic)
	}
}

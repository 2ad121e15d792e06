package redislog

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"time"

	"tidings"
)

// follower reads one job on. Announcements give it what is new while they
// follow on one another; where they do not, and whenever it is told to, it
// reads the stream.
type follower struct {
	s     *Store
	jobID string
	wake  chan struct{} // something is new; holds one
	done  chan struct{} // Close was called

	// Of Next alone.
	cursor  tidings.Cursor // after which it reads on
	ended   error          // what Next gives from now on
	backoff time.Duration

	mu       sync.Mutex
	closed   bool
	queue    []*announcement
	bytes    int
	mustRead bool
	deleted  string // incarnation that was deleted
	given    string // incarnation of the events given last
}

// queueBytes and queueLength bound what announcements may wait for a slow
// follower. One that falls further behind reads the stream.
const (
	queueBytes  = 1 << 20
	queueLength = 1024
)

// Follow implements [tidings.Reader].
func (s *Store) Follow(ctx context.Context, jobID string, after tidings.Cursor) (tidings.Follower, error) {
	if err := s.check(jobID); err != nil {
		return nil, err
	}
	if _, err := s.adopt(ctx, jobID); err != nil {
		return nil, err
	}
	f := &follower{s: s, jobID: jobID, cursor: after, mustRead: true, wake: make(chan struct{}, 1), done: make(chan struct{})}
	// First listen, then read: what comes between is announced.
	if s.watches.add(f) {
		s.live.route(jobID)
	}
	s.stats.followers.Add(1)
	return f, nil
}

// Close ends the follower. It may be called at any time from anywhere.
func (f *follower) Close() error {
	f.mu.Lock()
	again := f.closed
	f.closed, f.queue = true, nil
	f.mu.Unlock()
	if again {
		return nil
	}
	close(f.done)
	if f.s.watches.remove(f) {
		f.s.live.route(f.jobID)
	}
	f.s.stats.followers.Add(-1)
	return nil
}

// Incarnation of the log that the last events came from.
func (f *follower) Incarnation() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.given
}

// announce is called with the lock of the watches held.
func (f *follower) announce(a *announcement) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
		return
	case a.deleted:
		f.deleted = a.incarnation
	case f.mustRead:
		return // the reading will find it
	case len(f.queue) >= queueLength || f.bytes+len(a.body) > queueBytes:
		f.queue, f.bytes, f.mustRead = nil, 0, true
	default:
		f.queue = append(f.queue, a)
		f.bytes += len(a.body)
	}
	f.signal()
}

func (f *follower) check() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mustRead = true
	f.signal()
}

func (f *follower) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Next implements [tidings.Follower].
func (f *follower) Next(ctx context.Context) ([]tidings.Event, error) {
	for {
		if err := f.over(ctx); err != nil {
			return nil, err
		}
		events, err := f.advance(ctx)
		if len(events) > 0 || err != nil && !isUnavailable(err) {
			return events, err
		}
		var retry <-chan time.Time
		if err != nil {
			timer := time.NewTimer(f.pause())
			defer timer.Stop()
			retry = timer.C
		}
		f.await(ctx, retry)
	}
}

func (f *follower) await(ctx context.Context, retry <-chan time.Time) {
	wake := f.wake
	if retry != nil {
		wake = nil // being woken does not bring Redis back
	}
	select {
	case <-wake:
	case <-retry:
	case <-ctx.Done():
	case <-f.s.ctx.Done():
	case <-f.done:
	}
}

// over gives the reason why Next can't go on.
func (f *follower) over(ctx context.Context) error {
	select {
	case <-f.done:
		return tidings.ErrStoreClosed
	default:
	}
	switch {
	case f.s.closed():
		return tidings.ErrStoreClosed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	}
	return f.ended
}

// pause grows up to two seconds, with jitter so that followers do not all come
// back at once.
func (f *follower) pause() time.Duration {
	f.backoff = min(max(2*f.backoff, 50*time.Millisecond), 2*time.Second)
	return f.backoff/2 + rand.N(f.backoff/2)
}

// advance gives what is there after the cursor, if anything.
func (f *follower) advance(ctx context.Context) ([]tidings.Event, error) {
	queue, mustRead, deleted := f.takeQueue()
	if deleted != "" && deleted == f.cursor.Incarnation {
		f.ended = tidings.ErrUnknownJob
		return nil, f.ended
	}
	if !mustRead {
		events, exact := f.fromQueue(queue)
		if !exact {
			f.check()
		}
		if len(events) > 0 || exact {
			return events, nil
		}
	}
	return f.read(ctx)
}

func (f *follower) takeQueue() (queue []*announcement, mustRead bool, deleted string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	queue = f.queue
	f.queue, f.bytes = nil, 0
	return queue, f.mustRead || f.deleted != "", f.deleted
}

// fromQueue gives the announced events that follow exactly on the cursor, and
// whether those were all.
func (f *follower) fromQueue(queue []*announcement) (events []tidings.Event, exact bool) {
	at := f.cursor
	for _, a := range queue {
		switch {
		case a.incarnation != at.Incarnation || a.prev != at.ID && at.ID.Less(a.last):
			return f.give(events, at), false
		case a.prev != at.ID:
			continue // known already
		}
		news, ok := a.decode(f.jobID)
		if !ok {
			return f.give(events, at), false
		}
		events = append(events, news...)
		at.ID = a.last
	}
	return f.give(events, at), true
}

// give notes that the events are handed out.
func (f *follower) give(events []tidings.Event, at tidings.Cursor) []tidings.Event {
	if len(events) == 0 {
		return nil
	}
	f.cursor, f.backoff = at, 0
	if events[len(events)-1].Terminal() {
		f.ended = io.EOF
	}
	f.mu.Lock()
	f.given = at.Incarnation
	f.mu.Unlock()
	f.s.watches.read(f, at, f.ended != nil)
	return events
}

// read reads the stream after the cursor.
func (f *follower) read(ctx context.Context) ([]tidings.Event, error) {
	f.mu.Lock()
	f.mustRead = false // what comes from now on is announced, or asked for again
	f.mu.Unlock()
	page, err := f.s.read(ctx, f.jobID, tidings.Query{After: f.cursor})
	if err != nil {
		return nil, f.readError(err)
	}
	f.cursor.Incarnation = page.Incarnation
	if page.More {
		f.check()
	}
	events := page.Events
	if len(events) > 0 {
		return f.give(events, tidings.Cursor{ID: events[len(events)-1].ID, Incarnation: page.Incarnation}), nil
	}
	f.backoff = 0
	f.s.watches.read(f, tidings.Cursor{ID: page.LastID, Incarnation: page.Incarnation}, page.Closed)
	if page.Closed {
		f.ended = io.EOF
		return nil, f.ended
	}
	return nil, nil
}

// readError decides where to go on after a failed read.
func (f *follower) readError(err error) error {
	f.check()
	if gap, ok := errors.AsType[*tidings.GapError](err); ok {
		f.cursor = tidings.Cursor{ID: gap.First.Prev(), Incarnation: gap.Incarnation}
		return err
	}
	if rewound, ok := errors.AsType[*tidings.RewoundError](err); ok {
		f.cursor = tidings.Cursor{Incarnation: rewound.Incarnation}
		return err
	}
	if errors.Is(err, tidings.ErrUnknownJob) || !transient(err) {
		f.ended = err
		return err
	}
	return f.s.unavailable("following", err)
}

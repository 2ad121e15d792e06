package pebblelog

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"tidings"
)

// Follow implements [tidings.Reader]. The context is that of the call, not of
// the follower.
func (s *Store) Follow(ctx context.Context, jobID string, after tidings.Cursor) (tidings.Follower, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := tidings.ValidateJobID(jobID); err != nil {
		return nil, err
	}
	snap, err := s.view(jobID)
	if err != nil {
		return nil, err
	}
	f := &follower{
		s: s, jobID: jobID, number: snap.number, cursor: after,
		incarnation: snap.job.Incarnation,
		watch:       s.watches.join(jobID),
		ended:       make(chan struct{}),
	}
	s.stats.followers.Add(1)
	return f, nil
}

// follower reads on in one life of a job.
type follower struct {
	s           *Store
	jobID       string
	number      uint64
	incarnation string
	cursor      tidings.Cursor
	gone        atomic.Bool // the job was deleted
	watch       *watch
	ended       chan struct{} // closed by Close
	close       sync.Once
}

// errFollowerClosed is what Next gives after Close.
var errFollowerClosed = errors.New("follower is closed")

func (f *follower) Incarnation() string { return f.incarnation }

func (f *follower) Close() error {
	f.close.Do(func() {
		close(f.ended)
		f.s.watches.leave(f.jobID)
		f.s.stats.followers.Add(-1)
	})
	return nil
}

func (f *follower) Next(ctx context.Context) ([]tidings.Event, error) {
	for {
		woken := f.watch.wait() // before the look, or a wake could be missed
		events, err := f.look(ctx)
		if len(events) > 0 || err != nil {
			return events, err
		}
		if err := f.s.await(ctx, woken, f.ended, errFollowerClosed); err != nil {
			return nil, err
		}
	}
}

// look gives what is there behind the cursor; neither events nor an error says
// that nothing is yet.
func (f *follower) look(ctx context.Context) ([]tidings.Event, error) {
	select {
	case <-f.ended:
		return nil, errFollowerClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	default:
	}
	if err := f.s.enter(); err != nil {
		return nil, err
	}
	defer f.s.leave()
	if f.gone.Load() {
		return nil, tidings.ErrUnknownJob
	}
	snap, err := f.s.view(f.jobID)
	if err != nil || snap.number != f.number {
		return nil, f.lost(err)
	}
	if err := f.check(snap); err != nil {
		return nil, err
	}
	if f.cursor.ID == snap.job.LastID {
		if snap.job.Closed {
			return nil, io.EOF
		}
		return nil, nil
	}
	return f.read(ctx)
}

// lost says that the job is another or none.
func (f *follower) lost(err error) error {
	if err == nil || errors.Is(err, tidings.ErrUnknownJob) {
		f.gone.Store(true)
		return tidings.ErrUnknownJob
	}
	return err
}

// check tells, once, if the cursor can't be continued exactly, and moves it to
// where it can.
func (f *follower) check(snap *snapshot) error {
	err := snap.resume(f.cursor)
	var gap *tidings.GapError
	var rewound *tidings.RewoundError
	switch {
	case errors.As(err, &gap):
		f.cursor = tidings.Cursor{ID: snap.trimmedTo}
	case errors.As(err, &rewound):
		// From the start. If that was trimmed away, it is a gap besides.
		f.cursor = tidings.Cursor{}
	}
	return err
}

func (f *follower) read(ctx context.Context) ([]tidings.Event, error) {
	page, err := f.s.read(ctx, f.jobID, tidings.Query{
		After: tidings.Cursor{ID: f.cursor.ID, Incarnation: f.incarnation},
		Limit: tidings.DefaultLimit, MaxBytes: tidings.DefaultMaxBytes,
	})
	var gap *tidings.GapError
	var rewound *tidings.RewoundError
	switch {
	case errors.As(err, &gap):
		return nil, nil // trimmed since the look: the next one tells
	case errors.As(err, &rewound), errors.Is(err, tidings.ErrUnknownJob):
		return nil, nil // deleted since the look
	case err != nil:
		return nil, err
	}
	f.cursor = tidings.Cursor{ID: page.Events[len(page.Events)-1].ID}
	return page.Events, nil
}

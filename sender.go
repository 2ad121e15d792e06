package tidings

import (
	"context"
	"log/slog"
	"sync"
)

// sender takes batches from the queue and appends them, one after another, each
// under its own producer sequence and repeated as it is until the store says
// what became of it. So the log ends with what was put: in order, once.
type sender struct {
	to    Appender
	jobID string
	q     *queue
	log   *slog.Logger

	ownEpoch bool // the epoch was not given, so a higher one may be taken
	fresh    bool // nothing was sent yet, so nothing can be a duplicate
	first    func()
	stop     func(error) // the store refuses this producer or job for good

	// forming is held while events get their place in the order: when they
	// become a batch or go into the spool.
	forming sync.Mutex
	next    int64  // number of the next batch formed, counted from 0
	current *batch // formed and not acknowledged
	parked  *batch // formed, but there was no room for it in the spool
	refused bool   // the store takes nothing more

	dir        string // of spool files; empty: none
	spoolBytes int64
	spool      *spool // nil: none is in use
	spooled    int64  // events in it that are not acknowledged

	// mapping gives the producer of a batch by its number.
	mapping
}

// run sends until the queue is finished and empty, ctx ends or the store
// refuses for good. Every error but nil says why events may be left.
func (s *sender) run(ctx context.Context) error {
	if s.dir != "" {
		if err := s.recover(ctx); err != nil {
			return err
		}
	}
	for {
		b := s.form()
		if b == nil {
			done, err := s.await(ctx)
			if done || err != nil {
				return err
			}
			continue
		}
		if err := s.deliver(ctx, b); err != nil {
			return err
		}
		s.acknowledged(b)
	}
}

// await waits for the next batch; done says that there will be none.
func (s *sender) await(ctx context.Context) (done bool, err error) {
	if err := s.q.wait(ctx); err != nil {
		return false, err
	}
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	return s.q.closed && len(s.q.items) == 0, nil
}

// form gives the batch to send now, or nil if none is due.
func (s *sender) form() *batch {
	s.forming.Lock()
	defer s.forming.Unlock()
	s.current = s.unspool()
	switch {
	case s.current != nil:
	case s.parked != nil:
		s.current, s.parked = s.parked, nil
	case s.q.isDue():
		s.current = s.pop()
	}
	return s.current
}

// unspool gives the next batch of the spool, or nil. A file that can't be read
// is put aside, and what it holds is lost.
func (s *sender) unspool() *batch {
	if s.spool == nil {
		return nil
	}
	b, err := s.spool.read()
	if err == nil {
		if b == nil {
			s.tidySpool() // its last frames may not be batches
		}
		return b
	}
	s.log.Error("spooled events can't be read back; they are lost", "job", s.jobID, "events", s.spooled, "file", s.spool.f.Name(), "error", err)
	s.q.mu.Lock()
	s.q.stats.Dropped += s.spooled
	s.q.settle(s.spooled)
	s.q.mu.Unlock()
	s.dropSpool(s.spool.putAside(damagedSuffix))
	return nil
}

// dropSpool forgets the spool file.
func (s *sender) dropSpool(err error) {
	if err != nil {
		s.log.Warn("can't put a spool file away", "job", s.jobID, "error", err)
	}
	s.spool, s.spooled = nil, 0
}

// pop makes the next batch of what is in the queue, or nil.
func (s *sender) pop() *batch {
	items, bytes, whole := s.q.pop()
	if len(items) == 0 {
		return nil
	}
	b := &batch{number: s.next, events: make([]Event, len(items)), bytes: bytes}
	s.next++
	for i := range items {
		b.events[i] = items[i].event()
	}
	if whole {
		s.q.recycle(items)
	}
	return b
}

// acknowledged forgets the batch.
func (s *sender) acknowledged(b *batch) {
	s.forming.Lock()
	defer s.forming.Unlock()
	s.current = nil
	s.q.mu.Lock()
	s.q.free(b.bytes)
	s.q.settle(int64(len(b.events)))
	s.q.mu.Unlock()
	b.bytes = 0
	if b.spooled {
		s.spooled -= int64(len(b.events))
	}
	s.tidySpool()
}

// tidySpool removes the spool file once everything in it is acknowledged.
func (s *sender) tidySpool() {
	if s.spool != nil && s.spool.drained() && s.current == nil {
		s.dropSpool(s.spool.remove())
	}
}

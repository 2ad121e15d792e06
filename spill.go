package tidings

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// spillWhenFull moves events from the queue to the spool whenever the queue is
// more than half full, until ctx ends.
func (s *sender) spillWhenFull(ctx context.Context) {
	failed := false
	for {
		select {
		case <-s.q.high:
		case <-ctx.Done():
			return
		}
		err := s.spill(s.q.limit / 4)
		if err != nil && !failed { // told once, not with every event
			s.log.Error("can't spool events; what the queue can't hold is dropped", "job", s.jobID, "error", err)
		}
		if failed = err != nil; failed {
			select {
			case <-time.After(spillPause):
				signal(s.q.high)
			case <-ctx.Done():
			}
		}
	}
}

// spillPause is the time between two tries to write to a full disk.
const spillPause = time.Second

// spill writes what is in the queue to the spool, until the queue holds no more
// than so many bytes. The batch under way goes first: what is in the file
// must follow on what the store has.
func (s *sender) spill(down int64) error {
	s.forming.Lock()
	defer s.forming.Unlock()
	if s.refused || s.q.holds() <= down {
		return nil
	}
	defer s.tidySpool() // there may have been nothing to write
	if s.spool == nil {
		sp, err := createSpool(s.dir, s.jobID, s.of(0), s.spoolBytes)
		if err != nil {
			return err
		}
		s.spool = sp
	}
	if b := s.current; b != nil && !b.spooled {
		if err := s.spool.add(b); err != nil {
			return err
		}
		s.spool.readAt = s.spool.size // it is under way
		s.spilled(b)
	}
	for s.q.holds() > down {
		b := s.parked
		if b == nil {
			b = s.pop()
		}
		if b == nil {
			break
		}
		if err := s.spool.add(b); err != nil {
			s.parked = b // in memory, until what is spooled was sent
			return err
		}
		s.parked = nil
		s.spilled(b)
	}
	return nil
}

// spilled frees the batch's memory.
func (s *sender) spilled(b *batch) {
	b.spooled = true
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	s.q.stats.Spooled += int64(len(b.events))
	s.spooled += int64(len(b.events))
	s.q.free(b.bytes)
	b.bytes = 0
}

// rescue puts what is left when the sender has ended into the spool, or gives
// it up. It says how many events are kept in the spool and how many are lost.
func (s *sender) rescue() (kept, lost int64, err error) {
	if s.dir != "" && !s.idle() {
		err = s.spill(-1)
	}
	s.forming.Lock()
	defer s.forming.Unlock()
	for _, b := range []*batch{s.current, s.parked} {
		if b != nil && !b.spooled {
			s.giveUp(b)
			lost += int64(len(b.events))
		}
	}
	s.current, s.parked = nil, nil
	lost += s.q.abandon()
	if s.spool != nil {
		kept = s.spooled
		err = errors.Join(err, s.spool.keep())
		s.spool, s.spooled = nil, 0
	}
	return kept, lost, err
}

// idle reports whether nothing waits in memory.
func (s *sender) idle() bool {
	s.forming.Lock()
	defer s.forming.Unlock()
	inMemory := s.current != nil && !s.current.spooled || s.parked != nil
	return !inMemory && s.q.isEmpty()
}

// giveUp counts the batch as dropped.
func (s *sender) giveUp(b *batch) {
	s.q.mu.Lock()
	defer s.q.mu.Unlock()
	s.q.stats.Dropped += int64(len(b.events))
	s.q.free(b.bytes)
	s.q.settle(int64(len(b.events)))
}

// recover appends what earlier handlers of the job left in the spool folder,
// before anything of this one.
func (s *sender) recover(ctx context.Context) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Error("can't look into the spool folder", "job", s.jobID, "error", err)
	}
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), spoolPrefix(s.jobID)) || !strings.HasSuffix(entry.Name(), spoolSuffix) {
			continue
		}
		path := filepath.Join(s.dir, entry.Name())
		n, err := resend(ctx, path, s.to, s.log)
		s.q.mu.Lock()
		s.q.stats.Sent += n
		s.q.mu.Unlock()
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if err != nil && !errors.Is(err, errSpoolInUse) {
			s.log.Error("can't append what an earlier run of the job had spooled", "job", s.jobID, "file", path, "error", err)
		}
	}
	return nil
}

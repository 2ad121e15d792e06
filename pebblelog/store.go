package pebblelog

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tidings"
)

// Store is a [tidings.Store] in a folder of this machine. See the package
// comment for its promises. Safe for concurrent use.
type Store struct {
	opts     Options
	log      *slog.Logger
	db       *pebble.DB
	lock     *pebble.Lock
	id       string // of this store, for ever
	openedAt time.Time

	requests chan *request
	closing  chan struct{} // closed by Close
	stopped  chan struct{} // closed when the committer has ended
	closed   sync.Once
	closeErr error
	work     sync.WaitGroup

	// use is held for reading by every call that touches db.
	use sync.RWMutex
	// removal is held for writing while a group that removes something is
	// written and synced, and for reading while a reader takes a snapshot of a
	// job and an iterator over its log: the two fit together, and no reader
	// misses what a crash may yet bring back.
	removal sync.RWMutex

	cache    cache
	leases   leases
	watches  watches
	feeds    watch // woken by every group
	position atomic.Pointer[position]
	over     overLimit
	stats    counters
	state    condition
}

var _ tidings.Store = (*Store)(nil)

// position is how far the store as a whole has got, durably.
type position struct {
	last        tidings.ID // the last ID given
	feedTrimmed tidings.ID // the last feed entry trimmed away
}

// await waits until woken, or gives why a reader can't go on: ctx is over, the
// reader was ended, or the store is closing.
func (s *Store) await(ctx context.Context, woken, ended <-chan struct{}, endedErr error) error {
	select {
	case <-woken:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-ended:
		return endedErr
	case <-s.closing:
		return tidings.ErrStoreClosed
	}
}

// enter begins a call that touches the database, and leave ends it.
func (s *Store) enter() error {
	s.use.RLock()
	if s.isClosing() {
		s.use.RUnlock()
		return tidings.ErrStoreClosed
	}
	return nil
}

func (s *Store) leave() { s.use.RUnlock() }

func (s *Store) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// Close releases the folder and waits for the store's goroutines and for calls
// under way. Whatever waits gets [tidings.ErrStoreClosed]. Closing again does
// nothing.
func (s *Store) Close() error {
	s.closed.Do(func() {
		close(s.closing)
		s.work.Wait()
		s.use.Lock() // for ever: what comes later is refused by enter
		defer s.use.Unlock()
		s.closeErr = s.closeDB()
	})
	return s.closeErr
}

func (s *Store) closeDB() error {
	var flushErr error
	if s.state.fatal() == nil {
		// Tables carry checksums to the last byte. In a log that was not closed
		// the last record can't be told from a torn one.
		flushErr = s.db.Flush()
	}
	return errors.Join(flushErr, s.db.Close(), s.lock.Close())
}

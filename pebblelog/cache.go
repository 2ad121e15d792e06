package pebblelog

import (
	"container/list"
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"tidings"
)

// entry is a job that the committer has in memory.
type entry struct {
	jobID string
	// synced is what is durable of the job, and what readers see; nil: no such
	// job. Guarded by cache.mu.
	synced *snapshot

	// The rest is the committer's own.
	planned   *snapshot // with the changes of the group being built
	dirty     bool      // planned is not synced
	producers *producers
	place     *list.Element // nil: not in the cache
}

// cache holds the jobs that were written to lately. A job of which some change
// is not synced is always in it: so what is not in it can be read from the
// database as it stands.
type cache struct {
	mu   sync.Mutex
	jobs map[string]*entry
	used list.List // of *entry, the latest first
	max  int
}

func (c *cache) init(max int) {
	c.jobs = make(map[string]*entry)
	c.used.Init()
	c.max = max
}

// get gives what readers see of a job: cached is false if the cache can't tell.
func (c *cache) get(jobID string) (snap *snapshot, cached bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.jobs[jobID]
	if e == nil {
		return nil, false
	}
	return e.synced, true
}

// use gives the entry of a job, or nil.
func (c *cache) use(jobID string) *entry {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.jobs[jobID]
	if e != nil {
		c.used.MoveToFront(e.place)
	}
	return e
}

// add takes in entries before a group with changes of theirs is written.
func (c *cache) add(entries []*entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		if e.place == nil {
			e.place = c.used.PushFront(e)
			c.jobs[e.jobID] = e
		}
	}
}

// publish shows readers what was planned, now that it is synced, and drops what
// is too much. Only the committer calls it, when no other entry is dirty.
func (c *cache) publish(entries []*entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range entries {
		e.synced, e.dirty = e.planned, false
		if e.synced == nil {
			c.drop(e)
		}
	}
	for len(c.jobs) > c.max {
		c.drop(c.used.Back().Value.(*entry))
	}
}

func (c *cache) drop(e *entry) {
	c.used.Remove(e.place)
	delete(c.jobs, e.jobID)
	e.place = nil
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.jobs)
}

// view gives what is durable of a job, or [tidings.ErrUnknownJob].
func (s *Store) view(jobID string) (*snapshot, error) { return s.viewIf(jobID, nil) }

// viewIf is view, but a job whose record does not pass the sieve may count as
// unknown.
func (s *Store) viewIf(jobID string, sieve func([]byte) bool) (*snapshot, error) {
	snap, cached := s.cache.get(jobID)
	if !cached {
		var err error
		if snap, err = s.load(jobID, sieve); err != nil {
			return nil, err
		}
		// The committer may have written the job meanwhile; what it has not
		// synced yet must not be seen.
		if now, cached := s.cache.get(jobID); cached {
			snap = now
		}
	}
	if snap == nil {
		return nil, tidings.ErrUnknownJob
	}
	return snap, nil
}

// load reads a job's record, or gives nil: also of one that does not pass the
// sieve, if there is one.
func (s *Store) load(jobID string, sieve func([]byte) bool) (snap *snapshot, err error) {
	value, closer, err := s.db.Get(appendJobKey(make([]byte, 0, 64), jobID))
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, s.damage("the record of job "+jobID, err)
	}
	defer func() { err = errors.Join(err, closer.Close()) }()
	if sieve != nil && !sieve(value) {
		return nil, nil
	}
	if snap, err = parseRecord(value); err != nil {
		return nil, s.damage("the record of job "+jobID, err)
	}
	return snap, nil
}

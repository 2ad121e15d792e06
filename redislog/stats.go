package redislog

import (
	"sync/atomic"

	"tidings"
)

type counters struct {
	appends, events, duplicates, refused, reads, readEvents, followers, trimmed, deleted atomic.Int64
}

// Stats gives counters since the store was opened, of this node only.
func (s *Store) Stats() tidings.Stats {
	c := &s.stats
	return tidings.Stats{
		Appends:        c.appends.Load(),
		AppendedEvents: c.events.Load(),
		Duplicates:     c.duplicates.Load(),
		Refused:        c.refused.Load(),
		Reads:          c.reads.Load(),
		ReadEvents:     c.readEvents.Load(),
		Followers:      c.followers.Load(),
		Trimmed:        c.trimmed.Load(),
		Deleted:        c.deleted.Load(),
	}
}

package pebblelog

import (
	"sync/atomic"
	"time"

	"tidings"
)

type counters struct {
	appends, events, duplicates, refused atomic.Int64
	reads, readEvents, followers         atomic.Int64
	trimmed, deleted                     atomic.Int64
	groups, syncNanos, feedCount         atomic.Int64
}

// group counts a group that is durable.
func (c *counters) group(g *group, took time.Duration) {
	c.appends.Add(g.counts.appends)
	c.events.Add(g.counts.events)
	c.trimmed.Add(g.counts.trimmed)
	c.deleted.Add(g.counts.deleted)
	c.groups.Add(1)
	c.syncNanos.Add(int64(took))
	c.feedCount.Store(int64(g.c.feedCount))
}

// Stats implements [tidings.Store].
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

// Metrics are what only this store has.
type Metrics struct {
	Groups    int64         // groups written and synced; appends a group = Stats.Appends / Groups
	SyncTime  time.Duration // summed over them
	Waiting   int           // requests that wait for the committer now
	HotJobs   int           // jobs in memory now
	Feed      int64         // changes ever written to the feed
	DiskBytes uint64        // size of the folder
	WALBytes  uint64        // of it, the log that a start has to read
}

// Metrics gives counters since the store was opened, and sizes now. It is zero
// when the store is closed.
func (s *Store) Metrics() Metrics {
	if s.enter() != nil {
		return Metrics{}
	}
	defer s.leave()
	m := s.db.Metrics()
	return Metrics{
		Groups:    s.stats.groups.Load(),
		SyncTime:  time.Duration(s.stats.syncNanos.Load()),
		Waiting:   len(s.requests),
		HotJobs:   s.cache.len(),
		Feed:      s.stats.feedCount.Load(),
		DiskBytes: m.DiskSpaceUsage(),
		WALBytes:  m.WAL.PhysicalSize,
	}
}

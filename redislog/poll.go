package redislog

import (
	"time"

	"github.com/redis/rueidis"

	"tidings"
)

// pollBatch bounds the keys of one XREAD, which Redis serves in one go.
const pollBatch = 500

// poll looks at the followed jobs that have not ended: often for new events,
// which foreign publishers do not announce, and now and then for everything
// else that happens without one, such as a DEL.
func (s *Store) poll() {
	tick := time.NewTicker(s.opts.pollEvery)
	defer tick.Stop()
	lastLook := time.Now()
	failing := false
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		open := s.watches.open()
		err := s.pollNews(open)
		if err == nil && time.Since(lastLook) >= s.opts.lookEvery {
			lastLook = time.Now()
			err = s.pollLives(open)
		}
		if failing && err == nil {
			s.watches.checkAll() // Redis is back, perhaps with less than before
		}
		failing = err != nil
	}
}

// pollNews asks for the first entry after the furthest known one of each job.
func (s *Store) pollNews(open []watch) error {
	for len(open) > 0 {
		n := min(len(open), pollBatch)
		var err error
		if s.isCluster() {
			err = s.pollEach(open[:n])
		} else {
			err = s.pollTogether(open[:n])
		}
		if err != nil {
			return err
		}
		open = open[n:]
	}
	return nil
}

func (s *Store) pollTogether(open []watch) error {
	streams, ids := make([]string, len(open)), make([]string, len(open))
	for i, w := range open {
		streams[i], ids[i] = s.keys.stream(w.jobID), w.known.ID.String()
	}
	// Pinned: the client would keep the arguments' memory, which is large, for
	// commands to come, and soon hold it hundreds of times for small ones.
	command := s.client.B().Xread().Count(1).Streams().Key(streams...).Id(ids...).Build().Pin()
	return s.news(s.do(s.ctx, command))
}

// pollEach is for a Cluster, where one XREAD can't ask for keys of several
// slots.
func (s *Store) pollEach(open []watch) error {
	commands := make([]rueidis.Completed, len(open))
	for i, w := range open {
		commands[i] = s.client.B().Xread().Count(1).Streams().Key(s.keys.stream(w.jobID)).Id(w.known.ID.String()).Build()
	}
	for _, r := range s.doMulti(s.ctx, commands...) {
		if err := s.news(r); err != nil {
			return err
		}
	}
	return nil
}

// news wakes the followers of the jobs that XREAD found something in.
func (s *Store) news(reply rueidis.RedisResult) error {
	found, err := reply.AsXRead()
	if rueidis.IsRedisNil(err) {
		return nil
	}
	if err != nil {
		return err
	}
	for stream, entries := range found {
		jobID, ok := s.keys.jobID(stream)
		if !ok || len(entries) == 0 {
			continue
		}
		if id, err := tidings.ParseID(entries[0].ID); err == nil {
			s.watches.found(jobID, id)
		}
	}
	return nil
}

// pollLives looks whether each job is still there, and still the one it was.
func (s *Store) pollLives(open []watch) error {
	for len(open) > 0 {
		n := min(len(open), pollBatch)
		if err := s.pollLife(open[:n]); err != nil {
			return err
		}
		open = open[n:]
	}
	return nil
}

func (s *Store) pollLife(open []watch) error {
	commands := make([]rueidis.Completed, 0, 2*len(open))
	for _, w := range open {
		commands = append(commands,
			s.client.B().Exists().Key(s.keys.stream(w.jobID)).Build(),
			s.client.B().Hmget().Key(s.keys.meta(w.jobID)).Field("inc", "last").Build())
	}
	replies := s.doMulti(s.ctx, commands...)
	for i, w := range open {
		exists, err := replies[2*i].AsInt64()
		if err != nil {
			return err
		}
		meta, err := replies[2*i+1].ToArray()
		if err != nil {
			return err
		}
		inc, _ := meta[0].ToString() // nil: never adopted, or gone
		last, _ := meta[1].ToString()
		id, _ := tidings.ParseID(last)
		if exists == 0 || inc != w.known.Incarnation || id.Less(w.known.ID) {
			s.watches.check(w.jobID)
		}
	}
	return nil
}

package pebblelog

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"tidings"
)

// Retain runs one pass of retention now: it deletes the jobs that ended long
// enough ago and trims logs and the feed to their limits. The store does so by
// itself at every [Options.RetentionInterval].
func (s *Store) Retain(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return errors.Join(s.deleteEnded(ctx), s.trimLogs(ctx), s.trimFeed(ctx))
}

// runUpkeep runs retention from time to time and looks at the disk.
func (s *Store) runUpkeep() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	s.work.Go(func() {
		<-s.closing
		cancel()
	})
	retain := time.NewTicker(max(s.opts.RetentionInterval, time.Millisecond))
	defer retain.Stop()
	disk := time.NewTicker(diskInterval)
	defer disk.Stop()
	if s.opts.RetentionInterval < 0 {
		retain.Stop()
	}
	for {
		select {
		case <-disk.C:
			s.lookAtDisk()
			continue
		case <-ctx.Done():
			return
		case <-retain.C:
		case <-s.over.kick:
			if s.opts.RetentionInterval < 0 {
				continue
			}
		}
		if err := s.Retain(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("retention failed; trying again at the next interval", "error", err)
		}
	}
}

// deleteEnded deletes jobs that ended, by the store's clock, long enough ago: a
// publisher's clock may be wrong, or tell of a run that is replayed.
func (s *Store) deleteEnded(ctx context.Context) error {
	if s.opts.Retention.AfterEnd <= 0 {
		return nil
	}
	ops, err := s.endedBefore(s.opts.now().Add(-s.opts.Retention.AfterEnd))
	if err != nil {
		return err
	}
	return inParallel(ops, func(op *deleteOp) error {
		if err := s.commit(ctx, op); !errors.Is(err, tidings.ErrUnknownJob) {
			return err
		}
		return nil
	})
}

// endedBefore gives what deletes the jobs whose last event was given before t.
func (s *Store) endedBefore(t time.Time) (ops []*deleteOp, err error) {
	o := prefixBounds(prefixEnded)
	o.UpperBound = appendEndedKey(nil, tidings.ID{Ms: uint64(max(t.UnixMilli(), 0))})
	it, err := s.db.NewIter(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, err
		}
		jobID := string(value)
		snap, err := s.view(jobID)
		if errors.Is(err, tidings.ErrUnknownJob) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if last := tailID(it.Key()); snap.job.LastID == last {
			ops = append(ops, &deleteOp{jobID: jobID, number: snap.number, last: last})
		}
	}
	return ops, it.Error()
}

// inParallel does something with every item, some at a time: what they write
// shares groups. It gives the last error.
func inParallel[T any](items []T, do func(T) error) error {
	var failed atomic.Value
	next := make(chan T)
	var workers sync.WaitGroup
	for range min(retainWorkers, len(items)) {
		workers.Go(func() {
			for item := range next {
				if err := do(item); err != nil {
					failed.Store(&err)
				}
			}
		})
	}
	for _, item := range items {
		next <- item
	}
	close(next)
	workers.Wait()
	if err, ok := failed.Load().(*error); ok {
		return *err
	}
	return nil
}

const retainWorkers = 64

// trimFeed removes the oldest entries of the feed.
func (s *Store) trimFeed(ctx context.Context) error {
	if s.opts.FeedKeep < 0 {
		return nil
	}
	upTo, err := s.feedExcess()
	if err != nil || upTo.IsZero() {
		return err
	}
	return s.commit(ctx, &trimFeedOp{upTo: upTo})
}

// feedExcess gives the last entry of the feed that is not to be kept, or zero.
func (s *Store) feedExcess() (upTo tidings.ID, err error) {
	keepFrom := s.stats.feedCount.Load() - s.opts.FeedKeep
	if keepFrom <= 0 {
		return upTo, nil
	}
	it, err := s.db.NewIter(prefixBounds(prefixFeed))
	if err != nil {
		return upTo, err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return upTo, err
		}
		f, err := parseFeedEntry(tailID(it.Key()), value)
		if err != nil {
			return upTo, err
		}
		if f.count > uint64(keepFrom) {
			break
		}
		upTo = f.last
	}
	return upTo, it.Error()
}

type trimFeedOp struct{ upTo tidings.ID }

func (t *trimFeedOp) size() int { return 64 }

func (t *trimFeedOp) plan(g *group) error {
	if !g.c.feedTrimmed.Less(t.upTo) {
		return nil
	}
	_ = g.batch.DeleteRange(appendFeedKey(nil, g.c.feedTrimmed), appendFeedKey(nil, t.upTo.Next()), nil)
	_ = g.batch.Set(keyFeedTrimmed, appendID(nil, t.upTo), nil)
	g.c.feedTrimmed = t.upTo
	g.removes = true
	return nil
}

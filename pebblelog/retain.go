package pebblelog

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tidings"
)

// overLimit are the jobs whose logs are longer than they should be.
type overLimit struct {
	mu   sync.Mutex
	jobs map[string]struct{}
	kick chan struct{} // a log is much longer than it should be
}

func (o *overLimit) add(jobID string, far bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.jobs[jobID] = struct{}{}
	if far {
		select {
		case o.kick <- struct{}{}:
		default:
		}
	}
}

func (o *overLimit) drop(jobID string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.jobs, jobID)
}

// take gives the jobs and forgets them.
func (o *overLimit) take() map[string]struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	jobs := o.jobs
	o.jobs = make(map[string]struct{})
	return jobs
}

// excess says whether a log is over the limits, and whether far so.
func (s *Store) excess(snap *snapshot) (over, far bool) {
	events, bytes := s.opts.Retention.EventsPerJob, s.opts.Retention.BytesPerJob
	over = (events > 0 && snap.held() > events) || (bytes > 0 && snap.bytes > bytes)
	far = (events > 0 && snap.held()/2 > events) || (bytes > 0 && snap.bytes/2 > bytes)
	return over && snap.held() > 1, far
}

// noteSize remembers a job whose log has grown over the limits.
func (g *group) noteSize(jobID string, snap *snapshot) {
	if over, far := g.s.excess(snap); over {
		g.s.over.add(jobID, far)
	}
}

// findOverLimit looks for jobs that were over the limits when the store was
// last closed, or are over limits that have changed since.
func (s *Store) findOverLimit() (err error) {
	s.over.jobs = make(map[string]struct{})
	s.over.kick = make(chan struct{}, 1)
	if s.opts.Retention.EventsPerJob <= 0 && s.opts.Retention.BytesPerJob <= 0 {
		return nil
	}
	it, err := s.db.NewIter(prefixBounds(prefixJob))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, it.Close()) }()
	for ok := it.First(); ok; ok = it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		snap, err := parseRecord(value)
		if err != nil {
			return err
		}
		if over, _ := s.excess(snap); over {
			s.over.add(string(it.Key()[1:]), false)
		}
	}
	return it.Error()
}

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
	for _, op := range ops {
		if err := s.commit(ctx, op); err != nil && !errors.Is(err, tidings.ErrUnknownJob) {
			return err
		}
	}
	return nil
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

func (s *Store) trimLogs(ctx context.Context) error {
	var errs []error
	for jobID := range s.over.take() {
		if err := s.trimLog(ctx, jobID); err != nil {
			s.over.add(jobID, false) // for the next pass
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *Store) trimLog(ctx context.Context, jobID string) error {
	op, err := s.planTrim(jobID)
	if op == nil || err != nil {
		return err
	}
	return s.commit(ctx, op)
}

// planTrim finds where a log has to be cut, or gives nil.
func (s *Store) planTrim(jobID string) (*trimOp, error) {
	snap, it, err := s.openLog(jobID, func(snap *snapshot) (after, before tidings.ID, err error) {
		return snap.trimmedTo, snap.job.LastID, nil // the last event stays, whatever its size
	})
	if errors.Is(err, tidings.ErrUnknownJob) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	left := *snap
	op := &trimOp{jobID: jobID, number: snap.number}
	over, _ := s.excess(&left)
	ok := it.First()
	for ; ok && over; ok = it.Next() {
		n, err := valueDataLen(it)
		if err != nil {
			return nil, s.damage("the log of job "+jobID, errors.Join(err, it.Close()))
		}
		op.upTo = tailID(it.Key())
		left.trimmed++
		left.bytes -= n
		over, _ = s.excess(&left)
	}
	op.first = snap.job.LastID
	if ok {
		op.first = tailID(it.Key())
	}
	op.events, op.bytes = left.trimmed-snap.trimmed, snap.bytes-left.bytes
	if err := errors.Join(it.Error(), it.Close()); err != nil || op.events == 0 {
		return nil, err
	}
	return op, nil
}

func valueDataLen(it *pebble.Iterator) (int64, error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return 0, err
	}
	n, err := dataLen(value)
	return int64(n), err
}

// trimOp removes the oldest events of a log.
type trimOp struct {
	jobID  string
	number uint64
	upTo   tidings.ID // the last to remove
	first  tidings.ID // the first to keep
	events int64
	bytes  int64
}

func (t *trimOp) size() int { return 64 }

func (t *trimOp) plan(g *group) error {
	e, err := g.entry(t.jobID)
	if err != nil {
		return err
	}
	if e.planned == nil || e.planned.number != t.number || !e.planned.trimmedTo.Less(t.upTo) {
		return nil // deleted or trimmed meanwhile
	}
	snap := g.change(e)
	_ = g.batch.DeleteRange(appendEventKey(nil, t.number, snap.trimmedTo), appendEventKey(nil, t.number, t.upTo.Next()), nil)
	snap.trimmedTo, snap.job.FirstID = t.upTo, t.first
	snap.trimmed += t.events
	snap.bytes -= t.bytes
	g.removes = true
	g.counts.trimmed += t.events
	return nil
}

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
		f, err := parseFeedEntry(value)
		if err != nil {
			return upTo, err
		}
		if f.count > uint64(keepFrom) {
			break
		}
		upTo = tailID(it.Key())
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

package pebblelog

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"

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

// take gives the jobs and forgets them.
func (o *overLimit) take() map[string]struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	jobs := o.jobs
	o.jobs = make(map[string]struct{})
	return jobs
}

// A log that is longer than twice its limit and so much is trimmed at once. The
// addend keeps small limits from making every other append a reason.
const (
	farEvents = 10_000
	farBytes  = 16 << 20
)

// excess says whether a log is over the limits, and whether far so.
func (s *Store) excess(snap *snapshot) (over, far bool) {
	events, bytes := s.opts.Retention.EventsPerJob, s.opts.Retention.BytesPerJob
	over = (events > 0 && snap.held() > events) || (bytes > 0 && snap.bytes > bytes)
	far = (events > 0 && snap.held() > 2*events+farEvents) || (bytes > 0 && snap.bytes > 2*bytes+farBytes)
	return over && snap.held() > 1, far
}

// noteSizes remembers jobs whose logs have grown over the limits, once that can
// be seen: a pass of retention forgets a job that it finds in order.
func (s *Store) noteSizes(entries []*entry) {
	for _, e := range entries {
		if e.planned == nil {
			continue
		}
		if over, far := s.excess(e.planned); over {
			s.over.add(e.jobID, far)
		}
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

// trimLogs cuts the logs that are over the limits.
func (s *Store) trimLogs(ctx context.Context) error {
	return inParallel(slices.Collect(maps.Keys(s.over.take())), func(jobID string) error {
		err := s.trimLog(ctx, jobID)
		if err != nil {
			s.over.add(jobID, false) // for the next pass
		}
		return err
	})
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

package pebblelog

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tidings"
)

// Jobs implements [tidings.Reader]. Jobs come by the time of their first event,
// the newest first.
func (s *Store) Jobs(ctx context.Context, q tidings.JobsQuery) (tidings.JobsPage, error) {
	if err := s.enter(); err != nil {
		return tidings.JobsPage{}, err
	}
	defer s.leave()
	bounds, err := listBounds(&q)
	if err != nil {
		return tidings.JobsPage{}, err
	}
	s.removal.RLock()
	it, err := s.db.NewIter(bounds)
	s.removal.RUnlock()
	if err != nil {
		return tidings.JobsPage{}, err
	}
	page, err := s.list(ctx, it, &q)
	if err := errors.Join(err, it.Close()); err != nil {
		return tidings.JobsPage{}, s.damage("the index of jobs", err)
	}
	return page, nil
}

// listBounds is the part of an index that a query asks for.
func listBounds(q *tidings.JobsQuery) (*pebble.IterOptions, error) {
	if q.Limit < 0 {
		return nil, &tidings.InvalidError{Field: "limit", Reason: "negative; give how many jobs at most, or nothing for 100"}
	}
	orDefault(&q.Limit, tidings.DefaultJobsLimit)
	index := listIndex(q)
	o := prefixBounds(index)
	if !q.Until.IsZero() { // keys go from the newest to the oldest
		o.LowerBound = created{micros: ceilMicros(q.Until) - 1, number: ^uint64(0)}.appendKey(nil, index)
	}
	if !q.Since.IsZero() {
		o.UpperBound = append(created{micros: q.Since.UnixMicro()}.appendKey(nil, index), 0)
	}
	if q.Cursor != "" {
		c, err := parseListCursor(q.Cursor)
		if err != nil {
			return nil, &tidings.InvalidError{Field: "cursor", Reason: "no cursor of a listing; give next_cursor of the page before, or nothing for the first page"}
		}
		if after := append(c.appendKey(nil, index), 0); string(after) > string(o.LowerBound) {
			o.LowerBound = after
		}
	}
	if string(o.LowerBound) > string(o.UpperBound) {
		o.LowerBound = o.UpperBound
	}
	return o, nil
}

// listIndex is the smallest index that has all that a query can find: what is
// going on is few among what is over.
func listIndex(q *tidings.JobsQuery) byte {
	if q.Stalled != nil && *q.Stalled {
		return prefixOpen
	}
	if len(q.Status) == 0 || slices.ContainsFunc(q.Status, tidings.Status.Ended) {
		return prefixCreated
	}
	return prefixOpen
}

// ceilMicros is the first microsecond that does not lie before t.
func ceilMicros(t time.Time) int64 {
	micros := t.UnixMicro()
	if time.UnixMicro(micros).Before(t) {
		micros++
	}
	return micros
}

func (s *Store) list(ctx context.Context, it *pebble.Iterator, q *tidings.JobsQuery) (page tidings.JobsPage, err error) {
	now := s.opts.now()
	sieve := q.Sieve()
	var last created
	for ok := it.First(); ok; ok = it.Next() {
		if ctx.Err() != nil {
			return page, context.Cause(ctx)
		}
		place, err := parseCreatedKey(it.Key())
		if err != nil {
			return page, err
		}
		job, ok, err := s.listed(it, place.number, sieve)
		if err != nil {
			return page, err
		}
		if !ok || !q.Matches(&job, now) {
			continue
		}
		if len(page.Jobs) == q.Limit { // there is one more
			page.NextCursor = last.cursor()
			return page, nil
		}
		page.Jobs = append(page.Jobs, job)
		last = place
	}
	return page, it.Error()
}

// listed gives the job at an index entry, if what the entry says is durable and
// still so, and if its record passes the sieve.
func (s *Store) listed(it *pebble.Iterator, number uint64, sieve func([]byte) bool) (job tidings.Job, ok bool, err error) {
	value, err := it.ValueAndErr()
	if err != nil {
		return job, false, err
	}
	snap, err := s.viewIf(string(value), sieve)
	if errors.Is(err, tidings.ErrUnknownJob) {
		return job, false, nil
	}
	if err != nil || snap.number != number {
		return job, false, err
	}
	return s.summary(snap), true, nil
}

package pebblelog

import (
	"context"
	"errors"

	"github.com/cockroachdb/pebble/v2"

	"tidings"
)

// Read implements [tidings.Reader].
func (s *Store) Read(ctx context.Context, jobID string, q tidings.Query) (tidings.Page, error) {
	if err := s.enter(); err != nil {
		return tidings.Page{}, err
	}
	defer s.leave()
	if err := checkQuery(jobID, &q); err != nil {
		return tidings.Page{}, err
	}
	return s.read(ctx, jobID, q)
}

func checkQuery(jobID string, q *tidings.Query) error {
	if err := tidings.ValidateJobID(jobID); err != nil {
		return err
	}
	switch {
	case q.Limit < 0:
		return &tidings.InvalidError{Field: "limit", Reason: "negative; give how many events at most, or nothing for 1,000"}
	case q.MaxBytes < 0:
		return &tidings.InvalidError{Field: "max_bytes", Reason: "negative; give how many bytes at most, or nothing for 1 MiB"}
	}
	orDefault(&q.Limit, tidings.DefaultLimit)
	orDefault(&q.MaxBytes, tidings.DefaultMaxBytes)
	return nil
}

func (s *Store) read(ctx context.Context, jobID string, q tidings.Query) (tidings.Page, error) {
	snap, it, err := s.openLog(jobID, func(snap *snapshot) (after, before tidings.ID, err error) {
		if q.Backward && q.After.ID.IsZero() {
			q.After.ID = snap.trimmedTo // whatever is held first
		}
		return q.After.ID, q.Before, snap.resume(q.After)
	})
	if err != nil {
		return tidings.Page{}, err
	}
	page := tidings.Page{First: snap.firstHeld(), LastID: snap.job.LastID, Incarnation: snap.job.Incarnation, Closed: snap.job.Closed}
	page.Events, page.More, err = takePage(ctx, it, snap.job.ID, q)
	if err := errors.Join(err, it.Close()); err != nil {
		return tidings.Page{}, s.damage("the log of job "+jobID, err)
	}
	s.stats.reads.Add(1)
	s.stats.readEvents.Add(int64(len(page.Events)))
	return page, nil
}

// firstHeld is the first event that was not trimmed away.
func (s *snapshot) firstHeld() tidings.ID { return s.job.FirstID }

// resume says whether a reader can go on exactly from a cursor.
func (s *snapshot) resume(c tidings.Cursor) error {
	job := &s.job
	switch {
	case c.Incarnation != "" && c.Incarnation != job.Incarnation, job.LastID.Less(c.ID):
		return &tidings.RewoundError{JobID: job.ID, Cursor: c, Last: job.LastID, Incarnation: job.Incarnation}
	case c.ID.Less(s.trimmedTo):
		return &tidings.GapError{JobID: job.ID, Cursor: c, First: s.firstHeld(), Incarnation: job.Incarnation}
	}
	return nil
}

// openLog gives what is durable of a job and an iterator over the events that
// pick chooses of it, both ends left out. before zero is the end of the log.
func (s *Store) openLog(jobID string, pick func(*snapshot) (after, before tidings.ID, err error)) (*snapshot, *pebble.Iterator, error) {
	s.removal.RLock()
	defer s.removal.RUnlock()
	snap, err := s.view(jobID)
	if err != nil {
		return nil, nil, err
	}
	after, before, err := pick(snap)
	if err != nil {
		return nil, nil, err
	}
	// What Pebble shows beyond the last synced event may yet be undone.
	end := snap.job.LastID.Next()
	if before.IsZero() || end.Less(before) {
		before = end
	}
	from := after.Next()
	if before.Less(from) {
		from = before
	}
	it, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: appendEventKey(make([]byte, 0, 25), snap.number, from),
		UpperBound: appendEventKey(make([]byte, 0, 25), snap.number, before),
	})
	return snap, it, err
}

// takePage reads events until the page is full.
func takePage(ctx context.Context, it *pebble.Iterator, jobID string, q tidings.Query) (events []tidings.Event, more bool, err error) {
	first, next := it.First, it.Next
	if q.Backward {
		first, next = it.Last, it.Prev
	}
	var data arena
	var last string
	size := 0
	for ok := first(); ok; ok = next() {
		if len(events) == q.Limit || (size > q.MaxBytes && len(events) > 0) {
			return events, true, it.Error()
		}
		if len(events)%256 == 0 && ctx.Err() != nil {
			return nil, false, context.Cause(ctx)
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return nil, false, err
		}
		e := tidings.Event{ID: tailID(it.Key()), JobID: jobID}
		var d []byte
		if e.Type, e.Time, d, err = parseValue(value, last); err != nil {
			return nil, false, err
		}
		last = e.Type
		e.Data = data.copy(d)
		size += len(d)
		events = append(events, e)
	}
	return events, false, it.Error()
}

// Job implements [tidings.Reader].
func (s *Store) Job(ctx context.Context, jobID string) (tidings.Job, error) {
	if err := s.enter(); err != nil {
		return tidings.Job{}, err
	}
	defer s.leave()
	if err := tidings.ValidateJobID(jobID); err != nil {
		return tidings.Job{}, err
	}
	snap, err := s.view(jobID)
	if err != nil {
		return tidings.Job{}, err
	}
	return s.summary(snap), nil
}

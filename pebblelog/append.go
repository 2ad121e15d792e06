package pebblelog

import (
	"context"
	"errors"
	"fmt"

	"tidings"
)

// Append implements [tidings.Appender]. What does not depend on the log is
// done in the caller's goroutine: the committer has little left to do.
func (s *Store) Append(ctx context.Context, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	a, err := s.newAppend(jobID, b)
	if err != nil {
		s.stats.refused.Add(1)
		return tidings.Receipt{}, err
	}
	if err := s.state.full(); err != nil {
		return tidings.Receipt{}, unavailable(err)
	}
	err = s.commit(ctx, a)
	switch {
	case err == nil && a.receipt.Duplicate:
		s.stats.duplicates.Add(1)
	case isRefusal(err):
		s.stats.refused.Add(1)
	}
	if err != nil {
		return tidings.Receipt{}, err
	}
	return a.receipt, nil
}

func isRefusal(err error) bool {
	var closed *tidings.ClosedError
	var fenced *tidings.FencedError
	var sequence *tidings.SequenceError
	return errors.As(err, &closed) || errors.As(err, &fenced) || errors.As(err, &sequence)
}

// appendOp is an append, valid and encoded.
type appendOp struct {
	jobID    string
	events   []tidings.Event
	producer *tidings.Producer
	values   []byte // of the events, one behind the other
	ends     []int  // of each in values
	bytes    int64  // of data
	signs    bool   // it is a sign of life of the job's worker
	receipt  tidings.Receipt
}

func (s *Store) newAppend(jobID string, b tidings.Batch) (*appendOp, error) {
	if err := b.Validate(jobID); err != nil {
		return nil, err
	}
	a := &appendOp{jobID: jobID, producer: b.Producer}
	for i := range b.Events {
		n := len(b.Events[i].Data)
		if n > s.opts.MaxEventBytes {
			return nil, &tidings.TooLargeError{What: "event", Limit: int64(s.opts.MaxEventBytes)}
		}
		a.bytes += int64(n)
	}
	if a.bytes > int64(s.opts.MaxBatchBytes) {
		return nil, &tidings.TooLargeError{What: "batch", Limit: int64(s.opts.MaxBatchBytes)}
	}
	a.encode(b.Events, s)
	return a, nil
}

const valueOverhead = 16 // type code and time, and a little for an unusual type

func (a *appendOp) encode(events []tidings.Event, s *Store) {
	now := s.opts.now()
	a.events = append(make([]tidings.Event, 0, len(events)), events...)
	a.values = make([]byte, 0, int(a.bytes)+len(events)*valueOverhead)
	a.ends = make([]int, 0, len(events))
	a.bytes = 0
	for i := range a.events {
		e := &a.events[i]
		normalize(e, a.jobID, now)
		a.values = appendValue(a.values, e)
		a.ends = append(a.ends, len(a.values))
		a.bytes += int64(len(e.Data))
		a.signs = a.signs || e.Type != tidings.TypeCancelRequested
	}
}

func (a *appendOp) size() int { return len(a.values) }

func (a *appendOp) plan(g *group) error {
	e, err := g.entry(a.jobID)
	if err != nil {
		return err
	}
	if repeated, err := a.check(g, e); repeated || err != nil {
		return err
	}
	var snap *snapshot
	if e.planned == nil {
		snap = g.create(e)
	} else {
		snap = g.change(e)
	}
	a.write(g, snap)
	if p := a.producer; p != nil {
		state := producerState{tidings.ProducerState{Epoch: p.Epoch, Seq: p.Seq}, g.c.feedCount}
		e.producers.set(g.batch, snap.number, p.ID, state)
	}
	g.renewLease(a, snap)
	g.counts.appends++
	g.counts.events += int64(len(a.events))
	return nil
}

// check decides whether the batch is to be written: a duplicate is recognised
// first, also after the log was closed; then a zombie; then the closed log;
// then a gap in the sequence.
func (a *appendOp) check(g *group, e *entry) (repeated bool, err error) {
	var refused error
	if p := a.producer; p != nil {
		state, known, err := g.producer(e, p.ID)
		if err != nil {
			return false, err
		}
		repeated, refused = p.Check(state, known)
		if repeated {
			job := &e.planned.job
			a.receipt = tidings.Receipt{LastID: job.LastID, Incarnation: job.Incarnation, Duplicate: true}
			return true, nil
		}
	}
	closed := e.planned != nil && e.planned.job.Closed
	var fenced *tidings.FencedError
	if closed && !errors.As(refused, &fenced) {
		return false, &tidings.ClosedError{JobID: a.jobID, LastID: e.planned.job.LastID}
	}
	return false, refused
}

// write gives the events their IDs, folds them and puts them into the batch.
func (a *appendOp) write(g *group, snap *snapshot) {
	ids := make([]tidings.ID, len(a.events))
	start := 0
	for i := range a.events {
		e := &a.events[i]
		e.ID = g.c.nextID(g.now)
		ids[i] = e.ID
		snap.job.Apply(e)
		g.key = appendEventKey(g.key[:0], snap.number, e.ID)
		_ = g.batch.Set(g.key, a.values[start:a.ends[i]], nil)
		start = a.ends[i]
	}
	g.feed(feedEvents, snap.number, a.jobID, ids[0], snap.job.LastID, len(ids))
	snap.bytes += a.bytes
	a.receipt = tidings.Receipt{IDs: ids, LastID: snap.job.LastID, Incarnation: snap.job.Incarnation}
}

// Delete implements [tidings.Store].
func (s *Store) Delete(ctx context.Context, jobID string) error {
	if err := tidings.ValidateJobID(jobID); err != nil {
		return err
	}
	return s.commit(ctx, &deleteOp{jobID: jobID})
}

// deleteOp removes a job.
type deleteOp struct {
	jobID string
	// If set, only this life of the job and only if nothing came after that
	// event.
	number uint64
	last   tidings.ID
}

func (d *deleteOp) size() int { return 64 }

func (d *deleteOp) plan(g *group) error {
	e, err := g.entry(d.jobID)
	if err != nil {
		return err
	}
	snap := e.planned
	if snap == nil {
		return fmt.Errorf("%w: %q", tidings.ErrUnknownJob, d.jobID)
	}
	if !d.last.IsZero() && (snap.number != d.number || snap.job.LastID != d.last) {
		return nil
	}
	g.touch(e)
	e.planned, e.producers = nil, nil
	g.removes = true
	g.counts.deleted++
	_ = g.batch.DeleteRange(appendEventKey(nil, snap.number, tidings.ID{}), appendEventKey(nil, snap.number+1, tidings.ID{}), nil)
	_ = g.batch.DeleteRange(appendProducerKey(nil, snap.number, ""), appendProducerKey(nil, snap.number+1, ""), nil)
	id := g.c.nextID(g.now)
	g.feed(feedDeleted, snap.number, d.jobID, id, id, 1)
	g.s.leases.drop(d.jobID)
	return nil
}

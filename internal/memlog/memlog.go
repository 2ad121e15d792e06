// Package memlog keeps logs in memory for tests.
package memlog

import (
	"context"
	"io"
	"sync"

	"tidings"
)

// Log is an appender with the rules of a store, in memory: what handlers and
// publishers are tested against inside synctest, where real stores can't go.
// It can be made to fail: Fault is asked before each append. Safe for
// concurrent use, but for its fields: hold Mu.
type Log struct {
	Mu      sync.Mutex
	Beats   []tidings.Lease
	Appends []tidings.Batch // every call, also refused ones
	Fault   func(call int) Fault

	events    map[string][]tidings.Event
	jobs      map[string]*tidings.Job
	producers map[string]tidings.ProducerState
	changed   chan struct{}
	doubt     bool // the last batch was written, but its publisher does not know
}

// Fault is what goes wrong with one append.
type Fault struct {
	Before error // nothing is written
	After  error // it is written, but the reply is lost
}

// New gives an empty one.
func New() *Log {
	return &Log{
		events: map[string][]tidings.Event{}, jobs: map[string]*tidings.Job{},
		producers: map[string]tidings.ProducerState{}, changed: make(chan struct{}),
	}
}

// Append implements [tidings.Appender].
func (m *Log) Append(ctx context.Context, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return tidings.Receipt{}, err
	}
	m.Mu.Lock()
	defer m.Mu.Unlock()
	call := len(m.Appends)
	m.Appends = append(m.Appends, b)
	var f Fault
	if m.Fault != nil {
		f = m.Fault(call)
	}
	if f.Before != nil {
		return tidings.Receipt{}, f.Before
	}
	r, err := m.write(jobID, b)
	m.doubt = err == nil && f.After != nil
	if m.doubt {
		return tidings.Receipt{}, f.After
	}
	return r, err
}

func (m *Log) write(jobID string, b tidings.Batch) (tidings.Receipt, error) {
	if err := b.Validate(jobID); err != nil {
		return tidings.Receipt{}, err
	}
	key := ""
	if b.Producer != nil {
		key = jobID + "\x00" + b.Producer.ID
		state, known := m.producers[key]
		duplicate, err := b.Producer.Check(state, known)
		if err != nil {
			return tidings.Receipt{}, err
		}
		if duplicate {
			return tidings.Receipt{Duplicate: true, LastID: m.jobs[jobID].LastID}, nil
		}
	}
	job := m.jobs[jobID]
	if job == nil {
		job = &tidings.Job{}
		m.jobs[jobID] = job
	}
	if job.Closed {
		return tidings.Receipt{}, &tidings.ClosedError{JobID: jobID, LastID: job.LastID}
	}
	var r tidings.Receipt
	for _, e := range b.Events {
		e.JobID = jobID
		e.ID = tidings.ID{Ms: 1, Seq: uint64(len(m.events[jobID]))}
		m.events[jobID] = append(m.events[jobID], e)
		job.Apply(&e)
		r.IDs = append(r.IDs, e.ID)
		r.LastID = e.ID
	}
	if b.Producer != nil {
		m.producers[key] = tidings.ProducerState{Epoch: b.Producer.Epoch, Seq: b.Producer.Seq}
	}
	close(m.changed)
	m.changed = make(chan struct{})
	return r, nil
}

// Heartbeat implements [tidings.Appender].
func (m *Log) Heartbeat(_ context.Context, jobID string, l tidings.Lease) error {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	if m.jobs[jobID] == nil {
		return tidings.ErrUnknownJob
	}
	if l.Producer != nil {
		if state := m.producers[jobID+"\x00"+l.Producer.ID]; state.Epoch > l.Producer.Epoch {
			return &tidings.FencedError{ProducerID: l.Producer.ID, Epoch: l.Producer.Epoch, Current: state.Epoch}
		}
	}
	m.Beats = append(m.Beats, l)
	return nil
}

// AwaitCancel waits for cancel_requested, as a client does.
func (m *Log) AwaitCancel(ctx context.Context, jobID string) error {
	for {
		m.Mu.Lock()
		job, changed := m.jobs[jobID], m.changed
		asked, closed := job != nil && job.Cancel != nil, job != nil && job.Closed
		m.Mu.Unlock()
		switch {
		case asked:
			return nil
		case closed:
			return io.EOF
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Job gives the summary.
func (m *Log) Job(_ context.Context, jobID string) (tidings.Job, error) {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	if j := m.jobs[jobID]; j != nil {
		return *j, nil
	}
	return tidings.Job{}, tidings.ErrUnknownJob
}

// Forget makes the log lose its memory of producers, as a failover may: not
// while it holds a batch that nobody knows of, which would then be lost too.
func (m *Log) Forget() {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	if !m.doubt {
		clear(m.producers)
	}
}

// Events gives the job's log.
func (m *Log) Events(jobID string) []tidings.Event {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	return append([]tidings.Event(nil), m.events[jobID]...)
}

// Summary gives what the job's log folds to; zero if there is none.
func (m *Log) Summary(jobID string) tidings.Job {
	m.Mu.Lock()
	defer m.Mu.Unlock()
	if j := m.jobs[jobID]; j != nil {
		return *j
	}
	return tidings.Job{}
}

package tidings_test

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"tidings"
)

// What goes wrong on purpose need not be read.
func init() { slog.SetDefault(quiet()) }

// memLog is an appender with the rules of a store, in memory: what handlers
// and publishers are tested against inside synctest, where real stores can't
// go. It can be made to fail: fault is asked before each append.
type memLog struct {
	mu        sync.Mutex
	events    map[string][]tidings.Event
	jobs      map[string]*tidings.Job
	producers map[string]tidings.ProducerState
	beats     []tidings.Lease
	appends   []tidings.Batch // every call, also refused ones
	changed   chan struct{}
	doubt     bool // the last batch was written, but its publisher does not know

	fault func(call int) fault
}

// fault is what goes wrong with one append.
type fault struct {
	before error // nothing is written
	after  error // it is written, but the reply is lost
}

func newMemLog() *memLog {
	return &memLog{
		events: map[string][]tidings.Event{}, jobs: map[string]*tidings.Job{},
		producers: map[string]tidings.ProducerState{}, changed: make(chan struct{}),
	}
}

func (m *memLog) Append(ctx context.Context, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return tidings.Receipt{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	call := len(m.appends)
	m.appends = append(m.appends, b)
	var f fault
	if m.fault != nil {
		f = m.fault(call)
	}
	if f.before != nil {
		return tidings.Receipt{}, f.before
	}
	r, err := m.write(jobID, b)
	m.doubt = err == nil && f.after != nil
	if m.doubt {
		return tidings.Receipt{}, f.after
	}
	return r, err
}

func (m *memLog) write(jobID string, b tidings.Batch) (tidings.Receipt, error) {
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

func (m *memLog) Heartbeat(_ context.Context, jobID string, l tidings.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.jobs[jobID] == nil {
		return tidings.ErrUnknownJob
	}
	if l.Producer != nil {
		if state := m.producers[jobID+"\x00"+l.Producer.ID]; state.Epoch > l.Producer.Epoch {
			return &tidings.FencedError{ProducerID: l.Producer.ID, Epoch: l.Producer.Epoch, Current: state.Epoch}
		}
	}
	m.beats = append(m.beats, l)
	return nil
}

// AwaitCancel waits for cancel_requested, as a client does.
func (m *memLog) AwaitCancel(ctx context.Context, jobID string) error {
	for {
		m.mu.Lock()
		job, changed := m.jobs[jobID], m.changed
		asked, closed := job != nil && job.Cancel != nil, job != nil && job.Closed
		m.mu.Unlock()
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
func (m *memLog) Job(_ context.Context, jobID string) (tidings.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if j := m.jobs[jobID]; j != nil {
		return *j, nil
	}
	return tidings.Job{}, tidings.ErrUnknownJob
}

// forget makes the log lose its memory of producers, as a failover may: not
// while it holds a batch that nobody knows of, which would then be lost too.
func (m *memLog) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.doubt {
		clear(m.producers)
	}
}

func (m *memLog) log(jobID string) []tidings.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	return append([]tidings.Event(nil), m.events[jobID]...)
}

func (m *memLog) job(jobID string) tidings.Job {
	m.mu.Lock()
	defer m.mu.Unlock()
	if j := m.jobs[jobID]; j != nil {
		return *j
	}
	return tidings.Job{}
}

package pebblelog

import (
	"context"
	"fmt"
	"sync"
	"time"

	"tidings"
)

// leases are the deadlines that heartbeats and events since the start have set.
// They are not durable. That a job has a lease, and for how long a sign of life
// holds, stands in its record: after a start it has that long to show another.
type leases struct {
	mu   sync.Mutex
	jobs map[string]deadline
}

type deadline struct {
	number uint64 // of the job
	at     time.Time
}

func (l *leases) set(jobID string, d deadline) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.jobs == nil {
		l.jobs = make(map[string]deadline)
	}
	l.jobs[jobID] = d
}

func (l *leases) get(jobID string, number uint64) (time.Time, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	d, ok := l.jobs[jobID]
	return d.at, ok && d.number == number
}

func (l *leases) drop(jobID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.jobs, jobID)
}

// summary gives the job as callers see it.
func (s *Store) summary(snap *snapshot) tidings.Job {
	job := snap.job
	if snap.leaseTTL > 0 {
		until, ok := s.leases.get(job.ID, snap.number)
		if !ok {
			until = s.openedAt.Add(snap.leaseTTL)
		}
		job.LeaseUntil = &until
	}
	return job
}

// Heartbeat implements [tidings.Appender]. An event is a sign of life too, but
// for a request to cancel.
func (s *Store) Heartbeat(ctx context.Context, jobID string, l tidings.Lease) error {
	if err := tidings.ValidateJobID(jobID); err != nil {
		return err
	}
	if l.TTL < 0 {
		return &tidings.InvalidError{Field: "ttl", Reason: "negative; give how long the sign of life holds, or nothing for 30 s"}
	}
	if l.TTL == 0 {
		l.TTL = tidings.DefaultLeaseTTL
	}
	err := s.commit(ctx, &heartbeatOp{jobID: jobID, lease: l})
	if isRefusal(err) {
		s.stats.refused.Add(1)
	}
	return err
}

// heartbeatOp renews a lease. It writes only when the job gets its first one or
// another TTL.
type heartbeatOp struct {
	jobID string
	lease tidings.Lease
}

func (h *heartbeatOp) size() int { return 64 }

func (h *heartbeatOp) plan(g *group) error {
	e, err := g.entry(h.jobID)
	if err != nil {
		return err
	}
	if e.planned == nil {
		return fmt.Errorf("%w: %q", tidings.ErrUnknownJob, h.jobID)
	}
	if p := h.lease.Producer; p != nil {
		state, known, err := g.producer(e, p.ID)
		if err != nil {
			return err
		}
		if known && p.Epoch < state.Epoch {
			return &tidings.FencedError{ProducerID: p.ID, Epoch: p.Epoch, Current: state.Epoch}
		}
	}
	if e.planned.job.Closed {
		return &tidings.ClosedError{JobID: h.jobID, LastID: e.planned.job.LastID}
	}
	if e.planned.leaseTTL != h.lease.TTL {
		g.change(e).leaseTTL = h.lease.TTL
	}
	g.s.leases.set(h.jobID, deadline{e.planned.number, g.now.Add(h.lease.TTL)})
	return nil
}

// renewLease takes an append for a sign of life.
func (g *group) renewLease(a *appendOp, snap *snapshot) {
	switch {
	case snap.leaseTTL == 0:
	case snap.job.Closed:
		snap.leaseTTL = 0
		g.s.leases.drop(a.jobID)
	case a.signs:
		g.s.leases.set(a.jobID, deadline{snap.number, g.now.Add(snap.leaseTTL)})
	}
}

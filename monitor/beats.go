package monitor

import (
	"sync"
	"time"

	"tidings"
)

// beats are the leases of jobs that are silent: heartbeats are no events, so the
// feed does not tell of them, and the store is asked.
type beats struct {
	mu sync.Mutex
	of map[string]beat
}

type beat struct {
	until *time.Time // nil: never had a lease
	ask   time.Time  // again then
}

const (
	tendEvery   = 2 * time.Second
	silentFor   = 10 * time.Second // before a job is asked for
	askAgain    = time.Minute      // of one that never had a lease
	askAtOnce   = 1000             // jobs in one round
	afterLapsed = 5 * time.Second  // of one whose lease has run out
)

// tend looks after what the feed does not tell, until Stop.
func (m *Monitor) tend() {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	for {
		if of, _, err := m.readMarks(m.ctx); err == nil {
			m.marks.set(of)
		}
		m.askLeases(time.Now())
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			return
		}
	}
}

func (m *Monitor) askLeases(now time.Time) {
	for _, id := range m.dueLeases(now) {
		job, err := m.store.Job(m.ctx, id)
		if m.ctx.Err() != nil {
			return
		}
		if err != nil {
			continue // the next round asks again
		}
		b := beat{until: job.LeaseUntil, ask: now.Add(askAgain)}
		switch {
		case b.until == nil:
		case b.until.After(now):
			b.ask = *b.until
		default:
			b.ask = now.Add(afterLapsed)
		}
		m.beats.mu.Lock()
		m.beats.of[id] = b
		m.beats.mu.Unlock()
	}
}

// dueLeases gives the jobs to ask for, and forgets those that are heard of.
func (m *Monitor) dueLeases(now time.Time) []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	m.beats.mu.Lock()
	defer m.beats.mu.Unlock()
	kept := map[string]beat{}
	var due []string
	for e := m.fold.order.Front(); e != nil; e = e.Next() {
		j := e.Value.(*live)
		if now.Sub(j.heard()) < silentFor {
			continue
		}
		if j.Job.Status != tidings.StatusRunning && j.Job.Status != tidings.StatusCancelling {
			continue
		}
		b, known := m.beats.of[j.Job.ID]
		if known {
			kept[j.Job.ID] = b
		}
		if (!known || now.After(b.ask)) && len(due) < askAtOnce {
			due = append(due, j.Job.ID)
		}
	}
	m.beats.of = kept
	return due
}

// lease gives when the job's lease runs out, as far as it was asked for.
func (b *beats) lease(id string) *time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.of[id].until
}

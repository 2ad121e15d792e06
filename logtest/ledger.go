package logtest

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"tidings"
)

// Ledger checks histories: it notes what was sent and what was acknowledged,
// and [Ledger.Check] compares a store's logs with that. It holds that
//
//   - every acknowledged event is there, once, under the ID it was given;
//   - a batch is there as a whole and in one piece, or not at all;
//   - what was acknowledged before another batch was sent lies before it;
//   - nothing is there that was not sent, or twice;
//   - IDs strictly increase.
//
// Batches without an acknowledgement may or may not be there. Type and data
// together must name an event: no two events of a job may have the same. The zero
// Ledger is ready. Safe for concurrent use.
type Ledger struct {
	mu   sync.Mutex
	jobs map[string]*account
}

type account struct {
	sent  []*Sent
	acked tidings.ID // the highest ID acknowledged
}

// Sent is one batch on its way.
type Sent struct {
	ledger   *Ledger
	jobID    string
	payloads []string
	floor    tidings.ID // acknowledged when the batch was sent
	acked    bool
	ids      []tidings.ID // nil if only known from a duplicate
}

// Sending notes a batch before it is sent. A retry of the batch is not noted
// again.
func (l *Ledger) Sending(jobID string, events []tidings.Event) *Sent {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.jobs == nil {
		l.jobs = map[string]*account{}
	}
	a := l.jobs[jobID]
	if a == nil {
		a = &account{}
		l.jobs[jobID] = a
	}
	s := &Sent{ledger: l, jobID: jobID, floor: a.acked}
	for i := range events {
		s.payloads = append(s.payloads, payload(&events[i]))
	}
	a.sent = append(a.sent, s)
	return s
}

// Acked notes the acknowledgement, also one that says duplicate.
func (s *Sent) Acked(r tidings.Receipt) {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.acked = true
	if r.Duplicate {
		return
	}
	s.ids = r.IDs
	a := s.ledger.jobs[s.jobID]
	for _, id := range r.IDs {
		if a.acked.Less(id) {
			a.acked = id
		}
	}
}

// Append sends the batch once, with both notes.
func (l *Ledger) Append(ctx context.Context, to tidings.Appender, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	s := l.Sending(jobID, b.Events)
	r, err := to.Append(ctx, jobID, b)
	if err == nil {
		s.Acked(r)
	}
	return r, err
}

// Check reads every noted job to its end and fails the test where a log is not
// what the ledger says. Call it when nothing is on its way any more.
func (l *Ledger) Check(t testing.TB, r tidings.Reader) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for jobID, a := range l.jobs {
		if !a.anyAcked() {
			continue // the job need not be there
		}
		events, err := readAll(t.Context(), r, jobID, tidings.Cursor{})
		if err != nil {
			t.Errorf("ledger: read of %s: %v", jobID, err)
			continue
		}
		for _, problem := range a.compare(events) {
			t.Errorf("ledger: %s: %s", jobID, problem)
		}
	}
}

func (a *account) anyAcked() bool {
	for _, s := range a.sent {
		if s.acked {
			return true
		}
	}
	return false
}

// compare lists what is wrong with the log, at most a handful.
func (a *account) compare(events []tidings.Event) []string {
	var problems []string
	complain := func(format string, args ...any) {
		if len(problems) < 8 {
			problems = append(problems, fmt.Sprintf(format, args...))
		}
	}
	places := make(map[string]int, len(events))
	for i := range events {
		if i > 0 && !events[i-1].ID.Less(events[i].ID) {
			complain("%s follows %s", events[i].ID, events[i-1].ID)
		}
		p := payload(&events[i])
		if first, twice := places[p]; twice {
			complain("%.80s is there twice, as %s and %s", p, events[first].ID, events[i].ID)
			continue
		}
		places[p] = i
	}
	known := 0
	for _, s := range a.sent {
		if s.check(events, places, complain) {
			known += len(s.payloads)
		}
	}
	if known < len(places) {
		complain("%d events that nobody sent", len(places)-known)
	}
	return problems
}

// check reports whether the batch is in the log, and complains if it is not as
// it should be.
func (s *Sent) check(events []tidings.Event, places map[string]int, complain func(string, ...any)) bool {
	start, there := places[s.payloads[0]]
	if !there {
		if s.acked {
			complain("%.80s was acknowledged as %v and is not there", s.payloads[0], s.ids)
		}
		for _, p := range s.payloads[1:] {
			if _, there := places[p]; there {
				complain("%.80s is there without the batch before it", p)
			}
		}
		return false
	}
	for i, p := range s.payloads {
		place, there := places[p]
		switch {
		case !there:
			complain("%.80s is missing from its batch at %s", p, events[start].ID)
		case place != start+i:
			complain("%.80s lies apart from its batch", p)
		case s.ids != nil && (i >= len(s.ids) || s.ids[i] != events[place].ID):
			complain("%.80s, event %d of its batch, was acknowledged with %v and is there as %s", p, i, s.ids, events[place].ID)
		}
	}
	if !s.floor.Less(events[start].ID) {
		complain("%.80s at %s was sent after %s was acknowledged", s.payloads[0], events[start].ID, s.floor)
	}
	return true
}

package redislog

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tidings"
)

// backlogBytes bounds the messages that a node remembers.
const backlogBytes = 32 << 20

// message is one message that this node has heard.
type message struct {
	event   tidings.Event // its ID is zero until it is known to be in the log
	untimed bool          // it had no time of its own and got that of its arrival
	at      time.Time     // of its arrival
	settled bool          // it is in the log, or refused by it
	doubted bool          // an earlier holder of the lease may have appended it
}

func (m *message) size() int { return len(m.event.Data) + len(m.event.JobID) + 200 }

// is reports whether e is what became of the message. Nodes see a message
// arrive at different times, by different clocks.
func (m *message) is(e *tidings.Event) bool {
	if m.event.Type != e.Type || !bytes.Equal(m.event.Data, e.Data) {
		return false
	}
	return m.event.Time.Equal(e.Time) || (m.untimed && m.event.Time.Sub(e.Time).Abs() < 5*time.Second)
}

// backlog holds the messages of the last while, in the order of their arrival.
type backlog struct {
	keep    time.Duration
	news    chan struct{} // holds one: there is something to take
	heard   atomic.Int64
	dropped atomic.Int64

	mu      sync.Mutex
	all     []*message
	unseen  map[string][]*message // by job: its event has not come by in the feed
	bytes   int
	working bool       // this node appends
	pending []*message // what it has not taken yet
}

func newBacklog(keep time.Duration) *backlog {
	return &backlog{keep: keep, news: make(chan struct{}, 1), unseen: map[string][]*message{}}
}

func (l *backlog) add(m *message) {
	l.heard.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, m)
	l.unseen[m.event.JobID] = append(l.unseen[m.event.JobID], m)
	l.bytes += m.size()
	if l.working {
		l.pending = append(l.pending, m)
		l.signal()
	}
	l.forget(m.at.Add(-l.keep))
}

// forget drops what is older than a time, and the oldest while there is too
// much. What this node still has to append goes only in the latter case.
func (l *backlog) forget(before time.Time) {
	for len(l.all) > 0 {
		m := l.all[0]
		waits := l.working && !m.settled
		if l.bytes <= backlogBytes && (waits || !m.at.Before(before)) {
			return
		}
		if waits {
			m.settled = true
			l.dropped.Add(1)
		}
		l.all[0] = nil
		l.all = l.all[1:]
		l.bytes -= m.size()
		if list := l.unseen[m.event.JobID]; len(list) > 0 && list[0] == m {
			l.seen(m.event.JobID, 0)
		}
	}
}

// seen drops one of the messages whose event has not come by.
func (l *backlog) seen(jobID string, i int) {
	list := l.unseen[jobID]
	switch {
	case len(list) == 1:
		delete(l.unseen, jobID)
	case i == 0: // nearly always
		l.unseen[jobID] = list[1:]
	default:
		l.unseen[jobID] = slices.Delete(list, i, i+1)
	}
}

func (l *backlog) signal() {
	select {
	case l.news <- struct{}{}:
	default:
	}
}

// begin makes this node the one that appends. What it knows not to be in a log
// an earlier one may have appended.
func (l *backlog) begin() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forget(time.Now().Add(-l.keep))
	l.working, l.pending = true, nil
	for _, m := range l.all {
		if !m.settled {
			m.doubted = true
			l.pending = append(l.pending, m)
		}
	}
	l.signal()
}

func (l *backlog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.working, l.pending = false, nil
}

// take gives what is to be appended, by job and in order.
func (l *backlog) take() map[string][]*message {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string][]*message{}
	for _, m := range l.pending {
		if !m.settled {
			out[m.event.JobID] = append(out[m.event.JobID], m)
		}
	}
	l.pending = nil
	return out
}

// settle notes that messages need no append any more. Their IDs are not known
// if ids is empty.
func (l *backlog) settle(messages []*message, ids []tidings.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, m := range messages {
		m.settled = true
		if i < len(ids) {
			m.event.ID = ids[i]
		}
	}
}

// echo reports whether an event of the feed came from a message, each message
// once. A feed may bring an event before its append has told the ID.
func (l *backlog) echo(e *tidings.Event) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, m := range l.unseen[e.JobID] {
		if m.event.ID == e.ID || (m.event.ID.IsZero() && m.is(e)) {
			l.seen(e.JobID, i)
			return true
		}
	}
	return false
}

// known finds how many of the first messages are in the log already, given the
// log's newest events, and the IDs they got there. Messages were appended in
// order, so the last of the events that came from messages are the first of the
// messages; events of others may lie between.
func known(messages []*message, events []tidings.Event) []tidings.ID {
	var ours []*tidings.Event
	for i := range events {
		for _, m := range messages {
			if m.is(&events[i]) {
				ours = append(ours, &events[i])
				break
			}
		}
	}
	for n := min(len(messages), len(ours)); n > 0; n-- {
		if ids, ok := match(messages[:n], ours[len(ours)-n:]); ok {
			return ids
		}
	}
	return nil
}

func match(messages []*message, events []*tidings.Event) ([]tidings.ID, bool) {
	ids := make([]tidings.ID, len(messages))
	for i, m := range messages {
		if !m.is(events[i]) {
			return nil, false
		}
		ids[i] = events[i].ID
	}
	return ids, true
}

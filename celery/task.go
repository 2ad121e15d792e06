package celery

import (
	"encoding/json"
	"math"
	"strings"
	"time"
)

// task is what is remembered of one task while it is open, and for a while
// after it ended.
type task struct {
	id, job     string
	name, queue string
	worker      string
	eta         string
	place       place // of the last step
	loaded      bool  // what its log knows was looked up, or it begins here
	elsewhere   bool  // the Python SDK tells of it; only what that can't know is told here

	sentAt, receivedAt, startedAt time.Time
	toldUntil                     time.Time // when the last step was that the log had before this node knew the task
	seen                          time.Time // when something was heard of it last, by this node's clock
	strikes                       int       // how often workers did not know it
	results                       []verdict // that wait for the event of the same end, of this try and later ones
	next                          *event    // a later try, which waits for the end of this one
	nextDue                       int64     // the tick of the tracker at which it is waited for no more
	ending                        verdict   // how it ended
	closeDue                      time.Time // when its job is closed; zero: never, or it is already
}

// verdict is how a try of a task ended, from the result backend, from an event
// or from both, which come one after the other and each tell something of their own.
type verdict struct {
	retries    int64
	state      string // SUCCESS, FAILURE, RETRY, REVOKED
	at         time.Time
	result     json.RawMessage
	kind, text string // of the error
	traceback  string
	runtime    *float64
	reason     string // of REVOKED
	reconciled bool
	due        int64 // the tick at which it is told without waiting for its other half
}

func (t *task) open() bool { return t.place.kind < ended }

// data is what every event says of the task.
func (t *task) data() data {
	return data{TaskID: t.id, Task: t.name, Queue: t.queue, Worker: t.worker, Attempt: t.place.retries + 1, Delivery: t.place.delivery}
}

// move sets the place. When a worker got the task and began it is known of the try
// at hand only.
func (t *task) move(p place) {
	if !p.sameTry(t.place) {
		t.receivedAt, t.startedAt = time.Time{}, time.Time{}
	}
	t.place = p
}

// try is the one to which belongs what is heard now: behind a retry it is the next.
func (t *task) try() int64 {
	if t.place.kind == retried {
		return t.place.retries + 1
	}
	return t.place.retries
}

// step moves the task to a later place and gives what its log is told of it, with
// what fill adds. It gives nothing for what was told before or comes too late.
func (t *task) step(k kind, retries int64, at time.Time, eventType string, fill func(*data)) []transition {
	next := place{retries: retries, delivery: t.place.delivery, kind: k}
	if retries > t.place.retries {
		next.delivery = 0
	}
	if next.epoch() <= t.place.epoch() || t.place.kind >= ended && next.sameTry(t.place) {
		return nil
	}
	t.move(next)
	d := t.data()
	if fill != nil {
		fill(&d)
	}
	return []transition{{task: t, jobID: t.job, place: next, event: newEvent(eventType, at, d)}}
}

// startAgain is how much later a start must be than the last one to be another.
const startAgain = time.Second

// delivered notes that the task's message came to a worker once more: after a
// step that follows on a delivery, there is the same or an earlier one at a later
// time.
func (t *task) delivered(k kind, retries int64, at time.Time) {
	before := t.receivedAt
	if k == started {
		// A start may have been told from what the task itself said, which is not
		// dated: what its worker says of it later is no other start.
		if before = t.startedAt; !before.IsZero() {
			before = before.Add(startAgain)
		}
	}
	if retries != t.place.retries || t.place.kind < k {
		return
	}
	if t.place.kind == rejected || !before.IsZero() && at.After(before) {
		t.move(place{retries: retries, delivery: t.place.delivery + 1})
	}
}

// progressOf finds how far a task is, from 0 to 1, in what it says of itself
// with update_state, by the names that Celery's own documentation and common
// libraries use; and its message.
func progressOf(meta json.RawMessage) (progress *float64, message string) {
	var m map[string]json.RawMessage
	if json.Unmarshal(meta, &m) != nil {
		return nil, ""
	}
	number := func(names ...string) (float64, bool) {
		for _, name := range names {
			var f float64
			if raw, ok := m[name]; ok && json.Unmarshal(raw, &f) == nil {
				return f, true
			}
		}
		return 0, false
	}
	for _, name := range []string{"message", "description", "status", "note"} {
		if json.Unmarshal(m[name], &message) == nil && message != "" {
			break
		}
	}
	fraction := math.NaN()
	if done, ok := number("current", "done", "processed"); ok {
		if total, ok := number("total"); ok && total > 0 {
			fraction = done / total
		}
	} else if percent, ok := number("percent", "pct", "percentage"); ok {
		fraction = percent / 100
	} else if p, ok := number("progress"); ok {
		if fraction = p; p > 1 {
			fraction = p / 100
		}
	}
	if math.IsNaN(fraction) || fraction < 0 || fraction > 1 {
		return nil, message
	}
	return &fraction, message
}

// lastLine is the last line of a traceback that says something: the exception.
func lastLine(traceback string) string {
	traceback = strings.TrimRight(strings.Trim(strings.TrimSpace(traceback), `"'`), "\n ")
	return strings.TrimSpace(traceback[strings.LastIndexByte(traceback, '\n')+1:])
}

// errorText is what is told of an exception whose repr is given: Celery 5.2
// says ExceptionWithTraceback() of a hard time limit, which only its traceback
// explains.
func errorText(repr, traceback string) (kind, text string) {
	text = repr
	if text == "" || strings.HasPrefix(text, "ExceptionWithTraceback(") {
		if line := lastLine(traceback); line != "" {
			text = line
		}
	}
	kind, rest, call := strings.Cut(text, "(")
	if call && strings.HasSuffix(rest, ")") && isName(kind) {
		return className(kind), text
	}
	if kind, _, ok := strings.Cut(text, ":"); ok && isName(kind) {
		return className(kind), text
	}
	return "", text
}

// className is the name without its module.
func className(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// isName reports whether s may be the name of a class, with its module.
func isName(s string) bool {
	return s != "" && len(s) <= 200 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_' && r != '.'
	})
}

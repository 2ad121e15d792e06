package tidings

import (
	"context"
	"errors"
	"strings"
	"time"
)

// tree is what a handler remembers of the runs of its job. Under Handler.mu.
type tree struct {
	open      int  // runs and streams that have not ended
	roots     int  // of them the roots
	suspended bool // the last root ended while input was waited for
	waits     bool // the job as a whole waits for input
	lastRoot  *Run // the root that ended last, if none has begun since
	failure   error
	reported  []report // the errors that were told lately

	usage Usage
	used  bool // usage was told
	costs []cost
	asked *CancelledError // the request to stop

	over  bool        // the terminal event was queued
	timer *time.Timer // for an automatic end
	round int         // of the timer: a stopped one may be on its way still
}

// report is an error whose text was published.
type report struct {
	err  error
	text string
	run  *Run // nil: the job's own
}

// maxReports is how many told errors are remembered. One climbs a few levels.
const maxReports = 64

// ending is how a run ended.
type ending struct {
	status string // "completed", "failed", "interrupted"; empty: was told before
	output field
}

// open enters the run and says how its beginning is told.
func (h *Handler) open(r *Run) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tree.open++
	if !r.isRoot() {
		return "started"
	}
	h.tree.roots++
	h.tree.lastRoot = nil
	h.stopTimer()
	if h.tree.suspended {
		h.tree.suspended = false
		return "resumed"
	}
	return "started"
}

// close marks the run as ended and says how, or that it was so before. The run
// counts as open until settle, so that its last event is queued first.
func (h *Handler) close(r *Run, err error) (ending, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.ended {
		return ending{}, false
	}
	r.ended = true
	e := ending{status: "completed", output: r.output}
	waits := isError(err, ErrInterrupted)
	if waits {
		err = nil
	}
	switch {
	case err != nil:
		e.status = "failed"
		h.stopWaiting(r)
	case r.interrupted:
		e.status = ""
	case r.waiting > 0 || waits:
		e.status = "interrupted"
	}
	if r.isRoot() {
		h.tree.lastRoot, h.tree.failure = r, err
		h.tree.suspended = err == nil && (r.waiting > 0 || waits)
	}
	return e, true
}

// interrupt marks the run as waiting; first says that none beneath it was.
func (h *Handler) interrupt(r *Run) (ok, first bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.ended || r.interrupted {
		return false, false
	}
	first = r.waiting == 0
	r.interrupted = true
	for a := r; a != nil; a = a.parent {
		a.waiting++
	}
	return true, first
}

func (h *Handler) resume(r *Run) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !r.ended && h.stopWaiting(r)
}

func (h *Handler) stopWaiting(r *Run) bool {
	if !r.interrupted {
		return false
	}
	r.interrupted = false
	for a := r; a != nil; a = a.parent {
		a.waiting--
	}
	return true
}

func (r *Run) isRoot() bool { return r.parent == nil && !r.leaf }

// settle takes the ended run out of the tree and ends the job if that was the
// last thing that an automatic end waited for.
func (h *Handler) settle(r *Run) {
	h.mu.Lock()
	h.tree.open--
	if r.isRoot() {
		h.tree.roots--
	}
	now := h.considerEnd()
	h.mu.Unlock()
	if now {
		h.automaticEnd()
	}
}

// failure is what an event tells of an error.
type failure struct {
	text  field
	cause string // the run that told of the error first
	kind  string
}

// add adds the failure's members to the data of an event.
func (f failure) add(o object, kindName string) object {
	return f.text.add(o).text("cause_run_id", f.cause).text(kindName, f.kind)
}

func (f failure) close(o object) []byte { return f.text.close(o) }

// explain says how the event that ends r tells of err: by its text the first
// time, afterwards by the run that told of it.
func (h *Handler) explain(eventType string, err error, r *Run) failure {
	f := failure{text: field{name: "error"}}
	if err == nil {
		return f
	}
	f.kind = errorKind(err)
	text := errorText(err)
	if f.cause = h.cause(err, text, r); f.cause == "" {
		f.text = h.field(eventType, "error", text)
	}
	return f
}

// cause gives the run beneath r that told of err before, or remembers that r
// tells of it now and gives "".
func (h *Handler) cause(err error, text string, r *Run) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := len(h.tree.reported) - 1; i >= 0; i-- {
		told := &h.tree.reported[i]
		if told.run != nil && told.run != r && told.run.beneath(r) && told.matches(err, text) {
			return told.run.id
		}
	}
	if r != nil && r.hidden {
		return ""
	}
	if len(h.tree.reported) == maxReports {
		h.tree.reported = append(h.tree.reported[:0], h.tree.reported[1:]...)
	}
	h.tree.reported = append(h.tree.reported, report{err: err, text: text, run: r})
	return ""
}

// matches reports whether err is the told error or wraps it, also if it wraps
// no more than its text, as errors do that crossed a framework.
func (t *report) matches(err error, text string) bool {
	return isError(err, t.err) || (t.text != "" && strings.Contains(text, t.text))
}

// isError is errors.Is for errors of the agent, whose methods may panic.
func isError(err, target error) (is bool) {
	defer func() { _ = recover() }()
	return errors.Is(err, target)
}

// beneath reports whether r lies below a, or a is nil: the job itself.
func (r *Run) beneath(a *Run) bool {
	if a == nil {
		return true
	}
	for ; r != nil; r = r.parent {
		if r == a {
			return true
		}
	}
	return false
}

// errorText is err's text, also if its Error method panics.
func errorText(err error) (text string) {
	defer func() {
		if p := recover(); p != nil {
			text = "an error whose text can't be had: its Error method panicked"
		}
	}()
	return err.Error()
}

// PanicError is how a panic of the agent is published before it goes on.
type PanicError struct{ Value any }

// Error gives the panic's value.
func (e *PanicError) Error() string {
	return "panic: " + strings.Trim(string(encodeValue(e.Value)), `"`)
}

// errorKind sorts errors into those that a reader would tell apart. An error
// can say its kind itself by a method ErrorKind.
func errorKind(err error) (kind string) {
	defer func() { _ = recover() }() // of the error's methods
	var panicked *PanicError
	var named interface{ ErrorKind() string }
	switch {
	case errors.As(err, &named):
		return named.ErrorKind()
	case errors.Is(err, context.Canceled):
		return "aborted"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &panicked):
		return "panic"
	}
	return ""
}

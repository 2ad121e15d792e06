package celery

import (
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"tidings"
)

// tracker knows tasks that are open and turns what is heard of them into
// transitions. It is a function of what it is given and of the time, and does
// no I/O. Safe for concurrent use.
type tracker struct {
	jobArg string // the keyword argument with the job's ID; empty: the task's ID is the job's
	now    func() time.Time
	// closeAfter is how long the job's own last word is waited for when its
	// task has ended.
	closeAfter time.Duration

	mu      sync.Mutex
	tasks   map[string]*task
	ticks   int64
	waiting []*task // for the other half of their end, or for the end of the try before
}

const (
	// tick is how often due is called. Waiting is counted in ticks: a node that was
	// paused must first hear what it missed.
	tick = 100 * time.Millisecond
	// mergeWait is how many ticks a result waits for the event of the same end, if
	// the task's worker has sent none before.
	mergeWait = 5
	// eventWait is the same for a worker that sends events. A busy one may be late
	// with them, so that the result of the next try comes before the end of this one.
	eventWait = 50
	// keepEnded is how long a task that ended is remembered, so that what still
	// comes of it is known for late.
	keepEnded = time.Minute
	// keepSilent is how long an open task is remembered by a node that does not
	// reconcile. It is found again in its log.
	keepSilent = 10 * time.Minute
	// maxTasks bounds the memory, to about 1 KB a task. What is forgotten is
	// found again in its log when something is heard of it.
	maxTasks = 100_000 / shards
)

func newTracker(jobArg string, closeAfter time.Duration, now func() time.Time) *tracker {
	return &tracker{jobArg: jobArg, closeAfter: closeAfter, now: now, tasks: map[string]*task{}}
}

// task gives what is known of a task, with the tracker locked.
func (tr *tracker) task(id string) *task {
	t := tr.tasks[id]
	if t == nil {
		if len(tr.tasks) >= maxTasks {
			tr.forgetOldest()
		}
		t = &task{id: id, job: id}
		tr.tasks[id] = t
	}
	t.seen = tr.now()
	return t
}

// forgetOldest makes room: of some tasks the one that was silent for longest
// goes, but one that is open only if all are.
func (tr *tracker) forgetOldest() {
	var oldest *task
	looked := 0
	for _, t := range tr.tasks {
		if oldest == nil || oldest.open() && !t.open() || oldest.open() == t.open() && t.seen.Before(oldest.seen) {
			oldest = t
		}
		if looked++; looked == 100 {
			break
		}
	}
	delete(tr.tasks, oldest.id)
}

// event takes an event of a task and gives what is to be told of it.
func (tr *tracker) event(e *event) []transition {
	if tidings.ValidateJobID(e.UUID) != nil {
		return nil // no task of Celery's own
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	t := tr.task(e.UUID)
	if !t.toldUntil.IsZero() && strings.HasPrefix(e.Type, "task-") && !e.at().After(t.toldUntil) {
		return nil // the log had it before this node knew of the task
	}
	switch e.Type {
	case "task-sent":
		return tr.sent(t, e)
	case "task-received":
		return tr.received(t, e)
	case "task-started":
		return tr.begun(t, e)
	case "task-rejected":
		return tr.rejected(t, e)
	case "task-succeeded":
		return tr.end(t, e.Hostname, verdict{state: stateSuccess, at: e.at(), runtime: e.Runtime, result: quoted(e.Result)}, false)
	case "task-failed", "task-retried":
		v := verdict{state: stateFailure, at: e.at(), traceback: e.Traceback}
		if e.Type == "task-retried" {
			v.state = stateRetry
		}
		v.kind, v.text = errorText(e.Exception, e.Traceback)
		return tr.end(t, e.Hostname, v, false)
	case "task-revoked":
		v := verdict{state: stateRevoked, at: e.at(), reason: "revoked"}
		if e.Terminated {
			v.reason = "terminated"
		} else if e.Expired {
			v.reason = "expired"
		}
		return tr.end(t, e.Hostname, v, false)
	}
	return tr.custom(t, e)
}

func quoted(s string) json.RawMessage {
	if s == "" {
		return nil
	}
	text, _ := json.Marshal(s) // a string is always JSON
	return text
}

func (tr *tracker) describe(t *task, e *event) {
	t.name = e.Name
	if e.Queue != "" {
		t.queue = e.Queue
	}
	if e.ETA != "" {
		t.eta = e.ETA
	}
	if tr.jobArg != "" && t.job == t.id {
		if id, ok := keywordArgument(e.Kwargs, tr.jobArg); ok && tidings.ValidateJobID(id) == nil {
			t.job = id
		}
	}
}

func (tr *tracker) sent(t *task, e *event) []transition {
	tr.describe(t, e)
	if e.Retries > 0 { // heard before how the last try ended, which says the same
		return nil
	}
	t.sentAt = e.at()
	return t.step(sent, e.Retries, e.at(), tidings.TypeTaskQueued, func(d *data) { d.ETA = t.eta })
}

// received takes a try to be one that follows on the last. A worker may have it
// before it tells of the retry which it follows on; it waits for that.
func (tr *tracker) received(t *task, e *event) []transition {
	tr.describe(t, e)
	if e.Retries > t.place.retries && (t.place.kind == received || t.place.kind == started) {
		t.next, t.nextDue = e, tr.ticks+eventWait
		tr.waiting = append(tr.waiting, t)
		return nil
	}
	t.delivered(received, e.Retries, e.at())
	t.worker = e.Hostname
	told := t.step(received, e.Retries, e.at(), tidings.TypeTaskQueued, func(d *data) { d.Status, d.ETA = "received", t.eta })
	if e.Retries == t.place.retries {
		t.receivedAt = e.at()
	}
	return told
}

// goOn tells of the try that waits, after how the one before it ended: if
// nobody told, it was retried.
func (tr *tracker) goOn(t *task) []transition {
	next := t.next
	if next == nil {
		return nil
	}
	v := verdict{state: stateRetry, at: next.at()}
	if len(t.results) > 0 && t.results[0].state == stateRetry {
		v, t.results = t.results[0], t.results[1:]
		v.at = next.at()
	}
	return append(tr.tell(t, v), tr.release(t)...)
}

func (tr *tracker) begun(t *task, e *event) []transition {
	var before []transition
	if t.next != nil && e.at().After(t.next.at()) {
		before = tr.goOn(t)
	}
	t.worker = e.Hostname
	t.delivered(started, t.place.retries, e.at())
	told := tr.started(t, e.at())
	t.startedAt = e.at()
	return append(before, told...)
}

// inProgress makes sure that a task which says something has started: what it
// says itself overtakes the events of its worker.
func (tr *tracker) inProgress(t *task, at time.Time) []transition {
	if t.next != nil {
		return tr.goOn(t)
	}
	if t.place.kind >= started {
		return nil
	}
	return guessed(tr.started(t, at))
}

func (tr *tracker) started(t *task, at time.Time) []transition {
	return t.step(started, t.place.retries, at, tidings.TypeTaskStarted, func(d *data) {
		from := t.sentAt
		if from.IsZero() || t.place.retries > 0 || t.place.delivery > 0 {
			from = t.receivedAt
		}
		d.WaitMs = milliseconds(from, at)
	})
}

func milliseconds(from, to time.Time) *int64 {
	if from.IsZero() || to.Before(from) {
		return nil
	}
	ms := to.Sub(from).Milliseconds()
	return &ms
}

// rejected is a message that was given back to the queue, or thrown away.
func (tr *tracker) rejected(t *task, e *event) []transition {
	t.worker = e.Hostname
	if !e.Requeue {
		return tr.end(t, e.Hostname, verdict{state: stateFailure, at: e.at(), kind: "rejected", text: "a worker rejected the task"}, false)
	}
	return t.step(rejected, t.place.retries, e.at(), tidings.TypeTaskRetried, func(d *data) { d.Reason = "redelivered" })
}

// custom is an event of the application's own, which becomes a task_progress.
// One that is heard twice has the same time, which is its place.
func (tr *tracker) custom(t *task, e *event) []transition {
	before := tr.inProgress(t, e.at())
	d := t.data()
	d.Name, d.Value = e.Type, own(e.raw)
	if e.Hostname != "" {
		d.Worker = e.Hostname
	}
	d.Progress, d.Message = progressOf(e.raw)
	return append(before, transition{task: t, jobID: t.job, event: newEvent(tidings.TypeTaskProgress, e.at(), d)})
}

// own gives a custom event's members without those that Celery adds.
func own(raw json.RawMessage) json.RawMessage {
	var m map[string]json.RawMessage
	if json.Unmarshal(raw, &m) != nil {
		return nil
	}
	for _, name := range []string{"type", "uuid", "hostname", "utcoffset", "pid", "clock", "timestamp", "local_received"} {
		delete(m, name)
	}
	text, err := json.Marshal(m)
	if err != nil {
		return nil
	}
	return text
}

// result takes what the result backend says of a task.
func (tr *tracker) result(r *result, reconciled bool) []transition {
	if tidings.ValidateJobID(r.TaskID) != nil {
		return nil
	}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	t := tr.task(r.TaskID)
	v := verdict{state: r.Status, at: r.at(), traceback: r.Traceback, reconciled: reconciled}
	switch r.Status {
	case stateStarted:
		return guessed(tr.started(t, tr.now()))
	case stateSuccess:
		v.result = r.Result
	case stateFailure, stateRetry:
		v.kind, v.text = r.exception()
	case stateRevoked:
		_, v.reason = r.exception()
		if v.reason == "" {
			v.reason = "revoked"
		}
	case "PENDING", "RECEIVED", "REJECTED", "IGNORED":
		return nil
	default: // PROGRESS, and what an application calls its own states
		return tr.progress(t, r)
	}
	return tr.end(t, "", v, true)
}

// progress is update_state. Celery numbers and dates it by nothing.
func (tr *tracker) progress(t *task, r *result) []transition {
	if !t.open() {
		return nil
	}
	before := tr.inProgress(t, tr.now())
	d := t.data()
	d.Name, d.Value = r.Status, r.Result
	d.Progress, d.Message = progressOf(r.Result)
	return append(before, transition{task: t, jobID: t.job, event: newEvent(tidings.TypeTaskProgress, tr.now(), d), undated: true})
}

// maxResults bounds the results of one task that wait for their events.
const maxResults = 20

// end joins the two halves of how a try ended and tells it when its worker does; a
// result alone waits for that.
func (tr *tracker) end(t *task, worker string, v verdict, half bool) []transition {
	if worker != "" {
		t.worker = worker
	}
	if half && !v.reconciled {
		if t.place.kind >= ended || t.place.kind == retried && v.state == stateRetry || len(t.results) >= maxResults {
			return nil // its event came first
		}
		v.due = tr.ticks + mergeWait
		if t.place.kind >= received {
			v.due = tr.ticks + eventWait
		}
		if t.results = append(t.results, v); len(t.results) == 1 {
			tr.waiting = append(tr.waiting, t)
		}
		return nil
	}
	if i := slices.IndexFunc(t.results, func(r verdict) bool { return r.state == v.state }); i >= 0 {
		v.merge(&t.results[i])
		t.results = t.results[i+1:]
	}
	return append(tr.tell(t, v), tr.release(t)...)
}

// release tells of the try that waited for the end of the one before.
func (tr *tracker) release(t *task) []transition {
	next := t.next
	if next == nil {
		return nil
	}
	t.next = nil
	return tr.received(t, next)
}

// merge takes over what only the result knows: it is structured, while the event
// has the time and the runtime.
func (v *verdict) merge(result *verdict) {
	if len(result.result) > 0 && (result.result[0] != '"' || len(v.result) == 0) {
		v.result = result.result
	}
	if result.kind != "" {
		v.kind, v.text = result.kind, result.text
	}
	if v.traceback == "" {
		v.traceback = result.traceback
	}
	if v.at.IsZero() {
		v.at = result.at
	}
}

// tell gives the transition for how a try ended.
func (tr *tracker) tell(t *task, v verdict) []transition {
	if v.at.IsZero() { // a retry's result has no date
		v.at = tr.now()
		return guessed(tr.tell(t, v))
	}
	if v.retries = t.place.retries; v.state != stateRetry {
		v.retries = t.try()
	}
	fill := func(d *data) {
		d.Reconciled, d.DurationMs = v.reconciled, milliseconds(t.startedAt, v.at)
		if v.runtime != nil && *v.runtime >= 0 {
			ms := int64(*v.runtime * 1000)
			d.DurationMs = &ms
		}
		switch v.state {
		case stateSuccess:
			d.Result, d.Reason = v.result, v.reason
		case stateRevoked:
			d.Reason = v.reason
		default:
			d.Kind, d.Error, d.Traceback = v.kind, v.text, v.traceback
		}
	}
	if v.state != stateRetry {
		t.ending = v.short()
		t.closeDue = tr.now().Add(tr.closeAfter)
	}
	switch v.state {
	case stateSuccess:
		return t.step(ended, v.retries, v.at, tidings.TypeTaskCompleted, fill)
	case stateRetry:
		return t.step(retried, v.retries, v.at, tidings.TypeTaskRetried, fill)
	case stateRevoked:
		return t.step(closed, v.retries, v.at, tidings.TypeCancelled, fill)
	}
	return t.step(ended, v.retries, v.at, tidings.TypeTaskFailed, fill)
}

// short is what is kept of a verdict until the job is closed.
func (v verdict) short() verdict {
	var d data
	d.Result = v.result
	d.cutJSON("result", &d.Result)
	v.result, v.traceback, v.text = slices.Clone(d.Result), "", v.text[:min(len(v.text), maxText)]
	return v
}

// due gives what waited long enough.
func (tr *tracker) due() []transition {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.ticks++
	var out []transition
	waiting := tr.waiting
	tr.waiting = nil
	for _, t := range waiting {
		if t.next != nil && tr.ticks >= t.nextDue {
			out = append(out, tr.goOn(t)...)
		}
		for t.next == nil && len(t.results) > 0 && tr.ticks >= t.results[0].due {
			v := t.results[0]
			t.results = t.results[1:]
			if v.state != stateRetry || t.place.kind < received { // else it is of a try before, it seems; nothing dates it
				out = append(out, tr.tell(t, v)...)
			}
		}
		if t.next != nil || len(t.results) > 0 {
			tr.waiting = append(tr.waiting, t)
		}
	}
	return out
}

// toClose gives the tasks that ended a while ago, and for which the log of
// their job is not known to be closed.
func (tr *tracker) toClose() []*task {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var out []*task
	for _, t := range tr.tasks {
		if t.place.kind == ended && t.job == t.id && !t.closeDue.IsZero() && !tr.now().Before(t.closeDue) {
			t.closeDue = time.Time{}
			out = append(out, t)
		}
	}
	return out
}

// closeLater has toClose give the task again.
func (tr *tracker) closeLater(t *task) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	t.closeDue = tr.now().Add(tr.closeAfter)
}

// close ends the job as its task did, if nothing else did: without it, those who
// watch would wait for ever for a word of an agent that says none.
func (tr *tracker) close(t *task) []transition {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	next := t.place
	if next.kind != ended {
		return nil // it was begun again
	}
	next.kind = closed
	t.place = next
	v := t.ending
	t.ending = verdict{}
	d := t.data()
	d.DurationMs = milliseconds(t.startedAt, v.at)
	if v.state == stateSuccess {
		d.Status, d.Output = "completed", v.result
		return []transition{{task: t, jobID: t.job, place: next, event: newEvent(tidings.TypeDone, tr.now(), d)}}
	}
	d.Error, d.Kind, d.Scope, d.Fatal = v.text, v.kind, "job", true
	return []transition{{task: t, jobID: t.job, place: next, event: newEvent(tidings.TypeError, tr.now(), d)}}
}

// sweep forgets tasks that ended a while ago and, on a node that does not
// reconcile, those of which it missed the end.
func (tr *tracker) sweep(reconciles bool) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for id, t := range tr.tasks {
		if silent := tr.now().Sub(t.seen); !t.open() && silent > keepEnded || !reconciles && silent > keepSilent {
			delete(tr.tasks, id)
		}
	}
}

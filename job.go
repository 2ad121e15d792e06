package tidings

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

// Status is where a job stands. It is never stored on its own: it follows from
// the job's events (see [Job.Apply]).
type Status string

// The statuses of a job.
const (
	StatusQueued     Status = "queued"     // known, not begun
	StatusRunning    Status = "running"    // something happens
	StatusWaiting    Status = "waiting"    // interrupted for input; a resume goes on in the same job
	StatusCancelling Status = "cancelling" // asked to stop, not stopped yet
	StatusCompleted  Status = "completed"
	StatusFailed     Status = "failed"
	StatusCancelled  Status = "cancelled"
)

// Statuses lists every status, in the order of a job's life.
var Statuses = []Status{StatusQueued, StatusRunning, StatusWaiting, StatusCancelling, StatusCompleted, StatusFailed, StatusCancelled}

// Ended reports whether a job of this status is over.
func (s Status) Ended() bool {
	return s == StatusCompleted || s == StatusFailed || s == StatusCancelled
}

// Job is the summary of one job: what its events add up to, and after the
// blank line what only the store knows.
type Job struct {
	ID       string            `json:"id"`
	Name     string            `json:"name,omitempty"`
	Status   Status            `json:"status"`
	Labels   map[string]string `json:"labels,omitempty"`
	Metadata json.RawMessage   `json:"metadata,omitempty"` // a JSON object

	CreatedAt time.Time  `json:"created_at"` // timestamp of the first event
	UpdatedAt time.Time  `json:"updated_at"` // timestamp of the last event
	EndedAt   *time.Time `json:"ended_at,omitempty"`
	Events    int64      `json:"events"` // ever appended, also those trimmed since
	LastID    ID         `json:"last_id"`
	LastType  string     `json:"last_type,omitempty"`
	Closed    bool       `json:"closed"` // a terminal event was the last

	Phase    string          `json:"phase,omitempty"`    // of the last phase_update
	Progress *float64        `json:"progress,omitempty"` // 0..1, as last reported
	Message  string          `json:"message,omitempty"`  // as last reported
	Error    string          `json:"error,omitempty"`    // why it failed
	Cancel   *CancelRequest  `json:"cancel,omitempty"`   // the first request to stop
	Task     *Task           `json:"task,omitempty"`     // the task queue's view
	Usage    *Usage          `json:"usage,omitempty"`    // summed over the job
	Cost     json.RawMessage `json:"cost,omitempty"`     // as done reported it

	FirstID     ID         `json:"first_id"` // the first event still held
	Incarnation string     `json:"incarnation,omitempty"`
	LeaseUntil  *time.Time `json:"lease_until,omitempty"` // when the last heartbeat runs out; nil: never had one
}

// CancelRequest is who asked a job to stop, and why.
type CancelRequest struct {
	By     string    `json:"by,omitempty"`
	Reason string    `json:"reason,omitempty"`
	At     time.Time `json:"at"`
}

// Task is what a task queue last said of the job.
type Task struct {
	Task    string `json:"task,omitempty"`
	Queue   string `json:"queue,omitempty"`
	Worker  string `json:"worker,omitempty"`
	Attempt int64  `json:"attempt,omitempty"`
	// Verdict is the queue's last word on the job, StatusCompleted or
	// StatusFailed, until the job moves on.
	Verdict Status `json:"verdict,omitempty"`
}

// Usage counts tokens as OpenTelemetry's GenAI conventions do: input includes
// what was read from a cache and written to it, output includes reasoning.
type Usage struct {
	InputTokens       int64 `json:"input_tokens"`
	OutputTokens      int64 `json:"output_tokens"`
	CachedInputTokens int64 `json:"cached_input_tokens,omitempty"`
	CacheWriteTokens  int64 `json:"cache_write_tokens,omitempty"`
	ReasoningTokens   int64 `json:"reasoning_tokens,omitempty"`
}

// Add adds other to u.
func (u *Usage) Add(other Usage) {
	u.InputTokens += other.InputTokens
	u.OutputTokens += other.OutputTokens
	u.CachedInputTokens += other.CachedInputTokens
	u.CacheWriteTokens += other.CacheWriteTokens
	u.ReasoningTokens += other.ReasoningTokens
}

func (u *Usage) total() int64 { return u.InputTokens + u.OutputTokens }

// Stalled reports whether the job gives no sign of life at now: see
// [Job.AliveUntil].
func (j *Job) Stalled(now time.Time, silentAfter time.Duration) bool {
	until := j.AliveUntil(silentAfter)
	return !until.IsZero() && now.After(until)
}

// AliveUntil is when the job counts as stalled if no further sign of life comes,
// by the store's clock: when its lease runs out or, if it never had one, when it
// has been silent for silentAfter (zero: such a job never stalls). An event that
// comes after the lease ran out, as of a retry that sends no heartbeats, holds
// for [DefaultLeaseTTL]. It is the zero time for a job that can't stall: one that
// is queued, waiting or over.
func (j *Job) AliveUntil(silentAfter time.Duration) time.Time {
	if j.Status != StatusRunning && j.Status != StatusCancelling {
		return time.Time{}
	}
	last := time.UnixMilli(int64(j.LastID.Ms))
	switch {
	case j.LeaseUntil == nil && silentAfter <= 0:
		return time.Time{}
	case j.LeaseUntil == nil:
		return last.Add(silentAfter)
	case last.After(*j.LeaseUntil) && j.LastType != TypeCancelRequested:
		return last.Add(DefaultLeaseTTL)
	}
	return *j.LeaseUntil
}

// fields are what the fold looks at in an event's data.
type fields struct {
	Phase       string                      `json:"phase"`
	Status      string                      `json:"status"`
	Name        string                      `json:"name"`
	Labels      map[string]optional[string] `json:"labels"`
	Metadata    json.RawMessage             `json:"metadata"`
	Progress    optional[float64]           `json:"progress"`
	Message     string                      `json:"message"`
	ParentRunID string                      `json:"parent_run_id"`
	Error       json.RawMessage             `json:"error"`
	Scope       optional[string]            `json:"scope"`
	Fatal       optional[bool]              `json:"fatal"`
	Reason      string                      `json:"reason"`
	By          string                      `json:"by"`
	Task        string                      `json:"task"`
	Queue       string                      `json:"queue"`
	Worker      string                      `json:"worker"`
	Attempt     int64                       `json:"attempt"`
	Usage       optional[Usage]             `json:"usage"`
	Cost        json.RawMessage             `json:"cost"`
}

// optional is a value that counts as absent if it is of another shape. In an
// object, only the members of another shape do.
type optional[T any] struct {
	value T
	set   bool
}

func (o *optional[T]) UnmarshalJSON(raw []byte) error {
	var v T
	err := json.Unmarshal(raw, &v)
	wrong, isWrong := errors.AsType[*json.UnmarshalTypeError](err)
	if memberOnly := isWrong && wrong.Field != ""; present(raw) && (err == nil || memberOnly) {
		o.value, o.set = v, true
	}
	return nil
}

func (o optional[T]) pointer() *T { return &o.value }

// Apply folds the next event of the job's log into the summary. It is a pure
// function of the summary and the event: every store that folds the same log
// gets the same summary. Data of an unexpected shape counts as absent.
func (j *Job) Apply(e *Event) {
	var d fields
	if e.tellsFold() {
		_ = json.Unmarshal(e.Data, &d)
	}
	if j.Events == 0 {
		j.ID = e.JobID
		j.Status = StatusQueued
		j.CreatedAt = e.Time
		j.FirstID = e.ID
	}
	j.Events++
	j.LastID = e.ID
	j.UpdatedAt = e.Time

	j.applyFacts(e, &d)
	j.setStatus(e, &d)
	j.LastType = e.Type
	if e.Terminal() {
		j.Closed = true
	}
}

// tellsFold reports whether the fold looks at the event's data. Token deltas,
// and what tools take and give, are most of a log and say nothing to it.
func (e *Event) tellsFold() bool {
	switch e.Type {
	case TypeToolCall, TypeToolResult, TypeCustom, TypeState:
		return false
	case TypeThought:
		return bytes.Contains(e.Data, []byte(`"usage"`))
	}
	return true
}

// applyFacts takes over what the event says besides the status.
func (j *Job) applyFacts(e *Event, d *fields) {
	switch e.Type {
	case TypePhaseUpdate:
		j.applyPhase(d)
	case TypeThought:
		if d.Usage.set {
			j.addUsage(d.Usage.value)
		}
	case TypeDone:
		// The sum as the handler counted it. After a resume it is the sum of the
		// last handler only, and what the thoughts said is more.
		if d.Usage.set && (j.Usage == nil || d.Usage.value.total() > j.Usage.total()) {
			j.Usage = d.Usage.pointer()
		}
		if present(d.Cost) {
			j.Cost = d.Cost
		}
	case TypeCancelRequested:
		if j.Cancel == nil {
			j.Cancel = &CancelRequest{By: d.By, Reason: d.Reason, At: e.Time}
		}
	case TypeTaskQueued, TypeTaskStarted, TypeTaskProgress, TypeTaskRetried, TypeTaskCompleted, TypeTaskFailed:
		j.applyTask(e, d)
	}
}

func (j *Job) applyPhase(d *fields) {
	if d.Phase != "" {
		j.Phase = d.Phase
	}
	if d.Progress.set {
		j.Progress = d.Progress.pointer()
	}
	if d.Message != "" {
		j.Message = d.Message
	}
	if d.ParentRunID != "" {
		return // a nested run does not name the job
	}
	if j.Name == "" {
		j.Name = d.Name
	}
	if len(d.Labels) > 0 {
		merged := make(map[string]string, len(j.Labels)+len(d.Labels))
		for k, v := range j.Labels {
			merged[k] = v
		}
		for k, v := range d.Labels {
			if v.set {
				merged[k] = v.value
			}
		}
		j.Labels = merged // never in place: summaries are handed out by value
	}
	if present(d.Metadata) {
		j.Metadata = d.Metadata
	}
}

func (j *Job) applyTask(e *Event, d *fields) {
	task := Task{}
	if j.Task != nil {
		task = *j.Task
	}
	if d.Task != "" {
		task.Task = d.Task
	}
	if d.Queue != "" {
		task.Queue = d.Queue
	}
	if d.Worker != "" {
		task.Worker = d.Worker
	}
	if d.Attempt != 0 {
		task.Attempt = d.Attempt
	}
	switch e.Type {
	case TypeTaskCompleted:
		task.Verdict = StatusCompleted
	case TypeTaskFailed:
		task.Verdict = StatusFailed
	}
	j.Task = &task
	if j.Name == "" {
		j.Name = d.Task
	}
	if d.Progress.set {
		j.Progress = d.Progress.pointer()
	}
	if d.Message != "" {
		j.Message = d.Message
	}
}

func (j *Job) addUsage(u Usage) {
	sum := Usage{}
	if j.Usage != nil {
		sum = *j.Usage
	}
	sum.Add(u)
	j.Usage = &sum
}

// setStatus moves the job to the status after the event.
func (j *Job) setStatus(e *Event, d *fields) {
	verdict, ok := verdict(e, d)
	if e.Type == TypeTaskCompleted && j.Status == StatusWaiting {
		ok = false // the task has done its part; the job goes on with another
	}
	if ok {
		ended := e.Time
		j.Status, j.EndedAt = verdict, &ended
		switch {
		case verdict != StatusFailed:
			j.Error = ""
		case present(d.Error):
			j.Error = text(d.Error)
		}
		return
	}
	j.Status = j.nextStatus(e, d)
	if !j.Status.Ended() {
		j.EndedAt, j.Error = nil, ""
		if j.Task != nil && j.Task.Verdict != "" {
			task := *j.Task
			task.Verdict = ""
			j.Task = &task
		}
	}
}

// verdict is the status that the event itself gives an ended job.
func verdict(e *Event, d *fields) (Status, bool) {
	switch e.Type {
	case TypeDone, TypeTaskCompleted:
		return StatusCompleted, true
	case TypeCancelled:
		return StatusCancelled, true
	case TypeTaskFailed:
		return StatusFailed, true
	case TypeError: // without scope and fatal it is an existing publisher's
		return StatusFailed, e.Terminal() || (!d.Fatal.set && !d.Scope.set)
	}
	return "", false
}

// nextStatus is the status after an event that gives no verdict.
func (j *Job) nextStatus(e *Event, d *fields) Status {
	active := StatusRunning
	if j.Cancel != nil {
		active = StatusCancelling
	}
	current := j.current(active)

	switch e.Type {
	case TypeTaskQueued:
		return current
	case TypeTaskStarted:
		return active
	case TypeTaskRetried:
		if j.Cancel != nil {
			return StatusCancelling
		}
		return StatusQueued
	case TypeCancelRequested:
		if current == StatusWaiting {
			return active
		}
	case TypePhaseUpdate:
		switch root := d.ParentRunID == ""; d.Status {
		case "queued":
			return current
		case "started", "resumed":
			if root {
				return active
			}
		case "interrupted":
			if root && !current.Ended() && j.Cancel == nil {
				return StatusWaiting
			}
			return current
		}
	}
	if current.Ended() || current == StatusWaiting {
		return current // a stray behind the task queue's verdict, or behind an interrupt
	}
	return active
}

// current is the status before the next event, now that there is one: an error
// of an existing publisher was not the last word then.
func (j *Job) current(active Status) Status {
	switch {
	case j.Status != StatusFailed || j.LastType != TypeError:
		return j.Status
	case j.Task != nil && j.Task.Verdict != "":
		return j.Task.Verdict
	}
	return active
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// text is a JSON string's content, or another value as it stands.
func text(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

// JobsQuery filters and pages a listing. The zero value lists everything.
type JobsQuery struct {
	Status  []Status          // any of these
	Name    string            // exactly
	Labels  map[string]string // all of these
	Since   time.Time         // created at or after
	Until   time.Time         // created before
	Cursor  string            // opaque; NextCursor of the page before
	Limit   int               // zero: 100
	Stalled *bool             // only those that are, or are not
}

// DefaultJobsLimit is the page size of a [JobsQuery] that names none.
const DefaultJobsLimit = 100

// Matches reports whether the query's filters let the job pass at now.
func (q *JobsQuery) Matches(j *Job, now time.Time) bool {
	if len(q.Status) > 0 {
		found := false
		for _, s := range q.Status {
			found = found || s == j.Status
		}
		if !found {
			return false
		}
	}
	if q.Name != "" && q.Name != j.Name {
		return false
	}
	for k, v := range q.Labels {
		if got, ok := j.Labels[k]; !ok || got != v {
			return false
		}
	}
	if !q.Since.IsZero() && j.CreatedAt.Before(q.Since) {
		return false
	}
	if !q.Until.IsZero() && !j.CreatedAt.Before(q.Until) {
		return false
	}
	return q.Stalled == nil || *q.Stalled == j.Stalled(now, 0)
}

// JobsPage is one page of a listing.
type JobsPage struct {
	Jobs       []Job  `json:"jobs"`
	NextCursor string `json:"next_cursor,omitempty"` // empty: the last page
}

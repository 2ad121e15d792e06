package tidings

import (
	"bytes"
	"encoding/json"
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
}

// Usage counts tokens as OpenTelemetry's GenAI conventions do: input includes
// what was read from a cache, output includes reasoning.
type Usage struct {
	InputTokens       int64 `json:"input_tokens"`
	OutputTokens      int64 `json:"output_tokens"`
	CachedInputTokens int64 `json:"cached_input_tokens,omitempty"`
	ReasoningTokens   int64 `json:"reasoning_tokens,omitempty"`
}

// Add adds other to u.
func (u *Usage) Add(other Usage) {
	u.InputTokens += other.InputTokens
	u.OutputTokens += other.OutputTokens
	u.CachedInputTokens += other.CachedInputTokens
	u.ReasoningTokens += other.ReasoningTokens
}

// Stalled reports whether the job gives no sign of life at now: its lease ran
// out or, if it never had one, it has been silent for longer than silentAfter
// (zero: such a job never stalls). A job that is queued, waiting or over does
// not stall.
func (j *Job) Stalled(now time.Time, silentAfter time.Duration) bool {
	if j.Status != StatusRunning && j.Status != StatusCancelling {
		return false
	}
	if j.LeaseUntil != nil {
		return now.After(*j.LeaseUntil)
	}
	return silentAfter > 0 && now.Sub(j.UpdatedAt) > silentAfter
}

// fields are what the fold looks at in an event's data.
type fields struct {
	Phase       string            `json:"phase"`
	Status      string            `json:"status"`
	Name        string            `json:"name"`
	Labels      map[string]string `json:"labels"`
	Metadata    json.RawMessage   `json:"metadata"`
	Progress    *float64          `json:"progress"`
	Message     string            `json:"message"`
	ParentRunID string            `json:"parent_run_id"`
	Error       json.RawMessage   `json:"error"`
	Scope       *string           `json:"scope"`
	Fatal       *bool             `json:"fatal"`
	Reason      string            `json:"reason"`
	By          string            `json:"by"`
	Task        string            `json:"task"`
	Queue       string            `json:"queue"`
	Worker      string            `json:"worker"`
	Attempt     int64             `json:"attempt"`
	Usage       *Usage            `json:"usage"`
	Cost        json.RawMessage   `json:"cost"`
}

// Apply folds the next event of the job's log into the summary. It is a pure
// function of the summary and the event: every store that folds the same log
// gets the same summary. Data of an unexpected shape counts as absent.
func (j *Job) Apply(e *Event) {
	var d fields
	// Token deltas are most of a log and say nothing to the fold.
	if e.Type != TypeThought || bytes.Contains(e.Data, []byte(`"usage"`)) {
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
	j.setStatus(j.nextStatus(e, &d), e, &d)
	j.LastType = e.Type
	if e.Terminal() {
		j.Closed = true
	}
}

// applyFacts takes over what the event says besides the status.
func (j *Job) applyFacts(e *Event, d *fields) {
	switch e.Type {
	case TypePhaseUpdate:
		j.applyPhase(d)
	case TypeThought:
		if d.Usage != nil {
			j.addUsage(*d.Usage)
		}
	case TypeDone:
		if d.Usage != nil { // the sum as the handler counted it
			j.Usage = d.Usage
		}
		if present(d.Cost) {
			j.Cost = d.Cost
		}
	case TypeCancelRequested:
		if j.Cancel == nil {
			j.Cancel = &CancelRequest{By: d.By, Reason: d.Reason, At: e.Time}
		}
	case TypeTaskQueued, TypeTaskStarted, TypeTaskProgress, TypeTaskRetried, TypeTaskCompleted, TypeTaskFailed:
		j.applyTask(d)
	}
}

func (j *Job) applyPhase(d *fields) {
	if d.Phase != "" {
		j.Phase = d.Phase
	}
	if d.Progress != nil {
		j.Progress = d.Progress
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
			merged[k] = v
		}
		j.Labels = merged // never in place: summaries are handed out by value
	}
	if present(d.Metadata) {
		j.Metadata = d.Metadata
	}
}

func (j *Job) applyTask(d *fields) {
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
	j.Task = &task
	if j.Name == "" {
		j.Name = d.Task
	}
	if d.Progress != nil {
		j.Progress = d.Progress
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

// nextStatus is the status after the event.
func (j *Job) nextStatus(e *Event, d *fields) Status {
	active := StatusRunning
	if j.Cancel != nil {
		active = StatusCancelling
	}
	root := d.ParentRunID == ""

	switch e.Type {
	case TypeDone:
		return StatusCompleted
	case TypeCancelled:
		return StatusCancelled
	case TypeCancelRequested:
		if j.Status.Ended() {
			return j.Status
		}
		return StatusCancelling
	case TypeError:
		if d.Fatal != nil && *d.Fatal {
			return StatusFailed
		}
		if d.Fatal == nil && d.Scope == nil { // an existing publisher's error
			return StatusFailed
		}
	case TypeTaskCompleted:
		return StatusCompleted
	case TypeTaskFailed:
		return StatusFailed
	case TypeTaskStarted, TypeTaskProgress:
		return active
	case TypeTaskRetried:
		if j.Cancel != nil {
			return StatusCancelling
		}
		return StatusQueued
	case TypeTaskQueued:
		return j.Status
	case TypePhaseUpdate:
		switch d.Status {
		case "queued":
			return j.Status
		case "interrupted":
			if root && !j.Status.Ended() {
				return StatusWaiting
			}
			return j.Status
		case "started", "resumed":
			if root {
				return active
			}
		}
	}

	switch {
	case j.Status == StatusFailed && j.LastType == TypeError:
		return active // the error was not the last word
	case j.Status.Ended():
		return j.Status // a stray behind the task queue's verdict
	case j.Status == StatusWaiting:
		return j.Status
	}
	return active
}

func (j *Job) setStatus(next Status, e *Event, d *fields) {
	j.Status = next
	switch {
	case next.Ended() && j.EndedAt == nil:
		ended := e.Time
		j.EndedAt = &ended
	case !next.Ended():
		j.EndedAt = nil
		j.Error = ""
	}
	if next == StatusFailed && (e.Type == TypeError || e.Type == TypeTaskFailed) && present(d.Error) {
		j.Error = text(d.Error)
	}
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

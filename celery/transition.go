package celery

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tidings"
)

// kind is a step in the life of a task. Within one delivery of a task the kinds
// come in this order, whatever the order in which they are heard.
type kind int64

const (
	sent kind = iota + 1
	received
	started
	rejected // given back to the queue
	retried
	ended  // completed or failed
	closed // the job has ended too: it was revoked, or nothing came behind the task's end
)

// place orders the steps of one task: by retry, then by delivery within it (a
// message comes again when its worker was lost), then by kind. It is a pure
// function of what the workers said, so every node that hears the same finds
// the same.
type place struct {
	retries, delivery int64
	kind              kind
}

// epoch is the place as the epoch of a producer, whose only batch is the step.
// So a store takes each step once, whichever node writes it and however often;
// and none that comes too late, as the higher epoch of a later step fences it.
func (p place) epoch() int64 {
	return min(p.retries, 1<<32)<<20 | min(p.delivery, 1<<16)<<3 | int64(p.kind)
}

// sameTry reports whether both places belong to one delivery of one try.
func (p place) sameTry(q place) bool { return p.retries == q.retries && p.delivery == q.delivery }

// producerID names what is told of a task within its job.
func producerID(taskID, jobID string) string {
	if taskID == jobID {
		return "celery"
	}
	id := "celery/" + taskID
	return id[:min(len(id), tidings.MaxProducerIDBytes)]
}

// transition is a step of a task as its log will have it.
type transition struct {
	task  *task
	jobID string
	// place is zero for progress and for events of the application's own.
	place place
	event tidings.Event
	// undated says that the event has no place and no time of its own by which
	// nodes could see that they heard the same.
	undated bool
	// guessed says that its time is not its worker's: it can't be told whether it
	// is late.
	guessed bool
	// concluded says that no worker told it: it was found out, or a request to stop did it.
	concluded bool
}

// guessed marks transitions so.
func guessed(transitions []transition) []transition {
	for i := range transitions {
		transitions[i].guessed = true
	}
	return transitions
}

// data is what an event of the log says of a task. Times of Celery are
// seconds, ours are milliseconds.
type data struct {
	TaskID     string          `json:"task_id"`
	Task       string          `json:"task,omitempty"`
	Queue      string          `json:"queue,omitempty"`
	Worker     string          `json:"worker,omitempty"`
	Attempt    int64           `json:"attempt"`
	Delivery   int64           `json:"delivery,omitempty"`
	Status     string          `json:"status,omitempty"` // of task_queued: received
	ETA        string          `json:"eta,omitempty"`
	WaitMs     *int64          `json:"queue_wait_ms,omitempty"`
	DurationMs *int64          `json:"duration_ms,omitempty"`
	Result     json.RawMessage `json:"result,omitempty"`
	Output     json.RawMessage `json:"output,omitempty"`
	Error      string          `json:"error,omitempty"`
	Kind       string          `json:"kind,omitempty"`
	Traceback  string          `json:"traceback,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	Progress   *float64        `json:"progress,omitempty"`
	Message    string          `json:"message,omitempty"`
	Name       string          `json:"name,omitempty"`  // of a custom event
	Value      json.RawMessage `json:"value,omitempty"` // likewise
	Scope      string          `json:"scope,omitempty"`
	Fatal      bool            `json:"fatal,omitempty"`
	Reconciled bool            `json:"reconciled,omitempty"`
	Source     string          `json:"source,omitempty"` // sdkSource: the Python SDK told it
	Truncated  map[string]int  `json:"truncated,omitempty"`
}

// sdkSource marks what the Python SDK tells of its own tasks.
const sdkSource = "worker"

// newEvent makes an event of the log. A time that lies more than a day in the
// future is a broken clock.
func newEvent(eventType string, at time.Time, d data) tidings.Event {
	if at.IsZero() || time.Until(at) > 24*time.Hour {
		at = time.Now()
	}
	d.cut("traceback", &d.Traceback, maxTraceback)
	d.cut("error", &d.Error, maxText)
	d.cut("message", &d.Message, maxText)
	d.cutJSON("result", &d.Result)
	d.cutJSON("output", &d.Output)
	d.cutJSON("value", &d.Value)
	text, err := json.Marshal(d)
	if err != nil { // a result that is not JSON after all
		d.Result, d.Output, d.Value = nil, nil, nil
		text, _ = json.Marshal(d)
	}
	return tidings.Event{Type: eventType, Time: at, Data: text}
}

const (
	maxTraceback = 16 << 10
	maxText      = 8 << 10
	maxResult    = 64 << 10
)

// cut keeps the end of a traceback and the beginning of anything else.
func (d *data) cut(field string, text *string, limit int) {
	full := len(*text)
	if full <= limit {
		return
	}
	if field == "traceback" {
		*text = strings.ToValidUTF8((*text)[full-limit:], "")
	} else {
		*text = strings.ToValidUTF8((*text)[:limit], "")
	}
	d.truncated(field, full)
}

func (d *data) cutJSON(field string, value *json.RawMessage) {
	if full := len(*value); full > maxResult {
		*value, _ = json.Marshal(strings.ToValidUTF8(string((*value)[:maxResult]), ""))
		d.truncated(field, full)
	}
}

func (d *data) truncated(field string, full int) {
	if d.Truncated == nil {
		d.Truncated = map[string]int{}
	}
	d.Truncated[field] = full
}

func (k kind) String() string {
	return [...]string{"", "sent", "received", "started", "rejected", "retried", "ended", "closed"}[k]
}

func (p place) String() string { return fmt.Sprintf("%d/%d/%s", p.retries, p.delivery, p.kind) }

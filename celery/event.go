package celery

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// event is what a worker or a client of Celery says on the exchange celeryev
// (https://docs.celeryq.dev/en/stable/userguide/monitoring.html#event-reference).
// Only task-received and task-sent tell the task's name; the rest must be
// remembered.
type event struct {
	Type      string  `json:"type"`
	Hostname  string  `json:"hostname"` // the worker's name
	Timestamp float64 `json:"timestamp"`
	PID       int64   `json:"pid"`

	UUID       string   `json:"uuid"`
	Name       string   `json:"name"`
	Args       string   `json:"args"`   // Python's repr, cut
	Kwargs     string   `json:"kwargs"` // likewise
	Retries    int64    `json:"retries"`
	ETA        string   `json:"eta"`
	Queue      string   `json:"queue"`
	Result     string   `json:"result"` // Python's repr
	Runtime    *float64 `json:"runtime"`
	Exception  string   `json:"exception"`
	Traceback  string   `json:"traceback"`
	Terminated bool     `json:"terminated"`
	Expired    bool     `json:"expired"`
	Requeue    bool     `json:"requeue"`

	Freq      float64   `json:"freq"` // seconds between heartbeats
	Active    *int      `json:"active"`
	Processed int64     `json:"processed"`
	Loadavg   []float64 `json:"loadavg"`
	Software  string    `json:"sw_ident"`
	Version   string    `json:"sw_ver"`

	raw json.RawMessage
}

// parseEvents reads the body of a message of celeryev: one event or, from
// workers that buffer, an array of them. The events that can be read are given
// also if others can't.
func parseEvents(body json.RawMessage) ([]event, error) {
	body = bytes.TrimSpace(body)
	raws := []json.RawMessage{body}
	if len(body) > 0 && body[0] == '[' {
		raws = nil
		if err := json.Unmarshal(body, &raws); err != nil {
			return nil, err
		}
	}
	var failed error
	events := make([]event, 0, len(raws))
	for _, raw := range raws {
		e := event{raw: raw}
		// Members of another type than Celery's own, as an application's events may
		// have, are left out; the rest is read.
		var odd *json.UnmarshalTypeError
		if err := json.Unmarshal(raw, &e); err != nil && (!errors.As(err, &odd) || odd.Field == "") {
			failed = fmt.Errorf("not an event: %w", err)
			continue
		}
		if e.Type == "" {
			failed = fmt.Errorf("not an event: it has no type")
			continue
		}
		events = append(events, e)
	}
	return events, failed
}

// at is when the event happened by its sender's clock, to the microsecond.
func (e *event) at() time.Time { return seconds(e.Timestamp) }

// seconds makes a time of Python's seconds since 1970; zero of what can't be one.
func seconds(s float64) time.Time {
	if math.IsNaN(s) || s <= 0 || s > 1e11 {
		return time.Time{}
	}
	return time.UnixMicro(int64(math.Round(s * 1e6))).UTC()
}

// result is what a worker writes to the result backend, and publishes on a
// channel of the key's name, before it sends the event.
type result struct {
	Status    string          `json:"status"`
	Result    json.RawMessage `json:"result"`
	Traceback string          `json:"traceback"`
	DateDone  string          `json:"date_done"`
	TaskID    string          `json:"task_id"`
}

// The states of a task (https://docs.celeryq.dev/en/stable/reference/celery.states.html).
const (
	stateStarted = "STARTED"
	stateSuccess = "SUCCESS"
	stateFailure = "FAILURE"
	stateRetry   = "RETRY"
	stateRevoked = "REVOKED"
)

// parseResult reads what the result backend holds of a task.
func parseResult(text []byte) (result, error) {
	var r result
	if err := json.Unmarshal(withoutNaN(text), &r); err != nil {
		return r, fmt.Errorf("not a result in JSON: %w", err)
	}
	if r.TaskID == "" || r.Status == "" {
		return r, fmt.Errorf("not a result: it has no task_id or no status")
	}
	return r, nil
}

// at is when the result was written; zero if it does not say. Celery writes it
// in UTC, from version 5.5 on with an offset.
func (r *result) at() time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} { // both take a fraction
		if t, err := time.Parse(layout, r.DateDone); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// exception is the result of a task that failed.
type exception struct {
	Type    string          `json:"exc_type"`
	Message json.RawMessage `json:"exc_message"`
	Module  string          `json:"exc_module"`
}

// exception gives what the result says of the error; zero if it says nothing.
func (r *result) exception() (kind, text string) {
	var e exception
	if json.Unmarshal(r.Result, &e) != nil {
		return "", ""
	}
	text = e.Type
	if message := joined(e.Message); message != "" {
		text += ": " + message
	}
	return e.Type, text
}

// joined makes one text of an exception's arguments.
func joined(message json.RawMessage) string {
	var list []json.RawMessage
	if json.Unmarshal(message, &list) != nil {
		list = []json.RawMessage{message}
	}
	var out []byte
	for _, item := range list {
		var s string
		if json.Unmarshal(item, &s) != nil {
			s = string(item)
		}
		if len(out) > 0 {
			out = append(out, ", "...)
		}
		out = append(out, s...)
	}
	return string(out)
}

package asynq

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/hibiken/asynq"

	"tidings"
)

// Task is a task to put on a queue: the member "queue" of a job that is created
// over HTTP, beside its "type".
type Task struct {
	Type      string            `json:"type,omitempty"`      // "asynq"
	Task      string            `json:"task"`                // asynq's type of the task, such as "report:make"
	Payload   json.RawMessage   `json:"payload,omitempty"`   // any JSON value; the handler gets its text
	Headers   map[string]string `json:"headers,omitempty"`   // of the task
	Queue     string            `json:"queue,omitempty"`     // empty: default
	MaxRetry  *int              `json:"max_retry,omitempty"` // nil: 25, as asynq does
	Timeout   float64           `json:"timeout,omitempty"`   // of an attempt, in seconds; zero: 30 min unless there is a deadline
	Deadline  time.Time         `json:"deadline,omitzero"`
	ETA       time.Time         `json:"eta,omitzero"`        // not before
	Countdown float64           `json:"countdown,omitempty"` // likewise, in seconds from now
	Unique    float64           `json:"unique,omitempty"`    // refuse an equal task for so many seconds
	Retention float64           `json:"retention,omitempty"` // keep the completed task for so many seconds
}

// Submit implements [tidings.TaskQueue]. The text is a [Task].
func (q *Queue) Submit(ctx context.Context, job tidings.JobSpec, text json.RawMessage) (created bool, err error) {
	t, err := parseTask(text)
	if err != nil {
		return false, err
	}
	if job.Name == "" {
		job.Name = t.Task
	}
	_, err = q.client.Enqueue(ctx, job, asynq.NewTaskWithHeaders(t.Task, t.Payload, t.Headers), t.options()...)
	invalid, closed, tooLarge := &tidings.InvalidError{}, &tidings.ClosedError{}, &tidings.TooLargeError{}
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, asynq.ErrTaskIDConflict):
		return false, nil
	case errors.Is(err, asynq.ErrDuplicateTask):
		return false, &tidings.InvalidError{Field: "queue.unique", Reason: "an equal task is in the queue already"}
	case errors.As(err, &invalid), errors.As(err, &closed), errors.As(err, &tooLarge), errors.Is(err, tidings.ErrUnavailable):
		return false, err
	}
	return false, unavailable(err)
}

func parseTask(text json.RawMessage) (t Task, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		return t, invalid("", "must be an object with task, payload, headers, queue, max_retry, timeout, deadline, eta or countdown, unique, retention: "+err.Error())
	}
	const maxSeconds = 1e9
	for field, seconds := range map[string]float64{"timeout": t.Timeout, "countdown": t.Countdown, "unique": t.Unique, "retention": t.Retention} {
		if seconds < 0 || seconds > maxSeconds {
			return t, invalid(field, "must be seconds, at least 0")
		}
	}
	switch {
	case t.Task == "" || len(t.Task) > 255:
		return t, invalid("task", `must be the task's type, such as "report:make", of at most 255 bytes`)
	case t.MaxRetry != nil && *t.MaxRetry < 0:
		return t, invalid("max_retry", "must be at least 0")
	case t.Unique > 0 && t.Unique < 1:
		return t, invalid("unique", "must be at least 1 s")
	case !t.ETA.IsZero() && t.Countdown > 0:
		return t, invalid("countdown", "can't be given beside eta")
	}
	return t, nil
}

func invalid(field, reason string) error {
	name := "queue"
	if field != "" {
		name += "." + field
	}
	return &tidings.InvalidError{Field: name, Reason: reason}
}

// options are the task's as asynq takes them.
func (t *Task) options() (opts []asynq.Option) {
	seconds := func(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
	if t.Queue != "" {
		opts = append(opts, asynq.Queue(t.Queue))
	}
	if t.MaxRetry != nil {
		opts = append(opts, asynq.MaxRetry(*t.MaxRetry))
	}
	if t.Timeout > 0 {
		opts = append(opts, asynq.Timeout(seconds(t.Timeout)))
	}
	if !t.Deadline.IsZero() {
		opts = append(opts, asynq.Deadline(t.Deadline))
	}
	if !t.ETA.IsZero() {
		opts = append(opts, asynq.ProcessAt(t.ETA))
	}
	if t.Countdown > 0 {
		opts = append(opts, asynq.ProcessIn(seconds(t.Countdown)))
	}
	if t.Unique > 0 {
		opts = append(opts, asynq.Unique(seconds(t.Unique)))
	}
	if t.Retention > 0 {
		opts = append(opts, asynq.Retention(seconds(t.Retention)))
	}
	return opts
}

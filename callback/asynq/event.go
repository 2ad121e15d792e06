package asynq

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"tidings"
)

// kind is a step in the life of a task. Within one delivery they come in this
// order.
type kind int64

const (
	queued kind = iota + 1
	started
	retried
	ended // completed, failed or cancelled
)

// place orders the steps of one task: by attempt, then by delivery within it (a
// task is delivered again when its worker gave it back), then by kind.
type place struct {
	attempt, delivery int64
	kind              kind
}

// producerID names who tells of a job's steps.
const producerID = "asynq"

// epoch is the place as the epoch of a producer, whose only batch is the step.
// So a store takes each step once, whoever writes it, and none that comes
// too late, as the higher epoch of a later step fences it off.
func (p place) epoch() int64 {
	return min(p.attempt, 1<<32)<<20 | min(p.delivery, 1<<17-1)<<3 | int64(p.kind)
}

func placeOf(epoch int64) place {
	return place{attempt: epoch >> 20, delivery: epoch >> 3 & (1<<17 - 1), kind: kind(epoch & 7)}
}

func (p place) of(k kind) place {
	p.kind = k
	return p
}

// batch is the events of a step.
func (p place) batch(events ...tidings.Event) tidings.Batch {
	return tidings.Batch{Events: events, Producer: &tidings.Producer{ID: producerID, Epoch: p.epoch()}}
}

// data is what an event says of a task.
type data struct {
	TaskID     string          `json:"task_id,omitempty"`
	Task       string          `json:"task,omitempty"` // its type
	Queue      string          `json:"queue,omitempty"`
	Worker     string          `json:"worker,omitempty"`
	Attempt    int64           `json:"attempt,omitempty"`
	Delivery   int64           `json:"delivery,omitempty"` // within the attempt, from 1
	Epoch      int64           `json:"epoch,omitempty"`    // that of the delivery's steps
	MaxRetry   int             `json:"max_retry,omitempty"`
	ETA        *time.Time      `json:"eta,omitempty"`      // when it is to run, or run again
	Deadline   *time.Time      `json:"deadline,omitempty"` // of the attempt
	DurationMs int64           `json:"duration_ms,omitempty"`
	Result     json.RawMessage `json:"result,omitempty"`
	Error      string          `json:"error,omitempty"`
	Kind       string          `json:"kind,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	By         string          `json:"by,omitempty"`
	Scope      string          `json:"scope,omitempty"`
	Fatal      bool            `json:"fatal,omitempty"`
	Status     string          `json:"status,omitempty"`
	Reconciled bool            `json:"reconciled,omitempty"` // found out, not told by a worker
}

// maxError bounds an error's text.
const maxError = 8 << 10

func newEvent(eventType string, d data) tidings.Event {
	if len(d.Error) > maxError {
		d.Error = d.Error[:maxError]
	}
	if !json.Valid(d.Result) {
		d.Result = nil
	}
	text, err := json.Marshal(d)
	if err != nil { // a time beyond the year 9999
		d.ETA, d.Deadline = nil, nil
		text, _ = json.Marshal(d)
	}
	return tidings.Event{Type: eventType, Time: time.Now(), Data: text}
}

// label marks the jobs that are tasks of asynq.
var label = map[string]string{"task_queue": "asynq"}

// workerName names this process as [Queue.Workers] does.
func workerName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s:%d", host, os.Getpid())
}

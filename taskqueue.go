package tidings

import (
	"context"
	"encoding/json"
	"errors"
	"time"
)

// ErrNoTask says that a job is not a task of the queue that was asked.
var ErrNoTask = errors.New("the job is no task of this queue")

// TaskQueue is where jobs run: a task queue with workers of its own, such as
// Celery, or the runner of a single machine. It keeps the logs of its jobs up
// to date by task_* events. Safe for concurrent use.
type TaskQueue interface {
	// Submit makes a task of the job. The task is a JSON object whose members
	// are the queue's own: for Celery "task", "args", "kwargs" and so on.
	// The event task_queued is in the job's log before a worker can see the task.
	// Submitting a job again repeats nothing, and reports created false.
	//
	// Errors: [*InvalidError], [*ClosedError], [ErrUnavailable]. After
	// [ErrUnavailable] submit it again: the task is queued once.
	Submit(ctx context.Context, job JobSpec, task json.RawMessage) (created bool, err error)

	// Stop passes a job's request to stop on to its worker; the request is in
	// the log already. Errors: [ErrNoTask], [ErrUnavailable].
	Stop(ctx context.Context, jobID string, opts StopOptions) (StopReport, error)

	// Workers gives the workers that are known, also those that were lost, by
	// name.
	Workers(ctx context.Context) ([]Worker, error)

	// Depths says how much waits in each queue, by name.
	Depths(ctx context.Context) ([]QueueDepth, error)
}

// StopOptions say how a task is stopped.
type StopOptions struct {
	// Terminate ends the process that runs the task, where the queue can.
	// Otherwise only a task that no worker has begun is taken back, and one that runs
	// learns of the request by its handler's context.
	Terminate bool
	// Signal to terminate with, such as "SIGTERM". Empty: the queue's default.
	Signal string
	// Reason and By are those of the request.
	Reason, By string
}

// StopReport says what became of a request to stop.
type StopReport struct {
	// Workers is how many workers heard it; zero is none.
	Workers int `json:"workers"`
	// Warning says in a sentence why the task may go on. Empty: nothing is known
	// against it.
	Warning string `json:"warning,omitempty"`
}

// Worker is a process that runs tasks, as its queue knows it.
type Worker struct {
	Name        string     `json:"name"`
	Type        string     `json:"type"` // the type of the task queue, such as "celery"
	Alive       bool       `json:"alive"`
	Active      int        `json:"active"`                // tasks that run on it now
	Processed   int64      `json:"processed"`             // tasks that it ended since it started
	Load        []float64  `json:"load,omitempty"`        // load averages of its machine, over 1, 5 and 15 min
	Software    string     `json:"software,omitempty"`    // "py-celery 5.2.6"
	SeenAt      time.Time  `json:"seen_at"`               // its last sign of life
	LostAt      *time.Time `json:"lost_at,omitempty"`     // when it was given up
	Concurrency int        `json:"concurrency,omitempty"` // tasks that it can run at a time; zero: not known
}

// QueueDepth says how much waits in one queue.
type QueueDepth struct {
	Name    string `json:"name"`
	Type    string `json:"type"`    // the type of the task queue
	Waiting int64  `json:"waiting"` // that no worker has taken
	Unacked int64  `json:"unacked"` // that a worker has taken and not ended; of all queues together where the broker can't tell
}

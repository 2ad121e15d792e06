package asynq

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/hibiken/asynq"

	"tidings"
)

// Client puts jobs on a queue. Safe for concurrent use.
type Client struct {
	queue *asynq.Client
	store tidings.Appender
}

// NewClient makes a client that tells the store, or a server by its client, of
// the jobs that it puts on the queue.
func NewClient(queue *asynq.Client, store tidings.Appender) *Client {
	return &Client{queue: queue, store: store}
}

// Enqueue makes the job known, queued, and then puts its task on the queue. The
// task's ID is the job's: that of the spec, or of the option TaskID, or a new
// one. The event task_queued is in the log before a worker can see the task.
//
// Enqueueing a job again repeats nothing. Errors: those of asynq, such as
// asynq.ErrTaskIDConflict when the task is there already; those of
// Appender.Append, when nothing was put on the queue, among them
// [*tidings.ClosedError] for a job that has ended. After another error it is
// not known whether the task was queued: call it again with the same ID. A task
// that is refused because an equal one waits (option Unique) leaves a job that
// was cancelled. The option Group is refused, since an aggregated task is
// another task.
//
// Options that were given to asynq.NewTask can't be seen from outside: of these
// the ID is overruled, and the others are not in the event.
func (c *Client) Enqueue(ctx context.Context, job tidings.JobSpec, task *asynq.Task, opts ...asynq.Option) (*asynq.TaskInfo, error) {
	if task == nil {
		return nil, &tidings.InvalidError{Field: "task", Reason: "must not be nil"}
	}
	d := data{Task: task.Type()}
	for _, o := range opts {
		if err := d.option(o, &job); err != nil {
			return nil, err
		}
	}
	if job.ID == "" {
		job.ID = tidings.NewJobID()
	}
	d.TaskID = job.ID
	duplicate, err := c.queued(ctx, job, d)
	if err != nil {
		return nil, err
	}
	info, err := c.queue.EnqueueContext(ctx, task, slices.Concat(opts, []asynq.Option{asynq.TaskID(job.ID)})...)
	if errors.Is(err, asynq.ErrDuplicateTask) && !duplicate {
		c.refused(ctx, job.ID)
	}
	return info, err
}

// option takes over what an option says.
func (d *data) option(o asynq.Option, job *tidings.JobSpec) error {
	var at time.Time
	switch v := o.Value(); o.Type() {
	case asynq.TaskIDOpt:
		id, _ := v.(string)
		if job.ID != "" && job.ID != id {
			return &tidings.InvalidError{Field: "id", Reason: "the task's ID must be the job's: give one of them"}
		}
		job.ID = id
	case asynq.QueueOpt:
		d.Queue, _ = v.(string)
	case asynq.MaxRetryOpt:
		d.MaxRetry, _ = v.(int)
	case asynq.ProcessAtOpt:
		at, _ = v.(time.Time)
	case asynq.ProcessInOpt:
		in, _ := v.(time.Duration)
		at = time.Now().Add(in)
	case asynq.GroupOpt:
		return &tidings.InvalidError{Field: "group", Reason: "a grouped task becomes part of another task and can't be followed: enqueue it by asynq's own client"}
	}
	if !at.IsZero() {
		at = at.UTC().Truncate(time.Millisecond)
		d.ETA = &at
	}
	return nil
}

// queued tells that the job is queued, and whether that was told before.
func (c *Client) queued(ctx context.Context, job tidings.JobSpec, d data) (duplicate bool, err error) {
	labels := maps.Clone(label)
	maps.Copy(labels, job.Labels)
	known, err := tidings.NewEvent(tidings.TypePhaseUpdate, struct {
		Phase    string            `json:"phase"`
		Status   string            `json:"status"`
		Name     string            `json:"name,omitempty"`
		Labels   map[string]string `json:"labels,omitempty"`
		Metadata json.RawMessage   `json:"metadata,omitempty"`
	}{"job", "queued", job.Name, labels, job.Metadata})
	if err != nil {
		return false, err
	}
	r, err := c.store.Append(ctx, job.ID, place{kind: queued}.batch(known, newEvent(tidings.TypeTaskQueued, d)))
	_, fenced := errors.AsType[*tidings.FencedError](err) // the task has begun
	switch {
	case fenced || err == nil && r.Duplicate:
		return true, c.ended(ctx, job.ID)
	default:
		return false, err
	}
}

// ended gives the error of a job that has ended, as far as the store can be read.
func (c *Client) ended(ctx context.Context, jobID string) error {
	s, ok := c.store.(summaries)
	if !ok {
		return nil
	}
	if job, err := s.Job(ctx, jobID); err == nil && job.Closed {
		return &tidings.ClosedError{JobID: jobID, LastID: job.LastID}
	}
	return nil
}

// refused ends a job whose task will not come.
func (c *Client) refused(ctx context.Context, jobID string) {
	e := newEvent(tidings.TypeCancelled, data{Reason: "an equal task is in the queue already"})
	// If it fails, Queue.Reconcile finds the job without a task.
	_, _ = c.store.Append(ctx, jobID, place{kind: ended}.batch(e))
}

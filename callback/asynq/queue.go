package asynq

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/hibiken/asynq"

	"tidings"
)

// Store is what a [Queue] reads and writes: a store, or a client of a server.
type Store interface {
	tidings.Appender
	tidings.Reader
}

// QueueOptions are the settings of a [Queue]. The zero value works.
type QueueOptions struct {
	// Every is the pause between two looks of [Queue.Run]. Zero: 10 s.
	Every time.Duration
	// Missing is how long a queued job may have no task before it counts as
	// deleted: a client makes the job known first. Zero: 1 min.
	Missing time.Duration
	// Logger takes warnings. Nil: slog.Default().
	Logger *slog.Logger
}

// Queue looks after jobs that are tasks of asynq, by what Redis knows of them,
// and is their [tidings.TaskQueue]. Any number of them may run at a time: each
// step of a task is written once. Safe for concurrent use.
type Queue struct {
	client    *Client
	inspector *asynq.Inspector
	store     Store
	opts      QueueOptions
}

var _ tidings.TaskQueue = (*Queue)(nil)

// NewQueue makes a queue. Submit needs the client, which may be nil otherwise.
// Nil opts are the defaults.
func NewQueue(client *Client, inspector *asynq.Inspector, store Store, opts *QueueOptions) *Queue {
	q := &Queue{client: client, inspector: inspector, store: store}
	if opts != nil {
		q.opts = *opts
	}
	if q.opts.Every <= 0 {
		q.opts.Every = 10 * time.Second
	}
	if q.opts.Missing <= 0 {
		q.opts.Missing = time.Minute
	}
	if q.opts.Logger == nil {
		q.opts.Logger = slog.Default()
	}
	return q
}

// Workers implements [tidings.TaskQueue]: the servers that are alive. A server
// that was lost is forgotten by asynq within seconds.
func (q *Queue) Workers(context.Context) ([]tidings.Worker, error) {
	servers, err := q.inspector.Servers()
	if err != nil {
		return nil, unavailable(err)
	}
	workers := make([]tidings.Worker, 0, len(servers))
	for _, s := range servers {
		workers = append(workers, tidings.Worker{
			Name: fmt.Sprintf("%s:%d", s.Host, s.PID), Type: "asynq", Alive: s.Status == "active",
			Active: len(s.ActiveWorkers), Concurrency: s.Concurrency, Software: "asynq", SeenAt: time.Now(),
		})
	}
	slices.SortFunc(workers, func(a, b tidings.Worker) int { return strings.Compare(a.Name, b.Name) })
	return workers, nil
}

// Depths implements [tidings.TaskQueue]. Scheduled tasks and those that wait for
// a retry are not counted as waiting.
func (q *Queue) Depths(context.Context) ([]tidings.QueueDepth, error) {
	names, err := q.inspector.Queues()
	if err != nil {
		return nil, unavailable(err)
	}
	slices.Sort(names)
	depths := make([]tidings.QueueDepth, 0, len(names))
	for _, name := range names {
		info, err := q.inspector.GetQueueInfo(name)
		if err != nil {
			return nil, unavailable(err)
		}
		depths = append(depths, tidings.QueueDepth{Name: name, Type: "asynq", Waiting: int64(info.Pending), Unacked: int64(info.Active)})
	}
	return depths, nil
}

// unavailable is how an error of Redis is passed on.
func unavailable(err error) error { return fmt.Errorf("asynq: %w: %w", tidings.ErrUnavailable, err) }

// Stop implements [tidings.TaskQueue]. A task that no worker has begun is taken
// off the queue, and its job is cancelled. The handler of one that runs learns of the
// request by its context. Terminate ends the task's context as asynq itself
// does: asynq has no way to end a task that does not look at it.
func (q *Queue) Stop(ctx context.Context, jobID string, opts tidings.StopOptions) (tidings.StopReport, error) {
	job, err := q.store.Job(ctx, jobID)
	if err != nil {
		return tidings.StopReport{}, err
	}
	if !isOurs(&job) {
		return tidings.StopReport{}, tidings.ErrNoTask
	}
	_, task, err := q.place(ctx, &job)
	if err != nil {
		return tidings.StopReport{}, err
	}
	info, err := q.find(&job, task)
	switch {
	case err != nil:
		return tidings.StopReport{}, err
	case info == nil:
		return tidings.StopReport{Warning: "the task is not in the queue any more"}, nil
	case info.State != asynq.TaskStateActive:
		if err := q.takeBack(ctx, &job, info, opts.By, opts.Reason); err != nil {
			return tidings.StopReport{}, err
		}
		return tidings.StopReport{}, nil
	case !opts.Terminate:
		return tidings.StopReport{Workers: 1}, nil
	}
	if err := q.inspector.CancelProcessing(info.ID); err != nil {
		return tidings.StopReport{}, unavailable(err)
	}
	return tidings.StopReport{Workers: 1, Warning: "asynq can't end a task that does not look at its context"}, nil
}

// takeBack deletes a task that does not run, and ends its job.
func (q *Queue) takeBack(ctx context.Context, job *tidings.Job, info *asynq.TaskInfo, by, reason string) error {
	err := q.inspector.DeleteTask(info.Queue, info.ID)
	switch {
	case errors.Is(err, asynq.ErrTaskNotFound), errors.Is(err, asynq.ErrQueueNotFound):
	case err != nil && strings.Contains(err.Error(), "active"):
		return nil // a worker was faster; its middleware sees the request
	case err != nil:
		return unavailable(err)
	}
	e := newEvent(tidings.TypeCancelled, data{By: by, Reason: reason})
	_, err = q.store.Append(ctx, job.ID, tidings.Batch{Events: []tidings.Event{e}})
	if _, closed := errors.AsType[*tidings.ClosedError](err); closed {
		return nil
	}
	return err
}

// isOurs reports whether the job is a task of asynq.
func isOurs(job *tidings.Job) bool { return job.Labels["task_queue"] == label["task_queue"] }

// find gives the job's task by its ID, or nil if Redis has none.
func (q *Queue) find(job *tidings.Job, task string) (*asynq.TaskInfo, error) {
	queues := []string{}
	if job.Task != nil && job.Task.Queue != "" {
		queues = append(queues, job.Task.Queue)
	} else {
		all, err := q.inspector.Queues()
		if err != nil {
			return nil, unavailable(err)
		}
		queues = all
	}
	for _, name := range queues {
		info, err := q.inspector.GetTaskInfo(name, task)
		switch {
		case err == nil:
			return info, nil
		case !errors.Is(err, asynq.ErrTaskNotFound) && !errors.Is(err, asynq.ErrQueueNotFound):
			return nil, unavailable(err)
		}
	}
	return nil, nil
}

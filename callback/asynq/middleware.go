package asynq

import (
	"context"
	"log/slog"
	"maps"
	"runtime/debug"
	"time"

	"github.com/hibiken/asynq"

	"tidings"
)

// Options are the settings of [Middleware]. The zero value works.
type Options struct {
	// Job names the job that a task is of. Empty: the task is not observed. Nil:
	// the task's ID names it.
	Job func(ctx context.Context, task *asynq.Task) string
	// Handler are the settings of the jobs' handlers. ProducerID and Epoch are
	// set by the middleware.
	Handler tidings.HandlerOptions
	// LeaveOpen leaves the log open behind task_completed and task_failed, for
	// jobs that go on elsewhere. Otherwise the job ends as its task does.
	LeaveOpen bool
	// StartWait bounds how long a task waits for the store before it begins.
	// Zero: 5 s. Then it begins all the same.
	StartWait time.Duration
	// FlushWait bounds how long a task's end waits until its events are stored.
	// Zero: 10 s.
	FlushWait time.Duration
}

// Middleware gives the middleware of an asynq.ServeMux, or wraps any handler: each
// task is told of as a job, and its handler gets a context that holds the job
// ([Job]) and ends when the job is asked to stop. Nil opts are the defaults. The
// store is best one that can be read too, or a client of a server: then a task
// whose job has ended or was asked to stop does not begin.
//
// The task's handler must not end the job itself, by [tidings.Handler.End] or
// Run: the middleware does, when no further attempt will follow.
func Middleware(store tidings.Appender, opts *Options) asynq.MiddlewareFunc {
	w := &worker{store: store, name: workerName()}
	if opts != nil {
		w.opts = *opts
	}
	if w.opts.StartWait <= 0 {
		w.opts.StartWait = 5 * time.Second
	}
	if w.opts.FlushWait <= 0 {
		w.opts.FlushWait = 10 * time.Second
	}
	if w.log = w.opts.Handler.Logger; w.log == nil {
		w.log = slog.Default()
	}
	return func(next asynq.Handler) asynq.Handler {
		return asynq.HandlerFunc(func(ctx context.Context, task *asynq.Task) error {
			return w.process(ctx, task, next)
		})
	}
}

type deliveryKey struct{}

// Job gives the job of the task whose handler the context is for, or nil: a nil
// job takes everything and does nothing.
func Job(ctx context.Context) *tidings.Handler {
	if d, ok := ctx.Value(deliveryKey{}).(*delivery); ok {
		return d.job
	}
	return nil
}

// SetOutput sets what the job's end publishes as output if the task succeeds.
func SetOutput(ctx context.Context, output any) {
	if d, ok := ctx.Value(deliveryKey{}).(*delivery); ok {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.output = output
	}
}

// worker is what all tasks of one middleware share.
type worker struct {
	store tidings.Appender
	opts  Options
	log   *slog.Logger
	name  string
}

func (w *worker) process(ctx context.Context, task *asynq.Task, next asynq.Handler) error {
	d := w.delivery(ctx, task)
	if d == nil {
		return next.ProcessTask(ctx, task)
	}
	switch what, err := d.begin(); what {
	case skip:
		return err
	case unobserved:
		return next.ProcessTask(ctx, task)
	}
	return d.run(next)
}

// delivery gives what is known of a task that comes from the queue; nil if it is
// not to be observed.
func (w *worker) delivery(ctx context.Context, task *asynq.Task) *delivery {
	d := &delivery{w: w, ctx: ctx, task: task, began: time.Now()}
	d.data = data{Task: task.Type(), Worker: w.name}
	var known bool
	if d.data.TaskID, known = asynq.GetTaskID(ctx); !known { // not called by a server
		return nil
	}
	if d.jobID = d.data.TaskID; w.opts.Job != nil {
		d.jobID = w.named(ctx, task)
	}
	if d.jobID == "" {
		return nil
	}
	if err := tidings.ValidateJobID(d.jobID); err != nil {
		w.log.Warn("a task can't be told of; it runs unobserved", "task", d.data.TaskID, "error", err)
		return nil
	}
	retries, _ := asynq.GetRetryCount(ctx)
	d.data.Queue, _ = asynq.GetQueueName(ctx)
	d.data.MaxRetry, _ = asynq.GetMaxRetry(ctx)
	d.data.Attempt = int64(retries) + 1
	d.last = retries >= d.data.MaxRetry
	d.place = place{attempt: d.data.Attempt, delivery: 1, kind: started}
	return d
}

// named asks the option Job. A panic of it leaves the task unobserved.
func (w *worker) named(ctx context.Context, task *asynq.Task) (jobID string) {
	defer func() {
		if p := recover(); p != nil {
			w.log.Error("Options.Job panicked; the task runs unobserved", "task", task.Type(), "panic", p, "stack", string(debug.Stack()))
			jobID = ""
		}
	}()
	return w.opts.Job(ctx, task)
}

// handler starts the job's handler.
func (d *delivery) handler() *tidings.Handler {
	o := d.w.opts.Handler
	labels := maps.Clone(label)
	maps.Copy(labels, o.Labels)
	o.Labels = labels
	// Not the default ID: others may write to the job by the clock.
	o.ProducerID, o.Epoch = "asynq-task", d.place.epoch()
	return tidings.Start(d.ctx, d.jobID, d.w.store, &o)
}

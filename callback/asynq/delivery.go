package asynq

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hibiken/asynq"

	"tidings"
)

// delivery is one run of a task.
type delivery struct {
	w     *worker
	ctx   context.Context // asynq's: it ends when asynq has given the attempt up
	task  *asynq.Task
	jobID string
	data  data
	place place
	last  bool // no attempt follows if this one fails
	began time.Time
	job   *tidings.Handler

	deciding sync.Mutex // held while the end is told
	decided  bool
	result   error // what asynq is told, once decided

	mu     sync.Mutex
	output any
}

// verdict is what to do with a task that was delivered.
type verdict int

const (
	observed verdict = iota
	unobserved
	skip
)

// begin tells that the task starts, and finds out whether it should.
func (d *delivery) begin() (verdict, error) {
	ctx, cancel := context.WithTimeout(d.ctx, d.w.opts.StartWait)
	defer cancel()
	if what, err := d.allowed(ctx); what != observed {
		return what, err
	}
	told, err := d.started(ctx)
	if _, closed := errors.AsType[*tidings.ClosedError](err); closed {
		return d.closed(ctx)
	}
	d.job = d.handler()
	if !told {
		d.w.log.Warn("the store did not take the start of a task in time; it is told later", "job", d.jobID, "error", err)
		d.job.Emit(newEvent(tidings.TypeTaskStarted, d.data))
	}
	return observed, nil
}

// summaries is what a store or client has that can be read.
type summaries interface {
	Job(ctx context.Context, jobID string) (tidings.Job, error)
}

// allowed asks the job, if the store can be read, whether its task should run.
func (d *delivery) allowed(ctx context.Context) (verdict, error) {
	s, ok := d.w.store.(summaries)
	if !ok {
		return observed, nil
	}
	job, err := s.Job(ctx, d.jobID)
	switch {
	case err != nil:
		return observed, nil // unknown yet, or the store is away
	case job.Closed:
		return d.over(job)
	case job.Cancel != nil:
		e := newEvent(tidings.TypeCancelled, data{Reason: job.Cancel.Reason, By: job.Cancel.By})
		if _, err := d.w.store.Append(ctx, d.jobID, tidings.Batch{Events: []tidings.Event{e}}); err != nil {
			d.w.log.Warn("can't tell that a job was cancelled before its task began", "job", d.jobID, "error", err)
		}
		return skip, fmt.Errorf("the job was asked to stop before the task began: %w", asynq.RevokeTask)
	}
	return observed, nil
}

// closed is for a job that turns out to have ended.
func (d *delivery) closed(ctx context.Context) (verdict, error) {
	if s, ok := d.w.store.(summaries); ok {
		if job, err := s.Job(ctx, d.jobID); err == nil {
			return d.over(job)
		}
	}
	return unobserved, nil
}

// over says what becomes of a task whose job has ended. One that completed was
// delivered again because its worker died between telling us and telling asynq.
func (d *delivery) over(job tidings.Job) (verdict, error) {
	switch job.Status {
	case tidings.StatusCompleted:
		return skip, nil
	case tidings.StatusCancelled:
		return skip, fmt.Errorf("the job was cancelled: %w", asynq.RevokeTask)
	}
	d.w.log.Warn("the job of a task has failed before; the task runs again, unobserved", "job", d.jobID)
	return unobserved, nil
}

// started appends the event, as the next delivery of the attempt. It reports
// false with the reason if the store did not take it.
func (d *delivery) started(ctx context.Context) (bool, error) {
	if at, ok := d.ctx.Deadline(); ok {
		at = at.UTC().Truncate(time.Millisecond)
		d.data.Deadline = &at
	}
	for {
		d.data.Delivery, d.data.Epoch = d.place.delivery, d.place.epoch()
		r, err := d.w.store.Append(ctx, d.jobID, d.place.batch(newEvent(tidings.TypeTaskStarted, d.data)))
		fenced, isFenced := errors.AsType[*tidings.FencedError](err)
		switch {
		case isFenced: // this attempt was delivered before, or the job was queued again
			d.place = placeOf(fenced.Current).of(started)
			d.place.delivery++
		case err == nil && r.Duplicate:
			d.place.delivery++
		case err == nil:
			return true, nil
		default:
			// Which delivery this is can't be known: one later than any that is
			// counted, by the clock.
			d.place.delivery = 1<<16 | time.Now().Unix()&(1<<16-1)
			d.data.Delivery, d.data.Epoch = 0, d.place.epoch()
			return false, err
		}
	}
}

// run calls the task's handler and tells how it ended.
func (d *delivery) run(next asynq.Handler) (err error) {
	ctx := context.WithValue(d.job.Context(), deliveryKey{}, d)
	// When asynq gives up, by a time limit or because the lease was lost, it has
	// decided at once, whatever the handler returns later.
	stop := context.AfterFunc(d.ctx, func() { d.decide(d.ctx.Err()) })
	defer stop()
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		if p == nil {
			d.decide(errGoexit)
			return
		}
		d.decide(&tidings.PanicError{Value: p})
		panic(p)
	}()
	err = next.ProcessTask(ctx, d.task)
	returned = true
	return d.decide(err)
}

// errGoexit is how a task ends that stops its goroutine.
var errGoexit = errors.New("the task ended its goroutine without returning")

// decide tells how the task ended, the first time, and gives what asynq is to be
// told: the same whichever way it learns of the end.
func (d *delivery) decide(err error) error {
	d.deciding.Lock()
	defer d.deciding.Unlock()
	if d.decided {
		return d.result
	}
	d.decided = true
	d.result = d.end(err)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(d.ctx), d.w.opts.FlushWait)
	defer cancel()
	if err := d.job.Close(ctx); err != nil {
		d.w.log.Warn("not everything that a task told is stored", "job", d.jobID, "error", err)
	}
	return d.result
}

// end tells how the task ended.
func (d *delivery) end(err error) error {
	var asked *tidings.CancelledError
	switch {
	case err == nil:
		d.mu.Lock()
		output := d.output
		d.mu.Unlock()
		d.tell(tidings.TypeTaskCompleted, nil, output)
		d.endJob(output, nil)
		return nil
	case errors.Is(err, tidings.ErrInterrupted): // another task goes on with the job
		d.job.End(nil, err)
		return nil
	case errors.As(context.Cause(d.job.Context()), &asked):
		d.job.End(nil, asked)
		return fmt.Errorf("%w: %w", asynq.RevokeTask, asked)
	case errors.Is(err, asynq.RevokeTask):
		d.job.End(nil, &tidings.CancelledError{By: "the task", Reason: err.Error()})
	case errors.Is(d.ctx.Err(), context.Canceled):
		// The server shuts down, the lease was lost, or someone cancelled the task
		// by asynq's own means. If no attempt follows, Queue.Reconcile sees it.
		d.tell(tidings.TypeTaskRetried, err, nil)
	case d.last || errors.Is(err, asynq.SkipRetry):
		d.tell(tidings.TypeTaskFailed, err, nil)
		d.endJob(nil, err)
	default:
		d.tell(tidings.TypeTaskRetried, err, nil)
	}
	return err
}

func (d *delivery) endJob(output any, err error) {
	if !d.w.opts.LeaveOpen {
		d.job.End(output, err)
	}
}

func (d *delivery) tell(eventType string, err error, output any) {
	told := d.data
	told.Deadline = nil
	told.DurationMs = time.Since(d.began).Milliseconds()
	if err != nil {
		told.Error, told.Kind = err.Error(), errorKind(err)
		text, _ := json.Marshal(told.Error)
		if json.Unmarshal(d.redacted(eventType, "error", text), &told.Error) != nil {
			told.Error = "redacted"
		}
	}
	if output != nil {
		if text, err := json.Marshal(output); err == nil && len(text) <= maxResult {
			told.Result = d.redacted(eventType, "result", text)
		}
	}
	d.job.Emit(newEvent(eventType, told))
}

// redacted is the value as the handler's hook lets it pass; nothing if the hook
// panics.
func (d *delivery) redacted(eventType, field string, value json.RawMessage) (safe json.RawMessage) {
	hook := d.w.opts.Handler.Redact
	if hook == nil {
		return value
	}
	defer func() { _ = recover() }()
	return hook(eventType, field, value)
}

// maxResult is the size of a result up to which task_completed repeats it.
const maxResult = 16 << 10

func errorKind(err error) string {
	_, panicked := errors.AsType[*tidings.PanicError](err)
	switch {
	case panicked:
		return "panic"
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, context.Canceled):
		return "aborted"
	}
	return ""
}

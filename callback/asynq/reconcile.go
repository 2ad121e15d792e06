package asynq

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hibiken/asynq"

	"tidings"
)

// Run reconciles again and again, until ctx ends.
func (q *Queue) Run(ctx context.Context) {
	tick := time.NewTicker(q.opts.Every)
	defer tick.Stop()
	for {
		if _, err := q.Reconcile(ctx); err != nil && ctx.Err() == nil {
			q.opts.Logger.Warn("can't reconcile the jobs of asynq; trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Reconcile compares every open job of asynq once with its task in Redis, and
// writes what no worker told: that the task was given back, waits for a retry
// after its worker was lost, was archived, completed or deleted. Such events say
// "reconciled". Jobs that were asked to stop and do not run are taken off the
// queue. It returns how many jobs it changed.
func (q *Queue) Reconcile(ctx context.Context) (changed int, err error) {
	query := tidings.JobsQuery{Labels: label, Limit: 200, Status: []tidings.Status{
		tidings.StatusQueued, tidings.StatusRunning, tidings.StatusCancelling,
	}}
	var failed []error
	for {
		page, err := q.store.Jobs(ctx, query)
		if err != nil {
			return changed, errors.Join(append(failed, err)...)
		}
		for i := range page.Jobs {
			if q.lives(&page.Jobs[i]) {
				continue
			}
			did, err := q.reconcile(ctx, page.Jobs[i].ID)
			if err != nil {
				failed = append(failed, fmt.Errorf("job %s: %w", page.Jobs[i].ID, err))
			}
			if did {
				changed++
			}
		}
		if query.Cursor = page.NextCursor; query.Cursor == "" || ctx.Err() != nil || len(failed) > 20 {
			return changed, errors.Join(failed...)
		}
	}
}

// lives reports whether nothing is to be found out about the job yet.
func (q *Queue) lives(job *tidings.Job) bool {
	switch {
	case job.Cancel != nil:
		return false
	case job.Status == tidings.StatusQueued:
		return time.Since(job.UpdatedAt) < q.opts.Missing
	}
	return !job.Stalled(time.Now(), q.opts.Missing)
}

// finding is what a look at a job and its task gives.
type finding struct {
	job  tidings.Job
	at   place           // where the log says that the task is
	task string          // its ID
	info *asynq.TaskInfo // nil: there is no task
}

// look reads the log, and then the queue.
func (q *Queue) look(ctx context.Context, jobID string) (f finding, err error) {
	if f.job, err = q.store.Job(ctx, jobID); err != nil {
		return f, err
	}
	if f.at, f.task, err = q.place(ctx, &f.job); err != nil {
		return f, err
	}
	f.info, err = q.find(&f.job, f.task)
	return f, err
}

func (q *Queue) reconcile(ctx context.Context, jobID string) (changed bool, err error) {
	f, err := q.look(ctx, jobID)
	if errors.Is(err, tidings.ErrUnknownJob) {
		return false, nil
	}
	if err != nil || f.job.Status.Ended() || f.job.Status == tidings.StatusWaiting {
		return false, err
	}
	if f.info != nil && f.job.Cancel != nil && f.info.State != asynq.TaskStateActive && f.info.State != asynq.TaskStateCompleted {
		return true, q.takeBack(ctx, &f.job, f.info, f.job.Cancel.By, f.job.Cancel.Reason)
	}
	step, events := q.missed(&f)
	if len(events) == 0 {
		return false, nil
	}
	return q.write(ctx, &f, step, events)
}

// missed gives the step that the log lacks, if any.
func (q *Queue) missed(f *finding) (step place, events []tidings.Event) {
	silent := f.job.Status == tidings.StatusQueued || f.job.Stalled(time.Now(), q.opts.Missing)
	if f.info == nil {
		return q.gone(f, silent)
	}
	d := data{TaskID: f.info.ID, Task: f.info.Type, Queue: f.info.Queue, Attempt: f.at.attempt, MaxRetry: f.info.MaxRetry, Reconciled: true}
	switch f.info.State {
	case asynq.TaskStateArchived:
		d.Error, d.Attempt = f.info.LastErr, int64(f.info.Retried)+1
		return f.at.of(ended), []tidings.Event{newEvent(tidings.TypeTaskFailed, d), fatal(f.info.LastErr)}
	case asynq.TaskStateCompleted:
		d.Result = asJSON(f.info.Result)
		done := newEvent(tidings.TypeDone, data{Status: "completed", Reconciled: true})
		return f.at.of(ended), []tidings.Event{newEvent(tidings.TypeTaskCompleted, d), done}
	case asynq.TaskStateRetry:
		if f.at.kind != started || f.at.attempt > int64(f.info.Retried) {
			return step, nil // told by the worker, or not of this attempt
		}
		d.Error, d.ETA = f.info.LastErr, &f.info.NextProcessAt
		return f.at.of(retried), []tidings.Event{newEvent(tidings.TypeTaskRetried, d)}
	case asynq.TaskStatePending, asynq.TaskStateScheduled:
		if f.at.kind != started || !silent {
			return step, nil
		}
		d.Error = "the worker gave the task back to the queue"
		return f.at.of(retried), []tidings.Event{newEvent(tidings.TypeTaskRetried, d)}
	}
	return step, nil
}

// gone is for a job whose task is not in Redis.
func (q *Queue) gone(f *finding, silent bool) (step place, events []tidings.Event) {
	d := data{TaskID: f.task, Attempt: f.at.attempt, Reconciled: true}
	switch {
	case !silent || time.Since(f.job.UpdatedAt) < q.opts.Missing:
		return step, nil
	case f.job.Cancel != nil:
		return f.at.of(ended), []tidings.Event{newEvent(tidings.TypeCancelled, data{By: f.job.Cancel.By, Reason: f.job.Cancel.Reason, Reconciled: true})}
	case f.at.kind != started:
		return f.at.of(ended), []tidings.Event{newEvent(tidings.TypeCancelled, data{Reason: "the task is not in the queue: it was deleted, or never got there", Reconciled: true})}
	}
	d.Error = "the task is not in the queue any more, and its worker did not say how it ended"
	return f.at.of(ended), []tidings.Event{newEvent(tidings.TypeTaskFailed, d), fatal(d.Error)}
}

func fatal(text string) tidings.Event {
	return newEvent(tidings.TypeError, data{Error: text, Scope: "job", Fatal: true, Reconciled: true})
}

// asJSON is a task's result as it is if it is JSON, or else as a string.
func asJSON(result []byte) json.RawMessage {
	if len(result) == 0 || len(result) > maxResult {
		return nil
	}
	if json.Valid(result) {
		return result
	}
	text, _ := json.Marshal(string(result))
	return text
}

// write appends the step, unless a worker has told something meanwhile: what it
// tells of a task's end is in the log before asynq moves the task, so it is
// there after the look at the queue. What comes still later is another
// delivery, whose start fences the step off.
func (q *Queue) write(ctx context.Context, f *finding, step place, events []tidings.Event) (changed bool, err error) {
	if now, err := q.store.Job(ctx, f.job.ID); err != nil || now.LastID != f.job.LastID {
		return false, err
	}
	r, err := q.store.Append(ctx, f.job.ID, step.batch(events...))
	_, fenced := errors.AsType[*tidings.FencedError](err)
	_, closed := errors.AsType[*tidings.ClosedError](err)
	if fenced || closed {
		return false, nil
	}
	return err == nil && !r.Duplicate, err
}

// place finds the last step of the task that the log tells of, and the task's
// ID, which is the job's unless [Options].Job said otherwise.
func (q *Queue) place(ctx context.Context, job *tidings.Job) (at place, task string, err error) {
	at, task = place{kind: queued}, job.ID
	if job.Task == nil || job.Task.Attempt == 0 {
		return at, task, nil
	}
	query := tidings.Query{Backward: true, Limit: 500}
	for {
		page, err := q.store.Read(ctx, job.ID, query)
		if _, gap := errors.AsType[*tidings.GapError](err); gap {
			break
		}
		if err != nil {
			return at, task, err
		}
		for i := range page.Events {
			if p, id, ok := placeOfEvent(&page.Events[i]); ok {
				return p, cmp.Or(id, task), nil
			}
		}
		if !page.More || len(page.Events) == 0 {
			break
		}
		query.Before = page.Events[len(page.Events)-1].ID
	}
	return at, task, nil
}

// placeOfEvent gives the step that an event of the log tells of, and the ID of
// its task.
func placeOfEvent(e *tidings.Event) (at place, task string, ok bool) {
	kinds := map[string]kind{
		tidings.TypeTaskQueued: queued, tidings.TypeTaskStarted: started, tidings.TypeTaskRetried: retried,
		tidings.TypeTaskCompleted: ended, tidings.TypeTaskFailed: ended,
	}
	k, ok := kinds[e.Type]
	if !ok {
		return place{}, "", false
	}
	var d data
	_ = json.Unmarshal(e.Data, &d)
	switch {
	case k == queued:
		at = place{kind: queued}
	case d.Epoch <= 0:
		at = place{attempt: max(d.Attempt, 1), delivery: 1, kind: k}
	default:
		at = placeOf(d.Epoch).of(k)
	}
	return at, d.TaskID, true
}

package celery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"tidings"
)

// Stop implements [tidings.TaskQueue]: it revokes the job's task. A task that
// waits in its queue is taken out of it, and one that a worker keeps for later
// will not run: both end as cancelled at once. One that runs ends if the worker
// can terminate it, or if it heeds the request itself.
func (b *Bridge) Stop(ctx context.Context, jobID string, opts tidings.StopOptions) (tidings.StopReport, error) {
	job, err := b.store.Job(ctx, jobID)
	if err != nil {
		return tidings.StopReport{}, err
	}
	if !isOurs(&job) || !b.adoptJob(ctx, jobID) {
		return tidings.StopReport{}, tidings.ErrNoTask
	}
	var report tidings.StopReport
	var failed error
	found := false
	for _, t := range b.open() {
		if t.job != jobID {
			continue
		}
		found = true
		r, err := b.stop(ctx, t, opts)
		report.Workers = max(report.Workers, r.Workers)
		if r.Warning != "" {
			report.Warning = r.Warning
		}
		failed = errors.Join(failed, err)
	}
	if !found && !job.Status.Ended() {
		report.Warning = "no open task of the job is known"
	}
	return report, failed
}

func (b *Bridge) stop(ctx context.Context, t open, opts tidings.StopOptions) (tidings.StopReport, error) {
	if t.place.kind == sent || t.place.kind == rejected || t.place.kind == retried {
		queue := t.queue
		if queue == "" {
			queue = defaultQueue
		}
		if gone, err := b.broker.takeBack(ctx, queue, t.id); err != nil {
			return tidings.StopReport{}, err
		} else if gone {
			b.cancelled(ctx, t, opts.Reason)
			return tidings.StopReport{}, nil
		}
	}
	heard, err := b.revoke(ctx, t.id, opts)
	if err != nil {
		return tidings.StopReport{}, err
	}
	report := tidings.StopReport{Workers: heard}
	switch {
	case heard == 0:
		report.Warning = "no worker heard the request; it is repeated while the job is open, but a worker that starts meanwhile may run the task"
	case t.place.kind != started && (t.place.kind != received || !b.runs(ctx, t)):
		b.cancelled(ctx, t, opts.Reason) // it will not be begun
	case !opts.Terminate:
		report.Warning = "the task runs already: it ends only if it looks for requests to stop itself; terminate would kill its process"
	case !b.canTerminate(ctx, t.worker):
		report.Warning = fmt.Sprintf("worker %s can't terminate tasks: only the prefork pool can", t.worker)
	}
	return report, nil
}

// revoke tells all workers to drop the task.
func (b *Bridge) revoke(ctx context.Context, taskID string, opts tidings.StopOptions) (int, error) {
	signal := opts.Signal
	if signal == "" {
		signal = "SIGTERM"
	}
	return b.broker.broadcast(ctx, command{method: "revoke", arguments: map[string]any{
		"task_id": taskID, "terminate": opts.Terminate, "signal": signal,
	}})
}

// cancelled tells at once that a task will not run. What workers say of it later
// is known for the same.
func (b *Bridge) cancelled(ctx context.Context, t open, reason string) {
	if reason == "" {
		reason = "revoked"
	}
	b.conclude(ctx, t, verdict{state: stateRevoked, reason: reason})
}

// runs asks the workers whether one has begun the task, of which it may not have
// told yet.
func (b *Bridge) runs(ctx context.Context, t open) bool {
	replies, err := b.broker.ask(ctx, queryTask(t.id), max(b.workers.living(), 1), time.Second)
	if err != nil {
		return true
	}
	for _, reply := range replies {
		for _, tasks := range parseReply[map[string][]json.RawMessage](reply) {
			if pair := tasks[t.id]; len(pair) > 0 && string(pair[0]) == `"active"` {
				return true
			}
		}
	}
	return false
}

// canTerminate asks the worker for the kind of its pool. It is taken for able
// if it does not answer.
func (b *Bridge) canTerminate(ctx context.Context, worker string) bool {
	replies, err := b.broker.ask(ctx, command{method: "stats", arguments: map[string]any{}}, b.workers.living(), time.Second)
	if err != nil {
		return true
	}
	for _, reply := range replies {
		if pool := poolOf(reply, worker); pool != "" {
			return isPrefork(pool)
		}
	}
	return true
}

// stopAgain repeats the requests for tasks that are still open: workers that
// started meanwhile have not heard them.
func (b *Bridge) stopAgain(ctx context.Context, tasks []open, stopping map[string]*tidings.CancelRequest) {
	for _, t := range tasks {
		request := stopping[t.job]
		if request == nil {
			continue
		}
		if t.place.kind == started {
			_, _ = b.revoke(ctx, t.id, tidings.StopOptions{})
			continue
		}
		if _, err := b.stop(ctx, t, tidings.StopOptions{Reason: request.Reason, By: request.By}); err != nil {
			b.once("stop", "requests to stop can't be passed on to Celery", err)
			return
		}
	}
}

// Workers implements [tidings.TaskQueue].
func (b *Bridge) Workers(context.Context) ([]tidings.Worker, error) { return b.workers.list(), nil }

// Depths implements [tidings.TaskQueue].
func (b *Bridge) Depths(ctx context.Context) ([]tidings.QueueDepth, error) {
	return b.broker.depths(ctx)
}

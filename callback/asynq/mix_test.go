package asynq_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	hibiken "github.com/hibiken/asynq"

	"tidings"
	"tidings/callback/asynq"
)

// Many tasks of all kinds on two servers, while two queues look after them:
// every job reaches its right status, with each step once.
func TestManyTasksOfAllKindsEndRight(t *testing.T) {
	const each = 15
	kinds := map[string]struct {
		steps  string
		status tidings.Status
	}{
		"succeed": {"task_queued, task_started 1, task_completed 1, done", tidings.StatusCompleted},
		"retry":   {"task_queued, task_started 1, task_retried 1, task_started 2, task_completed 2, done", tidings.StatusCompleted},
		"fail":    {"task_queued, task_started 1, task_retried 1, task_started 2, task_failed 2, error", tidings.StatusFailed},
		"skip":    {"task_queued, task_started 1, task_failed 1, error", tidings.StatusFailed},
		"revoke":  {"task_queued, task_started 1, cancelled", tidings.StatusCancelled},
		"panic":   {"task_queued, task_started 1, task_retried 1, task_started 2, task_failed 2, error", tidings.StatusFailed},
		"cancel":  {"task_queued, task_started 1, cancelled", tidings.StatusCancelled},
		"delete":  {"task_queued, cancelled", tidings.StatusCancelled},
		"archive": {"task_queued, task_failed 1 reconciled, error", tidings.StatusFailed},
	}
	w := newWorld(t)
	handle := func(ctx context.Context, task *hibiken.Task) error {
		attempt, _ := hibiken.GetRetryCount(ctx)
		switch task.Type() {
		case "retry":
			if attempt == 0 {
				return errors.New("not yet")
			}
		case "fail":
			return errors.New("never")
		case "skip":
			return hibiken.SkipRetry
		case "revoke":
			return hibiken.RevokeTask
		case "panic":
			panic("at once")
		case "cancel":
			id, _ := hibiken.GetTaskID(ctx)
			if err := tidings.RequestCancel(ctx, w.store, id, "ada", ""); err != nil {
				return err
			}
			<-ctx.Done()
			return context.Cause(ctx)
		}
		return nil
	}
	for range 2 {
		w.serve(nil, config(), handle)
		queue := w.newQueue(&asynq.QueueOptions{Every: 20 * time.Millisecond, Missing: 200 * time.Millisecond})
		go queue.Run(w.ctx)
	}
	begin := time.Now()
	for i := range each {
		for kind := range kinds {
			opts := []hibiken.Option{hibiken.MaxRetry(1)}
			if kind == "delete" || kind == "archive" {
				opts = append(opts, hibiken.ProcessIn(time.Hour))
			}
			spec := tidings.JobSpec{ID: fmt.Sprint(kind, i)}
			if _, err := w.client.Enqueue(w.ctx, spec, hibiken.NewTask(kind, nil), opts...); err != nil {
				t.Fatal(err)
			}
			var err error
			switch kind {
			case "delete":
				err = w.inspector.DeleteTask("default", spec.ID)
			case "archive":
				err = w.inspector.ArchiveTask("default", spec.ID)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for kind, want := range kinds {
		for i := range each {
			id := fmt.Sprint(kind, i)
			w.until(id+" has ended", func() bool { return w.job(id).Closed })
			w.expectSteps(id, want.steps)
			w.expectStatus(id, want.status)
		}
	}
	t.Logf("%d tasks of %d kinds in %s", each*len(kinds), len(kinds), time.Since(begin).Round(time.Millisecond))
}

package asynq_test

import (
	"context"
	"testing"
	"time"

	hibiken "github.com/hibiken/asynq"

	"tidings"
	"tidings/callback/asynq"
)

// lost leaves the log of a job as a worker leaves it that was killed, of a job
// that Options.Job named, whose task asynq has given back.
func (w *world) lost(id, task string) {
	w.t.Helper()
	raw := hibiken.NewClient(w.opt())
	defer raw.Close()
	if _, err := raw.Enqueue(hibiken.NewTask("report", nil), hibiken.TaskID(task)); err != nil {
		w.t.Fatal(err)
	}
	events := []tidings.Event{
		{Type: tidings.TypePhaseUpdate, Data: []byte(`{"phase":"job","status":"started","labels":{"task_queue":"asynq"}}`)},
		{Type: tidings.TypeTaskStarted, Data: []byte(`{"task_id":"` + task + `","task":"report","queue":"default","attempt":1}`)},
	}
	if _, err := w.store.Append(w.ctx, id, tidings.Batch{Events: events}); err != nil {
		w.t.Fatal(err)
	}
}

// TestJobThatIsNamedOtherwiseIsFoundByItsTasksID: it must not pass for one whose
// task is gone.
func TestJobThatIsNamedOtherwiseIsFoundByItsTasksID(t *testing.T) {
	w := newWorld(t)
	w.lost("mine", "task-1")
	w.reconciled("mine", "task_started 1, task_retried 1 reconciled")
	w.expectStatus("mine", tidings.StatusQueued)

	if _, err := w.queue.Stop(w.ctx, "mine", tidings.StopOptions{By: "ana"}); err != nil {
		t.Fatal(err)
	}
	w.expectStatus("mine", tidings.StatusCancelled)
	if !w.gone("default", "task-1") {
		t.Error("the task is still in the queue")
	}
}

// TestAJobsNameThatPanicsLeavesItsTaskUnobserved: the task runs all the same.
func TestAJobsNameThatPanicsLeavesItsTaskUnobserved(t *testing.T) {
	w := newWorld(t)
	ran := make(chan *tidings.Handler, 1)
	opts := &asynq.Options{Job: func(context.Context, *hibiken.Task) string { panic("no name") }}
	w.serve(opts, config(), func(ctx context.Context, task *hibiken.Task) error {
		ran <- asynq.Job(ctx)
		return nil
	})
	raw := hibiken.NewClient(w.opt())
	defer raw.Close()
	if _, err := raw.Enqueue(hibiken.NewTask("unnamed", nil)); err != nil {
		t.Fatal(err)
	}
	select {
	case job := <-ran:
		if job != nil {
			t.Error("the task is observed")
		}
	case <-time.After(patience):
		t.Fatal("the task did not run")
	}
}

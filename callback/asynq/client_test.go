package asynq_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	hibiken "github.com/hibiken/asynq"

	"tidings"
	"tidings/callback/asynq"
)

func TestEnqueueingAgainRepeatsNothing(t *testing.T) {
	w := newWorld(t)
	w.enqueue("r1")
	_, err := w.client.Enqueue(w.ctx, tidings.JobSpec{ID: "r1"}, hibiken.NewTask("report", nil))
	if !errors.Is(err, hibiken.ErrTaskIDConflict) {
		t.Errorf("got %v", err)
	}
	w.expectSteps("r1", "task_queued")
	if info, err := w.inspector.GetQueueInfo("default"); err != nil || info.Size != 1 {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestQueuedIsInTheLogBeforeAWorkerCanSeeTheTask(t *testing.T) {
	w := newWorld(t)
	w.serve(nil, config(), func(context.Context, *hibiken.Task) error { return nil })
	for range 20 {
		info := w.enqueue("")
		w.await(info.ID, is(tidings.TypeDone))
		w.expectSteps(info.ID, "task_queued, task_started 1, task_completed 1, done")
	}
}

func TestStoreThatRefusesKeepsTheTaskOffTheQueue(t *testing.T) {
	w := newWorld(t)
	raw := hibiken.NewClient(w.opt())
	defer raw.Close()
	away := &absent{Appender: w.store}
	away.down.Store(true)
	client := asynq.NewClient(raw, away)
	if _, err := client.Enqueue(w.ctx, tidings.JobSpec{ID: "r1"}, hibiken.NewTask("report", nil)); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if !w.gone("default", "r1") {
		t.Error("the task is on the queue")
	}
	away.down.Store(false)
	if _, err := client.Enqueue(w.ctx, tidings.JobSpec{ID: "r1"}, hibiken.NewTask("report", nil)); err != nil {
		t.Error(err)
	}
}

func TestEqualTaskIsCancelledAtOnce(t *testing.T) {
	w := newWorld(t)
	w.enqueue("r1", hibiken.Unique(time.Hour))
	_, err := w.client.Enqueue(w.ctx, tidings.JobSpec{ID: "r2"}, hibiken.NewTask("report", []byte(`{"n":1}`)), hibiken.Unique(time.Hour))
	if !errors.Is(err, hibiken.ErrDuplicateTask) {
		t.Errorf("got %v", err)
	}
	w.expectSteps("r1", "task_queued")
	w.expectSteps("r2", "task_queued, cancelled")
}

func TestJobThatHasEndedIsNotQueuedAgain(t *testing.T) {
	w := newWorld(t)
	w.serve(nil, config(), func(context.Context, *hibiken.Task) error { return nil })
	w.enqueue("r1")
	w.await("r1", is(tidings.TypeDone))
	w.until("the task is gone", func() bool { return w.gone("default", "r1") })
	_, err := w.client.Enqueue(w.ctx, tidings.JobSpec{ID: "r1"}, hibiken.NewTask("report", nil))
	if closed := (*tidings.ClosedError)(nil); !errors.As(err, &closed) {
		t.Errorf("got %v", err)
	}
	if !w.gone("default", "r1") {
		t.Error("a task is on the queue")
	}
	w.expectSteps("r1", "task_queued, task_started 1, task_completed 1, done")
}

func TestOptionsThatCanNotBeKept(t *testing.T) {
	w := newWorld(t)
	task := hibiken.NewTask("report", nil)
	for name, enqueue := range map[string]func() error{
		"two IDs": func() error {
			_, err := w.client.Enqueue(w.ctx, tidings.JobSpec{ID: "a"}, task, hibiken.TaskID("b"))
			return err
		},
		"a group": func() error {
			_, err := w.client.Enqueue(w.ctx, tidings.JobSpec{}, task, hibiken.Group("g"))
			return err
		},
		"no task": func() error { _, err := w.client.Enqueue(w.ctx, tidings.JobSpec{}, nil); return err },
		"a brace": func() error { _, err := w.client.Enqueue(w.ctx, tidings.JobSpec{ID: "{a}"}, task); return err },
	} {
		if invalid := (*tidings.InvalidError)(nil); !errors.As(enqueue(), &invalid) {
			t.Errorf("%s is taken: %v", name, enqueue())
		}
	}
	info, err := w.client.Enqueue(w.ctx, tidings.JobSpec{}, task, hibiken.TaskID("mine"))
	if err != nil || info.ID != "mine" {
		t.Errorf("%+v, %v", info, err)
	}
}

func TestSubmit(t *testing.T) {
	w := newWorld(t)
	payload := make(chan string, 1)
	w.serve(nil, config(), func(_ context.Context, task *hibiken.Task) error {
		payload <- task.Type() + " " + string(task.Payload()) + " " + task.Headers()["h"]
		return nil
	})
	task := json.RawMessage(`{"type":"asynq","task":"report:make","payload":{"n":1},"headers":{"h":"x"},"queue":"low","max_retry":0,
		"timeout":60,"countdown":0.01,"unique":60,"retention":60,"deadline":"2100-01-01T00:00:00Z"}`)
	created, err := w.queue.Submit(w.ctx, tidings.JobSpec{ID: "r1", Labels: map[string]string{"team": "print"}}, task)
	if !created || err != nil {
		t.Fatal(created, err)
	}
	if got := <-payload; got != `report:make {"n":1} x` {
		t.Errorf("the worker got %s", got)
	}
	w.await("r1", is(tidings.TypeDone))
	if job := w.job("r1"); job.Name != "report:make" || job.Labels["team"] != "print" {
		t.Errorf("the job is %+v", job)
	}
}

func TestSubmitAgainCreatesNothing(t *testing.T) {
	w := newWorld(t)
	for i, want := range []bool{true, false} {
		created, err := w.queue.Submit(w.ctx, tidings.JobSpec{ID: "r1"}, json.RawMessage(`{"task":"report","countdown":3600}`))
		if created != want || err != nil {
			t.Errorf("submission %d: %v, %v", i, created, err)
		}
	}
}

func TestSubmitOfWhatIsNoTask(t *testing.T) {
	w := newWorld(t)
	for _, text := range []string{
		``, `null`, `[]`, `{}`, `{"task":7}`, `{"task":""}`, `{"task":"a","x":1}`, `{"task":"a","timeout":-1}`, `{"task":"a","max_retry":-1}`,
		`{"task":"a","countdown":1e300}`, `{"task":"a","unique":0.1}`, `{"task":"a","eta":"yesterday"}`, `{"task":"a","eta":"2030-01-01T00:00:00Z","countdown":1}`,
		`{"task":"` + strings.Repeat("a", 300) + `"}`,
	} {
		_, err := w.queue.Submit(w.ctx, tidings.JobSpec{ID: "r1"}, json.RawMessage(text))
		if invalid := (*tidings.InvalidError)(nil); !errors.As(err, &invalid) {
			t.Errorf("%s gives %v", text, err)
		}
	}
	if _, err := w.store.Job(w.ctx, "r1"); !errors.Is(err, tidings.ErrUnknownJob) {
		t.Errorf("something was written: %v", err)
	}
}

func TestExample(t *testing.T) {
	w := newWorld(t)
	var out strings.Builder
	if err := report(w.ctx, w.redis.Addr(), &out); err != nil {
		t.Fatal(err)
	}
	const want = `phase_update
task_queued
task_started
phase_update
phase_update
phase_update
phase_update
task_completed
done
`
	if out.String() != want {
		t.Errorf("it printed:\n%s", out.String())
	}
}

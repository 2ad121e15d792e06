package asynq_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	hibiken "github.com/hibiken/asynq"

	"tidings"
	"tidings/callback/asynq"
)

func TestTaskThatSucceeds(t *testing.T) {
	w := newWorld(t)
	w.serve(nil, config(), func(ctx context.Context, task *hibiken.Task) error {
		_, run := asynq.Job(ctx).Phase(ctx, "read")
		run.End(nil)
		asynq.SetOutput(ctx, map[string]int{"pages": 7})
		return nil
	})
	info := w.enqueue("r1", hibiken.Queue("low"), hibiken.MaxRetry(3))
	if info.ID != "r1" {
		t.Errorf("the task's ID is %s", info.ID)
	}
	w.await("r1", is(tidings.TypeDone))
	w.expectSteps("r1", "task_queued, task_started 1, task_completed 1, done")
	w.expectStatus("r1", tidings.StatusCompleted)
	job := w.job("r1")
	if job.Task == nil || job.Task.Task != "report" || job.Task.Queue != "low" || !strings.HasSuffix(job.Task.Worker, fmt.Sprint(":", os.Getpid())) {
		t.Errorf("the job's task is %+v", job.Task)
	}
	if job.Name != "report" || job.Labels["task_queue"] != "asynq" {
		t.Errorf("the job is called %q, labels %v", job.Name, job.Labels)
	}
	for _, e := range w.events("r1") {
		if f := fields(t, e); e.Type == tidings.TypeTaskCompleted && fmt.Sprint(f.Result) != "map[pages:7]" {
			t.Errorf("the result is %v", f.Result)
		}
	}
	w.until("the task is done", func() bool { return w.gone("low", "r1") })
}

func TestRetriesAreAttemptsAndTheLastFailureEndsTheJob(t *testing.T) {
	w := newWorld(t)
	w.serve(nil, config(), func(context.Context, *hibiken.Task) error { return errors.New("no paper") })
	w.enqueue("r1", hibiken.MaxRetry(2))
	w.await("r1", is(tidings.TypeError))
	w.expectSteps("r1", "task_queued, task_started 1, task_retried 1, task_started 2, task_retried 2, task_started 3, task_failed 3, error")
	if job := w.job("r1"); job.Status != tidings.StatusFailed || job.Error != "no paper" || job.Task.Attempt != 3 {
		t.Errorf("the job is %+v", job)
	}
	w.until("the task is archived", func() bool { return w.state("default", "r1") == hibiken.TaskStateArchived })
}

func TestSecondAttemptSucceeds(t *testing.T) {
	w := newWorld(t)
	var tries atomic.Int32
	w.serve(nil, config(), func(ctx context.Context, _ *hibiken.Task) error {
		if tries.Add(1) == 1 {
			return errors.New("no paper")
		}
		return nil
	})
	w.enqueue("r1")
	w.await("r1", is(tidings.TypeDone))
	w.expectSteps("r1", "task_queued, task_started 1, task_retried 1, task_started 2, task_completed 2, done")
	w.expectStatus("r1", tidings.StatusCompleted)
}

func TestSkipRetryFailsAtOnce(t *testing.T) {
	w := newWorld(t)
	w.serve(nil, config(), func(context.Context, *hibiken.Task) error {
		return fmt.Errorf("broken input: %w", hibiken.SkipRetry)
	})
	w.enqueue("r1", hibiken.MaxRetry(5))
	w.await("r1", is(tidings.TypeError))
	w.expectSteps("r1", "task_queued, task_started 1, task_failed 1, error")
}

func TestRevokedByItselfIsCancelled(t *testing.T) {
	w := newWorld(t)
	w.serve(nil, config(), func(context.Context, *hibiken.Task) error {
		return fmt.Errorf("not needed any more: %w", hibiken.RevokeTask)
	})
	w.enqueue("r1")
	w.await("r1", is(tidings.TypeCancelled))
	w.expectSteps("r1", "task_queued, task_started 1, cancelled")
	w.until("the task is gone", func() bool { return w.gone("default", "r1") })
}

func TestPanicIsToldAndRetried(t *testing.T) {
	w := newWorld(t)
	panics := make(chan bool, 4)
	c := config()
	c.ErrorHandler = hibiken.ErrorHandlerFunc(func(_ context.Context, _ *hibiken.Task, err error) { panics <- hibiken.IsPanicError(err) })
	var tries atomic.Int32
	w.serve(nil, c, func(context.Context, *hibiken.Task) error {
		if tries.Add(1) == 1 {
			panic("out of ink")
		}
		return nil
	})
	w.enqueue("r1")
	w.await("r1", is(tidings.TypeDone))
	w.expectSteps("r1", "task_queued, task_started 1, task_retried 1, task_started 2, task_completed 2, done")
	for _, e := range w.events("r1") {
		if f := fields(t, e); e.Type == tidings.TypeTaskRetried && (f.Kind != "panic" || !strings.Contains(f.Error, "out of ink")) {
			t.Errorf("the panic is told as %+v", f)
		}
	}
	if !<-panics {
		t.Error("for asynq the panic was an error")
	}
}

func TestTimeLimitIsARetryAlsoIfTheHandlerIgnoresIt(t *testing.T) {
	w := newWorld(t)
	var tries atomic.Int32
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	w.serve(nil, config(), func(ctx context.Context, _ *hibiken.Task) error {
		if tries.Add(1) == 1 {
			<-release // and not ctx.Done()
		}
		return nil
	})
	w.enqueue("r1", hibiken.Timeout(time.Second))
	w.await("r1", is(tidings.TypeDone))
	w.expectSteps("r1", "task_queued, task_started 1, task_retried 1, task_started 2, task_completed 2, done")
	for _, e := range w.events("r1") {
		if f := fields(t, e); e.Type == tidings.TypeTaskRetried && f.Kind != "timeout" {
			t.Errorf("the time limit is told as %+v", f)
		}
	}
}

func TestCancelOfARunningTask(t *testing.T) {
	w := newWorld(t)
	w.serve(nil, config(), func(ctx context.Context, _ *hibiken.Task) error {
		asynq.Job(ctx).Custom("working", 1)
		<-ctx.Done()
		return errors.New("the printer was switched off") // not even ctx.Err()
	})
	w.enqueue("r1", hibiken.MaxRetry(5))
	w.await("r1", custom("working"))
	if err := tidings.RequestCancel(w.ctx, w.store, "r1", "ada", "wrong report"); err != nil {
		t.Fatal(err)
	}
	w.await("r1", is(tidings.TypeCancelled))
	w.expectSteps("r1", "task_queued, task_started 1, cancelled")
	events := w.events("r1")
	if f := fields(t, events[len(events)-1]); f.Reason != "wrong report" {
		t.Errorf("the reason is %q", f.Reason)
	}
	w.until("the task is gone, not retried", func() bool { return w.gone("default", "r1") })
}

func TestJobThatWasAskedToStopDoesNotBegin(t *testing.T) {
	w := newWorld(t)
	w.enqueue("r1")
	if err := tidings.RequestCancel(w.ctx, w.store, "r1", "ada", "wrong report"); err != nil {
		t.Fatal(err)
	}
	w.serve(nil, config(), func(context.Context, *hibiken.Task) error {
		t.Error("the task began")
		return nil
	})
	w.await("r1", is(tidings.TypeCancelled))
	w.until("the task is gone", func() bool { return w.gone("default", "r1") })
	w.expectSteps("r1", "task_queued, cancelled")
}

func TestTaskOfACompletedJobDoesNotRunTwice(t *testing.T) {
	w := newWorld(t)
	var runs atomic.Int32
	w.serve(nil, config(), func(context.Context, *hibiken.Task) error {
		runs.Add(1)
		return nil
	})
	w.enqueue("r1", hibiken.Retention(time.Hour))
	w.until("it is completed", func() bool { return w.state("default", "r1") == hibiken.TaskStateCompleted })
	// As after a crash between telling us and telling asynq.
	if err := w.inspector.DeleteTask("default", "r1"); err != nil {
		t.Fatal(err)
	}
	raw := hibiken.NewClient(w.opt())
	defer raw.Close()
	if _, err := raw.Enqueue(hibiken.NewTask("report", nil), hibiken.TaskID("r1")); err != nil {
		t.Fatal(err)
	}
	w.until("it is done", func() bool { return w.gone("default", "r1") })
	if n := runs.Load(); n != 1 {
		t.Errorf("it ran %d times", n)
	}
}

func TestShutdownGivesTheTaskBackAndItIsDeliveredAgain(t *testing.T) {
	w := newWorld(t)
	c := config()
	c.ShutdownTimeout = 50 * time.Millisecond
	release := make(chan struct{})
	var told atomic.Bool
	first := w.serve(nil, c, func(ctx context.Context, _ *hibiken.Task) error {
		asynq.Job(ctx).Custom("working", 1)
		<-release // it does not look at its context
		asynq.Job(ctx).Custom("from the grave", 1)
		told.Store(true)
		return errors.New("too late")
	})
	w.enqueue("r1", hibiken.MaxRetry(0)) // given back is no attempt that counts
	w.await("r1", custom("working"))
	first.Shutdown()
	w.await("r1", is(tidings.TypeTaskRetried))
	w.expectStatus("r1", tidings.StatusQueued)

	w.serve(nil, config(), func(ctx context.Context, _ *hibiken.Task) error {
		close(release)
		w.until("the first one has spoken", told.Load)
		return nil
	})
	w.await("r1", is(tidings.TypeDone))
	w.expectSteps("r1", "task_queued, task_started 1, task_retried 1, task_started 1, task_completed 1, done")
	if log := w.outline("r1"); strings.Contains(log, "from the grave") {
		t.Errorf("the first worker wrote on:\n%s", log)
	}
	var deliveries []int
	for _, e := range w.events("r1") {
		if e.Type == tidings.TypeTaskStarted {
			deliveries = append(deliveries, fields(t, e).Delivery)
		}
	}
	if fmt.Sprint(deliveries) != "[1 2]" {
		t.Errorf("the deliveries are %v", deliveries)
	}
}

func TestTaskOfAClientThatKnowsNothingOfTidings(t *testing.T) {
	w := newWorld(t)
	w.serve(nil, config(), func(context.Context, *hibiken.Task) error { return nil })
	raw := hibiken.NewClient(w.opt())
	defer raw.Close()
	info, err := raw.Enqueue(hibiken.NewTask("report", nil))
	if err != nil {
		t.Fatal(err)
	}
	w.await(info.ID, is(tidings.TypeDone))
	w.expectSteps(info.ID, "task_started 1, task_completed 1, done")
}

func TestJobOptionNamesTheJobAndLeavesOthersOut(t *testing.T) {
	w := newWorld(t)
	observed := make(chan bool, 2)
	w.serve(&asynq.Options{Job: func(_ context.Context, task *hibiken.Task) string {
		return task.Headers()["job"]
	}}, config(), func(ctx context.Context, _ *hibiken.Task) error {
		observed <- asynq.Job(ctx) != nil
		return nil
	})
	raw := hibiken.NewClient(w.opt())
	defer raw.Close()
	if _, err := raw.Enqueue(hibiken.NewTask("plain", nil)); err != nil {
		t.Fatal(err)
	}
	if <-observed {
		t.Error("a task without a job is observed")
	}
	if _, err := raw.Enqueue(hibiken.NewTaskWithHeaders("report", nil, map[string]string{"job": "mine"})); err != nil {
		t.Fatal(err)
	}
	w.await("mine", is(tidings.TypeDone))
}

func TestTaskThatAsksForInputLeavesTheJobWaiting(t *testing.T) {
	w := newWorld(t)
	w.serve(nil, config(), func(ctx context.Context, _ *hibiken.Task) error {
		asynq.Job(ctx).Interrupt("may I?")
		return tidings.ErrInterrupted
	})
	w.enqueue("r1")
	w.until("the task is done", func() bool { return w.job("r1").Status == tidings.StatusWaiting && w.gone("default", "r1") })
	w.expectSteps("r1", "task_queued, task_started 1")
}

func TestLeftOpenTheLogGoesOn(t *testing.T) {
	w := newWorld(t)
	w.serve(&asynq.Options{LeaveOpen: true}, config(), func(context.Context, *hibiken.Task) error { return nil })
	w.enqueue("r1")
	w.await("r1", is(tidings.TypeTaskCompleted))
	if job := w.job("r1"); job.Closed || job.Status != tidings.StatusCompleted {
		t.Errorf("the job is %+v", job)
	}
}

// The store may be away: the task must run all the same, and be told of later.
func TestStoreThatIsAwayDelaysATaskNoLongerThanSaid(t *testing.T) {
	w := newWorld(t)
	away := &absent{Appender: w.store}
	away.down.Store(true)
	ran := make(chan struct{})
	s := hibiken.NewServer(w.opt(), config())
	opts := &asynq.Options{StartWait: 10 * time.Millisecond, Handler: tidings.HandlerOptions{Logger: quiet}}
	handler := asynq.Middleware(away, opts)(hibiken.HandlerFunc(func(ctx context.Context, _ *hibiken.Task) error {
		asynq.Job(ctx).Custom("working", 1)
		close(ran)
		away.down.Store(false)
		return nil
	}))
	if err := s.Start(handler); err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	w.enqueue("r1")
	<-ran
	w.await("r1", is(tidings.TypeDone))
	w.expectSteps("r1", "task_queued, task_started 1, task_completed 1, done")
}

// absent is a way to a store that may be cut.
type absent struct {
	tidings.Appender
	down atomic.Bool
}

func (a *absent) Append(ctx context.Context, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	if a.down.Load() {
		return tidings.Receipt{}, tidings.ErrUnavailable
	}
	return a.Appender.Append(ctx, jobID, b)
}

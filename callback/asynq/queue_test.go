package asynq_test

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	hibiken "github.com/hibiken/asynq"

	"tidings"
	"tidings/callback/asynq"
)

// ageLease makes the leases of running tasks so old that asynq takes their
// workers for lost, as waiting for a minute would.
func (w *world) ageLease(id string) {
	w.t.Helper()
	old := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
	w.redis.CLI("ZADD", "asynq:{default}:lease", "XX", old, id)
}

// reconciled looks until the job has the steps.
func (w *world) reconciled(id, steps string) {
	w.t.Helper()
	w.until("the steps are "+steps, func() bool {
		if _, err := w.queue.Reconcile(w.ctx); err != nil {
			w.t.Fatal(err)
		}
		return w.steps(id) == steps
	})
}

func TestKilledWorkerTaskIsRetried(t *testing.T) {
	w := newWorld(t)
	worker := w.startWorker()
	w.enqueue("r1", hibiken.MaxRetry(3))
	w.await("r1", custom("working"))
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = worker.Wait()
	w.ageLease("r1")

	c := config()
	hold := make(chan struct{})
	c.RetryDelayFunc = func(int, error, *hibiken.Task) time.Duration {
		select {
		case <-hold:
			return time.Millisecond
		default:
			return time.Hour // until the queue was looked at
		}
	}
	w.serve(nil, c, func(context.Context, *hibiken.Task) error { return nil })
	w.until("asynq has recovered it", func() bool { return w.state("default", "r1") == hibiken.TaskStateRetry })
	w.reconciled("r1", "task_queued, task_started 1, task_retried 1 reconciled")
	w.expectStatus("r1", tidings.StatusQueued)
	close(hold)
	if err := w.inspector.RunTask("default", "r1"); err != nil {
		t.Fatal(err)
	}
	w.await("r1", is(tidings.TypeDone))
	w.expectSteps("r1", "task_queued, task_started 1, task_retried 1 reconciled, task_started 2, task_completed 2, done")
}

func TestKilledWorkerOfTheLastAttemptFailsTheJob(t *testing.T) {
	w := newWorld(t)
	worker := w.startWorker()
	w.enqueue("r1", hibiken.MaxRetry(0))
	w.await("r1", custom("working"))
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = worker.Wait()
	w.ageLease("r1")
	w.serve(nil, config(), func(context.Context, *hibiken.Task) error { return nil })
	w.reconciled("r1", "task_queued, task_started 1, task_failed 1 reconciled, error")
	if job := w.job("r1"); job.Status != tidings.StatusFailed || !strings.Contains(job.Error, "lease expired") {
		t.Errorf("the job is %+v", job)
	}
}

func TestPausedWorkerComesBackAsAZombieAndIsFencedOff(t *testing.T) {
	w := newWorld(t)
	worker := w.startWorker()
	w.enqueue("r1", hibiken.MaxRetry(3))
	w.await("r1", custom("working"))
	if err := worker.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	w.ageLease("r1")
	ending := make(chan struct{})
	w.serve(nil, config(), func(ctx context.Context, _ *hibiken.Task) error {
		asynq.Job(ctx).Custom("second", 1)
		<-ending
		return nil
	})
	w.await("r1", custom("second"))
	if err := worker.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	_ = worker.Wait() // it ends when its task's context does
	if said := w.output.String(); !strings.Contains(said, "the task's context ended:") {
		t.Errorf("the zombie said %q", said)
	}
	close(ending)
	w.await("r1", is(tidings.TypeDone))
	w.expectSteps("r1", "task_queued, task_started 1, task_started 2, task_completed 2, done")
}

func TestDeadlineThatPassedInTheQueueIsFoundOut(t *testing.T) {
	w := newWorld(t)
	w.enqueue("r1", hibiken.Deadline(time.Now().Add(-time.Minute)), hibiken.MaxRetry(0))
	w.serve(nil, config(), func(context.Context, *hibiken.Task) error {
		t.Error("it ran")
		return nil
	})
	w.until("it is archived", func() bool { return w.state("default", "r1") == hibiken.TaskStateArchived })
	w.reconciled("r1", "task_queued, task_failed 1 reconciled, error")
	if job := w.job("r1"); !strings.Contains(job.Error, "deadline exceeded") {
		t.Errorf("the job is %+v", job)
	}
}

func TestDeletedTaskIsCancelled(t *testing.T) {
	w := newWorld(t)
	w.enqueue("r1", hibiken.ProcessIn(time.Hour))
	if err := w.inspector.DeleteTask("default", "r1"); err != nil {
		t.Fatal(err)
	}
	w.reconciled("r1", "task_queued, cancelled")
}

func TestScheduledTaskIsLeftAlone(t *testing.T) {
	w := newWorld(t)
	w.enqueue("r1", hibiken.ProcessIn(time.Hour))
	w.until("it is old enough", func() bool { return time.Since(w.job("r1").UpdatedAt) > 10*time.Millisecond })
	if n, err := w.queue.Reconcile(w.ctx); n != 0 || err != nil {
		t.Errorf("%d jobs were changed, %v", n, err)
	}
	w.expectStatus("r1", tidings.StatusQueued)
	for _, e := range w.events("r1") {
		if e.Type == tidings.TypeTaskQueued && fields(t, e).ETA == "" {
			t.Errorf("the time is not told: %s", e.Data)
		}
	}
}

func TestArchivedByAnOperatorIsFailed(t *testing.T) {
	w := newWorld(t)
	w.enqueue("r1")
	if err := w.inspector.ArchiveTask("default", "r1"); err != nil {
		t.Fatal(err)
	}
	w.reconciled("r1", "task_queued, task_failed 1 reconciled, error")
}

func TestCompletedWithoutAWordIsFoundOut(t *testing.T) {
	w := newWorld(t)
	w.enqueue("r1", hibiken.Retention(time.Hour))
	// A worker without the middleware.
	s := hibiken.NewServer(w.opt(), config())
	if err := s.Start(hibiken.HandlerFunc(func(_ context.Context, task *hibiken.Task) error {
		_, err := task.ResultWriter().Write([]byte("7 pages"))
		return err
	})); err != nil {
		t.Fatal(err)
	}
	defer s.Shutdown()
	w.until("it is completed", func() bool { return w.state("default", "r1") == hibiken.TaskStateCompleted })
	w.reconciled("r1", "task_queued, task_completed reconciled, done")
	for _, e := range w.events("r1") {
		if e.Type == tidings.TypeTaskCompleted && fields(t, e).Result != "7 pages" {
			t.Errorf("the result is %s", e.Data)
		}
	}
}

func TestStopTakesAWaitingTaskBack(t *testing.T) {
	w := newWorld(t)
	w.enqueue("r1")
	w.enqueue("r2", hibiken.Queue("low"), hibiken.ProcessIn(time.Hour))
	for _, id := range []string{"r1", "r2"} {
		if err := tidings.RequestCancel(w.ctx, w.store, id, "ada", "wrong report"); err != nil {
			t.Fatal(err)
		}
		report, err := w.queue.Stop(w.ctx, id, tidings.StopOptions{By: "ada", Reason: "wrong report"})
		if report != (tidings.StopReport{}) || err != nil {
			t.Errorf("%+v, %v", report, err)
		}
		w.expectSteps(id, "task_queued, cancelled")
		if !w.gone("default", id) || !w.gone("low", id) {
			t.Errorf("the task of %s is still there", id)
		}
	}
}

func TestRequestThatNobodyPassedOnIsReconciled(t *testing.T) {
	w := newWorld(t)
	w.enqueue("r1", hibiken.ProcessIn(time.Hour))
	if err := tidings.RequestCancel(w.ctx, w.store, "r1", "ada", "wrong report"); err != nil {
		t.Fatal(err)
	}
	w.reconciled("r1", "task_queued, cancelled")
	if !w.gone("default", "r1") {
		t.Error("the task is still there")
	}
}

func TestStopOfARunningTask(t *testing.T) {
	w := newWorld(t)
	w.serve(nil, config(), func(ctx context.Context, _ *hibiken.Task) error {
		asynq.Job(ctx).Custom("working", 1)
		<-ctx.Done()
		return ctx.Err()
	})
	w.enqueue("r1")
	w.await("r1", custom("working"))
	if report, err := w.queue.Stop(w.ctx, "r1", tidings.StopOptions{}); report.Workers != 1 || report.Warning != "" || err != nil {
		t.Errorf("%+v, %v", report, err)
	}
	if err := tidings.RequestCancel(w.ctx, w.store, "r1", "ada", ""); err != nil {
		t.Fatal(err)
	}
	if report, err := w.queue.Stop(w.ctx, "r1", tidings.StopOptions{Terminate: true}); err != nil {
		t.Errorf("%+v, %v", report, err)
	}
	w.await("r1", is(tidings.TypeCancelled))
}

func TestStopOfWhatIsNoTask(t *testing.T) {
	w := newWorld(t)
	if _, _, err := tidings.Create(w.ctx, w.store, tidings.JobSpec{ID: "other"}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.queue.Stop(w.ctx, "other", tidings.StopOptions{}); !errors.Is(err, tidings.ErrNoTask) {
		t.Errorf("got %v", err)
	}
	if _, err := w.queue.Stop(w.ctx, "nobody", tidings.StopOptions{}); !errors.Is(err, tidings.ErrUnknownJob) {
		t.Errorf("got %v", err)
	}
}

func TestTwoQueuesThatReconcileWriteEachStepOnce(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"r1", "r2", "r3", "r4"} {
		w.enqueue(id)
		if err := w.inspector.ArchiveTask("default", id); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 4)
	for range 4 {
		q := w.newQueue(nil)
		go func() {
			_, err := q.Reconcile(w.ctx)
			done <- err
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, id := range []string{"r1", "r2", "r3", "r4"} {
		w.reconciled(id, "task_queued, task_failed 1 reconciled, error")
	}
}

func TestRunReconcilesUntilItsContextEnds(t *testing.T) {
	w := newWorld(t)
	w.enqueue("r1")
	if err := w.inspector.ArchiveTask("default", "r1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		w.newQueue(&asynq.QueueOptions{Every: 10 * time.Millisecond}).Run(ctx)
	}()
	w.await("r1", is(tidings.TypeError))
	cancel()
	<-ended
}

func TestWorkersAndDepths(t *testing.T) {
	w := newWorld(t)
	w.enqueue("waiting", hibiken.Queue("elsewhere"))
	hold := make(chan struct{})
	defer close(hold)
	w.serve(nil, config(), func(context.Context, *hibiken.Task) error { <-hold; return nil })
	w.enqueue("r1")
	w.await("r1", is(tidings.TypeTaskStarted))
	w.until("the worker says so", func() bool {
		workers, err := w.queue.Workers(w.ctx)
		return err == nil && len(workers) == 1 && workers[0].Alive && workers[0].Active == 1 && workers[0].Concurrency == 4 &&
			workers[0].Name == w.job("r1").Task.Worker
	})
	depths, err := w.queue.Depths(w.ctx)
	if err != nil || len(depths) != 2 || depths[0].Unacked != 1 || depths[1].Waiting != 1 || depths[1].Name != "elsewhere" {
		t.Errorf("%+v, %v", depths, err)
	}
}

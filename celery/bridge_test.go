package celery

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings"
)

// What a worker that knows nothing of Tidings does with tasks of every kind is
// in their jobs' logs, each step once and in order.
func TestTasksOfARealWorker(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	store := testStore(t)
	b := a.bridge(store, Options{})
	a.worker("w1").awaitEvents(t) // started without -E

	marker := filepath.Join(t.TempDir(), "marker")
	a.do(`
app.add.apply_async((2, 3), task_id="ok")
app.fail.apply_async(("broken",), task_id="fails")
app.flaky.apply_async((2,), task_id="retried")
app.progress.apply_async((3,), task_id="progress")
app.custom.apply_async((), task_id="custom")
app.limited.apply_async((), task_id="limit")
app.ignored.apply_async((), task_id="ignored")
app.rejected.apply_async((), task_id="rejected")
app.die_once.apply_async((%q,), task_id="redelivered")
app.add.apply_async((1, 1), task_id="expired", expires=-5)
app.app.send_task("app.nope", task_id="unknown")
app.die.apply_async((), task_id="dies")
`, marker)

	for id, want := range map[string][]string{
		"ok":    {"task_queued 1 received", "task_started 1", "task_completed 1"},
		"fails": {"task_queued 1 received", "task_started 1", "task_failed 1 ValueError"},
		"retried": {
			"task_queued 1 received", "task_started 1", "task_retried 1 RuntimeError",
			"task_queued 2 received", "task_started 2", "task_retried 2 RuntimeError",
			"task_queued 3 received", "task_started 3", "task_completed 3",
		},
		"progress": {"task_queued 1 received", "task_started 1", "task_progress 1", "task_progress 1", "task_progress 1", "task_completed 1"},
		"custom":   {"task_queued 1 received", "task_started 1", "task_progress 1", "task_completed 1"},
		"limit":    {"task_queued 1 received", "task_started 1", "task_failed 1 TimeLimitExceeded"},
		"ignored":  {"task_queued 1 received", "task_started 1", "task_completed 1 unknown reconciled"},
		"rejected": {"task_queued 1 received", "task_started 1", "task_failed 1 Reject"},
		"redelivered": {
			"task_queued 1 received", "task_started 1", "task_retried 1 redelivered",
			"task_queued 1+1 received", "task_started 1+1", "task_completed 1+1",
		},
		"expired": {"cancelled 1 expired"}, // and received, if the worker says that first
		"unknown": {"task_failed 1 NotRegistered"},
		"dies":    {"task_queued 1 received", "task_started 1", "task_failed 1 WorkerLostError"},
	} {
		verdict := tidings.StatusCompleted
		switch last := want[len(want)-1]; {
		case strings.HasPrefix(last, "task_failed"):
			verdict = tidings.StatusFailed
		case strings.HasPrefix(last, "cancelled"):
			verdict = tidings.StatusCancelled
		}
		awaitStatus(t, store, id, verdict)
		got := story(t, store, id)
		if id == "expired" {
			got = got[len(got)-1:]
		}
		t.Run(id, func(t *testing.T) { same(t, got, want...) })
	}
	job, err := store.Job(t.Context(), "progress")
	if err != nil || job.Progress == nil || *job.Progress != 1 || job.Message != "step 3" || job.Name != "app.progress" || job.Task.Worker != "w1@test" {
		t.Errorf("the job is %+v, %v", job, err)
	}
	if s := b.Stats(); s.Open != 0 || s.Unread != 0 || s.Refused != 0 || s.Dropped != 0 {
		t.Errorf("the bridge counts %+v", s)
	}
}

// A keyword argument may name the job; then several tasks share one log.
func TestKeywordArgumentNamesTheJob(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	store := testStore(t)
	a.bridge(store, Options{JobArg: "job_id"})
	a.worker("w1").awaitEvents(t)
	a.do(`
app.add.apply_async((2, 3), {"job_id": "it's mine"}, task_id="first")
app.add.apply_async((2, 3), task_id="second")
`)
	awaitStatus(t, store, "it's mine", tidings.StatusCompleted)
	awaitStatus(t, store, "second", tidings.StatusCompleted)
	if _, err := store.Job(t.Context(), "first"); !errors.Is(err, tidings.ErrUnknownJob) {
		t.Errorf("the task has a log of its own: %v", err)
	}
}

// A worker that is killed with all its processes says nothing. A task that it had
// acknowledged has failed; one that it had not is delivered again.
func TestKilledWorker(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	a.env = append(a.env, "VISIBILITY=2")
	store := testStore(t)
	b := a.bridge(store, Options{})
	w := a.worker("w1")
	w.awaitEvents(t)
	a.do(`
app.sleep.apply_async((60,), task_id="acknowledged")
app.sleep_late.apply_async((3,), task_id="late")
`)
	awaitStatus(t, store, "acknowledged", tidings.StatusRunning)
	awaitStatus(t, store, "late", tidings.StatusRunning)
	w.kill()
	awaitStatus(t, store, "acknowledged", tidings.StatusFailed)
	same(t, story(t, store, "acknowledged"), "task_queued 1 received", "task_started 1", "task_failed 1 worker_lost reconciled")
	if alive := b.workers.living(); alive != 0 {
		t.Errorf("%d workers are alive", alive)
	}
	a.worker("w2", "-E") // or it would run the task before it is told to send events
	awaitStatus(t, store, "late", tidings.StatusCompleted)
	same(t, story(t, store, "late"),
		"task_queued 1 received", "task_started 1",
		"task_queued 1+1 received", "task_started 1+1", "task_completed 1+1")
}

// While no bridge runs, tasks go on; the next one finds out how they ended.
func TestBridgeThatWasAway(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	store := testStore(t)
	first := a.bridge(store, Options{})
	a.worker("w1", "-E")
	a.do(`
app.sleep.apply_async((2,), task_id="ends")
app.sleep_fails.apply_async((2,), task_id="fails")
app.sleep.apply_async((20,), task_id="waits")
`)
	awaitStatus(t, store, "ends", tidings.StatusRunning)
	awaitStatus(t, store, "fails", tidings.StatusRunning)
	eventually(t, "the third is known", func() bool { return first.Stats().Open == 3 })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "they have ended", func() bool {
		return a.redis.CLI("EXISTS", "celery-task-meta-ends", "celery-task-meta-fails") == "2"
	})
	a.bridge(store, Options{})
	awaitStatus(t, store, "ends", tidings.StatusCompleted)
	same(t, story(t, store, "ends"), "task_queued 1 received", "task_started 1", "task_completed 1 reconciled")
	awaitStatus(t, store, "fails", tidings.StatusFailed)
	same(t, story(t, store, "fails"), "task_queued 1 received", "task_started 1", "task_failed 1 ValueError reconciled")
}

// A job whose task has ended, and of which nobody says more, is closed: those who
// watch it get the end. One that waits for input is not.
func TestJobsAreClosedAfterTheirTask(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	store := testStore(t)
	before := a.bridge(store, Options{})
	a.worker("w1").awaitEvents(t)
	a.do(`app.add.apply_async((2, 3), task_id="before")`)
	awaitStatus(t, store, "before", tidings.StatusCompleted)
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	a.bridge(store, Options{closeAfter: 10 * time.Millisecond})
	a.do(`
app.sleep.apply_async((2,), task_id="waits")
app.add.apply_async((2, 3), task_id="ok")
app.fail.apply_async(("broken",), task_id="fails")
`)
	awaitStatus(t, store, "waits", tidings.StatusRunning)
	h := tidings.Start(t.Context(), "waits", store, nil) // as in its worker
	h.Interrupt("go on?")
	if err := h.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	closed := func(id string) func() bool {
		return func() bool {
			job, err := store.Job(t.Context(), id)
			return err == nil && job.Closed
		}
	}
	for _, id := range []string{"before", "ok", "fails"} {
		eventually(t, id+" is closed", closed(id))
	}
	same(t, story(t, store, "before"), "task_queued 1 received", "task_started 1", "task_completed 1", "done 1 completed")
	same(t, story(t, store, "ok"), "task_queued 1 received", "task_started 1", "task_completed 1", "done 1 completed")
	same(t, story(t, store, "fails"), "task_queued 1 received", "task_started 1", "task_failed 1 ValueError", "error 1 ValueError")
	if job := awaitStatus(t, store, "fails", tidings.StatusFailed); job.Error != "ValueError: broken" {
		t.Errorf("the error is %q", job.Error)
	}
	eventually(t, "the task of the job that waits has ended", func() bool {
		lines := story(t, store, "waits")
		return lines[len(lines)-1] == "task_completed 1"
	})
	if closed("waits")() || awaitStatus(t, store, "waits", tidings.StatusWaiting).Closed {
		t.Error("the job that waits is closed")
	}
}

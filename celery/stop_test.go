package celery

import (
	"encoding/json"
	"strings"
	"testing"

	"tidings"
)

func (b *Bridge) submit(t *testing.T, id, task string) {
	t.Helper()
	created, err := b.Submit(t.Context(), tidings.JobSpec{ID: id}, json.RawMessage(task))
	if err != nil || !created {
		t.Fatalf("submitting %s: %v, %v", id, created, err)
	}
}

func (b *Bridge) askStop(t *testing.T, id string, opts tidings.StopOptions) tidings.StopReport {
	t.Helper()
	if err := tidings.RequestCancel(t.Context(), b.store, id, "ann", "enough"); err != nil {
		t.Fatal(err)
	}
	opts.By, opts.Reason = "ann", "enough"
	report, err := b.Stop(t.Context(), id, opts)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// A job that is submitted runs on a real worker, once however often it is
// submitted, and its log begins before the worker can have it.
func TestSubmit(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	store := testStore(t)
	b := a.bridge(store, Options{})
	w := a.worker("w1", "-Q", "celery,other")
	w.awaitEvents(t)
	b.submit(t, "ours", `{"task":"app.add","args":[2],"kwargs":{"y":3},"priority":9,"queue":"other","expires":60,"headers":{"tenant":"t1"}}`)
	if again, err := b.Submit(t.Context(), tidings.JobSpec{ID: "ours"}, json.RawMessage(`{"task":"app.add","args":[2,3]}`)); again || err != nil {
		t.Errorf("submitted again: %v, %v", again, err)
	}
	awaitStatus(t, store, "ours", tidings.StatusCompleted)
	same(t, story(t, store, "ours"),
		"phase_update 0 queued", "task_queued 1", "task_queued 1 received", "task_started 1", "task_completed 1")
	if got := a.do(`print(app.app.AsyncResult("ours").get(timeout=10))`); got != "{'sum': 5}" {
		t.Errorf("the result is %s", got)
	}
	b.submit(t, "later", `{"task":"app.add","args":[2,3],"countdown":0.5}`)
	awaitStatus(t, store, "later", tidings.StatusCompleted)
}

func TestSubmitRefusesWhatIsNoTask(t *testing.T) {
	t.Parallel()
	b := &Bridge{}
	for task, want := range map[string]string{
		`{}`:                              `queue.task`,
		`{"task":"a","kwarg":{}}`:         `unknown field "kwarg"`,
		`{"task":"a","priority":10}`:      `queue.priority`,
		`{"task":"a","countdown":-1}`:     `queue.countdown`,
		`{"task":"a","expires":"soon"}`:   `queue.expires`,
		`{"task":"a","queue":"a\u0006b"}`: `queue.queue`,
		`[]`:                              `must be an object`,
	} {
		_, err := b.Submit(t.Context(), tidings.JobSpec{ID: "job"}, json.RawMessage(task))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want %s", task, err, want)
		}
	}
}

func TestStop(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	store := testStore(t)
	b := a.bridge(store, Options{})

	b.submit(t, "in the queue", `{"task":"app.sleep","args":[60]}`)
	if report := b.askStop(t, "in the queue", tidings.StopOptions{}); report.Warning != "" {
		t.Errorf("taken out of its queue: %+v", report)
	}
	awaitStatus(t, store, "in the queue", tidings.StatusCancelled)
	if n := a.redis.CLI("LLEN", "celery"); n != "0" {
		t.Errorf("%s messages are in the queue", n)
	}

	w := a.worker("w1")
	w.awaitEvents(t)
	b.submit(t, "kept for later", `{"task":"app.add","args":[1,1],"countdown":3}`)
	eventually(t, "the worker has it", func() bool {
		job, _ := store.Job(t.Context(), "kept for later")
		return job.Task.Worker != ""
	})
	if report := b.askStop(t, "kept for later", tidings.StopOptions{}); report.Workers != 1 || report.Warning != "" {
		t.Errorf("kept for later: %+v", report)
	}
	awaitStatus(t, store, "kept for later", tidings.StatusCancelled)

	b.submit(t, "running", `{"task":"app.sleep","args":[60]}`)
	awaitStatus(t, store, "running", tidings.StatusRunning)
	if report := b.askStop(t, "running", tidings.StopOptions{}); report.Workers != 1 || !strings.Contains(report.Warning, "runs already") {
		t.Errorf("running, without terminate: %+v", report)
	}
	if report := b.askStop(t, "running", tidings.StopOptions{Terminate: true}); report.Workers != 1 || report.Warning != "" {
		t.Errorf("running, with terminate: %+v", report)
	}
	awaitStatus(t, store, "running", tidings.StatusCancelled)
	lines := story(t, store, "running")
	if last := lines[len(lines)-1]; !strings.HasPrefix(last, "cancelled 1 ") {
		t.Errorf("the last event is %s", last)
	}
	eventually(t, "no replies are left behind", func() bool { return a.redis.CLI("KEYS", "*.reply.celery.pidbox") == "" })
	if _, err := b.Stop(t.Context(), "nobody's", tidings.StopOptions{}); err == nil {
		t.Error("an unknown job was stopped")
	}
}

func TestStopSaysWhatCanNotBeStopped(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	store := testStore(t)
	b := a.bridge(store, Options{})
	w := a.worker("w1", "-P", "threads")
	w.awaitEvents(t)
	b.submit(t, "job", `{"task":"app.sleep","args":[5]}`)
	awaitStatus(t, store, "job", tidings.StatusRunning)
	if report := b.askStop(t, "job", tidings.StopOptions{Terminate: true}); !strings.Contains(report.Warning, "prefork") {
		t.Errorf("a pool of threads: %+v", report)
	}
}

package celery

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"tidings"
)

// A task that is to be tried again may wait in its queue for hours: no worker
// has it, and nothing is known against it.
func TestRetryThatWaitsIsNoVerdict(t *testing.T) {
	t.Parallel()
	_, redis, store := puppetBridge(t, Options{})
	p := newPuppet(t, redis, "w1@test", 1)
	p.received("waits", "")
	p.started("waits")
	p.event("task-retried", `"uuid":"waits","exception":"E('x')"`)
	eventually(t, "the retry is told", func() bool { return len(story(t, store, "waits")) == 3 })
	p.has("asked after", "reserved")
	p.received("asked after", "")
	awaitStatus(t, store, "asked after", tidings.StatusQueued)
	p.rounds(5)
	same(t, story(t, store, "waits"), "task_queued 1 received", "task_started 1", "task_retried 1 E")
}

// A worker without a pool neither sends heartbeats nor answers while it runs a
// task. It is lost only when its connection is.
func TestBusyWorkerIsNotLost(t *testing.T) {
	t.Parallel()
	b, redis, store := puppetBridge(t, Options{})
	other := newPuppet(t, redis, "w2@test", 2)
	other.has("kept", "reserved")
	other.received("kept", "")
	solo := newPuppet(t, redis, "w1@test", 1)
	solo.has("long", "active")
	solo.received("long", "")
	solo.started("long")
	awaitStatus(t, store, "long", tidings.StatusRunning)
	solo.silence()
	eventually(t, "it counts as silent", func() bool { alive, _ := b.workers.alive("w1@test"); return !alive })
	other.rounds(4)
	same(t, story(t, store, "long"), "task_queued 1 received", "task_started 1")
	solo.kill()
	awaitStatus(t, store, "long", tidings.StatusFailed)
	same(t, story(t, store, "long"), "task_queued 1 received", "task_started 1", "task_failed 1 worker_lost reconciled")
	same(t, story(t, store, "kept"), "task_queued 1 received")
}

// A worker that was killed and started again under its name has lost what it ran,
// though it is alive.
func TestWorkerThatWasStartedAgain(t *testing.T) {
	t.Parallel()
	_, redis, store := puppetBridge(t, Options{})
	first := newPuppet(t, redis, "w1@test", 1)
	first.has("lost", "active")
	first.received("lost", "")
	first.started("lost")
	awaitStatus(t, store, "lost", tidings.StatusRunning)
	first.kill()
	second := newPuppet(t, redis, "w1@test", 2)
	second.received("ignored", "")
	second.started("ignored")
	awaitStatus(t, store, "lost", tidings.StatusFailed)
	awaitStatus(t, store, "ignored", tidings.StatusCompleted)
	same(t, story(t, store, "lost"), "task_queued 1 received", "task_started 1", "task_failed 1 worker_lost reconciled")
	same(t, story(t, store, "ignored"), "task_queued 1 received", "task_started 1", "task_completed 1 unknown reconciled")
}

// What a lost worker had not acknowledged is back on its queue sooner or later: it
// will be run.
func TestMessageThatIsBackOnItsQueue(t *testing.T) {
	t.Parallel()
	_, redis, store := puppetBridge(t, Options{})
	p, other := newPuppet(t, redis, "w1@test", 1), newPuppet(t, redis, "w2@test", 2)
	other.has("kept", "reserved")
	other.received("kept", "")
	for _, id := range []string{"back", "held", "gone"} {
		p.has(id, "active")
		p.received(id, "")
		p.started(id)
	}
	c := redis.Dial()
	for _, command := range [][]string{
		{"SADD", "_kombu.binding.celery", "celery\x06\x16\x06\x16celery"},
		{"LPUSH", "celery", `{"headers":{"id":"back"}}`},
		{"HSET", "unacked", "tag", `[{"headers":{"id":"held"}},"","celery"]`},
	} {
		if _, err := c.Do(command...); err != nil {
			t.Fatal(err)
		}
	}
	awaitStatus(t, store, "gone", tidings.StatusRunning)
	p.kill()
	awaitStatus(t, store, "gone", tidings.StatusFailed)
	other.rounds(3)
	for _, id := range []string{"back", "held"} {
		same(t, story(t, store, id), "task_queued 1 received", "task_started 1")
	}
}

// Tasks of another task queue in the same store are none of the bridge's.
func TestJobsOfOtherTaskQueuesAreLeftAlone(t *testing.T) {
	t.Parallel()
	b, redis, store := puppetBridge(t, Options{})
	p := newPuppet(t, redis, "w1@test", 1)
	for id, label := range map[string]string{"asynq's": "asynq", "the runner's": "command"} {
		if _, _, err := tidings.Create(t.Context(), store, tidings.JobSpec{ID: id, Labels: map[string]string{"task_queue": label}}); err != nil {
			t.Fatal(err)
		}
		events := []tidings.Event{{Type: tidings.TypeTaskStarted, Data: json.RawMessage(`{"task_id":"` + id + `","task":"t","queue":"q","worker":"w","attempt":1}`)}}
		if _, err := store.Append(t.Context(), id, tidings.Batch{Events: events}); err != nil {
			t.Fatal(err)
		}
	}
	p.has("asked after", "reserved")
	p.received("asked after", "")
	awaitStatus(t, store, "asked after", tidings.StatusQueued)
	p.rounds(4)
	for _, id := range []string{"asynq's", "the runner's"} {
		awaitStatus(t, store, id, tidings.StatusRunning)
		if _, err := b.Stop(t.Context(), id, tidings.StopOptions{}); !errors.Is(err, tidings.ErrNoTask) {
			t.Errorf("stopping %s: %v", id, err)
		}
	}
}

// After a restart the first word of a task may be its result, which does not say
// which job it is; its log does.
func TestRestartFindsTheJobOfATask(t *testing.T) {
	t.Parallel()
	b, redis, store := puppetBridge(t, Options{JobArg: "job"})
	p := newPuppet(t, redis, "w1@test", 1)
	p.has("task", "active")
	p.event("task-received", `"uuid":"task","name":"app.gen","args":"()","kwargs":"{'job': 'mine'}"`)
	p.started("task")
	awaitStatus(t, store, "mine", tidings.StatusRunning)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	p.has("task", "ready")
	a := &app{t: t, redis: redis}
	a.quickBridge(store, Options{JobArg: "job"})
	publish(t, redis.Dial(), "celery-task-meta-task", `{"status":"SUCCESS","result":7,"task_id":"task"}`)
	awaitStatus(t, store, "mine", tidings.StatusCompleted)
	same(t, story(t, store, "mine"), "task_queued 1 received", "task_started 1", "task_completed 1")
	if _, err := store.Job(t.Context(), "task"); !errors.Is(err, tidings.ErrUnknownJob) {
		t.Errorf("the task has a log of its own: %v", err)
	}
}

// An agent may say much between its task's start and the worker's death.
func TestLongLogIsReconciled(t *testing.T) {
	t.Parallel()
	b, redis, store := puppetBridge(t, Options{})
	p, other := newPuppet(t, redis, "w1@test", 1), newPuppet(t, redis, "w2@test", 2)
	p.has("talks", "active")
	p.received("talks", "")
	p.started("talks")
	awaitStatus(t, store, "talks", tidings.StatusRunning)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	many := make([]tidings.Event, 2000)
	for i := range many {
		many[i] = tidings.Event{Type: tidings.TypeThought, Data: json.RawMessage(`{"status":"delta","delta":"a"}`)}
	}
	for range 4 {
		if _, err := store.Append(t.Context(), "talks", tidings.Batch{Events: many}); err != nil {
			t.Fatal(err)
		}
	}
	p.kill()
	other.event("worker-heartbeat", `"freq":0.1`)
	a := &app{t: t, redis: redis}
	a.quickBridge(store, Options{})
	awaitStatus(t, store, "talks", tidings.StatusFailed)
}

// A worker that sends no heartbeats is asked for one, and so is one of which a
// node that came later knows nothing.
func TestWorkerWithoutHeartbeats(t *testing.T) {
	t.Parallel()
	b, redis, store := puppetBridge(t, Options{})
	p := newPuppet(t, redis, "w1@test", 1)
	p.mu.Lock()
	p.quiet = true
	p.mu.Unlock()
	p.has("runs", "active")
	p.received("runs", "")
	p.started("runs")
	awaitStatus(t, store, "runs", tidings.StatusRunning)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	a := &app{t: t, redis: redis}
	second := a.quickBridge(store, Options{})
	p.rounds(4)
	if alive, known := second.workers.alive("w1@test"); !alive || !known {
		t.Errorf("alive %v, known %v", alive, known)
	}
	same(t, story(t, store, "runs"), "task_queued 1 received", "task_started 1")
}

// Celery tells that a retry was sent before it tells of the retry.
func TestSentOfARetry(t *testing.T) {
	t.Parallel()
	_, redis, store := puppetBridge(t, Options{})
	p := newPuppet(t, redis, "w1@test", 1)
	task := `"uuid":"job","name":"app.gen","args":"()","kwargs":"{}","queue":"celery"`
	p.event("task-sent", task+`,"retries":0`)
	p.has("job", "active")
	p.received("job", "")
	p.started("job")
	p.event("task-sent", task+`,"retries":1`)
	p.event("task-retried", `"uuid":"job","exception":"E('x')"`)
	p.received("job", `,"retries":1`)
	p.started("job")
	p.event("task-succeeded", `"uuid":"job","result":"7","runtime":0.1`)
	awaitStatus(t, store, "job", tidings.StatusCompleted)
	same(t, story(t, store, "job"), "task_queued 1", "task_queued 1 received", "task_started 1", "task_retried 1 E",
		"task_queued 2 received", "task_started 2", "task_completed 2")
}

// An application's own events may have any members.
func TestCustomEventWithMembersOfItsOwn(t *testing.T) {
	t.Parallel()
	b, redis, store := puppetBridge(t, Options{})
	p := newPuppet(t, redis, "w1@test", 1)
	p.has("job", "active")
	p.received("job", "")
	p.started("job")
	p.event("task-step", `"uuid":"job","result":{"a":1},"queue":3,"active":"yes","retries":"no","current":1,"total":4`)
	eventually(t, "it is told", func() bool {
		job, err := store.Job(t.Context(), "job")
		return err == nil && job.Progress != nil && *job.Progress == 0.25
	})
	if s := b.Stats(); s.Unread != 0 {
		t.Errorf("unread: %+v", s)
	}
}

// A node that was paused tells the start of a delivery after another node told
// of the next delivery: it is late, and no start of that one.
func TestLateStartIsNoStartOfTheNextDelivery(t *testing.T) {
	t.Parallel()
	b, redis, store := puppetBridge(t, Options{})
	p := newPuppet(t, redis, "w1@test", 1)
	p.has("job", "active")
	p.received("job", "")
	awaitStatus(t, store, "job", tidings.StatusQueued)
	late := time.Now()
	d := data{TaskID: "job", Attempt: 1, Delivery: 1, Status: "received", Worker: "w2@test"}
	place := place{delivery: 1, kind: received}
	producer := tidings.Producer{ID: producerID("job", "job"), Epoch: place.epoch()}
	other := newEvent(tidings.TypeTaskQueued, late.Add(time.Second), d)
	if _, err := store.Append(t.Context(), "job", tidings.Batch{Events: []tidings.Event{other}, Producer: &producer}); err != nil {
		t.Fatal(err)
	}
	p.started("job")
	eventually(t, "it counts as late", func() bool { return b.Stats().Late == 1 })
	same(t, story(t, store, "job"), "task_queued 1 received", "task_queued 1+1 received")
}

// A node that lags behind another hears what the log has already. Most of it does
// not say of which try it is; what is late must not be taken for a later one's.
func TestNodeThatLags(t *testing.T) {
	t.Parallel()
	_, redis, store := puppetBridge(t, Options{})
	p := newPuppet(t, redis, "w1@test", 1)
	p.has("job", "active")
	p.received("job", "")
	p.started("job")
	awaitStatus(t, store, "job", tidings.StatusRunning)
	begun := time.Now()
	at := func(ms int) time.Time { return begun.Add(time.Duration(ms) * time.Millisecond) }
	for _, step := range []struct {
		ms    int
		event string
		place place
		data  data
	}{
		{100, tidings.TypeTaskRetried, place{kind: retried}, data{Kind: "E"}},
		{200, tidings.TypeTaskQueued, place{retries: 1, kind: received}, data{Status: "received"}},
		{3000, tidings.TypeTaskStarted, place{retries: 1, kind: started}, data{}},
		{3100, tidings.TypeTaskRetried, place{retries: 1, kind: retried}, data{Kind: "E"}},
		{3200, tidings.TypeTaskQueued, place{retries: 2, kind: received}, data{Status: "received"}},
		{6000, tidings.TypeTaskStarted, place{retries: 2, kind: started}, data{}},
	} { // by another node
		step.data.TaskID, step.data.Attempt = "job", step.place.retries+1
		producer := tidings.Producer{ID: producerID("job", "job"), Epoch: step.place.epoch()}
		if _, err := store.Append(t.Context(), "job", tidings.Batch{Events: []tidings.Event{newEvent(step.event, at(step.ms), step.data)}, Producer: &producer}); err != nil {
			t.Fatal(err)
		}
	}
	id, retry := `"uuid":"job"`, `"uuid":"job","exception":"E('x')"`
	task := `"uuid":"job","name":"app.gen","args":"()","kwargs":"{}","retries":`
	publish(t, redis.Dial(), "celery-task-meta-job", `{"status":"RETRY","result":{"exc_type":"E","exc_message":["x"]},"date_done":null,"task_id":"job"}`)
	p.eventAt(at(100), "task-retried", retry)
	p.eventAt(at(200), "task-received", task+"1")
	p.eventAt(at(3000), "task-started", id)
	p.eventAt(at(3100), "task-retried", retry)
	p.eventAt(at(3200), "task-received", task+"2")
	p.eventAt(at(6000), "task-started", id)
	p.eventAt(at(6100), "task-succeeded", id+`,"result":"7","runtime":0.1`)
	awaitStatus(t, store, "job", tidings.StatusCompleted)
	same(t, story(t, store, "job"), "task_queued 1 received", "task_started 1", "task_retried 1 E",
		"task_queued 2 received", "task_started 2", "task_retried 2 E", "task_queued 3 received", "task_started 3", "task_completed 3")
}

// A node that was cut off missed a try. What it hears then belongs to the one
// that the log knows, if it is news.
func TestNodeThatMissedATry(t *testing.T) {
	t.Parallel()
	_, redis, store := puppetBridge(t, Options{})
	p := newPuppet(t, redis, "w1@test", 1)
	p.has("job", "active")
	p.received("job", "")
	p.started("job")
	awaitStatus(t, store, "job", tidings.StatusRunning)
	for _, place := range []place{{kind: retried}, {retries: 1, kind: received}, {retries: 1, kind: started}} {
		producer := tidings.Producer{ID: producerID("job", "job"), Epoch: place.epoch()}
		step := map[kind]string{retried: tidings.TypeTaskRetried, received: tidings.TypeTaskQueued, started: tidings.TypeTaskStarted}[place.kind]
		d := data{TaskID: "job", Attempt: place.retries + 1}
		if place.kind == received {
			d.Status = "received"
		}
		if _, err := store.Append(t.Context(), "job", tidings.Batch{Events: []tidings.Event{newEvent(step, time.Now(), d)}, Producer: &producer}); err != nil {
			t.Fatal(err)
		}
	}
	p.event("task-succeeded", `"uuid":"job","result":"7","runtime":0.1`)
	awaitStatus(t, store, "job", tidings.StatusCompleted)
	same(t, story(t, store, "job"), "task_queued 1 received", "task_started 1", "task_retried 1",
		"task_queued 2 received", "task_started 2", "task_completed 2")
}

// On a busy machine the next try may end before the worker tells of the retry, and
// the result of a retry is published behind the message of the next try.
func TestResultOfTheNextTryComesFirst(t *testing.T) {
	t.Parallel()
	_, redis, store := puppetBridge(t, Options{})
	p, c := newPuppet(t, redis, "w1@test", 1), redis.Dial()
	p.has("job", "active")
	p.received("job", "")
	awaitStatus(t, store, "job", tidings.StatusQueued)
	publish(t, c, "celery-task-meta-job", `{"status":"SUCCESS","result":{"a":1},"task_id":"job"}`)
	p.received("job", `,"retries":1`)
	p.event("task-retried", `"uuid":"job","exception":"E('x')"`)
	p.started("job")
	p.event("task-succeeded", `"uuid":"job","result":"{'a': 1}","runtime":0.1`)
	job := awaitStatus(t, store, "job", tidings.StatusCompleted)
	same(t, story(t, store, "job"), "task_queued 1 received", "task_retried 1 E", "task_queued 2 received", "task_started 2", "task_completed 2")
	page, err := store.Read(t.Context(), "job", tidings.Query{Backward: true, Limit: 1})
	var d data
	if err != nil || json.Unmarshal(page.Events[0].Data, &d) != nil || string(d.Result) != `{"a":1}` {
		t.Errorf("the result is %s, %v; the job is %+v", d.Result, err, job)
	}
}

// A task of which the Python SDK tells is left to it, but for what its worker
// can't tell.
func TestTaskThatTheSDKTellsOf(t *testing.T) {
	t.Parallel()
	_, redis, store := puppetBridge(t, Options{})
	p, other := newPuppet(t, redis, "w1@test", 1), newPuppet(t, redis, "w2@test", 2)
	other.has("kept", "reserved")
	other.received("kept", "")
	tell := func(id, eventType, more string) {
		t.Helper()
		event := tidings.Event{Type: eventType, Data: json.RawMessage(`{"task":"app.gen","task_id":"` + id + `","attempt":1,"source":"worker"` + more + `}`)}
		if _, err := store.Append(t.Context(), id, tidings.Batch{Events: []tidings.Event{event}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"ends", "dies"} {
		p.has(id, "active")
		tell(id, tidings.TypeTaskQueued, "")
		p.received(id, "")
		tell(id, tidings.TypeTaskStarted, `,"worker":"w1@test"`)
		p.started(id)
	}
	tell("ends", tidings.TypeTaskCompleted, "")
	p.event("task-succeeded", `"uuid":"ends","result":"7","runtime":0.1`)
	other.rounds(2)
	p.kill()
	awaitStatus(t, store, "dies", tidings.StatusFailed)
	same(t, story(t, store, "ends"), "task_queued 1", "task_started 1", "task_completed 1")
	same(t, story(t, store, "dies"), "task_queued 1", "task_started 1", "task_failed 1 worker_lost reconciled")
}

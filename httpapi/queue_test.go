package httpapi

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"tidings"
)

// desk is a task queue without workers.
type desk struct {
	name  string
	store tidings.Store

	mu        sync.Mutex
	submitted []string
	stopped   []tidings.StopOptions
	err       error
}

func (d *desk) Submit(ctx context.Context, job tidings.JobSpec, task json.RawMessage) (bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return false, d.err
	}
	_, receipt, err := tidings.Create(ctx, d.store, job)
	if err == nil && !receipt.Duplicate {
		d.submitted = append(d.submitted, string(task))
	}
	return !receipt.Duplicate, err
}

func (d *desk) Stop(_ context.Context, jobID string, opts tidings.StopOptions) (tidings.StopReport, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !strings.HasPrefix(jobID, d.name) {
		return tidings.StopReport{}, tidings.ErrNoTask
	}
	if d.err != nil {
		return tidings.StopReport{}, d.err
	}
	d.stopped = append(d.stopped, opts)
	return tidings.StopReport{Workers: 2, Warning: "it runs already"}, nil
}

func (d *desk) Workers(context.Context) ([]tidings.Worker, error) {
	return []tidings.Worker{{Name: "w@" + d.name, Type: d.name, Alive: true, Active: 1}}, d.err
}

func (d *desk) Depths(context.Context) ([]tidings.QueueDepth, error) {
	return []tidings.QueueDepth{{Name: "q", Type: d.name, Waiting: 3, Unacked: 1}}, d.err
}

// serveQueues serves with a task queue for each name.
func serveQueues(t *testing.T, opts *Options, names ...string) (*api, map[string]*desk) {
	t.Helper()
	desks := map[string]*desk{}
	opts.Queues = map[string]tidings.TaskQueue{}
	for _, name := range names {
		desks[name] = &desk{name: name}
		opts.Queues[name] = desks[name]
	}
	a := serve(t, opts)
	for _, d := range desks {
		d.store = a.store
	}
	return a, desks
}

func TestSubmitJob(t *testing.T) {
	t.Parallel()
	a, desks := serveQueues(t, &Options{}, "celery", "command")
	body := `{"id":"celery/1","name":"report","queue":{"type":"celery","task":"app.gen","args":[1.0]}}`
	got := a.do("POST", "/v1/jobs", body)
	wantStatus(t, got, http.StatusAccepted)
	m := got.members(t)
	if got.header.Get("Location") != "/v1/jobs/celery%2F1" || m["events_url"] != "/v1/jobs/celery%2F1/events" || m["id"] != "celery/1" || m["status"] != "queued" {
		t.Errorf("Location %s, %s", got.header.Get("Location"), got.body)
	}
	wantStatus(t, a.do("POST", "/v1/jobs", body), http.StatusOK) // again: it is there
	if s := desks["celery"].submitted; len(s) != 1 || s[0] != `{"type":"celery","task":"app.gen","args":[1.0]}` {
		t.Errorf("submitted %s", s)
	}
	for body, want := range map[string]string{
		`{"queue":{"task":"a"}}`:   "which is one of celery, command",
		`{"queue":"celery"}`:       "must be an object with a type",
		`{"queue":{"type":"sqs"}}`: "is no task queue of this server",
	} {
		if p := wantProblem(t, a.do("POST", "/v1/jobs", body), http.StatusBadRequest, "invalid"); !strings.Contains(p["detail"].(string), want) {
			t.Errorf("%s: %v, want %q", body, p["detail"], want)
		}
	}
	desks["celery"].err = tidings.ErrUnavailable
	wantStatus(t, a.do("POST", "/v1/jobs", `{"queue":{"type":"celery"}}`), http.StatusServiceUnavailable)

	// With one queue its type may be left out, and without any it is said how to get one.
	a, desks = serveQueues(t, &Options{}, "command")
	wantStatus(t, a.do("POST", "/v1/jobs", `{"queue":{"command":"report"}}`), http.StatusAccepted)
	if s := desks["command"].submitted; len(s) != 1 {
		t.Errorf("submitted %s", s)
	}
	p := wantProblem(t, serve(t, nil).do("POST", "/v1/jobs", `{"queue":{"type":"celery"}}`), http.StatusBadRequest, "invalid")
	if !strings.Contains(p["detail"].(string), "--celery-broker") {
		t.Errorf("without a queue: %v", p["detail"])
	}
}

// Putting jobs on a task queue runs code: it needs a permission of its own.
func TestSubmitNeedsItsPermission(t *testing.T) {
	t.Parallel()
	const submitKey = "submitter-key-0123456789"
	auth, err := NewAuth(AuthConfig{Keys: []APIKey{
		{Name: "publisher", Key: publisherKey, Permissions: []Permission{Publish}},
		{Name: "reader", Key: readerKey, Permissions: []Permission{Read}},
		{Name: "submitter", Key: submitKey, Permissions: []Permission{Publish, Submit}, Jobs: []string{"team-*"}},
		{Name: "admin", Key: adminKey, Permissions: []Permission{Admin}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := serveQueues(t, &Options{Auth: auth}, "celery")
	for _, tc := range []struct {
		method, path, body, key string
		want                    int
	}{
		{"POST", "/v1/jobs", `{"id":"team-1","queue":{}}`, publisherKey, http.StatusForbidden},
		{"POST", "/v1/jobs", `{"id":"team-1","queue":{}}`, submitKey, http.StatusAccepted},
		{"POST", "/v1/jobs", `{"id":"other","queue":{}}`, submitKey, http.StatusForbidden},
		{"POST", "/v1/jobs", `{"id":"other","queue":{}}`, adminKey, http.StatusAccepted},
		{"GET", "/v1/workers", "", publisherKey, http.StatusForbidden},
		{"GET", "/v1/workers", "", readerKey, http.StatusOK},
		{"GET", "/v1/queues", "", publisherKey, http.StatusForbidden},
		{"GET", "/v1/queues", "", readerKey, http.StatusOK},
	} {
		got := a.do(tc.method, tc.path, tc.body, "Authorization", "Bearer "+tc.key)
		if got.status != tc.want {
			t.Errorf("%s %s %s with %s: %d, want %d\n%s", tc.method, tc.path, tc.body, tc.key, got.status, tc.want, got.body)
		}
	}
}

// A request to stop reaches the queue whose task the job is, and the answer says
// what the queue said; the request itself counts in any case.
func TestCancelStopsTheTask(t *testing.T) {
	t.Parallel()
	a, desks := serveQueues(t, &Options{}, "celery", "command")
	for _, id := range []string{"celery-1", "celery-2", "nobody's"} {
		a.publish(id, "task_started")
	}
	got := a.do("POST", "/v1/jobs/celery-1/cancel", `{"reason":"enough","by":"ann","terminate":true,"signal":"SIGINT"}`)
	wantStatus(t, got, http.StatusAccepted)
	m := got.members(t)
	if stop, _ := m["stop"].(map[string]any); m["status"] != "cancelling" || stop["workers"] != 2.0 || stop["warning"] != "it runs already" {
		t.Errorf("the answer is %s", got.body)
	}
	want := tidings.StopOptions{Terminate: true, Signal: "SIGINT", Reason: "enough", By: "ann"}
	if s := desks["celery"].stopped; len(s) != 1 || s[0] != want {
		t.Errorf("the queue was told %+v", s)
	}
	if got := a.do("POST", "/v1/jobs/nobody's/cancel", ""); got.status != http.StatusAccepted || strings.Contains(got.body, `"stop"`) {
		t.Errorf("a job of no queue: %d %s", got.status, got.body)
	}
	wantProblem(t, a.do("POST", "/v1/jobs/celery-2/cancel", `{"signal":"SIGSTOP"}`), http.StatusBadRequest, "invalid")
	desks["celery"].err = tidings.ErrUnavailable
	if got := a.do("POST", "/v1/jobs/celery-2/cancel", ""); got.status != http.StatusAccepted || !strings.Contains(got.body, "the task queue could not be told") {
		t.Errorf("the broker is away: %d %s", got.status, got.body)
	}
}

func TestWorkersAndQueues(t *testing.T) {
	t.Parallel()
	a, desks := serveQueues(t, &Options{}, "command", "celery")
	if got := a.do("GET", "/v1/workers", "").body; strings.Index(got, "w@celery") > strings.Index(got, "w@command") || !strings.Contains(got, `"w@command"`) {
		t.Errorf("workers: %s", got)
	}
	if got := a.do("GET", "/v1/queues", "").body; !strings.Contains(got, `{"queues":[{"name":"q","type":"celery","waiting":3,"unacked":1},`) {
		t.Errorf("queues: %s", got)
	}
	desks["celery"].err = tidings.ErrUnavailable
	wantStatus(t, a.do("GET", "/v1/queues", ""), http.StatusServiceUnavailable)
	if got := serve(t, nil).do("GET", "/v1/workers", "").body; strings.TrimSpace(got) != `{"workers":[]}` {
		t.Errorf("without queues: %s", got)
	}
}

package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings"
)

func TestAppendOneOrSeveral(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)

	one := a.do("POST", "/v1/jobs/job-1/events", `{"event_type":"tool_call","timestamp":"2026-11-24T09:20:01.234567Z","data":{"n":1.10,"n":2}}`, "Content-Type", "application/json")
	wantStatus(t, one, http.StatusCreated)
	first := one.members(t)
	if ids := first["ids"].([]any); len(ids) != 1 || ids[0] != first["last_id"] {
		t.Fatalf("ids and last_id don't fit: %s", one.body)
	}

	// Without a Content-Type the body is JSON.
	several := a.do("POST", "/v1/jobs/job-1/events", ` [{"event_type":"tool_result"},{"event_type":"done"}]`)
	wantStatus(t, several, http.StatusCreated)
	if got := several.header.Get("Stream-Closed"); got != "true" {
		t.Errorf("Stream-Closed %q, want true: done has ended the job", got)
	}

	page := a.do("GET", "/v1/jobs/job-1/events?limit=1", "").body
	// Numbers, key order and duplicate keys stay as they were.
	want := `{"events":[{"id":"` + first["last_id"].(string) + `","job_id":"job-1","event_type":"tool_call","timestamp":"2026-11-24T09:20:01.234567Z","data":{"n":1.10,"n":2}}]`
	if !strings.HasPrefix(page, want) {
		t.Errorf("page\n%s\nwant it to start with\n%s", page, want)
	}
	if diff := cmp.Diff([]string{"tool_call", "tool_result", "done"}, a.types("job-1")); diff != "" {
		t.Error(diff)
	}
}

func TestJobIDsInPaths(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	for path, jobID := range map[string]string{
		"team%2Fa%2Fjob%201": "team/a/job 1",
		"j%C3%B6b-%E2%9C%93": "jöb-✓",
		"a%2F..%2Fb":         "a/../b",
		"50%25":              "50%",
		"a+b:c@d":            "a+b:c@d",
	} {
		a.publish(path, "custom")
		job, err := a.store.Job(t.Context(), jobID)
		if err != nil || job.Events != 1 {
			t.Errorf("%s: job %q: %v", path, jobID, err)
		}
		wantStatus(t, a.do("GET", "/v1/jobs/"+path, ""), http.StatusOK)
	}
}

func TestProducerSequence(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	send := func(epoch, seq string) *answer {
		return a.do("POST", "/v1/jobs/j/events", `{"event_type":"custom"}`,
			"Producer-Id", "w1", "Producer-Epoch", epoch, "Producer-Seq", seq)
	}
	first := send("0", "0")
	wantStatus(t, first, http.StatusCreated)
	if first.header.Get("Producer-Epoch") != "0" || first.header.Get("Producer-Seq") != "0" {
		t.Errorf("the producer's headers are missing: %v", first.header)
	}

	again := send("0", "0")
	wantStatus(t, again, http.StatusOK)
	if m := again.members(t); m["duplicate"] != true || m["last_id"] != first.members(t)["last_id"] {
		t.Errorf("not the answer to a duplicate: %s", again.body)
	}

	gap := send("0", "5")
	m := wantProblem(t, gap, http.StatusConflict, "sequence")
	if gap.header.Get("Producer-Expected-Seq") != "1" || gap.header.Get("Producer-Received-Seq") != "5" || m["expected_seq"] != 1.0 {
		t.Errorf("it does not say what was expected: %v %s", gap.header, gap.body)
	}

	wantStatus(t, send("3", "0"), http.StatusCreated)
	zombie := send("2", "0")
	m = wantProblem(t, zombie, http.StatusForbidden, "fenced")
	if zombie.header.Get("Producer-Epoch") != "3" || m["current_epoch"] != 3.0 {
		t.Errorf("it does not say which epoch is in force: %v %s", zombie.header, zombie.body)
	}
	if got := len(a.types("j")); got != 2 {
		t.Errorf("%d events, want 2", got)
	}
}

func TestClosedJobTakesNothing(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	end := a.publish("j", "custom", "done")
	refused := a.do("POST", "/v1/jobs/j/events", `{"event_type":"custom"}`)
	m := wantProblem(t, refused, http.StatusConflict, "closed")
	if refused.header.Get("Stream-Closed") != "true" || m["last_id"] != end.members(t)["last_id"] {
		t.Errorf("it does not say how the job ended: %v %s", refused.header, refused.body)
	}
	wantProblem(t, a.do("POST", "/v1/jobs/j/cancel", ""), http.StatusConflict, "closed")
	if got := len(a.types("j")); got != 2 {
		t.Errorf("%d events, want 2", got)
	}
}

func TestDroppedEventsAreCounted(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	wantStatus(t, a.do("POST", "/v1/jobs/j/events", `{"event_type":"custom","data":{"name":"tidings.dropped","value":{"events":7,"bytes":900}}}`), http.StatusCreated)
	metrics := a.do("GET", "/metrics", "").body
	if !strings.Contains(metrics, "tidings_publisher_dropped_events_total 7\n") {
		t.Error("tidings_publisher_dropped_events_total is not 7")
	}
}

var _ tidings.Store = (*gatedStore)(nil)

// Whoever repeats the batch that ended a job learns that it did.
func TestARepeatedEndSaysThatTheJobIsClosed(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	for _, status := range []int{http.StatusCreated, http.StatusOK} {
		got := a.do("POST", "/v1/jobs/j/events", `{"event_type":"done"}`,
			"Content-Type", "application/json", "Producer-Id", "w", "Producer-Epoch", "0", "Producer-Seq", "0")
		wantStatus(t, got, status)
		if got.header.Get("Stream-Closed") != "true" {
			t.Errorf("%d %v; want Stream-Closed: true", status, got.header)
		}
	}
}

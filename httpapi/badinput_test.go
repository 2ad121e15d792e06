package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever is wrong with a request, the answer has the right status, is a
// problem that says what to do, and nothing was written.
func TestBadInput(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Limits: Limits{BodyBytes: 4 << 10, EventBytes: 1 << 10, BatchEvents: 5}})
	a.publish("j", "custom", "custom")
	a.publish("ended", "done")
	before := a.do("GET", "/v1/jobs", "").body

	const event = `{"event_type":"custom"}`
	events := "/v1/jobs/j/events"
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		problem                  string
		member                   string // one that must be there
	}{
		{"empty body", "POST", events, "", nil, 400, "invalid", "field"},
		{"not JSON", "POST", events, "{", nil, 400, "invalid", "field"},
		{"a number", "POST", events, "42", nil, 400, "invalid", "field"},
		{"two values", "POST", events, event + event, nil, 400, "invalid", "field"},
		{"an empty array", "POST", events, "[]", nil, 400, "invalid", "field"},
		{"no type", "POST", events, `{"data":{}}`, nil, 400, "invalid", "field"},
		{"an empty type", "POST", events, `{"event_type":""}`, nil, 400, "invalid", "field"},
		{"a type that is a number", "POST", events, `{"event_type":7}`, nil, 400, "invalid", "field"},
		{"a long type", "POST", events, `{"event_type":"` + strings.Repeat("x", 65) + `"}`, nil, 400, "invalid", "field"},
		{"an unknown field", "POST", events, `{"event_type":"a","evnt":1}`, nil, 400, "invalid", "field"},
		{"a bad timestamp", "POST", events, `{"event_type":"a","timestamp":"yesterday"}`, nil, 400, "invalid", "field"},
		{"a bad ID", "POST", events, `{"event_type":"a","id":"x"}`, nil, 400, "invalid", "field"},
		{"another job's event", "POST", events, `{"event_type":"a","job_id":"k"}`, nil, 400, "invalid", "field"},
		{"invalid UTF-8", "POST", events, "{\"event_type\":\"a\",\"data\":\"\xff\"}", nil, 400, "invalid", "field"},
		{"one bad of three", "POST", events, `[` + event + `,{"event_type":""},` + event + `]`, nil, 400, "invalid", "field"},
		{"an end before the end", "POST", events, `[{"event_type":"done"},` + event + `]`, nil, 400, "invalid", "field"},
		{"a bad line", "POST", events, event + "\nnope\n", []string{"Content-Type", lines}, 400, "invalid", "field"},

		{"a form", "POST", events, event, []string{"Content-Type", "application/x-www-form-urlencoded"}, 415, "unsupported-media-type", "supported"},
		{"plain text", "POST", events, event, []string{"Content-Type", "text/plain"}, 415, "unsupported-media-type", "supported"},
		{"no media type", "POST", events, event, []string{"Content-Type", ";;"}, 415, "unsupported-media-type", "supported"},
		{"compressed", "POST", events, event, []string{"Content-Encoding", "gzip"}, 415, "unsupported-media-type", ""},
		{"a form to create", "POST", "/v1/jobs", `{}`, []string{"Content-Type", "text/plain"}, 415, "unsupported-media-type", "supported"},

		{"a large body", "POST", events, `{"event_type":"a","data":"` + strings.Repeat("x", 5<<10) + `"}`, nil, 413, "too-large", "limit"},
		{"a large event", "POST", events, `{"event_type":"a","data":"` + strings.Repeat("x", 2<<10) + `"}`, nil, 413, "too-large", "limit"},
		{"many events", "POST", events, `[` + strings.Repeat(event+",", 5) + event + `]`, nil, 413, "too-large", "limit"},
		{"a long line", "POST", events, `{"event_type":"a","data":"` + strings.Repeat("x", 2<<10) + `"}`, []string{"Content-Type", lines}, 413, "too-large", "limit"},

		{"a producer without epoch", "POST", events, event, []string{"Producer-Id", "p", "Producer-Seq", "0"}, 400, "invalid", "field"},
		{"a producer without ID", "POST", events, event, []string{"Producer-Epoch", "0", "Producer-Seq", "0"}, 400, "invalid", "field"},
		{"a negative epoch", "POST", events, event, []string{"Producer-Id", "p", "Producer-Epoch", "-1", "Producer-Seq", "0"}, 400, "invalid", "field"},
		{"a sequence over 2^53", "POST", events, event, []string{"Producer-Id", "p", "Producer-Epoch", "0", "Producer-Seq", "9007199254740992"}, 400, "invalid", "field"},
		{"a sequence that skips", "POST", events, event, []string{"Producer-Id", "p", "Producer-Epoch", "0", "Producer-Seq", "1"}, 409, "sequence", "expected_seq"},
		{"a long producer ID", "POST", events, event, []string{"Producer-Id", strings.Repeat("p", 256), "Producer-Epoch", "0", "Producer-Seq", "0"}, 400, "invalid", "field"},
		{"a job that has ended", "POST", "/v1/jobs/ended/events", event, nil, 409, "closed", "last_id"},

		{"a job ID with a brace", "POST", "/v1/jobs/a%7Bb/events", event, nil, 400, "invalid", "field"},
		{"a job ID with a control character", "POST", "/v1/jobs/a%0Ab/events", event, nil, 400, "invalid", "field"},
		{"a long job ID", "POST", "/v1/jobs/" + strings.Repeat("x", 256) + "/events", event, nil, 400, "invalid", "field"},
		{"a job ID that is no UTF-8", "POST", "/v1/jobs/%FF/events", event, nil, 400, "invalid", "field"},
		{"dots as a job ID", "POST", "/v1/jobs/%2e%2e/events", event, nil, 400, "invalid", "field"},
		{"no job ID", "POST", "/v1/jobs//events", event, nil, 404, "not-found", ""},
		{"no job ID to delete", "DELETE", "/v1/jobs/", "", nil, 404, "not-found", ""},

		{"a bad cursor", "GET", events + "?after=x", "", nil, 400, "invalid", "field"},
		{"a bad incarnation", "GET", events + "?after=1-0~!", "", nil, 400, "invalid", "field"},
		{"a bad cursor of a stream", "GET", events + "?after=x", "", []string{"Accept", "text/event-stream"}, 400, "invalid", "field"},
		{"a bad Last-Event-ID", "GET", events, "", []string{"Accept", "text/event-stream", "Last-Event-ID", "-"}, 400, "invalid", "field"},
		{"a bad before", "GET", events + "?before=1-", "", nil, 400, "invalid", "field"},
		{"limit 0", "GET", events + "?limit=0", "", nil, 400, "invalid", "field"},
		{"a high limit", "GET", events + "?limit=10001", "", nil, 400, "invalid", "field"},
		{"a bad order", "GET", events + "?order=up", "", nil, 400, "invalid", "field"},
		{"lines backwards", "GET", events + "?order=desc", "", []string{"Accept", lines}, 400, "invalid", "field"},
		{"a cursor of another life", "GET", events + "?after=1-0~zzzz", "", nil, 410, "rewound", "last_id"},
		{"a cursor beyond the end", "GET", events + "?after=99999999999999-0", "", nil, 410, "rewound", "last_id"},
		{"an unknown job's events", "GET", "/v1/jobs/nope/events", "", nil, 404, "unknown-job", ""},
		{"an unknown job's lines", "GET", "/v1/jobs/nope/events", "", []string{"Accept", lines}, 404, "unknown-job", ""},
		{"an unknown job's stream", "GET", "/v1/jobs/nope/events", "", []string{"Accept", "text/event-stream"}, 404, "unknown-job", ""},
		{"a bad feed cursor", "GET", "/v1/events?after=%00", "", nil, 400, "invalid", "field"},

		{"an unknown job", "GET", "/v1/jobs/nope", "", nil, 404, "unknown-job", ""},
		{"an unknown job to delete", "DELETE", "/v1/jobs/nope", "", nil, 404, "unknown-job", ""},
		{"an unknown job to cancel", "POST", "/v1/jobs/nope/cancel", "", nil, 404, "unknown-job", ""},
		{"an unknown job's heartbeat", "POST", "/v1/jobs/nope/heartbeat", "", nil, 404, "unknown-job", ""},
		{"a bad lease", "POST", "/v1/jobs/j/heartbeat", `{"ttl_ms":-1}`, nil, 400, "invalid", "field"},
		{"a lease of a string", "POST", "/v1/jobs/j/heartbeat", `{"ttl_ms":"soon"}`, nil, 400, "invalid", "field"},
		{"a misspelt lease", "POST", "/v1/jobs/j/heartbeat", `{"ttl":5}`, nil, 400, "invalid", "field"},
		{"a misspelt reason", "POST", "/v1/jobs/j/cancel", `{"why":"x"}`, nil, 400, "invalid", "field"},
		{"a reason that is no string", "POST", "/v1/jobs/j/cancel", `{"reason":1}`, nil, 400, "invalid", "field"},

		{"an array to create", "POST", "/v1/jobs", `[]`, nil, 400, "invalid", "field"},
		{"a bad ID to create", "POST", "/v1/jobs", `{"id":"{"}`, nil, 400, "invalid", "field"},
		{"a misspelt field to create", "POST", "/v1/jobs", `{"nme":"x"}`, nil, 400, "invalid", "field"},
		{"a label that is a number", "POST", "/v1/jobs", `{"id":"n","labels":{"a":1}}`, nil, 400, "invalid", "field"},
		{"metadata that is no object", "POST", "/v1/jobs", `{"id":"n","metadata":[1]}`, nil, 400, "invalid", "field"},
		{"a bad status", "GET", "/v1/jobs?status=nope", "", nil, 400, "invalid", "field"},
		{"a bad label", "GET", "/v1/jobs?label=x", "", nil, 400, "invalid", "field"},
		{"a bad time", "GET", "/v1/jobs?since=monday", "", nil, 400, "invalid", "field"},
		{"a bad page size", "GET", "/v1/jobs?limit=1001", "", nil, 400, "invalid", "field"},
		{"a bad page cursor", "GET", "/v1/jobs?cursor=%21%21", "", nil, 400, "invalid", "field"},
		{"a bad stalled", "GET", "/v1/jobs?stalled=perhaps", "", nil, 400, "invalid", "field"},

		{"an unknown route", "GET", "/v2/jobs", "", nil, 404, "not-found", ""},
		{"the root", "GET", "/", "", nil, 404, "not-found", ""},
		{"a wrong method", "PUT", events, "", nil, 405, "method-not-allowed", "allow"},
		{"a method of no one", "FROB", "/v1/jobs", "", nil, 405, "method-not-allowed", "allow"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := wantProblem(t, a.do(c.method, c.path, c.body, c.headers...), c.status, c.problem)
			if c.member != "" && m[c.member] == nil {
				t.Errorf("member %q is missing: %v", c.member, m)
			}
		})
	}
	if diff := cmp.Diff(before, a.do("GET", "/v1/jobs", "").body); diff != "" {
		t.Errorf("bad input has changed something:\n%s", diff)
	}
}

func TestWrongMethodSaysWhichAreRight(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	for path, want := range map[string]string{
		"/v1/jobs":             "GET, POST, HEAD",
		"/v1/jobs/j":           "GET, DELETE, HEAD",
		"/v1/jobs/j/events":    "GET, POST, HEAD",
		"/v1/jobs/j/heartbeat": "POST",
		"/healthz":             "GET, HEAD",
	} {
		got := a.do("PATCH", path, "")
		wantProblem(t, got, http.StatusMethodNotAllowed, "method-not-allowed")
		if allow := got.header.Get("Allow"); allow != want {
			t.Errorf("%s: Allow %q, want %q", path, allow, want)
		}
		options := a.do("OPTIONS", path, "")
		wantStatus(t, options, http.StatusNoContent)
		if allow := options.header.Get("Allow"); allow != want {
			t.Errorf("OPTIONS %s: Allow %q, want %q", path, allow, want)
		}
	}
}

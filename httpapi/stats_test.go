package httpapi

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"tidings/monitor"
	"tidings/pebblelog"
)

// serveWatched is serve with a monitor.
func serveWatched(t testing.TB, opts *Options) *api {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	store, err := pebblelog.Open(t.TempDir(), &pebblelog.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	m, err := monitor.Start(t.Context(), store, &monitor.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	o := Options{}
	if opts != nil {
		o = *opts
	}
	o.Monitor = m
	return serveStore(t, store, store, &o)
}

// story is a job that failed, and one that still searches.
func (a *api) story() {
	a.t.Helper()
	const begin = `{"event_type":"phase_update","data":{"phase":"job","status":"started","name":"report","labels":{"env":"prod"}}},
		{"event_type":"thought","data":{"status":"completed","model":"gpt","content":"so","usage":{"input_tokens":7,"output_tokens":3},"cost":{"amount":0.5,"currency":"USD"},"ttft_ms":90,"duration_ms":800}},
		{"event_type":"tool_call","data":{"tool":"search","call_id":"c","run_id":"r"}}`
	for job, rest := range map[string]string{
		"over": `,{"event_type":"tool_result","data":{"tool":"search","call_id":"c","run_id":"r","error":"no answer after 30 s","duration_ms":400}},
			{"event_type":"error","data":{"error":"search: no answer after 30 s","fatal":true,"cause_run_id":"r"}}`,
		"open": "",
	} {
		wantStatus(a.t, a.do("POST", "/v1/jobs/"+job+"/events", "["+begin+rest+"]"), http.StatusCreated)
	}
	eventually(a.t, "the monitor has counted the events", func() bool {
		return strings.Contains(a.do("GET", "/v1/stats", "").body, `"events":8,"dropped"`)
	})
}

// Every answer of the monitor has the members that openapi.json and
// docs/monitoring.md name, and no others.
func TestStatisticsFitOpenAPI(t *testing.T) {
	t.Parallel()
	a := serveWatched(t, nil)
	a.story()
	doc := openAPIDocument(t)
	id := a.do("GET", "/v1/errors", "").members(t)["errors"].([]any)[0].(object)["id"].(string)
	for _, c := range []struct {
		method, route, path, body string
		status                    int
		has                       string
	}{
		{"GET", "/v1/stats", "", "", 200, `"running":1`},
		{"GET", "/v1/stats", "?window=2h&by=name", "", 200, `"by":[{"by":"name","value":"report"`},
		{"GET", "/v1/stats", "?by=label", "", 200, `"value":"env=prod"`},
		{"GET", "/v1/stats", "?by=tool", "", 200, `"value":"search"`},
		{"GET", "/v1/stats", "?by=model", "", 200, `"cost":{"USD":1}`},
		{"GET", "/v1/stats", "?by=color", "", 400, ""},
		{"GET", "/v1/stats", "?window=soon", "", 400, ""},
		{"GET", "/v1/stats", "?window=1h&window=", "", 200, ""},
		{"GET", "/v1/stats/series", "?metric=error_rate,duration_p95&metric=events", "", 200, `"metric":"events","by":"all"`},
		{"GET", "/v1/stats/series", "?metric=tool_calls&by=tool&step=5m&top=1", "", 200, `"value":"search"`},
		{"GET", "/v1/stats/series", "?metric=events&by=name&value=other", "", 200, `"value":"other"`},
		{"GET", "/v1/stats/series", "?metric=events&from=" + url.QueryEscape(time.Now().Add(-7*24*time.Hour).Format(time.RFC3339)), "", 200, `"step_ms":3600000`},
		{"GET", "/v1/stats/series", "", "", 400, ""},
		{"GET", "/v1/stats/series", "?metric=luck", "", 400, ""},
		{"GET", "/v1/stats/series", "?metric=events&by=luck", "", 400, ""},
		{"GET", "/v1/stats/series", "?metric=events&from=2026-01-01T00:00:00Z&step=30m", "", 400, ""},
		{"GET", "/v1/stats/series", "?metric=events&from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z", "", 400, ""},
		{"GET", "/v1/stats/series", "?metric=events&step=61s", "", 400, ""},
		{"GET", "/v1/errors", "?state=open,ignored&name=report", "", 200, `"count":1,"fatal":1`},
		{"GET", "/v1/errors", "?state=resolved", "", 200, `"errors":[]`},
		{"GET", "/v1/errors", "?state=cured", "", 400, ""},
		{"PATCH", "/v1/errors/{error}", id, `{"state":"resolved"}`, 200, `"state":"resolved"`},
		{"PATCH", "/v1/errors/{error}", id, `{"state":"cured"}`, 400, ""},
		{"PATCH", "/v1/errors/{error}", id, `{"colour":"red"}`, 400, ""},
		{"PATCH", "/v1/errors/{error}", "v1-0", `{"state":"open"}`, 404, ""},
		{"GET", "/v1/stuck", "", "", 200, "waits for the tool search since"},
		{"GET", "/v1/stuck", "?job=over", "", 200, `"jobs":[]`},
		{"GET", "/v1/stuck", "?limit=0", "", 400, ""},
	} {
		path := strings.Replace(c.route, "{error}", "", 1) + c.path
		got := a.do(c.method, path, c.body)
		wantStatus(t, got, c.status)
		if !strings.Contains(got.body, c.has) {
			t.Errorf("%s %s: no %s in %s", c.method, path, c.has, got.body)
		}
		answer := doc["paths"].(object)[c.route].(object)[strings.ToLower(c.method)].(object)["responses"].(object)[fmt.Sprint(c.status)]
		media := resolve(doc, answer)["content"].(object)[got.header.Get("Content-Type")].(object)
		for _, fault := range faults(doc, media["schema"], any(got.members(t)), "") {
			t.Errorf("%s %s: %s\n%s", c.method, path, fault, got.body)
		}
	}
}

func TestStatisticsNeedPermission(t *testing.T) {
	t.Parallel()
	key := func(name string, jobs []string, may ...Permission) APIKey {
		return APIKey{Name: name, Key: name + "-key-of-enough-bytes", Permissions: may, Jobs: jobs}
	}
	auth, err := NewAuth(AuthConfig{Keys: []APIKey{
		key("admin", nil, Admin), key("reader", nil, Read), key("publisher", nil, Publish), key("one", []string{"open"}, Read),
	}})
	if err != nil {
		t.Fatal(err)
	}
	a := serveWatched(t, &Options{Auth: auth})
	as := func(who string) []string { return []string{"Authorization", "Bearer " + who + "-key-of-enough-bytes"} }
	for _, job := range []string{"open", "hidden"} {
		wantStatus(t, a.do("POST", "/v1/jobs/"+job+"/events", `[{"event_type":"error","data":{"error":"x"}},{"event_type":"phase_update","data":{"status":"started"}}]`, as("admin")...), 201)
	}
	eventually(t, "both are counted", func() bool {
		return strings.Contains(a.do("GET", "/v1/stats", "", as("reader")...).body, `"created":2`)
	})
	for _, path := range []string{"/v1/stats", "/v1/stats/series?metric=events", "/v1/errors", "/v1/stuck"} {
		wantStatus(t, a.do("GET", path, ""), 401)
		wantProblem(t, a.do("GET", path, "", as("publisher")...), 403, "forbidden")
		wantStatus(t, a.do("GET", path, "", as("reader")...), 200)
		if path != "/v1/stuck" {
			wantProblem(t, a.do("GET", path, "", as("one")...), 403, "forbidden")
		}
	}
	if got := a.do("GET", "/v1/stuck", "", as("one")...); !strings.Contains(got.body, `"job_id":"open"`) || strings.Contains(got.body, "hidden") {
		t.Errorf("a token for one job sees %s", got.body)
	}
	id := a.do("GET", "/v1/errors", "", as("admin")...).members(t)["errors"].([]any)[0].(object)["id"].(string)
	wantProblem(t, a.do("PATCH", "/v1/errors/"+id, `{"state":"ignored"}`, as("reader")...), 403, "forbidden")
	if got := a.do("PATCH", "/v1/errors/"+id, `{"state":"ignored"}`, as("admin")...); !strings.Contains(got.body, `"changed_by":"admin"`) {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestServerWithoutMonitor(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	for _, path := range []string{"/v1/stats", "/v1/stats/series?metric=events", "/v1/errors", "/v1/stuck"} {
		wantProblem(t, a.do("GET", path, ""), 404, "no-monitor")
	}
	wantProblem(t, a.do("PUT", "/v1/errors/x", ""), 405, "method-not-allowed")
}

func TestMonitorMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	a := serveWatched(t, &Options{Registry: registry})
	a.story()
	text := a.do("GET", "/metrics", "").body
	for _, want := range []string{
		`tidings_monitor_leader 1`,
		`tidings_jobs{status="running"} 1`,
		`tidings_jobs_created_total{name="report"} 2`,
		`tidings_jobs_ended_total{name="report",status="failed"} 1`,
		`tidings_job_duration_seconds_count{name="report"} 1`,
		`tidings_tool_calls_total{outcome="error",tool="search"} 1`,
		`tidings_tool_duration_seconds_bucket{tool="search",le="0.25"} 0`,
		`tidings_tool_duration_seconds_bucket{tool="search",le="0.5"} 1`,
		`tidings_model_duration_seconds_bucket{model="gpt",le="1"} 2`,
		`tidings_tokens_total{kind="input",model="gpt"} 14`,
		`tidings_cost_total{currency="USD",model="gpt"} 1`,
		`tidings_publish_lag_seconds_count 8`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("missing: %s", want)
		}
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("names against the conventions: %v %v", problems, err)
	}
}

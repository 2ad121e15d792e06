package httpapi

import (
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestMetrics(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	a := serve(t, &Options{Registry: registry})
	producer := []string{"Producer-Id", "p", "Producer-Epoch", "0", "Producer-Seq", "0"}
	for range 2 {
		a.do("POST", "/v1/jobs/j/events", `[{"event_type":"a"},{"event_type":"b"}]`, producer...)
	}
	a.do("POST", "/v1/jobs/j/events", `{"event_type":"a"}`, "Producer-Id", "p", "Producer-Epoch", "0", "Producer-Seq", "9")
	a.publish("j", "done")
	a.do("POST", "/v1/jobs/j/events", `{"event_type":"a"}`)
	f := a.feed(t, "")
	f.take(1)

	text := a.do("GET", "/metrics", "").body
	for _, want := range []string{
		`tidings_appends_total{result="ok"} 2`,
		`tidings_appends_total{result="duplicate"} 1`,
		`tidings_appends_total{result="sequence"} 1`,
		`tidings_appends_total{result="closed"} 1`,
		`tidings_appends_total{result="fenced"} 0`,
		`tidings_append_events_total 3`,
		`tidings_append_seconds_count 2`,
		`tidings_delivery_lag_seconds_count 0`,
		`tidings_viewers{kind="feed"} 1`,
		`tidings_viewers{kind="job"} 0`,
		`tidings_http_requests_total{code="201",method="POST",route="/v1/jobs/{id}/events"} 2`,
		`tidings_store_appended_events_total 3`,
		`tidings_publisher_dropped_events_total 0`,
		`go_goroutines`,
		`process_cpu_seconds_total`,
	} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("missing: %s", want)
		}
	}
	if problems, err := testutil.GatherAndLint(registry); err != nil || len(problems) > 0 {
		t.Errorf("names against the conventions: %v %v", problems, err)
	}
}

// What clients send makes no new time series.
func TestMetricLabelsAreBounded(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	a := serve(t, &Options{Registry: registry})
	series := func() int {
		n, err := testutil.GatherAndCount(registry, "tidings_http_requests_total", "tidings_appends_total", "tidings_http_request_seconds")
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	visit := func(name string) {
		a.do("GET", "/v1/jobs/"+name, "")
		a.do("GET", "/"+name, "")
		a.do("X"+strings.ToUpper(name), "/v1/jobs", "")
		wantStatus(t, a.do("POST", "/v1/jobs/"+name+"/events", `{"event_type":"`+name+`"}`, "Producer-Id", name, "Producer-Epoch", "0", "Producer-Seq", "0"), http.StatusCreated)
	}
	visit("first")
	before := series()
	for _, name := range []string{"second", "third", "fourth"} {
		visit(name)
	}
	if after := series(); after != before {
		t.Errorf("%d time series became %d", before, after)
	}
}

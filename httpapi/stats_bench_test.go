package httpapi

import (
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
	"tidings/monitor"
	"tidings/pebblelog"
	"tidings/redislog"
)

// The figures of docs/benchmarks.md are of
//
//	go test -run '^$' -bench Answers -benchtime 1x ./httpapi -jobs 10000 -events 100
var (
	benchJobs   = flag.Int("jobs", 200, "jobs of a benchmark")
	benchEvents = flag.Int("events", 20, "events of each")
)

// BenchmarkAnswers: what the panel asks for, of a store full of jobs, one in ten
// of which goes on. p95 of a hundred answers; rss-MiB is the whole process with
// the store, for the embedded one.
func BenchmarkAnswers(b *testing.B) {
	quiet := slog.New(slog.DiscardHandler)
	for name, open := range map[string]func(b *testing.B) tidings.Store{
		"embedded": func(b *testing.B) tidings.Store {
			store, err := pebblelog.Open(b.TempDir(), &pebblelog.Options{Logger: quiet})
			if err != nil {
				b.Fatal(err)
			}
			return store
		},
		"redis": func(b *testing.B) tidings.Store {
			store, err := redislog.Open(b.Context(), redislog.Options{URL: redistest.Server(b).URL(), Logger: quiet})
			if err != nil {
				b.Fatal(err)
			}
			return store
		},
	} {
		b.Run(name, func(b *testing.B) {
			store := open(b)
			b.Cleanup(func() { _ = store.Close() })
			m, err := monitor.Start(b.Context(), store, &monitor.Options{Logger: quiet})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(m.Stop)
			server := New(store, &Options{Monitor: m, Logger: quiet})
			start := time.Now()
			total := fill(b, store, *benchJobs, *benchEvents)
			filled := time.Now()
			for m.Overview(time.Minute, "").Totals.Events < total {
				time.Sleep(time.Millisecond)
			}
			counted := time.Now()
			for b.Loop() {
				for what, path := range answers {
					b.ReportMetric(p95(b, server, path), what+"-p95-ms")
				}
			}
			b.ReportMetric(float64(total)/filled.Sub(start).Seconds(), "appended/s")
			b.ReportMetric(float64(total)/counted.Sub(start).Seconds(), "counted/s")
			b.ReportMetric(residentMiB(), "rss-MiB")
		})
	}
}

var answers = map[string]string{
	"overview": "/v1/stats?by=name", "chart": "/v1/stats/series?metric=events,duration_p95&by=name", "stuck": "/v1/stuck", "errors": "/v1/errors",
	"jobs": "/v1/jobs", "jobs-running": "/v1/jobs?status=running", "jobs-failed": "/v1/jobs?status=failed",
	"jobs-name": "/v1/jobs?name=name-7", "jobs-label": "/v1/jobs?label=team%3Dteam-3&status=completed", "jobs-none": "/v1/jobs?name=unknown",
}

// fill appends the jobs, of 50 names, by many writers, and gives the number of
// events.
func fill(b *testing.B, store tidings.Store, jobs, events int) int64 {
	b.Helper()
	var writers sync.WaitGroup
	for w := range 16 {
		writers.Go(func() {
			for job := w; job < jobs; job += 16 {
				if _, err := store.Append(b.Context(), fmt.Sprint("job-", job), tidings.Batch{Events: benchRun(job, events)}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	return int64(jobs * events)
}

func benchRun(job, n int) []tidings.Event {
	events := make([]tidings.Event, n)
	for i := range events {
		data := fmt.Sprintf(`{"tool":"tool-%d","call_id":"c%d","duration_ms":%d,"output":"%s"}`, i%30, i, i*3, strings.Repeat("x", 200))
		events[i] = tidings.Event{Type: "tool_result", Data: json.RawMessage(data)}
	}
	events[0] = tidings.Event{Type: "phase_update", Data: json.RawMessage(fmt.Sprintf(`{"phase":"job","status":"started","name":"name-%d","labels":{"team":"team-%d"}}`, job%50, job%20))}
	switch {
	case job%10 == 0: // it goes on
	case job%10 == 1:
		events[n-1] = tidings.Event{Type: "error", Data: json.RawMessage(fmt.Sprintf(`{"error":"broken by %d","fatal":true}`, job))}
	default:
		events[n-1] = tidings.Event{Type: "done", Data: json.RawMessage(`{}`)}
	}
	return events
}

func p95(b *testing.B, h http.Handler, path string) float64 {
	b.Helper()
	var took []float64
	for range 100 {
		r := httptest.NewRequest("GET", "http://localhost"+path, nil)
		w := httptest.NewRecorder()
		start := time.Now()
		h.ServeHTTP(w, r)
		took = append(took, float64(time.Since(start).Microseconds())/1000)
		if w.Code != http.StatusOK {
			b.Fatalf("%s: %d %s", path, w.Code, w.Body)
		}
	}
	slices.Sort(took)
	return took[94]
}

// residentMiB is what the process has in memory, or 0 where that is not told.
func residentMiB() float64 {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	var kib float64
	_, _ = fmt.Sscan(rest, &kib)
	return kib / 1024
}

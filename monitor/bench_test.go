package monitor

import (
	"encoding/json"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"testing"
	"time"

	"tidings"
)

// The figures of docs/benchmarks.md are of
//
//	go test -run '^$' -bench . ./monitor -jobs 10000 -events 100
var (
	benchJobs   = flag.Int("jobs", 200, "jobs of a benchmark")
	benchEvents = flag.Int("events", 100, "events of each")
)

// agentRun are the events of one job: half of them token deltas, the rest calls.
func agentRun(job, n int) []tidings.Event {
	events := make([]tidings.Event, 0, n)
	add := func(eventType, format string, args ...any) {
		events = append(events, tidings.Event{Type: eventType, Time: time.Now(), Data: json.RawMessage(fmt.Sprintf(format, args...))})
	}
	add("phase_update", `{"phase":"job","status":"started","name":"name-%d","labels":{"env":"env-%d","team":"team-%d"}}`, job%50, job%3, job%20)
	for i := 1; i < n-1; i++ {
		switch i % 8 {
		case 0:
			add("thought", `{"status":"started","run_id":"m%d","model":"model-%d","parent_run_id":"r","kind":"llm"}`, i, job%5)
		case 5:
			add("thought", `{"status":"completed","run_id":"m%d","model":"model-%d","content":"some text that a model has said in this call","usage":{"input_tokens":900,"output_tokens":80},"cost":{"amount":0.002,"currency":"USD"},"duration_ms":%d}`, i-5, job%5, 500+i*7)
		case 6:
			add("tool_call", `{"tool":"tool-%d","call_id":"c%d","run_id":"t%d","parent_run_id":"r","input":{"query":"something to look for","limit":10}}`, i%30, i, i)
		case 7:
			add("tool_result", `{"tool":"tool-%d","call_id":"c%d","run_id":"t%d","duration_ms":%d,"output":{"rows":["one","two","three"],"more":false}}`, i%30, i-1, i-1, 20+i)
		default:
			add("thought", `{"status":"delta","channel":"text","delta":"some tok","message_id":"m%d","run_id":"m%d","parent_run_id":"r"}`, i-i%8, i-i%8)
		}
	}
	if job%10 > 0 { // one in ten goes on
		add("done", `{"status":"completed"}`)
	}
	return events
}

// interleaved are the changes of all jobs, as they come when many run at once.
func interleaved(jobs, n int) []tidings.Change {
	const atOnce = 100
	var out []tidings.Change
	at := time.Now().Add(-2 * time.Hour).UnixMilli()
	for first := 0; first < jobs; first += atOnce {
		runs := make([][]tidings.Event, min(atOnce, jobs-first))
		for i := range runs {
			runs[i] = agentRun(first+i, n)
		}
		for step := range n {
			for i, run := range runs {
				if step < len(run) {
					at += int64(len(out) % 2)
					e := run[step]
					e.JobID, e.ID, e.Time = fmt.Sprintf("job-%d", first+i), tidings.ID{Ms: uint64(at), Seq: uint64(len(out))}, time.UnixMilli(at)
					out = append(out, tidings.Change{Event: e})
				}
			}
		}
	}
	return out
}

func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / (1 << 20)
}

// BenchmarkFold: changes folded a second, and what they leave in memory.
func BenchmarkFold(b *testing.B) {
	changes := interleaved(*benchJobs, *benchEvents)
	before := heap()
	var f *Fold
	for b.Loop() {
		f = NewFold(Limits{})
		for i := range changes {
			f.Apply(&changes[i])
		}
	}
	b.ReportMetric(float64(len(changes))*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(heap()-before, "MiB-kept")
	runtime.KeepAlive(f)
	runtime.KeepAlive(changes)
}

// BenchmarkCheckpoint: to encode one.
func BenchmarkCheckpoint(b *testing.B) {
	f := NewFold(Limits{})
	for _, c := range interleaved(*benchJobs, *benchEvents) {
		f.Apply(&c)
	}
	size := 0
	for b.Loop() {
		data, err := (&checkpoint{Format: checkpointFormat, Fold: f.state()}).encode()
		if err != nil {
			b.Fatal(err)
		}
		size = len(data)
	}
	b.ReportMetric(float64(size)/(1<<20), "MiB")
}

// BenchmarkFollow: from the embedded store's feed to the counts.
func BenchmarkFollow(b *testing.B) {
	store := openStore(b)
	total := int64(0)
	for job := range *benchJobs {
		events := agentRun(job, *benchEvents)
		if _, err := store.Append(b.Context(), fmt.Sprint("job-", job), tidings.Batch{Events: events}); err != nil {
			b.Fatal(err)
		}
		total += int64(len(events))
	}
	var m *Monitor
	for b.Loop() {
		m = watch(b, store, Options{})
		for events(m) < total {
			time.Sleep(time.Millisecond)
		}
		b.StopTimer()
		m.Stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(total)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	reads(b, m)
}

// reads reports how long answers take at the end, p95 of a hundred.
func reads(b *testing.B, m *Monitor) {
	for name, read := range map[string]func(){
		"overview": func() { m.Overview(15*time.Minute, ByName) },
		"stuck":    func() { m.Stuck(StuckQuery{}) },
		"errors":   func() { m.Errors() },
		"chart": func() {
			_, _ = m.Chart(ChartQuery{Metrics: []string{"events", "duration_p95"}, From: time.Now().Add(-time.Hour), To: time.Now(), By: ByName})
		},
	} {
		var took []float64
		for range 100 {
			start := time.Now()
			read()
			took = append(took, float64(time.Since(start).Microseconds())/1000)
		}
		slices.Sort(took)
		b.ReportMetric(took[94], name+"-p95-ms")
	}
}

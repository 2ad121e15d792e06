package tidings_test

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
)

// nullStore takes everything, at once or in the time that a durable store takes.
type nullStore struct {
	takes           time.Duration
	events, batches atomic.Int64
}

func (s *nullStore) Append(_ context.Context, _ string, b tidings.Batch) (tidings.Receipt, error) {
	time.Sleep(s.takes)
	s.events.Add(int64(len(b.Events)))
	s.batches.Add(1)
	return tidings.Receipt{}, nil
}

func (s *nullStore) Heartbeat(context.Context, string, tidings.Lease) error { return nil }

// callbackBench is what the cases of BenchmarkCallback work on. Each case calls
// measure around every single callback.
type callbackBench struct {
	job     *tidings.Handler
	ctx     context.Context // in a run
	run     *tidings.Run
	model   *tidings.ModelRun
	measure func(callback func())
}

var callbackCases = []struct {
	name string
	call func(b *callbackBench)
}{
	{"Delta", func(b *callbackBench) { b.measure(func() { b.model.Delta("text", "token") }) }},
	{"Progress", func(b *callbackBench) { b.measure(func() { b.run.Progress(0.5, "half") }) }},
	{"Phase", func(b *callbackBench) {
		var r *tidings.Run
		b.measure(func() { _, r = b.job.Phase(b.ctx, "plan") })
		b.measure(func() { r.End(nil) })
	}},
	{"Model", func(b *callbackBench) {
		var m *tidings.ModelRun
		b.measure(func() { m = b.job.Model(b.ctx, "fake") })
		b.measure(func() { m.End("It is sunny.", nil) })
	}},
	{"Tool", func(b *callbackBench) {
		var t *tidings.ToolRun
		b.measure(func() { _, t = b.job.ToolStart(b.ctx, "weather", "c1", toolInput) })
		b.measure(func() { t.End("sunny", nil) })
	}},
	// The cost of serialising a value by reflection comes on top.
	{"ToolWithMap", func(b *callbackBench) {
		var t *tidings.ToolRun
		b.measure(func() { _, t = b.job.ToolStart(b.ctx, "weather", "c1", toolInputMap) })
		b.measure(func() { t.End("sunny", nil) })
	}},
}

var (
	toolInput    = json.RawMessage(`{"city":"Oslo","days":3}`) // as models give it
	toolInputMap = map[string]any{"city": "Oslo", "days": 3}
)

// What one callback costs the agent, with a store that takes a millisecond for
// a batch and a queue that is never full: in bursts, with the sender and the
// garbage collector at work beside, and at an agent's pace, where most callbacks
// find the sender asleep and wake it.
func BenchmarkCallback(b *testing.B) {
	for _, c := range callbackCases {
		b.Run("burst/"+c.name, func(b *testing.B) { benchmarkCallback(b, 0, c.call) })
	}
	for _, c := range callbackCases {
		b.Run("paced/"+c.name, func(b *testing.B) { benchmarkCallback(b, 50*time.Microsecond, c.call) })
	}
}

func benchmarkCallback(b *testing.B, pause time.Duration, call func(*callbackBench)) {
	ctx := context.Background()
	job := tidings.Start(ctx, "job", &nullStore{takes: time.Millisecond}, nil)
	c := &callbackBench{job: job}
	c.ctx, c.run = job.Phase(ctx, "root")
	c.model = job.Model(c.ctx, "fake")
	took := make([]time.Duration, 0, 1<<20)
	c.measure = func(callback func()) {
		if len(took)%1000 == 999 {
			b.StopTimer()
			_ = job.Flush(ctx)
			b.StartTimer()
		}
		began := time.Now()
		callback()
		took = append(took, time.Since(began))
		for pause > 0 && time.Since(began) < pause {
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		call(c)
	}
	reportTimes(b, took)
	if s := job.Stats(); s.Dropped > 0 {
		b.Fatalf("the queue was full: %+v", s)
	}
	job.End(nil, nil)
	_ = job.Close(ctx)
}

// reportTimes reports percentiles. Other work on the machine takes a good part of
// the slowest callbacks, so the p99 of the quieter parts is reported too: the
// lower quartile of those of each thousand.
func reportTimes(b *testing.B, took []time.Duration) {
	var parts []time.Duration
	for part := range slices.Chunk(slices.Clone(took), 1000) {
		parts = append(parts, percentile(part, 99))
	}
	b.ReportMetric(float64(percentile(took, 50)), "p50-ns")
	b.ReportMetric(float64(percentile(took, 99)), "p99-ns")
	b.ReportMetric(float64(percentile(parts, 25)), "quiet-p99-ns")
}

func percentile(took []time.Duration, p int) time.Duration {
	slices.Sort(took)
	return took[len(took)*p/100]
}

// How many events a second one handler can pass on.
func BenchmarkQueue(b *testing.B) {
	ctx := context.Background()
	store := &nullStore{}
	job := tidings.Start(ctx, "job", store, &tidings.HandlerOptions{BlockFor: time.Hour})
	_, run := job.Phase(ctx, "root")
	b.ReportAllocs()
	for b.Loop() {
		run.Progress(0.5, "half")
	}
	_ = job.Flush(ctx)
	b.ReportMetric(float64(store.events.Load())/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(store.events.Load())/float64(store.batches.Load()), "events/batch")
	_ = job.Close(ctx)
}

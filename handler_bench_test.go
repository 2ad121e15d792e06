package tidings_test

import (
	"context"
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

// What a callback costs the agent, with a store that takes a millisecond for a
// batch and a queue that is never full. The percentiles hold what the machine
// does besides, as the sender and the garbage collector do.
func BenchmarkCallback(b *testing.B) {
	input := map[string]any{"city": "Oslo", "days": 3}
	ctx := context.Background()
	for _, c := range []struct {
		name   string
		events int
		call   func(job *tidings.Handler, ctx context.Context, m *tidings.ModelRun, r *tidings.Run)
	}{
		{"Delta", 1, func(_ *tidings.Handler, _ context.Context, m *tidings.ModelRun, _ *tidings.Run) {
			m.Delta("text", "token")
		}},
		{"Progress", 1, func(_ *tidings.Handler, _ context.Context, _ *tidings.ModelRun, r *tidings.Run) {
			r.Progress(0.5, "half")
		}},
		{"PhaseAndEnd", 2, func(job *tidings.Handler, ctx context.Context, _ *tidings.ModelRun, _ *tidings.Run) {
			_, r := job.Phase(ctx, "plan")
			r.End(nil)
		}},
		{"Tool", 2, func(job *tidings.Handler, ctx context.Context, _ *tidings.ModelRun, _ *tidings.Run) {
			_, t := job.ToolStart(ctx, "weather", "c1", input)
			t.End("sunny", nil)
		}},
		{"Custom", 1, func(job *tidings.Handler, _ context.Context, _ *tidings.ModelRun, _ *tidings.Run) {
			job.Custom("note", input)
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			job := tidings.Start(ctx, "job", &nullStore{takes: time.Millisecond}, nil)
			within, run := job.Phase(ctx, "root")
			m := job.Model(within, "fake")
			var took []time.Duration
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				if n++; n%1000 == 0 {
					b.StopTimer()
					_ = job.Flush(ctx)
					b.StartTimer()
				}
				began := time.Now()
				c.call(job, within, m, run)
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
			b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
			if s := job.Stats(); s.Dropped > 0 {
				b.Fatalf("the queue was full: %+v", s)
			}
			job.End(nil, nil)
			_ = job.Close(ctx)
		})
	}
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

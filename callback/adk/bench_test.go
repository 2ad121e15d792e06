package adk_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"google.golang.org/genai"

	"google.golang.org/adk/v2/agent"
	"google.golang.org/adk/v2/model"
	"google.golang.org/adk/v2/plugin"

	"tidings"
	"tidings/callback/adk"
)

// slowStore takes everything in the time that a durable store takes.
type slowStore struct{}

func (slowStore) Append(context.Context, string, tidings.Batch) (tidings.Receipt, error) {
	time.Sleep(time.Millisecond)
	return tidings.Receipt{}, nil
}

func (slowStore) Heartbeat(context.Context, string, tidings.Lease) error { return nil }

// BenchmarkCallback is what one callback costs the agent, at an agent's pace and
// with a queue that is never full: a streamed piece, the start and end of a
// model call, those of a tool call. Run it with
//
//	go test -run '^$' -bench Callback -benchtime 20000x .
func BenchmarkCallback(b *testing.B) {
	job := tidings.Start(b.Context(), "job", slowStore{}, nil)
	defer func() { _ = job.Close(context.Background()) }()
	p := adk.Plugin(job, nil)
	inside(b, func(c agent.Context) {
		piece := &model.LLMResponse{Partial: true, Content: &genai.Content{Role: genai.RoleModel, Parts: []*genai.Part{{Text: "token "}}}}
		whole := says("It is sunny").whole()
		t, args, result := weather(b), map[string]any{"city": "Oslo"}, map[string]any{"weather": "sunny"}
		b.Run("piece", func(b *testing.B) {
			_, _ = p.BeforeModelCallback()(c, &model.LLMRequest{Model: "fake"})
			measure(b, job, func() { _, _ = p.AfterModelCallback()(c, piece, nil) })
			_, _ = p.AfterModelCallback()(c, whole, nil)
		})
		b.Run("model", func(b *testing.B) {
			measure(b, job,
				func() { _, _ = p.BeforeModelCallback()(c, &model.LLMRequest{Model: "fake"}) },
				func() { _, _ = p.AfterModelCallback()(c, whole, nil) })
		})
		b.Run("tool", func(b *testing.B) {
			measure(b, job,
				func() { _, _ = p.BeforeToolCallback()(c, t, args) },
				func() { _, _ = p.AfterToolCallback()(c, t, args, result, nil) })
		})
	}, p)
}

// measure reports the median and the 99th percentile of one callback's time.
func measure(b *testing.B, job *tidings.Handler, callbacks ...func()) {
	b.ReportAllocs()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		if i%1000 == 999 {
			b.StopTimer()
			must(b, job.Flush(b.Context()))
			b.StartTimer()
		}
		call := callbacks[i%len(callbacks)]
		begin := time.Now()
		call()
		took = append(took, time.Since(begin))
		for time.Since(begin) < 50*time.Microsecond {
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}

// inside calls fn in a run of an agent, with the plugin that observes it.
func inside(b *testing.B, fn func(agent.Context), p *plugin.Plugin) {
	a, err := agent.New(agent.Config{Name: "bench", Run: func(ctx agent.InvocationContext) eventSeq {
		fn(agent.NewToolContext(ctx, "c1", nil, nil))
		return says("ok").events(ctx)
	}})
	must(b, err)
	must(b, drain(newRunner(b, a, p).Run(b.Context(), "user", "session", message("hi"), streaming)))
}

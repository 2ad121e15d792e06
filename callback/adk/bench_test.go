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
	"tidings/internal/memlog"
)

// BenchmarkCallback is what one callback costs the agent: a streamed piece, a
// model call's start and end, a tool call's. Run it with
//
//	go test -run '^$' -bench Callback -benchtime 20000x .
//
// -benchtime bounds the queue, so that it never is full.
func BenchmarkCallback(b *testing.B) {
	job := tidings.Start(b.Context(), "job", memlog.New(), nil)
	defer func() { _ = job.Close(context.Background()) }()
	p := adk.Plugin(job, nil)
	inside(b, func(c agent.Context) {
		piece := &model.LLMResponse{Partial: true, Content: &genai.Content{Role: genai.RoleModel, Parts: []*genai.Part{{Text: "token "}}}}
		whole := says("It is sunny").whole()
		t, args, result := weather(b), map[string]any{"city": "Oslo"}, map[string]any{"weather": "sunny"}
		b.Run("piece", func(b *testing.B) {
			_, _ = p.BeforeModelCallback()(c, &model.LLMRequest{Model: "fake"})
			measure(b, func() { _, _ = p.AfterModelCallback()(c, piece, nil) })
			_, _ = p.AfterModelCallback()(c, whole, nil)
		})
		b.Run("model", func(b *testing.B) {
			measure(b,
				func() { _, _ = p.BeforeModelCallback()(c, &model.LLMRequest{Model: "fake"}) },
				func() { _, _ = p.AfterModelCallback()(c, whole, nil) })
		})
		b.Run("tool", func(b *testing.B) {
			measure(b,
				func() { _, _ = p.BeforeToolCallback()(c, t, args) },
				func() { _, _ = p.AfterToolCallback()(c, t, args, result, nil) })
		})
		must(b, job.Flush(b.Context()))
	}, p)
}

// measure reports the 99th percentile of one callback's time.
func measure(b *testing.B, callbacks ...func()) {
	b.ReportAllocs()
	took := make([]time.Duration, 0, 1<<20)
	for i := 0; b.Loop(); i++ {
		call := callbacks[i%len(callbacks)]
		begin := time.Now()
		call()
		if len(took) < cap(took) {
			took = append(took, time.Since(begin))
		}
	}
	slices.Sort(took)
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

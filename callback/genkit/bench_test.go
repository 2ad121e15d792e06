package tidingsgenkit_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/firebase/genkit/go/ai"
	"github.com/firebase/genkit/go/core/tracing"

	"tidings"
	tidingsgenkit "tidings/callback/genkit"
)

// slowStore takes everything in the time that a durable store takes.
type slowStore struct{}

func (slowStore) Append(context.Context, string, tidings.Batch) (tidings.Receipt, error) {
	time.Sleep(time.Millisecond)
	return tidings.Receipt{}, nil
}

func (slowStore) Heartbeat(context.Context, string, tidings.Lease) error { return nil }

// BenchmarkHook is what the hooks cost a flow, at an agent's pace and with a
// queue that is never full: a chunk, a whole model call (start and end), a whole
// tool call; and a step's span with and without a job. Run it with
//
//	go test -run '^$' -bench Hook -benchtime 20000x .
func BenchmarkHook(b *testing.B) {
	job := tidings.Start(b.Context(), "job", slowStore{}, nil)
	defer func() { _ = job.Close(context.Background()) }()
	ctx := tidingsgenkit.WithJob(b.Context(), job)
	hooks, err := tidingsgenkit.Middleware().New(ctx)
	must(b, err)
	chunk := &ai.ModelResponseChunk{Content: []*ai.Part{ai.NewTextPart("token ")}}
	resp := &ai.ModelResponse{Message: ai.NewModelTextMessage("It is sunny"), Usage: &ai.GenerationUsage{InputTokens: 1, OutputTokens: 1}}
	params := &ai.ModelParams{Callback: func(context.Context, *ai.ModelResponseChunk) error { return nil }}
	b.Run("chunk", func(b *testing.B) {
		_, _ = hooks.WrapModel(ctx, params, func(ctx context.Context, p *ai.ModelParams) (*ai.ModelResponse, error) {
			measure(b, job, func() { _ = p.Callback(ctx, chunk) })
			return resp, nil
		})
	})
	answer := func(context.Context, *ai.ModelParams) (*ai.ModelResponse, error) { return resp, nil }
	b.Run("model", func(b *testing.B) { measure(b, job, func() { _, _ = hooks.WrapModel(ctx, params, answer) }) })
	call := &ai.ToolParams{Request: &ai.ToolRequest{Ref: "c1", Name: "weather", Input: map[string]any{"city": "Oslo"}}}
	result := func(context.Context, *ai.ToolParams) (*ai.MultipartToolResponse, error) {
		return &ai.MultipartToolResponse{Output: "sunny"}, nil
	}
	b.Run("tool", func(b *testing.B) { measure(b, job, func() { _, _ = hooks.WrapTool(ctx, call, result) }) })
	for name, ctx := range map[string]context.Context{"span": ctx, "span-of-no-job": b.Context()} {
		b.Run(name, func(b *testing.B) {
			measure(b, job, func() {
				_, _ = tracing.RunInNewSpan(ctx, &tracing.SpanMetadata{Name: "step", Type: "flowStep"}, "in",
					func(context.Context, string) (string, error) { return "out", nil })
			})
		})
	}
}

// measure reports the median and the 99th percentile of one call's time.
func measure(b *testing.B, job *tidings.Handler, call func()) {
	b.ReportAllocs()
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		if i%1000 == 999 {
			b.StopTimer()
			must(b, job.Flush(b.Context()))
			b.StartTimer()
		}
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

package langchaingo_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/schema"

	"tidings"
	"tidings/callback/langchaingo"
)

// nullStore takes everything.
type nullStore struct{}

func (nullStore) Append(context.Context, string, tidings.Batch) (tidings.Receipt, error) {
	return tidings.Receipt{}, nil
}
func (nullStore) Heartbeat(context.Context, string, tidings.Lease) error { return nil }

// What one callback costs the agent beyond the call itself, with a queue that is
// not full.
func BenchmarkCallback(b *testing.B) {
	ctx := b.Context()
	answer := &llms.ContentResponse{Choices: []*llms.ContentChoice{{Content: "It is sunny", GenerationInfo: map[string]any{"PromptTokens": 11}}}}
	token := []byte("token ")
	inputs := map[string]any{"input": "hi"}
	for name, callbacks := range map[string]func(cb *langchaingo.Handler) []func(){
		"Model": func(cb *langchaingo.Handler) []func() {
			return []func(){
				func() { cb.HandleLLMGenerateContentStart(ctx, nil) },
				func() { cb.HandleLLMGenerateContentEnd(ctx, answer) },
			}
		},
		"Token": func(cb *langchaingo.Handler) []func() {
			cb.HandleLLMGenerateContentStart(ctx, nil)
			return []func(){func() { cb.HandleStreamingFunc(ctx, token) }}
		},
		"Chain": func(cb *langchaingo.Handler) []func() {
			return []func(){func() { cb.HandleChainStart(ctx, inputs) }, func() { cb.HandleChainEnd(ctx, inputs) }}
		},
		"Action": func(cb *langchaingo.Handler) []func() {
			return []func(){
				func() { cb.HandleAgentAction(ctx, schema.AgentAction{Tool: "weather", ToolInput: "Oslo"}) },
				func() { cb.HandleAgentFinish(ctx, schema.AgentFinish{}) },
			}
		},
	} {
		b.Run(name, func(b *testing.B) {
			h := tidings.Start(ctx, "job", nullStore{}, &tidings.HandlerOptions{QueueBytes: 1 << 40})
			defer func() { _ = h.Close(context.WithoutCancel(ctx)) }()
			measure(b, callbacks(langchaingo.New(h)))
		})
	}
}

// measure calls the callbacks in turn and reports the cost of one.
func measure(b *testing.B, callbacks []func()) {
	took := make([]time.Duration, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		for _, callback := range callbacks {
			begin := time.Now()
			callback()
			if len(took) < cap(took) {
				took = append(took, time.Since(begin))
			}
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}

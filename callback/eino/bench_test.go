package eino_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/components"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"

	"tidings"
	"tidings/callback/eino"
)

// nowhere takes everything.
type nowhere struct{}

func (nowhere) Append(context.Context, string, tidings.Batch) (tidings.Receipt, error) {
	time.Sleep(time.Millisecond) // as a durable store
	return tidings.Receipt{}, nil
}
func (nowhere) Heartbeat(context.Context, string, tidings.Lease) error { return nil }

// What one callback costs the agent's goroutine, with a queue that is not full.
//
//	go test -run '^$' -bench Callback -benchtime 200000x
func BenchmarkCallback(b *testing.B) {
	message := schema.AssistantMessage("It is sunny", nil)
	message.ResponseMeta = &schema.ResponseMeta{FinishReason: "stop", Usage: &schema.TokenUsage{PromptTokens: 11, CompletionTokens: 3}}
	for _, c := range []struct {
		name    string
		info    callbacks.RunInfo
		in, out any
	}{
		{"Hidden", callbacks.RunInfo{Component: compose.ComponentOfToolsNode}, nil, nil},
		{"Node", callbacks.RunInfo{Name: "plan", Component: compose.ComponentOfLambda}, "in", "out"},
		{"Model", callbacks.RunInfo{Name: "model", Component: components.ComponentOfChatModel}, []*schema.Message{schema.UserMessage("hi")}, message},
		{"Tool", callbacks.RunInfo{Name: "weather", Component: components.ComponentOfTool}, `{"city":"Oslo"}`, "sunny"},
	} {
		b.Run(c.name, func(b *testing.B) { measure(b, c.info, c.in, c.out) })
	}
}

// measure calls OnStart and OnEnd in turn, beneath a root, and reports the cost
// of one callback.
func measure(b *testing.B, info callbacks.RunInfo, in, out any) {
	job := tidings.Start(b.Context(), "job", nowhere{}, nil)
	defer func() { _ = job.Close(context.WithoutCancel(b.Context())) }()
	h := eino.NewHandler(job, nil)
	ctx := h.OnStart(b.Context(), &callbacks.RunInfo{Name: "root", Component: compose.ComponentOfGraph}, nil)
	took := make([]time.Duration, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		if len(took)%1000 == 0 { // the queue is never full
			b.StopTimer()
			_ = job.Flush(b.Context())
			b.StartTimer()
		}
		info := info // as Eino, which makes one for each run
		begin := time.Now()
		inner := h.OnStart(ctx, &info, in)
		began := time.Now()
		h.OnEnd(inner, &info, out)
		took = append(took, began.Sub(begin), time.Since(began))
	}
	if s := job.Stats(); s.Dropped > 0 {
		b.Fatalf("the queue was full: %+v", s)
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns")
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
}

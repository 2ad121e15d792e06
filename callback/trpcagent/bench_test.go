package trpcagent_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"trpc.group/trpc-go/trpc-agent-go/agent"
	"trpc.group/trpc-go/trpc-agent-go/model"
	"trpc.group/trpc-go/trpc-agent-go/tool"

	"tidings"
	"tidings/callback/trpcagent"
)

// nullStore takes everything.
type nullStore struct{}

func (nullStore) Append(context.Context, string, tidings.Batch) (tidings.Receipt, error) {
	return tidings.Receipt{}, nil
}
func (nullStore) Heartbeat(context.Context, string, tidings.Lease) error { return nil }

// What one callback costs the agent, the runner's own call of it included, with
// a queue that is not full.
func BenchmarkCallback(b *testing.B) {
	job := tidings.Start(b.Context(), "job", nullStore{}, &tidings.HandlerOptions{QueueBytes: 1 << 40})
	defer func() { _ = job.Close(context.WithoutCancel(b.Context())) }()
	m := hooks(b, trpcagent.Plugin(job, nil))
	started, err := m.AgentCallbacks().RunBeforeAgent(b.Context(), &agent.BeforeAgentArgs{Invocation: agent.NewInvocation(agent.WithInvocationID("i"))})
	if err != nil {
		b.Fatal(err)
	}
	ctx := started.Context
	piece := &model.AfterModelArgs{Response: partial(model.Message{Content: "token "})}
	whole := &model.AfterModelArgs{Response: answer{text: "It is sunny"}.whole()}
	before := &tool.BeforeToolArgs{ToolName: "get_weather", ToolCallID: "c", Arguments: []byte(`{"city":"Oslo"}`)}
	after := &tool.AfterToolArgs{ToolName: "get_weather", ToolCallID: "c", Result: "sunny"}

	b.Run("Model", func(b *testing.B) {
		var called context.Context
		measure(b,
			func() {
				res, _ := m.ModelCallbacks().RunBeforeModel(ctx, &model.BeforeModelArgs{})
				called = res.Context
			},
			func() { _, _ = m.ModelCallbacks().RunAfterModel(called, whole) })
	})
	b.Run("Token", func(b *testing.B) {
		res, _ := m.ModelCallbacks().RunBeforeModel(ctx, &model.BeforeModelArgs{})
		measure(b, func() { _, _ = m.ModelCallbacks().RunAfterModel(res.Context, piece) })
	})
	b.Run("Tool", func(b *testing.B) {
		var called context.Context
		measure(b,
			func() { res, _ := m.ToolCallbacks().RunBeforeTool(ctx, before); called = res.Context },
			func() { _, _ = m.ToolCallbacks().RunAfterTool(called, after) })
	})
}

// measure calls the callbacks in turn and reports the cost of one.
func measure(b *testing.B, callbacks ...func()) {
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

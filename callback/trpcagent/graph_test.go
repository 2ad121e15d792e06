package trpcagent_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"trpc.group/trpc-go/trpc-agent-go/agent"
	"trpc.group/trpc-go/trpc-agent-go/agent/graphagent"
	"trpc.group/trpc-go/trpc-agent-go/graph"
	"trpc.group/trpc-go/trpc-agent-go/graph/checkpoint/inmemory"
	"trpc.group/trpc-go/trpc-agent-go/tool"

	"tidings"
	"tidings/callback/trpcagent"
)

// newGraph is first → ask → tools → last.
func newGraph(t *testing.T, last graph.NodeFunc, opts ...graph.Option) agent.Agent {
	toolbox := map[string]tool.Tool{"get_weather": newTool(weather)}
	schema := graph.MessagesStateSchema().AddField("out", graph.StateField{Type: reflect.TypeFor[string](), Reducer: graph.DefaultReducer})
	g, err := graph.NewStateGraph(schema).
		AddNode("first", func(context.Context, graph.State) (any, error) { return graph.State{"out": "x"}, nil }).
		AddLLMNode("ask", newModel(answer{calls: []string{`{"city":"Oslo"}`}}), "be brief", toolbox).
		AddToolsNode("tools", toolbox).
		AddNode("last", last, opts...).
		SetEntryPoint("first").AddEdge("first", "ask").AddEdge("ask", "tools").AddEdge("tools", "last").SetFinishPoint("last").
		Compile()
	if err != nil {
		t.Fatal(err)
	}
	return newGraphAgent(t, g)
}

func newGraphAgent(t *testing.T, g *graph.Graph, opts ...graphagent.Option) agent.Agent {
	ag, err := graphagent.New("graph", g, append(opts, graphagent.WithCheckpointSaver(inmemory.NewSaver()))...)
	if err != nil {
		t.Fatal(err)
	}
	return ag
}

const beforeLast = `
phase_update started graph graph input="hi"
  phase_update started node first
  phase_update completed node first
  phase_update started node ask
    thought started llm
    thought completed llm usage={"input_tokens":11,"output_tokens":3}
  phase_update completed node ask
  phase_update started node tools
    tool_call tool tool=get_weather call=call_0 input={"city":"Oslo"}
    tool_result tool tool=get_weather call=call_0 output="sunny in Oslo"
  phase_update completed node tools
`

func TestGraphsNodesHoldTheirModelAndToolCalls(t *testing.T) {
	s := newStory(t, nil)
	s.run(newGraph(t, func(context.Context, graph.State) (any, error) { return graph.State{"out": "y"}, nil }))
	s.expect(beforeLast + `  phase_update started node last
  phase_update completed node last
phase_update completed graph graph
done completed usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestErrorOfANodeIsToldByTheNode(t *testing.T) {
	s := newStory(t, nil)
	s.run(newGraph(t, func(context.Context, graph.State) (any, error) { return nil, errors.New("broke") }))
	s.expect(beforeLast + `  phase_update started node last
  phase_update failed node last error="broke"
phase_update failed graph graph caused-below
error error="execution failed at step 3: node last execution failed: broke" usage={"input_tokens":11,"output_tokens":3} scope=job caused-below fatal
`)
}

func TestPanicInANodeIsToldByTheNode(t *testing.T) {
	s := newStory(t, nil)
	s.run(newGraph(t, func(context.Context, graph.State) (any, error) { panic("broke") }))
	if log := s.outline(); !strings.Contains(log, "\n  phase_update failed node last error=\"node last panic: broke\"\nphase_update failed graph graph caused-below\n") {
		t.Errorf("got:\n%s", log)
	}
}

func TestInterruptLeavesTheJobWaitingAndTheResumedRunGoesOn(t *testing.T) {
	s := newStory(t, nil)
	ag := newGraph(t, func(ctx context.Context, state graph.State) (any, error) {
		v, err := graph.Interrupt(ctx, state, "approve", "may I?")
		return graph.State{"out": v}, err
	})
	events := s.run(ag)
	if err := s.job.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if status := s.log.Summary("job").Status; status != tidings.StatusWaiting {
		t.Errorf("the job is %s", status)
	}
	var lineage string
	for _, e := range events {
		if e.Object == graph.ObjectTypeGraphPregelStep {
			lineage = e.InvocationID
		}
	}
	s.run(ag, agent.WithRuntimeState(map[string]any{
		graph.CfgKeyLineageID: lineage,
		graph.StateKeyCommand: &graph.Command{ResumeMap: map[string]any{"approve": "yes"}},
	}))
	log := s.outline()
	if !strings.HasPrefix(log, strings.TrimSpace(beforeLast)+`
  phase_update started node last
  phase_update interrupted node last
phase_update interrupted graph graph
phase_update resumed graph graph`) {
		t.Errorf("got:\n%s", log)
	}
	if !strings.HasSuffix(log, "\ndone completed usage={\"input_tokens\":11,\"output_tokens\":3}\n") || strings.Count(log, "node first") != 2 {
		t.Errorf("the resumed run did not go on to the end:\n%s", log)
	}
	for _, e := range s.log.Events("job") {
		if strings.Contains(string(e.Data), `"interrupts":[{"id":`) && strings.Contains(string(e.Data), `"value":"may I?"`) {
			return
		}
	}
	t.Error("what is asked for is not told")
}

func TestRetriedNodeTellsOfItsErrorsAndIsOneNode(t *testing.T) {
	tries := 0
	s := newStory(t, nil)
	s.run(newGraph(t, func(context.Context, graph.State) (any, error) {
		if tries++; tries < 3 {
			return nil, errors.New("not yet")
		}
		return graph.State{"out": "y"}, nil
	}, graph.WithRetryPolicy(graph.RetryPolicy{MaxAttempts: 3, RetryOn: []graph.RetryCondition{
		graph.RetryConditionFunc(func(error) bool { return true }),
	}})))
	s.expect(beforeLast + `  phase_update started node last
  error error="not yet" scope=chain
  error error="not yet" scope=chain
  phase_update completed node last
phase_update completed graph graph
done completed usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestNodeSpeaksByTheFrameworksOwnMeans(t *testing.T) {
	s := newStory(t, nil)
	s.run(newGraph(t, func(ctx context.Context, state graph.State) (any, error) {
		emitter := graph.GetEventEmitterWithContext(ctx, state)
		_ = emitter.EmitProgress(50, "half")
		_ = emitter.EmitCustom("tide", map[string]any{"high": true})
		return graph.State{"out": "y"}, nil
	}))
	s.expect(beforeLast + `  phase_update started node last
  phase_update progress node last
  custom tide value={"high":true}
  phase_update completed node last
phase_update completed graph graph
done completed usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestAgentAsANodeIsBeneathTheNode(t *testing.T) {
	clerk := newAgent("clerk", newModel(answer{text: "done"}))
	g, err := graph.NewStateGraph(graph.MessagesStateSchema()).
		AddAgentNode("clerk").SetEntryPoint("clerk").SetFinishPoint("clerk").Compile()
	if err != nil {
		t.Fatal(err)
	}
	s := newStory(t, nil)
	s.run(newGraphAgent(t, g, graphagent.WithSubAgents([]agent.Agent{clerk})))
	s.expect(`
phase_update started graph graph input="hi"
  phase_update started node clerk
    phase_update started agent clerk
      thought started llm scripted model=scripted
      thought completed llm scripted model=scripted content="done" usage={"input_tokens":11,"output_tokens":3}
    phase_update completed agent clerk output="done"
  phase_update completed node clerk
phase_update completed graph graph output="done"
done completed output="done" usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestGraphWithoutEventsStillEnds(t *testing.T) {
	s := newStory(t, nil)
	s.run(newGraph(t, func(context.Context, graph.State) (any, error) { return graph.State{"out": "y"}, nil }),
		agent.WithDisableGraphExecutorEvents(true))
	if log := s.outline(); !strings.Contains(log, "\nphase_update completed graph graph") || !strings.Contains(log, "\ndone completed") {
		t.Errorf("got:\n%s", log)
	}
}

func TestParallelNodesKeepTheirCalls(t *testing.T) {
	one, two := newModel(answer{text: "from one"}), newModel(answer{text: "from two"})
	nothing := func(context.Context, graph.State) (any, error) { return graph.State{}, nil }
	g, err := graph.NewStateGraph(graph.MessagesStateSchema()).
		AddNode("start", nothing).AddLLMNode("one", one, "", nil).AddLLMNode("two", two, "", nil).AddNode("join", nothing).
		SetEntryPoint("start").AddEdge("start", "one").AddEdge("start", "two").
		AddJoinEdge([]string{"one", "two"}, "join").SetFinishPoint("join").Compile()
	if err != nil {
		t.Fatal(err)
	}
	s := newStory(t, nil)
	s.run(newGraphAgent(t, g))
	parents := map[string]string{} // what a node's model said → the node
	names := map[string]string{}
	log := s.outline()
	for _, e := range s.log.Events("job") {
		d := fields(t, e)
		names[d.RunID] = d.Name
		if d.Content != "" {
			parents[d.Content] = names[d.ParentRunID]
		}
	}
	if parents["from one"] != "one" || parents["from two"] != "two" {
		t.Errorf("the calls lie in %v:\n%s", parents, log)
	}
}

// What is started with the context of a node's function lies beneath its graph,
// not the node: nodes have no callback that could give them a context.
func TestCancelledGraphEnds(t *testing.T) {
	s := newStory(t, nil)
	s.run(newGraph(t, func(ctx context.Context, _ graph.State) (any, error) {
		_, step := trpcagent.Job(ctx).Phase(ctx, "waiting")
		defer step.End(nil)
		_, err := s.log.Append(ctx, "job", tidings.Batch{Events: []tidings.Event{{Type: tidings.TypeCancelRequested}}})
		if err != nil {
			return nil, err
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}))
	log := s.outline()
	if status := s.log.Summary("job").Status; status != tidings.StatusCancelled {
		t.Errorf("the job is %s:\n%s", status, log)
	}
	if !strings.Contains(log, "  phase_update started chain waiting\n") || !strings.Contains(log, "\nphase_update failed graph graph") {
		t.Errorf("got:\n%s", log)
	}
}

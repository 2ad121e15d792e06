package trpcagent_test

import (
	"context"
	"errors"
	"reflect"
	"testing"

	"trpc.group/trpc-go/trpc-agent-go/agent"
	"trpc.group/trpc-go/trpc-agent-go/agent/chainagent"
	"trpc.group/trpc-go/trpc-agent-go/agent/graphagent"
	"trpc.group/trpc-go/trpc-agent-go/agent/llmagent"
	"trpc.group/trpc-go/trpc-agent-go/agent/parallelagent"
	"trpc.group/trpc-go/trpc-agent-go/graph"
	"trpc.group/trpc-go/trpc-agent-go/graph/checkpoint/inmemory"
	"trpc.group/trpc-go/trpc-agent-go/tool"
	agenttool "trpc.group/trpc-go/trpc-agent-go/tool/agent"
)

func TestExplore(t *testing.T) {
	for name, ag := range map[string]agent.Agent{
		"1 ok": newAgent("weather", newModel(answer{calls: []string{`{"city":"Oslo"}`, `{"city":"Nowhere"}`}}, answer{think: "hm hm", text: "It is sunny"}), streaming),
		"2 model error": newAgent("weather", newModel(answer{fail: errors.New("exploded")})),
		"3 refused": newAgent("weather", newModel(answer{refuse: "quota"})),
		"4 unknown tool": newAgent("weather", newModel(answer{tool: "get_tides", calls: []string{`{}`}}, answer{text: "no"})),
		"5 panic": newAgent("weather", newModel(answer{calls: []string{`{"city":"Oslo"}`}}, answer{text: "no"}), llmagent.WithTools([]tool.Tool{newTool(func(context.Context, place) (string, error) { panic("hail") })})),
		"6 chain": chainagent.New("chain", chainagent.WithSubAgents([]agent.Agent{newAgent("a", newModel(answer{text: "A"})), newAgent("b", newModel(answer{text: "B"}))})),
		"7 parallel": parallelagent.New("par", parallelagent.WithSubAgents([]agent.Agent{newAgent("a", newModel(answer{text: "A"})), newAgent("b", newModel(answer{text: "B"}))})),
		"8 transfer": newAgent("boss", newModel(answer{tool: "transfer_to_agent", calls: []string{`{"agent_name":"a","message":"do"}`}}, answer{text: "no"}), llmagent.WithSubAgents([]agent.Agent{newAgent("a", newModel(answer{text: "A"}))})),
		"9 agenttool": newAgent("boss", newModel(answer{tool: "a", calls: []string{`{"request":"x"}`}}, answer{text: "ok"}), llmagent.WithTools([]tool.Tool{agenttool.NewTool(newAgent("a", newModel(answer{text: "A"})))})),
		"91 chain error": chainagent.New("chain", chainagent.WithSubAgents([]agent.Agent{newAgent("a", newModel(answer{fail: errors.New("exploded")})), newAgent("b", newModel(answer{text: "B"}))})),
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t, nil)
			s.run(ag)
			t.Log("\n" + s.outline())
		})
	}
}

func TestExploreGraph(t *testing.T) {
	schema := graph.MessagesStateSchema().AddField("out", graph.StateField{Type: reflect.TypeOf(""), Reducer: graph.DefaultReducer})
	build := func(second graph.NodeFunc) agent.Agent {
		g, err := graph.NewStateGraph(schema).
			AddNode("first", func(context.Context, graph.State) (any, error) { return graph.State{"out": "x"}, nil }).
			AddLLMNode("ask", newModel(answer{calls: []string{`{"city":"Oslo"}`}}), "be brief", map[string]tool.Tool{"get_weather": newTool(weather)}).
			AddToolsNode("tools", map[string]tool.Tool{"get_weather": newTool(weather)}).
			AddNode("second", second).
			SetEntryPoint("first").
			AddEdge("first", "ask").
			AddEdge("ask", "tools").
			AddEdge("tools", "second").
			SetFinishPoint("second").
			Compile()
		if err != nil {
			t.Fatal(err)
		}
		ag, err := graphagent.New("graph", g, graphagent.WithCheckpointSaver(inmemory.NewSaver()))
		if err != nil {
			t.Fatal(err)
		}
		return ag
	}
	for name, second := range map[string]graph.NodeFunc{
		"ok": func(context.Context, graph.State) (any, error) { return graph.State{"out": "y"}, nil },
		"fail": func(context.Context, graph.State) (any, error) { return nil, errors.New("second broke") },
		"panic": func(context.Context, graph.State) (any, error) { panic("second broke") },
		"interrupt": func(ctx context.Context, s graph.State) (any, error) {
			v, err := graph.Interrupt(ctx, s, "approve", "may I?")
			if err != nil { return nil, err }
			return graph.State{"out": v}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t, nil)
			for _, e := range s.run(build(second)) {
				if e.Response != nil { t.Log(e.Object, e.InvocationID, e.Author, e.Error, len(e.StateDelta)) 
				 for k, v := range e.StateDelta { if k == graph.MetadataKeyPregel && len(v) > 0 && e.Object != "graph.pregel.planning" { t.Log("   ", string(v)) } }
				}
			}
			t.Log("\n" + s.outline())
		})
	}
}

package trpcagent_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"trpc.group/trpc-go/trpc-agent-go/agent"
	"trpc.group/trpc-go/trpc-agent-go/event"
	"trpc.group/trpc-go/trpc-agent-go/graph"
	"trpc.group/trpc-go/trpc-agent-go/model"
	"trpc.group/trpc-go/trpc-agent-go/plugin"
	"trpc.group/trpc-go/trpc-agent-go/tool"

	"tidings"
	"tidings/callback/trpcagent"
)

// hooks gives the callbacks of a plugin, as a runner calls them.
func hooks(t testing.TB, p plugin.Plugin) *plugin.Manager {
	m, err := plugin.NewManager(p)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestBadInputNeverReachesTheAgent(t *testing.T) {
	s := newStory(t, nil)
	m := hooks(t, trpcagent.Plugin(s.job, nil))
	cyclic := map[string]any{}
	cyclic["self"] = cyclic
	inv := agent.NewInvocation(agent.WithInvocationID("i1"))
	ctx := t.Context()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	for _, inv := range []*agent.Invocation{nil, inv} {
		started, err := m.AgentCallbacks().RunBeforeAgent(ctx, &agent.BeforeAgentArgs{Invocation: inv})
		check(err)
		if started != nil && started.Context != nil {
			ctx = started.Context
		}
		for _, args := range []*model.AfterModelArgs{{}, {Response: &model.Response{}}, {Error: errors.New("x")}} {
			_, err = m.ModelCallbacks().RunAfterModel(ctx, args) // no call has begun
			check(err)
			called, err := m.ModelCallbacks().RunBeforeModel(ctx, &model.BeforeModelArgs{})
			check(err)
			if called != nil && called.Context != nil {
				_, err = m.ModelCallbacks().RunAfterModel(called.Context, args)
				check(err)
			}
		}
		for _, text := range []string{"", "{", "\xff", `{"a":1}`} {
			called, err := m.ToolCallbacks().RunBeforeTool(ctx, &tool.BeforeToolArgs{ToolName: "t", ToolCallID: text, Arguments: []byte(text)})
			check(err)
			after := &tool.AfterToolArgs{ToolName: "t", ToolCallID: text, Result: cyclic}
			_, err = m.ToolCallbacks().RunAfterTool(ctx, after) // not the call's context
			check(err)
			if called != nil && called.Context != nil {
				_, err = m.ToolCallbacks().RunAfterTool(called.Context, after)
				check(err)
			}
		}
		for _, e := range badEvents() {
			same, err := m.OnEvent(ctx, inv, e)
			check(err)
			if same != e {
				t.Error("the event was replaced")
			}
		}
		_, err = m.AgentCallbacks().RunAfterAgent(ctx, &agent.AfterAgentArgs{Invocation: inv})
		check(err)
		check(m.AfterRun(ctx, &plugin.AfterRunArgs{Invocation: inv}))
	}
	if log := s.outline(); !strings.Contains(log, "tool_call tool") || !strings.Contains(log, "phase_update completed") {
		t.Errorf("got:\n%s", log)
	}
}

func badEvents() []*event.Event {
	events := []*event.Event{{}, {Response: &model.Response{Object: model.ObjectTypeToolResponse}}}
	for _, object := range []string{
		graph.ObjectTypeGraphNodeStart, graph.ObjectTypeGraphNodeError, graph.ObjectTypeGraphNodeCustom, graph.ObjectTypeGraphPregelStep,
		graph.ObjectTypeGraphExecution, model.ObjectTypeToolResponse,
	} {
		for _, text := range []string{"", "null", "{", `{"nodeId":7}`} {
			events = append(events, &event.Event{InvocationID: "i1", Response: &model.Response{Object: object, Choices: []model.Choice{{}}},
				StateDelta: map[string][]byte{
					graph.MetadataKeyNode: []byte(text), graph.MetadataKeyNodeCustom: []byte(text), graph.MetadataKeyPregel: []byte(text), graph.MetadataKeyNodeEmitter: []byte(text),
				}})
		}
	}
	return events
}

func TestPanicInACallbackIsLoggedAndKeptFromTheAgent(t *testing.T) {
	var log bytes.Buffer
	p := trpcagent.Plugin(nil, &trpcagent.Options{
		Job:    func(context.Context, *agent.Invocation) *tidings.Handler { panic("no job today") },
		Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	inv := agent.NewInvocation()
	if res, err := hooks(t, p).AgentCallbacks().RunBeforeAgent(t.Context(), &agent.BeforeAgentArgs{Invocation: inv}); err != nil || res != nil {
		t.Errorf("the agent got %v, %v", res, err)
	}
	if !strings.Contains(log.String(), "no job today") {
		t.Errorf("the log says %q", log.String())
	}
}

// What a callback gets belongs to the agent, who goes on to change it.
func TestInputsAreTakenAsTheyWere(t *testing.T) {
	s := newStory(t, nil)
	m := hooks(t, trpcagent.Plugin(s.job, nil))
	arguments := []byte(`{"city":"Oslo"}`)
	called, err := m.ToolCallbacks().RunBeforeTool(trpcagent.WithJob(t.Context(), s.job), &tool.BeforeToolArgs{ToolName: "t", ToolCallID: "c", Arguments: arguments})
	if err != nil {
		t.Fatal(err)
	}
	copy(arguments, `{"city":"Rome"}`)
	result := map[string]any{"sky": "blue"}
	if _, err = m.ToolCallbacks().RunAfterTool(called.Context, &tool.AfterToolArgs{ToolName: "t", ToolCallID: "c", Result: result}); err != nil {
		t.Fatal(err)
	}
	result["sky"] = "grey"
	s.expect(`
tool_call tool tool=t call=c input={"city":"Oslo"}
tool_result tool tool=t call=c output={"sky":"blue"}
`)
}

package adk_test

import (
	"context"
	"errors"
	"iter"
	"testing"

	"google.golang.org/genai"

	"google.golang.org/adk/v2/agent"
	"google.golang.org/adk/v2/agent/llmagent"
	"google.golang.org/adk/v2/agent/workflowagents/loopagent"
	"google.golang.org/adk/v2/agent/workflowagents/parallelagent"
	"google.golang.org/adk/v2/agent/workflowagents/sequentialagent"
	"google.golang.org/adk/v2/model"
	"google.golang.org/adk/v2/plugin"
	"google.golang.org/adk/v2/runner"
	"google.golang.org/adk/v2/session"
	"google.golang.org/adk/v2/tool"

	"tidings"
	"tidings/callback/adk"
)

func withTools(tools ...tool.Tool) func(*llmagent.Config) {
	return func(c *llmagent.Config) { c.Tools = tools }
}

func TestATurnWithAToolAndAStreamedAnswer(t *testing.T) {
	s := start(t, nil)
	m := newModel(calls("c1", "get_weather", map[string]any{"city": "Oslo"}), says("It ", "is ", "sunny"))
	must(t, s.run(newAgent(t, "weather", m, withTools(weather(t))), streaming))
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=get_weather call=c1 input={"city":"Oslo"}
  tool_result tool tool=get_weather call=c1 output={"weather":"sunny in Oslo"}
  thought started llm fake-model model=fake-model
  thought delta "It is sunny"
  thought completed llm fake-model model=fake-model content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather
done completed output="It is sunny" usage={"input_tokens":22,"output_tokens":6}
`)
	s.status(tidings.StatusCompleted)
}

func TestPartialPiecesAreDeltasAndTheWholeAtTheEndIsNotDoubled(t *testing.T) {
	s := start(t, nil)
	must(t, s.run(newAgent(t, "weather", newModel(says("It ", "is ", "sunny")), nil), streaming))
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought delta "It is sunny"
  thought completed llm fake-model model=fake-model content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather
done completed output="It is sunny" usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestWithoutStreamingTheAnswerComesAtTheEnd(t *testing.T) {
	s := start(t, nil)
	must(t, s.run(newAgent(t, "weather", newModel(says("It ", "is ", "sunny")), nil), agent.RunConfig{}))
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather
done completed output="It is sunny" usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestThoughtsAreReasoning(t *testing.T) {
	for name, cfg := range map[string]agent.RunConfig{"streaming": streaming, "whole": {}} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			answer := ""
			if name == "streaming" {
				answer = "\n  thought delta \"Hi!\""
			}
			m := newModel(turn{thoughts: []string{"The user ", "says hi."}, pieces: []string{"Hi!"}, usage: map[string]int32{"thoughts": 7, "cached": 5}})
			must(t, s.run(newAgent(t, "weather", m, nil), cfg))
			s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought delta channel=reasoning "The user says hi."` + answer + `
  thought completed llm fake-model model=fake-model content="Hi!" usage={"input_tokens":11,"output_tokens":10,"cached_input_tokens":5,"reasoning_tokens":7}
phase_update completed agent weather
done completed output="Hi!" usage={"input_tokens":11,"output_tokens":10,"cached_input_tokens":5,"reasoning_tokens":7}
`)
		})
	}
}

func TestFunctionCallsInPartialEventsGiveNoSecondCall(t *testing.T) {
	s := start(t, nil)
	m := newModel(calls("c1", "get_weather", map[string]any{"city": "Oslo"}), says("ok"))
	must(t, s.run(newAgent(t, "weather", m, withTools(weather(t))), streaming))
	n := 0
	s.outline()
	for _, e := range s.log.Events("job") {
		if e.Type == tidings.TypeToolCall {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d tool calls are told of, want 1", n)
	}
}

func TestToolErrorIsToldOnceThoughTwoCallbacksBringIt(t *testing.T) {
	s := start(t, nil)
	m := newModel(calls("c1", "get_weather", map[string]any{"city": "Nowhere"}), says("I don't know"))
	must(t, s.run(newAgent(t, "weather", m, withTools(weather(t))), streaming))
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=get_weather call=c1 input={"city":"Nowhere"}
  tool_result tool tool=get_weather call=c1 error="city not found"
  thought started llm fake-model model=fake-model
  thought delta "I don't know"
  thought completed llm fake-model model=fake-model content="I don't know" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather
done completed output="I don't know" usage={"input_tokens":22,"output_tokens":6}
`)
	s.status(tidings.StatusCompleted)
}

func TestToolErrorThatACallbackMendsIsAResult(t *testing.T) {
	s := start(t, nil)
	m := newModel(calls("c1", "get_weather", map[string]any{"city": "Nowhere"}), says("ok"))
	a := newAgent(t, "weather", m, func(c *llmagent.Config) {
		c.Tools = []tool.Tool{weather(t)}
		c.OnToolErrorCallbacks = []llmagent.OnToolErrorCallback{func(agent.Context, tool.Tool, map[string]any, error) (map[string]any, error) {
			return map[string]any{"weather": "somehow sunny"}, nil
		}}
	})
	must(t, s.run(a, streaming))
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=get_weather call=c1 input={"city":"Nowhere"}
  tool_result tool tool=get_weather call=c1 output={"weather":"somehow sunny"}
  thought started llm fake-model model=fake-model
  thought delta "ok"
  thought completed llm fake-model model=fake-model content="ok" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather
done completed output="ok" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestUnknownToolHasACallThoughOnlyItsErrorIsReported(t *testing.T) {
	s := start(t, nil)
	m := newModel(calls("c1", "nope", map[string]any{"x": 1}), says("ok"))
	must(t, s.run(newAgent(t, "weather", m, withTools(weather(t))), streaming))
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=nope call=c1 input={"x":1}
  tool_result tool tool=nope call=c1 error="tool 'nope' not found.\nAvailable tools: get_weather\n\nPossible causes:\n  1. LLM hallucinated the function name - review agent instruction clarity\n  2. Tool not registered - verify agent.tools list\n  3. Name mismatch - check for typos\n\nSuggested fixes:\n  - Review agent instruction to ensure tool usage is clear\n  - Verify tool is included in agent.tools list\n  - Check for typos in function name"
  thought started llm fake-model model=fake-model
  thought delta "ok"
  thought completed llm fake-model model=fake-model content="ok" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather
done completed output="ok" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestPanicInAToolIsItsError(t *testing.T) {
	s := start(t, nil)
	m := newModel(calls("c1", "get_weather", map[string]any{"city": "Chaos"}), says("ok"))
	must(t, s.run(newAgent(t, "weather", m, withTools(weather(t))), streaming))
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=get_weather call=c1 input={"city":"Chaos"}
  tool_result tool tool=get_weather call=c1 error="panic in tool \"get_weather\": the tool broke"
  thought started llm fake-model model=fake-model
  thought delta "ok"
  thought completed llm fake-model model=fake-model content="ok" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather
done completed output="ok" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestModelErrorReachesTheJobByTheIteratorAndEndsOpenRuns(t *testing.T) {
	s := start(t, nil)
	wantError(t, s.run(newAgent(t, "weather", newModel(turn{err: errors.New("model exploded")}), nil), agent.RunConfig{}), "model exploded")
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  error error="model exploded" scope=llm
phase_update failed agent weather caused-below
error error="model exploded" scope=job caused-below fatal
`)
	s.status(tidings.StatusFailed)
}

func TestStreamThatBreaksMidwayKeepsWhatCame(t *testing.T) {
	s := start(t, nil)
	wantError(t, s.run(newAgent(t, "weather", newModel(turn{pieces: []string{"It "}, err: errors.New("stream broke")}), nil), streaming), "stream broke")
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought delta "It "
  error error="stream broke" scope=llm
phase_update failed agent weather caused-below
error error="stream broke" scope=job caused-below fatal
`)
}

func TestModelErrorThatACallbackMendsFailsNothing(t *testing.T) {
	s := start(t, nil)
	a := newAgent(t, "weather", newModel(turn{err: errors.New("model exploded")}), func(c *llmagent.Config) {
		c.OnModelErrorCallbacks = []llmagent.OnModelErrorCallback{func(agent.Context, *model.LLMRequest, error) (*model.LLMResponse, error) {
			return says("Sorry.").whole(), nil
		}}
	})
	must(t, s.run(a, streaming))
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  error error="model exploded" scope=llm
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model content="Sorry." usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather
done completed output="Sorry." usage={"input_tokens":11,"output_tokens":3}
`)
	s.status(tidings.StatusCompleted)
}

func TestAnswerBlockedByTheProviderIsAModelError(t *testing.T) {
	s := start(t, nil)
	m := newModel(turn{answer: &model.LLMResponse{ErrorCode: "SAFETY", ErrorMessage: "blocked"}})
	must(t, s.run(newAgent(t, "weather", m, nil), agent.RunConfig{}))
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  error error="SAFETY: blocked" scope=llm
phase_update completed agent weather
error error="SAFETY: blocked" scope=job caused-below fatal
`)
}

func TestModelThatACallbackAnswersForIsEnded(t *testing.T) {
	s := start(t, nil)
	a := newAgent(t, "weather", newModel(says("never")), func(c *llmagent.Config) {
		c.BeforeModelCallbacks = []llmagent.BeforeModelCallback{func(agent.Context, *model.LLMRequest) (*model.LLMResponse, error) {
			return says("from the cache").whole(), nil
		}}
	})
	must(t, s.run(a, streaming))
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model content="from the cache"
phase_update completed agent weather
done completed output="from the cache"
`)
}

func TestErrorOfACustomAgentReachesOnlyTheIterator(t *testing.T) {
	s := start(t, nil)
	wantError(t, s.run(failing(t, "custom", errors.New("custom failed")), streaming), "custom failed")
	s.tells(`
phase_update started job
phase_update started agent custom input="hi"
phase_update failed agent custom error="custom failed"
error error="custom failed" scope=job caused-below fatal
`)
	s.status(tidings.StatusFailed)
}

// failing is an agent without a model that fails.
func failing(t *testing.T, name string, err error) agent.Agent {
	return custom(t, name, func(agent.InvocationContext) iter.Seq2[*session.Event, error] {
		return func(yield func(*session.Event, error) bool) { yield(nil, err) }
	})
}

func custom(t *testing.T, name string, run func(agent.InvocationContext) iter.Seq2[*session.Event, error]) agent.Agent {
	t.Helper()
	a, err := agent.New(agent.Config{Name: name, Run: run})
	must(t, err)
	return a
}

func TestSequentialAgentsLieBeneathTheirParent(t *testing.T) {
	s := start(t, nil)
	seq, err := sequentialagent.New(sequentialagent.Config{AgentConfig: agent.Config{Name: "seq", SubAgents: []agent.Agent{
		newAgent(t, "one", newModel(says("first")), nil),
		newAgent(t, "two", newModel(says("second")), nil),
	}}})
	must(t, err)
	must(t, s.run(seq, streaming))
	s.tells(`
phase_update started job
phase_update started agent seq input="hi"
  phase_update started agent one
    thought started llm fake-model model=fake-model
    thought delta "first"
    thought completed llm fake-model model=fake-model content="first" usage={"input_tokens":11,"output_tokens":3}
  phase_update completed agent one
  phase_update started agent two
    thought started llm fake-model model=fake-model
    thought delta "second"
    thought completed llm fake-model model=fake-model content="second" usage={"input_tokens":11,"output_tokens":3}
  phase_update completed agent two
phase_update completed agent seq
done completed output="second" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestLoopsRunTheirAgentAnewEachTime(t *testing.T) {
	s := start(t, nil)
	loop, err := loopagent.New(loopagent.Config{MaxIterations: 2, AgentConfig: agent.Config{Name: "loop", SubAgents: []agent.Agent{
		newAgent(t, "one", newModel(says("again")), nil),
	}}})
	must(t, err)
	must(t, s.run(loop, streaming))
	s.tells(`
phase_update started job
phase_update started agent loop input="hi"
  phase_update started agent one
    thought started llm fake-model model=fake-model
    thought delta "again"
    thought completed llm fake-model model=fake-model content="again" usage={"input_tokens":11,"output_tokens":3}
  phase_update completed agent one
  phase_update started agent one
    thought started llm fake-model model=fake-model
    thought delta "again"
    thought completed llm fake-model model=fake-model content="again" usage={"input_tokens":11,"output_tokens":3}
  phase_update completed agent one
phase_update completed agent loop
done completed output="again" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestFailureInASequenceFailsTheAgentsAroundItOnce(t *testing.T) {
	s := start(t, nil)
	seq, err := sequentialagent.New(sequentialagent.Config{AgentConfig: agent.Config{Name: "seq", SubAgents: []agent.Agent{
		newAgent(t, "one", newModel(turn{err: errors.New("model exploded")}), nil),
		newAgent(t, "two", newModel(says("never")), nil),
	}}})
	must(t, err)
	wantError(t, s.run(seq, streaming), "model exploded")
	s.tells(`
phase_update started job
phase_update started agent seq input="hi"
  phase_update started agent one
    thought started llm fake-model model=fake-model
    error error="model exploded" scope=llm
  phase_update failed agent one caused-below
phase_update failed agent seq caused-below
error error="model exploded" scope=job caused-below fatal
`)
}

func TestParallelAgentsAreToldApartByTheirBranch(t *testing.T) {
	s := start(t, nil)
	gate := make(chan struct{})
	first := turn{pieces: []string{"first"}, do: func(context.Context) { <-gate }}
	second := turn{pieces: []string{"second"}, do: func(context.Context) { close(gate) }}
	must(t, s.run(parallel(t, newAgent(t, "one", newModel(first), nil), newAgent(t, "two", newModel(second), nil)), streaming))
	s.outline()
	for name, want := range map[string]string{"one": "first", "two": "second"} {
		if got := s.contentOf(name); got != want {
			t.Errorf("agent %s said %q, want %q", name, got, want)
		}
	}
	s.status(tidings.StatusCompleted)
}

func parallel(t *testing.T, agents ...agent.Agent) agent.Agent {
	t.Helper()
	par, err := parallelagent.New(parallelagent.Config{AgentConfig: agent.Config{Name: "par", SubAgents: agents}})
	must(t, err)
	return par
}

func TestWhenOneOfParallelAgentsFailsTheOtherIsBrokenOff(t *testing.T) {
	s := start(t, nil)
	waiting := make(chan struct{})
	bad := newAgent(t, "one", newModel(turn{err: errors.New("model exploded"), do: func(context.Context) { <-waiting }}), nil)
	slow := newAgent(t, "two", newModel(turn{
		do:     func(context.Context) { close(waiting) },
		ctxErr: stopped,
	}), nil)
	wantError(t, s.run(parallel(t, bad, slow), streaming), "model exploded")
	s.outline()
	if f := s.failureOf("one"); f.cause == "" {
		t.Errorf("the failed agent ended with %+v, want a reference to its model's error", f)
	}
	if f := s.failureOf("two"); f.kind != "aborted" && f.cause == "" {
		t.Errorf("the other agent ended with %+v, want it to be broken off", f)
	}
	s.status(tidings.StatusFailed)
}

func TestTransferIsToldAndTheOtherAgentRunsBeneath(t *testing.T) {
	s := start(t, nil)
	sub := newAgent(t, "sub", newModel(says("Here I am")), nil)
	boss := newAgent(t, "boss", newModel(calls("t1", "transfer_to_agent", map[string]any{"agent_name": "sub"})), func(c *llmagent.Config) {
		c.SubAgents = []agent.Agent{sub}
	})
	must(t, s.run(boss, streaming))
	s.tells(`
phase_update started job
phase_update started agent boss input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=transfer_to_agent call=t1 input={"agent_name":"sub"}
  tool_result tool tool=transfer_to_agent call=t1 output={}
phase_update progress agent boss
  phase_update started agent sub
    thought started llm fake-model model=fake-model
    thought delta "Here I am"
    thought completed llm fake-model model=fake-model content="Here I am" usage={"input_tokens":11,"output_tokens":3}
  phase_update completed agent sub
phase_update completed agent boss
done completed output="Here I am" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestStateDeltasArePatches(t *testing.T) {
	s := start(t, nil)
	remember := newTool(t, "remember", func(ctx agent.Context, in city) (report, error) {
		return report{}, ctx.State().Set("last/city", in.City)
	})
	m := newModel(calls("c1", "remember", map[string]any{"city": "Oslo"}), says("Noted."))
	must(t, s.run(newAgent(t, "weather", m, withTools(remember)), streaming))
	s.outline()
	want := `{"patch":[{"op":"add","path":"/last~1city","value":"Oslo"}],"run_id":"` + s.runOf("weather") + `"}`
	if got := s.data(tidings.TypeState); len(got) != 1 || got[0] != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestStateOfTheSessionIsASnapshotAtTheStart(t *testing.T) {
	s := start(t, nil)
	sessions := session.InMemoryService()
	_, err := sessions.Create(t.Context(), &session.CreateRequest{AppName: "app", UserID: "user", SessionID: "session", State: map[string]any{"units": "metric"}})
	must(t, err)
	r, err := runner.New(runner.Config{
		AppName: "app", Agent: newAgent(t, "weather", newModel(says("Hi!")), nil), SessionService: sessions,
		PluginConfig: runner.PluginConfig{Plugins: []*plugin.Plugin{adk.Plugin(nil, nil)}},
	})
	must(t, err)
	must(t, drain(adk.Run(t.Context(), s.Handler, r, "user", "session", message("hi"), streaming)))
	s.outline()
	if got := s.data(tidings.TypeState); len(got) != 1 || got[0] != `{"snapshot":{"units":"metric"}}` {
		t.Errorf("got %q", got)
	}
}

func TestWhatAnAgentWithoutAModelSaysIsItsOutput(t *testing.T) {
	s := start(t, nil)
	a := custom(t, "clock", func(ctx agent.InvocationContext) iter.Seq2[*session.Event, error] {
		return func(yield func(*session.Event, error) bool) {
			e := session.NewEvent(ctx, ctx.InvocationID())
			e.Content = genai.NewContentFromText("It is noon", genai.RoleModel)
			yield(e, nil)
		}
	})
	must(t, s.run(a, streaming))
	s.tells(`
phase_update started job
phase_update started agent clock input="hi"
phase_update completed agent clock output="It is noon"
done completed output="It is noon"
`)
}

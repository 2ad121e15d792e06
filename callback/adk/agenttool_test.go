package adk_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/genai"

	"google.golang.org/adk/v2/agent"
	"google.golang.org/adk/v2/agent/llmagent"
	"google.golang.org/adk/v2/tool"
	"google.golang.org/adk/v2/tool/agenttool"

	"tidings"
	"tidings/callback/adk"
)

func outer(t *testing.T, inner tool.Tool) agent.Agent {
	m := newModel(calls("a1", "inner", map[string]any{"request": "go"}), says("It is sunny"))
	return newAgent(t, "outer", m, withTools(inner))
}

func TestTheFrameworksOwnAgentToolHidesItsInside(t *testing.T) {
	s := start(t, nil)
	must(t, s.run(outer(t, agenttool.New(newAgent(t, "inner", newModel(says("sunny")), nil), nil)), streaming))
	s.tells(`
phase_update started job
phase_update started agent outer input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=inner call=a1 input={"request":"go"}
  tool_result tool tool=inner call=a1 output={"result":"sunny"}
  thought started llm fake-model model=fake-model
  thought delta "It is sunny"
  thought completed llm fake-model model=fake-model content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent outer
done completed output="It is sunny" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestOurAgentToolShowsItsInsideBeneathTheCall(t *testing.T) {
	s := start(t, nil)
	inner := newAgent(t, "inner", newModel(calls("c1", "get_weather", map[string]any{"city": "Oslo"}), says("sunny")), withTools(weather(t)))
	must(t, s.run(outer(t, adk.AgentTool(inner, nil)), streaming))
	s.tells(`
phase_update started job
phase_update started agent outer input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=inner call=a1 input={"request":"go"}
    phase_update started agent inner input="go"
      thought started llm fake-model model=fake-model
      thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
      tool_call tool tool=get_weather call=c1 input={"city":"Oslo"}
      tool_result tool tool=get_weather call=c1 output={"weather":"sunny in Oslo"}
      thought started llm fake-model model=fake-model
      thought delta "sunny"
      thought completed llm fake-model model=fake-model content="sunny" usage={"input_tokens":11,"output_tokens":3}
    phase_update completed agent inner
  tool_result tool tool=inner call=a1 output={"result":"sunny"}
  thought started llm fake-model model=fake-model
  thought delta "It is sunny"
  thought completed llm fake-model model=fake-model content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent outer
done completed output="It is sunny" usage={"input_tokens":44,"output_tokens":12}
`)
}

func TestErrorInsideAnAgentToolIsTheToolsAndNotTheJobs(t *testing.T) {
	s := start(t, nil)
	inner := newAgent(t, "inner", newModel(turn{err: errors.New("model exploded")}), nil)
	must(t, s.run(outer(t, adk.AgentTool(inner, nil)), streaming))
	s.tells(`
phase_update started job
phase_update started agent outer input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=inner call=a1 input={"request":"go"}
    phase_update started agent inner input="go"
      thought started llm fake-model model=fake-model
      error error="model exploded" scope=llm
    phase_update failed agent inner caused-below
  tool_result tool tool=inner call=a1 caused-below
  thought started llm fake-model model=fake-model
  thought delta "It is sunny"
  thought completed llm fake-model model=fake-model content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent outer
done completed output="It is sunny" usage={"input_tokens":22,"output_tokens":6}
`)
	s.status(tidings.StatusCompleted)
}

// TestAgentToolsAreTheSameToTheModel compares ours with the framework's own.
func TestAgentToolsAreTheSameToTheModel(t *testing.T) {
	schema := &genai.Schema{Type: genai.TypeObject, Properties: map[string]*genai.Schema{"city": {Type: genai.TypeString}}}
	for _, c := range []struct {
		name   string
		args   map[string]any
		answer string
		json   bool
		change func(*llmagent.Config)
	}{
		{"text", map[string]any{"request": "go"}, "sunny", false, nil},
		{"input schema", map[string]any{"city": "Oslo"}, "sunny", false, func(c *llmagent.Config) { c.InputSchema = schema }},
		{"output schema", map[string]any{"request": "go"}, `{"city":"Oslo"}`, true, func(c *llmagent.Config) { c.OutputSchema = schema }},
		{"nothing said", map[string]any{"request": "go"}, "", false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			var results []string
			for _, wrap := range []func(agent.Agent) tool.Tool{
				func(a agent.Agent) tool.Tool { return agenttool.New(a, nil) },
				func(a agent.Agent) tool.Tool { return adk.AgentTool(a, &adk.AgentToolConfig{JSONOutput: c.json}) },
			} {
				s := start(t, nil)
				m := newModel(calls("a1", "inner", c.args), says("done"))
				inner := newAgent(t, "inner", newModel(says(c.answer)), c.change)
				must(t, s.run(newAgent(t, "outer", m, withTools(wrap(inner))), streaming))
				text := s.outline()
				for line := range strings.Lines(text) {
					if strings.Contains(line, "tool_result") {
						results = append(results, strings.TrimSpace(line))
					}
				}
			}
			if len(results) != 2 || results[0] != results[1] {
				t.Errorf("got %q, want two that are equal", results)
			}
		})
	}
}

func TestAgentToolWithoutAJobStillWorks(t *testing.T) {
	inner := newAgent(t, "inner", newModel(says("sunny")), nil)
	must(t, drain(newRunner(t, outer(t, adk.AgentTool(inner, nil))).Run(t.Context(), "user", "session", message("hi"), streaming)))
}

func TestStepsOfAToolLieBeneathItsCall(t *testing.T) {
	s := start(t, nil)
	search := newTool(t, "search", func(ctx agent.Context, in city) (report, error) {
		_, step := s.Phase(adk.Context(ctx), "ask the index")
		step.End(nil)
		return report{}, nil
	})
	m := newModel(calls("c1", "search", map[string]any{"city": "Oslo"}), says("ok"))
	must(t, s.run(newAgent(t, "weather", m, withTools(search)), streaming))
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=search call=c1 input={"city":"Oslo"}
    phase_update started chain ask the index
    phase_update completed chain ask the index
  tool_result tool tool=search call=c1 output={"weather":""}
  thought started llm fake-model model=fake-model
  thought delta "ok"
  thought completed llm fake-model model=fake-model content="ok" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather
done completed output="ok" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestStepsOfACustomAgentLieBeneathIt(t *testing.T) {
	s := start(t, nil)
	a := custom(t, "clock", func(ctx agent.InvocationContext) eventSeq {
		_, step := s.Phase(adk.Context(ctx), "look at the clock")
		step.End(nil)
		return says("noon").events(ctx)
	})
	must(t, s.run(a, streaming))
	s.tells(`
phase_update started job
phase_update started agent clock input="hi"
  phase_update started chain look at the clock
  phase_update completed chain look at the clock
phase_update completed agent clock output="noon"
done completed output="noon"
`)
}

func TestContextOutsideOfAJobIsTheFrameworksOwn(t *testing.T) {
	same := false
	a := custom(t, "clock", func(ctx agent.InvocationContext) eventSeq {
		same = adk.Context(ctx) == context.Context(ctx)
		return says("noon").events(ctx)
	})
	must(t, drain(newRunner(t, a).Run(t.Context(), "user", "session", message("hi"), streaming)))
	if !same {
		t.Error("the context is another one")
	}
}

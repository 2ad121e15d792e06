package trpcagent_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"trpc.group/trpc-go/trpc-agent-go/agent"
	"trpc.group/trpc-go/trpc-agent-go/agent/chainagent"
	"trpc.group/trpc-go/trpc-agent-go/agent/llmagent"
	"trpc.group/trpc-go/trpc-agent-go/agent/parallelagent"
	"trpc.group/trpc-go/trpc-agent-go/model"
	"trpc.group/trpc-go/trpc-agent-go/plugin"
	"trpc.group/trpc-go/trpc-agent-go/runner"
	"trpc.group/trpc-go/trpc-agent-go/tool"
	agenttool "trpc.group/trpc-go/trpc-agent-go/tool/agent"

	"tidings"
	"tidings/callback/trpcagent"
	"tidings/internal/memlog"
)

func TestAgentWithToolsAndAToolErrorGivesTheWholeTree(t *testing.T) {
	s := newStory(t, nil)
	s.run(newAgent("weather", newModel(answer{calls: []string{`{"city":"Oslo"}`, `{"city":"Nowhere"}`}}, answer{think: "hm hm", text: "It is sunny"}), streaming))
	s.expect(`
phase_update started agent weather input="hi"
  thought started llm scripted model=scripted
  thought completed llm scripted model=scripted usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=get_weather call=call_0 input={"city":"Oslo"}
  tool_result tool tool=get_weather call=call_0 output="sunny in Oslo"
  tool_call tool tool=get_weather call=call_1 input={"city":"Nowhere"}
  tool_result tool tool=get_weather call=call_1 error="Error: callable tool execution failed: city not found"
  thought started llm scripted model=scripted
  thought delta channel=reasoning "hm hm"
  thought delta "It is sunny"
  thought completed llm scripted model=scripted content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather output="It is sunny"
done completed output="It is sunny" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestReasoningThatIsNotStreamedIsToldOnce(t *testing.T) {
	s := newStory(t, nil)
	s.run(newAgent("weather", newModel(answer{think: "hm", text: "sunny"})))
	if log := s.outline(); strings.Count(log, `thought delta channel=reasoning "hm"`) != 1 || strings.Contains(log, `thought delta "`) {
		t.Errorf("got:\n%s", log)
	}
}

func TestFailedModelCallHasNoAfterModelAndTakesItsAgentsError(t *testing.T) {
	for name, script := range map[string]answer{
		"the call itself":   {fail: errors.New("exploded")},
		"an error response": {refuse: "exploded"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStory(t, nil)
			s.run(newAgent("weather", newModel(script)))
			s.expect(`
phase_update started agent weather input="hi"
  thought started llm scripted model=scripted
  error error="exploded" scope=llm
phase_update failed agent weather caused-below
error error="exploded" scope=job caused-below fatal
`)
		})
	}
}

func TestUnknownToolHasNoCallbackButIsTold(t *testing.T) {
	s := newStory(t, nil)
	s.run(newAgent("weather", newModel(answer{tool: "get_tides", calls: []string{`{"sea":"north"}`}}, answer{text: "no idea"})))
	if log := s.outline(); !strings.Contains(log, `
  tool_call tool tool=get_tides call=call_0 input={"sea":"north"}
  tool_result tool tool=get_tides call=call_0 error="executeToolCall: Error: tool not found: get_tides"
  thought started llm scripted model=scripted
`) {
		t.Errorf("got:\n%s", log)
	}
}

func TestPanicInAToolIsItsResult(t *testing.T) {
	s := newStory(t, nil)
	s.run(newAgent("weather", newModel(answer{calls: []string{`{"city":"Oslo"}`}}),
		withTool(func(context.Context, place) (string, error) { panic("hail") })))
	s.expect(`
phase_update started agent weather input="hi"
  thought started llm scripted model=scripted
  thought completed llm scripted model=scripted usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=get_weather call=call_0 input={"city":"Oslo"}
  tool_result tool tool=get_weather call=call_0 error="flow panic: hail"
phase_update failed agent weather caused-below
error error="flow panic: hail" usage={"input_tokens":11,"output_tokens":3} scope=job caused-below fatal
`)
}

func withTool(fn func(context.Context, place) (string, error)) llmagent.Option {
	return llmagent.WithTools([]tool.Tool{newTool(fn)})
}

func TestParallelToolsKeepTheirCalls(t *testing.T) {
	s := newStory(t, nil)
	var both sync.WaitGroup
	both.Add(2)
	s.run(newAgent("weather", newModel(answer{calls: []string{`{"city":"Oslo"}`, `{"city":"Rome"}`}}, answer{text: "sunny"}),
		llmagent.WithEnableParallelTools(true),
		withTool(func(_ context.Context, in place) (string, error) {
			both.Done()
			both.Wait() // both run at the same time
			return "sunny in " + in.City, nil
		})))
	log := s.outline()
	for _, want := range []string{
		`  tool_call tool tool=get_weather call=call_0 input={"city":"Oslo"}`,
		`  tool_call tool tool=get_weather call=call_1 input={"city":"Rome"}`,
		`  tool_result tool tool=get_weather call=call_0 output="sunny in Oslo"`,
		`  tool_result tool tool=get_weather call=call_1 output="sunny in Rome"`,
	} {
		if strings.Count(log, "\n"+want+"\n") != 1 {
			t.Errorf("not once: %s\n%s", want, log)
		}
	}
}

func TestChainOfAgents(t *testing.T) {
	s := newStory(t, nil)
	s.run(rooted(chainagent.New("chain", chainagent.WithSubAgents([]agent.Agent{
		newAgent("one", newModel(answer{text: "1"})), newAgent("two", newModel(answer{text: "2"})),
	}))))
	s.expect(`
phase_update started agent root input="hi"
  phase_update started agent chain
    phase_update started agent one
      thought started llm scripted model=scripted
      thought completed llm scripted model=scripted content="1" usage={"input_tokens":11,"output_tokens":3}
    phase_update completed agent one output="1"
    phase_update started agent two
      thought started llm scripted model=scripted
      thought completed llm scripted model=scripted content="2" usage={"input_tokens":11,"output_tokens":3}
    phase_update completed agent two output="2"
  phase_update completed agent chain output="2"
phase_update completed agent root output="2"
done completed output="2" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestErrorOfAnInnerAgentClimbsAndIsToldOnce(t *testing.T) {
	s := newStory(t, nil)
	s.run(rooted(chainagent.New("chain", chainagent.WithSubAgents([]agent.Agent{
		newAgent("one", newModel(answer{fail: errors.New("exploded")})), newAgent("two", newModel(answer{text: "2"})),
	}))))
	s.expect(`
phase_update started agent root input="hi"
  phase_update started agent chain
    phase_update started agent one
      thought started llm scripted model=scripted
      error error="exploded" scope=llm
    phase_update failed agent one caused-below
  phase_update failed agent chain caused-below
phase_update failed agent root caused-below
error error="exploded" scope=job caused-below fatal
`)
}

func TestParallelAgentsKeepTheirCalls(t *testing.T) {
	s := newStory(t, nil)
	one, two := newModel(answer{text: "from one"}), newModel(answer{text: "from two"})
	one.name, two.name = "model-one", "model-two"
	s.run(rooted(parallelagent.New("both", parallelagent.WithSubAgents([]agent.Agent{newAgent("one", one), newAgent("two", two)}))))
	log := s.outline()
	for _, want := range []string{
		`      thought completed llm model-one model=model-one content="from one" usage={"input_tokens":11,"output_tokens":3}`,
		`      thought completed llm model-two model=model-two content="from two" usage={"input_tokens":11,"output_tokens":3}`,
		`    phase_update completed agent one output="from one"`,
		`    phase_update completed agent two output="from two"`,
	} {
		if strings.Count(log, "\n"+want+"\n") != 1 {
			t.Errorf("not once: %s\n%s", want, log)
		}
	}
}

func TestTransferIsAToolCallAndAnAgentBeneathTheFirst(t *testing.T) {
	s := newStory(t, nil)
	s.run(newAgent("boss", newModel(answer{tool: "transfer_to_agent", calls: []string{`{"agent_name":"clerk","message":"do it"}`}}),
		llmagent.WithSubAgents([]agent.Agent{newAgent("clerk", newModel(answer{text: "done"}))})))
	log := s.outline()
	for _, want := range []string{
		`  tool_call tool tool=transfer_to_agent call=call_0 input={"agent_name":"clerk","message":"do it"}`,
		`  phase_update started agent clerk`,
		`  phase_update completed agent clerk output="done"`,
		`done completed output="done" usage={"input_tokens":22,"output_tokens":6}`,
	} {
		if strings.Count(log, "\n"+want+"\n") != 1 {
			t.Errorf("not once: %s\n%s", want, log)
		}
	}
}

func TestAgentAsAToolIsBeneathTheCall(t *testing.T) {
	s := newStory(t, nil)
	clerk := agenttool.NewTool(newAgent("clerk", newModel(answer{text: "done"})))
	s.run(newAgent("boss", newModel(answer{tool: "clerk", calls: []string{`{"request":"do it"}`}}, answer{text: "ok"}),
		llmagent.WithTools([]tool.Tool{clerk})))
	if log := s.outline(); !strings.Contains(log, `
  tool_call tool tool=clerk call=call_0 input={"request":"do it"}
    phase_update started agent clerk
      thought started llm scripted model=scripted
      thought completed llm scripted model=scripted content="done" usage={"input_tokens":11,"output_tokens":3}
    phase_update completed agent clerk output="done"
  tool_result tool tool=clerk call=call_0 output="done"
`) {
		t.Errorf("got:\n%s", log)
	}
}

func TestToolTellsOfItsOwnSteps(t *testing.T) {
	s := newStory(t, nil)
	s.run(newAgent("weather", newModel(answer{calls: []string{`{"city":"Oslo"}`}}, answer{text: "sunny"}),
		withTool(func(ctx context.Context, in place) (string, error) {
			_, step := trpcagent.Job(ctx).Phase(ctx, "look out of the window")
			step.End(nil)
			return "sunny", nil
		})))
	if log := s.outline(); !strings.Contains(log, "\n    phase_update started chain look out of the window\n") {
		t.Errorf("got:\n%s", log)
	}
}

func TestCancelledJobEndsTheAgentsContext(t *testing.T) {
	s := newStory(t, nil)
	s.run(newAgent("weather", newModel(answer{calls: []string{`{"city":"Oslo"}`}}, answer{text: "too late"}),
		withTool(func(ctx context.Context, _ place) (string, error) {
			ask, err := tidings.NewEvent(tidings.TypeCancelRequested, map[string]string{"by": "ada", "reason": "rain"})
			if err == nil {
				_, err = s.log.Append(ctx, "job", tidings.Batch{Events: []tidings.Event{ask}})
			}
			if err != nil {
				return "", err
			}
			<-ctx.Done()
			return "", ctx.Err()
		})))
	if log := s.outline(); !strings.Contains(log, "\nphase_update failed agent weather") || !strings.HasSuffix(log, "reason=rain\n") {
		t.Errorf("got:\n%s", log)
	}
	if status := s.log.Summary("job").Status; status != tidings.StatusCancelled {
		t.Errorf("the job is %s", status)
	}
}

func TestReaderWhoLeavesEndsTheContextAndTheJob(t *testing.T) {
	s := newStory(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	entered := make(chan struct{})
	ag := newAgent("weather", newModel(answer{calls: []string{`{"city":"Oslo"}`}}),
		withTool(func(ctx context.Context, _ place) (string, error) {
			close(entered)
			<-ctx.Done()
			return "", ctx.Err()
		}))
	events, err := trpcagent.Run(ctx, s.job, newRunner(t, ag), "ada", "s1", model.NewUserMessage("hi"))
	if err != nil {
		t.Fatal(err)
	}
	<-entered
	cancel() // and nobody reads
	drain(events)
	if log := s.outline(); !strings.Contains(log, "\nerror aborted error=\"context canceled\"") {
		t.Errorf("got:\n%s", log)
	}
}

func TestRunnerThatRefusesToRunEndsTheJob(t *testing.T) {
	s := newStory(t, nil)
	r := runner.NewRunner("app", newAgent("weather", newModel()), runner.WithPlugins(trpcagent.Plugin(nil, nil), refusing{}))
	defer r.Close()
	if _, err := trpcagent.Run(t.Context(), s.job, r, "ada", "s1", model.NewUserMessage("hi")); err == nil {
		t.Fatal("the runner's error is lost")
	}
	s.expect(`
phase_update started agent weather input="hi"
phase_update failed agent weather error="refusing: no entry"
error error="refusing: no entry" scope=job caused-below fatal
`)
}

// refusing is a plugin that lets no agent run.
type refusing struct{}

func (refusing) Name() string { return "refusing" }
func (refusing) Register(r *plugin.Registry) {
	r.BeforeAgent(func(context.Context, *agent.BeforeAgentArgs) (*agent.BeforeAgentResult, error) {
		return nil, errors.New("no entry")
	})
}

func TestPluginWithAJobOfItsOwnAndAnAutomaticEnd(t *testing.T) {
	s := newStory(t, &tidings.HandlerOptions{Automatic: true})
	for name, p := range map[string]plugin.Plugin{
		"its own": trpcagent.Plugin(s.job, nil),
	} {
		r := runner.NewRunner("app", newAgent("weather", newModel(answer{text: "sunny"})), runner.WithPlugins(p))
		defer r.Close()
		events, err := r.Run(t.Context(), "ada", "s1", model.NewUserMessage("hi"))
		if err != nil {
			t.Fatal(name, err)
		}
		drain(events)
	}
	s.expect(`
phase_update started agent weather input="hi"
  thought started llm scripted model=scripted
  thought completed llm scripted model=scripted content="sunny" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather output="sunny"
done completed output="sunny" usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestOnePluginFindsTheJobsOfItsRuns(t *testing.T) {
	stories := map[string]*story{"east": newStory(t, nil), "west": newStory(t, nil)}
	p := trpcagent.Plugin(nil, &trpcagent.Options{Job: func(_ context.Context, inv *agent.Invocation) *tidings.Handler {
		if s := stories[inv.Session.ID]; s != nil {
			return s.job
		}
		return nil
	}})
	m := newModel()
	r := runner.NewRunner("app", newAgent("weather", m), runner.WithPlugins(p))
	defer r.Close()
	for _, session := range []string{"east", "west", "unknown"} {
		m.script = []answer{{text: "from " + session}}
		events, err := r.Run(t.Context(), "ada", session, model.NewUserMessage("hi"))
		if err != nil {
			t.Fatal(err)
		}
		drain(events)
	}
	for id, s := range stories {
		if log := s.outline(); strings.Count(log, "thought completed") != 1 || !strings.Contains(log, `output="from `+id+`"`) {
			t.Errorf("%s got:\n%s", id, log)
		}
	}
}

func TestSeveralRunsAreOneJob(t *testing.T) {
	s := newStory(t, nil)
	r := newRunner(t, newAgent("weather", newModel(answer{text: "one"}, answer{text: "two"})))
	for range 2 {
		events, err := r.Run(trpcagent.WithJob(t.Context(), s.job), "ada", "s1", model.NewUserMessage("hi"))
		if err != nil {
			t.Fatal(err)
		}
		drain(events)
	}
	s.job.End("both", nil)
	log := s.outline()
	if strings.Count("\n"+log, "\nphase_update completed agent weather") != 2 || !strings.HasSuffix(log, `done completed output="both" usage={"input_tokens":22,"output_tokens":6}`+"\n") {
		t.Errorf("got:\n%s", log)
	}
}

func TestWithoutAJobNothingIsTold(t *testing.T) {
	r := newRunner(t, newAgent("weather", newModel(answer{calls: []string{`{"city":"Oslo"}`}}, answer{text: "sunny"})))
	events, err := trpcagent.Run(t.Context(), nil, r, "ada", "s1", model.NewUserMessage("hi"))
	if err != nil || len(drain(events)) == 0 {
		t.Errorf("no events: %v", err)
	}
}

func TestTwoJobsAtOnceShareOneRunner(t *testing.T) {
	r := newRunner(t, newAgent("weather", echo{}))
	var all sync.WaitGroup
	for _, id := range []string{"a", "b", "c", "d"} {
		all.Go(func() {
			log := memlog.New()
			job := tidings.Start(t.Context(), id, log, nil)
			for range 5 {
				events, err := r.Run(trpcagent.WithJob(t.Context(), job), "ada", "session-"+id, model.NewUserMessage("from "+id))
				if err != nil {
					t.Error(err)
					return
				}
				drain(events)
			}
			_ = job.Close(context.WithoutCancel(t.Context()))
			if text := memlog.Outline(log.Events(id)); strings.Count(text, `phase_update completed agent weather output="from `+id+`"`) != 5 || strings.Count(text, "content=") != 5 {
				t.Errorf("%s got:\n%s", id, text)
			}
		})
	}
	all.Wait()
}

// echo is a model that repeats what the user said last.
type echo struct{}

func (echo) Info() model.Info { return model.Info{Name: "echo"} }
func (echo) GenerateContent(_ context.Context, req *model.Request) (<-chan *model.Response, error) {
	out := make(chan *model.Response, 1)
	out <- answer{text: req.Messages[len(req.Messages)-1].Content}.whole()
	close(out)
	return out, nil
}

package eino_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/adk/prebuilt/supervisor"
	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/components/tool"
	"github.com/cloudwego/eino/components/tool/utils"
	"github.com/cloudwego/eino/compose"

	"tidings"
	"tidings/callback/eino"
)

func agent(t testing.TB, name string, m model.ToolCallingChatModel, tools ...tool.BaseTool) *adk.ChatModelAgent {
	t.Helper()
	a, err := adk.NewChatModelAgent(t.Context(), &adk.ChatModelAgentConfig{
		Name: name, Description: "the agent " + name, Instruction: "be nice", Model: m,
		ToolsConfig: adk.ToolsConfig{ToolsNodeConfig: compose.ToolsNodeConfig{Tools: tools}},
	})
	check(t, err)
	return a
}

// ask runs the agent as the job, to the end of its events.
func (o observed) ask(t testing.TB, a adk.Agent, c adk.RunnerConfig, more ...adk.AgentRunOption) error {
	t.Helper()
	c.Agent = a
	r := adk.NewRunner(t.Context(), c)
	_, err := drainEvents(eino.Observe(t.Context(), o.h, func(ctx context.Context) (*adk.AsyncIterator[*adk.AgentEvent], error) {
		return r.Query(ctx, "hi", append(more, adk.WithCallbacks(o.h))...), nil
	}))
	return err
}

const theAnswer = ` content="It is sunny" usage={"input_tokens":11,"output_tokens":3}`

func TestAgentIsToldWithoutItsPlumbing(t *testing.T) {
	o := observe(t, nil)
	check(t, o.ask(t, agent(t, "weatherman", scripted(calls("get_weather", `{"city":"Oslo"}`), says("It is sunny")), weather(t)), adk.RunnerConfig{}))
	o.want(t, `
phase_update started agent weatherman input="hi"
  thought started llm Scripted model=Scripted
  thought completed llm Scripted model=Scripted
  tool_call tool tool=get_weather call=call_0 input={"city":"Oslo"}
  tool_result tool tool=get_weather call=call_0 output="sunny in Oslo"
  thought started llm Scripted model=Scripted
  thought completed llm Scripted model=Scripted`+theAnswer+`
phase_update completed agent weatherman output="It is sunny"
done completed output="It is sunny" usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestStreamingAgent(t *testing.T) {
	o := observe(t, nil)
	check(t, o.ask(t, agent(t, "poet", scripted(says("It ", "is ", "sunny"))), adk.RunnerConfig{EnableStreaming: true}))
	o.want(t, `
phase_update started agent poet input="hi"
  thought started llm Scripted model=Scripted
  thought delta "It is sunny"
  thought completed llm Scripted model=Scripted`+theAnswer+`
phase_update completed agent poet output="It is sunny"
done completed output="It is sunny" usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestAgentEndsWithItsLastEventAlthoughOnEndComesAtOnce(t *testing.T) {
	o := observe(t, nil)
	gate := make(chan struct{})
	slow := says("It ", "is sunny")
	slow.gate = gate
	r := adk.NewRunner(t.Context(), adk.RunnerConfig{Agent: agent(t, "slow", scripted(slow)), EnableStreaming: true})
	events := r.Query(t.Context(), "hi", adk.WithCallbacks(o.h))
	eventually(t, "the first token is told", func() bool {
		check(t, o.job.Flush(t.Context()))
		got := o.store.Events("job")
		return strings.Contains(string(got[len(got)-1].Data), `"delta":"It "`)
	})
	close(gate)
	_, err := drainEvents(events)
	check(t, err)
	check(t, o.h.Run(t.Context(), func(context.Context) (any, error) { return nil, nil }))
	if got := o.outline(t); !strings.HasPrefix(got, `phase_update started agent slow input="hi"
  thought started llm Scripted model=Scripted
  thought delta "It is sunny"
  thought completed llm Scripted model=Scripted`+theAnswer+`
phase_update completed agent slow output="It is sunny"
`) {
		t.Errorf("got\n%s", got)
	}
}

func TestSequentialAgents(t *testing.T) {
	o := observe(t, nil)
	seq, err := adk.NewSequentialAgent(t.Context(), &adk.SequentialAgentConfig{Name: "seq", SubAgents: []adk.Agent{
		agent(t, "one", scripted(says("It is sunny"))), agent(t, "two", scripted(says("It is sunny")))}})
	check(t, err)
	check(t, o.ask(t, seq, adk.RunnerConfig{}))
	got := o.outline(t)
	order := []string{
		"phase_update started agent seq input=\"hi\"\n  phase_update started agent one input=\"hi\"\n    thought started",
		"\n    thought completed llm Scripted model=Scripted" + theAnswer + "\n",
		"\n  phase_update started agent two input=",
		"\nphase_update completed agent seq output=\"It is sunny\"\ndone completed output=\"It is sunny\"",
	}
	at := 0
	for _, want := range order {
		i := strings.Index(got[at:], want)
		if i < 0 {
			t.Fatalf("want, in this order, %q in\n%s", want, got)
		}
		at += i
	}
	for _, name := range []string{"one", "two"} {
		if strings.Count(got, "\n  phase_update completed agent "+name+" output=\"It is sunny\"\n") != 1 {
			t.Errorf("agent %s does not end in\n%s", name, got)
		}
	}
}

func TestParallelAgents(t *testing.T) {
	o := observe(t, nil)
	par, err := adk.NewParallelAgent(t.Context(), &adk.ParallelAgentConfig{Name: "par", SubAgents: []adk.Agent{
		agent(t, "one", scripted(says("It is sunny"))), agent(t, "two", scripted(says("It is sunny")))}})
	check(t, err)
	check(t, o.ask(t, par, adk.RunnerConfig{}))
	got := o.outline(t)
	if !strings.HasPrefix(got, "phase_update started agent par") || strings.Count(got, "\n    thought completed") != 2 ||
		strings.Count(got, "\n  phase_update completed agent") != 2 || !strings.Contains(got, "\nphase_update completed agent par") {
		t.Errorf("got\n%s", got)
	}
}

func TestLoopAgent(t *testing.T) {
	o := observe(t, nil)
	loop, err := adk.NewLoopAgent(t.Context(), &adk.LoopAgentConfig{Name: "loop", MaxIterations: 3, SubAgents: []adk.Agent{agent(t, "one", scripted(says("It is sunny")))}})
	check(t, err)
	check(t, o.ask(t, loop, adk.RunnerConfig{}))
	got := o.outline(t)
	if strings.Count(got, "\n  phase_update started agent one") != 3 || strings.Count(got, "\n  phase_update completed agent one") != 3 ||
		strings.Count(got, "\nphase_update completed agent loop") != 1 {
		t.Errorf("got\n%s", got)
	}
}

func TestAgentAsToolRunsBeneathTheToolCall(t *testing.T) {
	o := observe(t, nil)
	inner := adk.NewAgentTool(t.Context(), agent(t, "inner", scripted(says("It is sunny"))))
	check(t, o.ask(t, agent(t, "outer", scripted(calls("inner", `{"request":"go"}`), says("It is sunny")), inner), adk.RunnerConfig{}))
	got := o.outline(t)
	for _, want := range []string{
		"\n  tool_call tool tool=inner call=call_0 input={\"request\":\"go\"}\n    phase_update started agent inner input=\"go\"\n      thought started",
		"\n      thought completed llm Scripted model=Scripted" + theAnswer + "\n",
		"\n    phase_update completed agent inner output=\"It is sunny\"\n",
		"\n  tool_result tool tool=inner call=call_0 output=\"It is sunny\"\n",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("want once: %q in\n%s", want, got)
		}
	}
}

// Eino starts the agent that was handed over to as a root of its own.
func TestTransferTargetIsPlacedBeneathTheAgentThatHandedOver(t *testing.T) {
	o := observe(t, nil)
	boss, err := adk.SetSubAgents(t.Context(), agent(t, "boss", scripted(calls("transfer_to_agent", `{"agent_name":"sub"}`))),
		[]adk.Agent{agent(t, "sub", scripted(says("It is sunny")))})
	check(t, err)
	check(t, o.ask(t, boss, adk.RunnerConfig{}))
	got := o.outline(t)
	for _, want := range []string{
		"phase_update started agent boss input=\"hi\"\n",
		"\n  tool_result tool tool=transfer_to_agent call=call_0 output=\"successfully transferred to agent [sub]\"\n",
		"\n  phase_update started agent sub input=",
		"\n    thought completed llm Scripted model=Scripted" + theAnswer + "\n",
		"\n  phase_update completed agent sub output=\"It is sunny\"\nphase_update completed agent boss",
		"\ndone completed output=\"It is sunny\"",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("want once: %q in\n%s", want, got)
		}
	}
}

func TestAgentErrorIsOnlyInItsEvents(t *testing.T) {
	o := observe(t, nil)
	err := o.ask(t, agent(t, "weatherman", scripted(turn{err: errors.New("overloaded")})), adk.RunnerConfig{})
	if err == nil || !strings.Contains(err.Error(), "overloaded") {
		t.Fatalf("the caller got %v", err)
	}
	got := o.outline(t)
	if !strings.Contains(got, "\n  error error=\"overloaded\" scope=llm\nphase_update failed agent weatherman caused-below\nerror error=") ||
		!strings.HasSuffix(got, "scope=job caused-below fatal\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestAgentWhoseModelBreaksMidway(t *testing.T) {
	o := observe(t, nil)
	broken := says("It ", "is")
	broken.err = errors.New("stream broke")
	if err := o.ask(t, agent(t, "weatherman", scripted(broken)), adk.RunnerConfig{EnableStreaming: true}); err == nil {
		t.Fatal("the caller got no error")
	}
	got := o.outline(t)
	if !strings.Contains(got, "\n  thought delta \"It is\"\n  error error=\"stream broke\" scope=llm\nphase_update failed agent weatherman caused-below\n") ||
		!strings.HasSuffix(got, "scope=job caused-below fatal\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestAgentWaitsForInputAndResumes(t *testing.T) {
	first := observe(t, nil)
	book, err := utils.InferTool("book", "books a flight", func(ctx context.Context, in place) (string, error) {
		if resumed, _, answer := compose.GetResumeContext[string](ctx); resumed {
			return "booked: " + answer, nil
		}
		return "", compose.Interrupt(ctx, "book "+in.City+"?")
	})
	check(t, err)
	a := agent(t, "clerk", scripted(calls("book", `{"city":"Oslo"}`), says("It is sunny")), book)
	store := &checkpoints{}
	check(t, first.ask(t, a, adk.RunnerConfig{CheckPointStore: store}, adk.WithCheckPointID("1")))
	first.want(t, `
phase_update started agent clerk input="hi"
  thought started llm Scripted model=Scripted
  thought completed llm Scripted model=Scripted
  tool_call tool tool=book call=call_0 input={"city":"Oslo"}
  phase_update interrupted tool book
phase_update interrupted agent clerk
`)
	if s := first.store.Summary("job"); s.Status != tidings.StatusWaiting {
		t.Fatalf("the job is %s, want waiting", s.Status)
	}
	second := first.another(t)
	r := adk.NewRunner(t.Context(), adk.RunnerConfig{Agent: a, CheckPointStore: store})
	_, err = drainEvents(eino.Observe(t.Context(), second.h, func(ctx context.Context) (*adk.AsyncIterator[*adk.AgentEvent], error) {
		return r.ResumeWithParams(ctx, "1", &adk.ResumeParams{Targets: map[string]any{first.askedFor(t)[0]: "yes"}}, adk.WithCallbacks(second.h))
	}))
	check(t, err)
	got := second.outline(t)
	if !strings.Contains(got, "\n  tool_result tool tool=book call=call_0 output=\"booked: yes\"\n") || !strings.Contains(got, "\ndone completed output=\"It is sunny\"") {
		t.Errorf("got\n%s", got)
	}
}

func TestTransferTargetThatWaitsKeepsAnAutomaticJobOpen(t *testing.T) {
	o := observeAutomatic(t)
	book, err := utils.InferTool("book", "books", func(ctx context.Context, _ place) (string, error) { return "", compose.Interrupt(ctx, "may I?") })
	check(t, err)
	boss, err := adk.SetSubAgents(t.Context(), agent(t, "boss", scripted(calls("transfer_to_agent", `{"agent_name":"sub"}`))),
		[]adk.Agent{agent(t, "sub", scripted(calls("book", `{"city":"Oslo"}`)), book)})
	check(t, err)
	r := adk.NewRunner(t.Context(), adk.RunnerConfig{Agent: boss, CheckPointStore: &checkpoints{}})
	_, err = drainEvents(r.Query(t.Context(), "hi", adk.WithCallbacks(o.h), adk.WithCheckPointID("1")))
	check(t, err)
	eventually(t, "the root waits", func() bool {
		check(t, o.job.Flush(t.Context()))
		all := o.store.Events("job")
		d := string(all[len(all)-1].Data)
		return strings.Contains(d, `"status":"interrupted"`) && strings.Contains(d, `"name":"boss"`)
	})
	if s := o.store.Summary("job"); s.Status != tidings.StatusWaiting || s.Closed {
		t.Errorf("the job is %s, closed %v; want waiting", s.Status, s.Closed)
	}
}

func TestAgentByCallbacksOfTheContext(t *testing.T) {
	o := observe(t, nil)
	r := adk.NewRunner(t.Context(), adk.RunnerConfig{Agent: agent(t, "weatherman", scripted(says("It is sunny")))})
	_, err := drainEvents(eino.Observe(t.Context(), o.h, func(ctx context.Context) (*adk.AsyncIterator[*adk.AgentEvent], error) {
		return r.Query(callbacks.InitCallbacks(ctx, nil, o.h), "hi", adk.WithCallbacks(o.h)), nil // twice, told once
	}))
	check(t, err)
	o.want(t, `
phase_update started agent weatherman input="hi"
  thought started llm Scripted model=Scripted
  thought completed llm Scripted model=Scripted`+theAnswer+`
phase_update completed agent weatherman output="It is sunny"
done completed output="It is sunny" usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestRunThatCanNotBeResumedIsTheJobsError(t *testing.T) {
	o := observe(t, nil)
	r := adk.NewRunner(t.Context(), adk.RunnerConfig{Agent: agent(t, "a", scripted(says("x"))), CheckPointStore: &checkpoints{}})
	_, err := drainEvents(eino.Observe(t.Context(), o.h, func(ctx context.Context) (*adk.AsyncIterator[*adk.AgentEvent], error) {
		return r.Resume(ctx, "unknown", adk.WithCallbacks(o.h))
	}))
	if err == nil {
		t.Fatal("the caller got no error")
	}
	if got := o.outline(t); !strings.HasSuffix(got, "scope=job fatal\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestSupervisor(t *testing.T) {
	o := observe(t, &eino.Options{NoValues: true})
	s, err := supervisor.New(t.Context(), &supervisor.Config{
		Supervisor: agent(t, "boss", scripted(calls("transfer_to_agent", `{"agent_name":"sub"}`), says("all done"))),
		SubAgents:  []adk.Agent{agent(t, "sub", scripted(says("It is sunny")))},
	})
	check(t, err)
	check(t, o.ask(t, s, adk.RunnerConfig{}))
	got := o.outline(t)
	for want, n := range map[string]int{
		"phase_update started agent boss\n  phase_update started agent boss\n    thought": 1, // Eino's container, and the agent in it
		"\n  phase_update started agent sub\n    thought":                                 1,
		"  phase_update completed agent sub\n":                                            1,
		"  phase_update completed agent boss\n":                                           2, // before and after the other
		"\nphase_update completed agent boss\ndone completed output=\"all done\"":         1,
	} {
		if strings.Count(got, want) != n {
			t.Errorf("%d of %q, want %d, in\n%s", strings.Count(got, want), want, n, got)
		}
	}
}

func TestAStopEndsAnAgent(t *testing.T) {
	o := observe(t, nil)
	never := make(chan struct{})
	slow := says("It ", "is")
	slow.gate = never
	r := adk.NewRunner(t.Context(), adk.RunnerConfig{Agent: agent(t, "slow", scripted(slow)), EnableStreaming: true})
	events := eino.Observe(t.Context(), o.h, func(ctx context.Context) (*adk.AsyncIterator[*adk.AgentEvent], error) {
		return r.Query(ctx, "hi", adk.WithCallbacks(o.h)), nil
	})
	o.askToStop(t)
	if _, err := drainEvents(events); !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	o.outline(t)
	if s := o.store.Summary("job"); s.Status != tidings.StatusCancelled {
		t.Errorf("the job is %s", s.Status)
	}
}

func TestARunThatPanicsOrGivesNothing(t *testing.T) {
	o := observe(t, nil)
	func() {
		defer func() {
			if p := recover(); p != "mine" {
				t.Errorf("recovered %v", p)
			}
		}()
		eino.Observe(t.Context(), o.h, func(context.Context) (*adk.AsyncIterator[*adk.AgentEvent], error) { panic("mine") })
	}()
	o.want(t, `error panic error="panic: mine" scope=job fatal`)

	o = observe(t, nil)
	if _, err := drainEvents(eino.Observe(t.Context(), o.h, func(context.Context) (*adk.AsyncIterator[*adk.AgentEvent], error) { return nil, nil })); err == nil {
		t.Error("no error")
	}
	if got := o.outline(t); !strings.HasSuffix(got, "scope=job fatal\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestObserveWithoutAJob(t *testing.T) {
	r := adk.NewRunner(t.Context(), adk.RunnerConfig{Agent: agent(t, "a", scripted(says("x")))})
	last, err := drainEvents(eino.Observe(t.Context(), eino.NewHandler(nil, nil), func(ctx context.Context) (*adk.AsyncIterator[*adk.AgentEvent], error) {
		return r.Query(ctx, "hi"), nil
	}))
	check(t, err)
	if last == nil || last.Output.MessageOutput.Message.Content != "x" {
		t.Errorf("the last event is %+v", last)
	}
}

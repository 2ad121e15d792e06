package langchaingo_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tmc/langchaingo/agents"
	"github.com/tmc/langchaingo/chains"
	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/llms/fake"
	"github.com/tmc/langchaingo/memory"
	"github.com/tmc/langchaingo/schema"

	"tidings"
	"tidings/callback/langchaingo"
	"tidings/internal/memlog"
)

// run runs the chain as the job and gives its error.
func run(t *testing.T, h *tidings.Handler, chain chains.Chain, inputs map[string]any, options ...chains.ChainCallOption) error {
	t.Helper()
	return h.Run(t.Context(), func(ctx context.Context) (any, error) {
		return langchaingo.Call(ctx, h, chain, inputs, options...)
	})
}

func wrappedAgent(t *testing.T, p *provider, tool weather) *agents.Executor {
	return executor(langchaingo.WrapModel(p.llm(t), &langchaingo.ModelOptions{Name: "gpt-4o-mini"}), langchaingo.WrapTools(tool))
}

func TestWrappedAgentGivesTheWholeTreeWithCallIDsAndTokens(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Oslo", "Rome"}}, answer{text: "It is sunny"})
	h, _, done := job(t, nil)
	if err := run(t, h, wrappedAgent(t, p, weather{}), hi); err != nil {
		t.Fatal(err)
	}
	expect(t, done(), `
phase_update started agent Executor input={"input":"hi"}
  thought started llm gpt-4o-mini model=gpt-4o-mini
  thought completed llm gpt-4o-mini model=gpt-4o-mini usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
  tool_call tool tool=get_weather call=call_0 input="Oslo"
  tool_result tool tool=get_weather call=call_0 output="sunny in Oslo"
  tool_call tool tool=get_weather call=call_1 input="Rome"
  tool_result tool tool=get_weather call=call_1 output="sunny in Rome"
  thought started llm gpt-4o-mini model=gpt-4o-mini
  thought completed llm gpt-4o-mini model=gpt-4o-mini content="It is sunny" usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
phase_update completed agent Executor output={"output":"It is sunny"}
done completed output={"output":"It is sunny"} usage={"input_tokens":22,"output_tokens":6,"cached_input_tokens":4}
`)
}

func TestToolErrorIsToldByTheToolAndReferredToAbove(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Nowhere"}})
	h, log, done := job(t, nil)
	if err := run(t, h, wrappedAgent(t, p, weather{}), hi); err == nil || err.Error() != "city not found" {
		t.Fatalf("the agent got %v instead of its own error", err)
	}
	expect(t, done(), `
phase_update started agent Executor input={"input":"hi"}
  thought started llm gpt-4o-mini model=gpt-4o-mini
  thought completed llm gpt-4o-mini model=gpt-4o-mini usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
  tool_call tool tool=get_weather call=call_0 input="Nowhere"
  tool_result tool tool=get_weather call=call_0 error="city not found"
phase_update failed agent Executor caused-below
error error="city not found" usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2} scope=job caused-below fatal
`)
	if status := log.Summary("job").Status; status != tidings.StatusFailed {
		t.Errorf("the job is %s", status)
	}
}

func TestModelErrorIsToldByTheModel(t *testing.T) {
	p := newProvider(t, answer{status: 500})
	h, _, done := job(t, nil)
	if err := run(t, h, wrappedAgent(t, p, weather{}), hi); err == nil {
		t.Fatal("the agent lost its error")
	}
	expect(t, done(), `
phase_update started agent Executor input={"input":"hi"}
  thought started llm gpt-4o-mini model=gpt-4o-mini
  error error="API returned unexpected status code: 500: boom" scope=llm
phase_update failed agent Executor caused-below
error error="API returned unexpected status code: 500: boom" scope=job caused-below fatal
`)
}

func TestPanicInAToolIsToldAndGoesOn(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Oslo"}})
	h, _, done := job(t, nil)
	agent := wrappedAgent(t, p, weather{call: func(context.Context, string) (string, error) { panic("hail") }})
	func() {
		defer func() {
			if got := recover(); got != "hail" {
				t.Errorf("the agent's panic became %v", got)
			}
		}()
		_ = run(t, h, agent, hi)
	}()
	expect(t, done(), `
phase_update started agent Executor input={"input":"hi"}
  thought started llm gpt-4o-mini model=gpt-4o-mini
  thought completed llm gpt-4o-mini model=gpt-4o-mini usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
  tool_call tool tool=get_weather call=call_0 input="Oslo"
  tool_result tool tool=get_weather call=call_0 error="panic: hail"
phase_update failed agent Executor caused-below
error panic error="panic: hail" usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2} scope=job caused-below fatal
`)
}

// panicking is a model that panics.
type panicking struct{ llms.Model }

func (panicking) GenerateContent(context.Context, []llms.MessageContent, ...llms.CallOption) (*llms.ContentResponse, error) {
	panic("no model")
}

func TestPanicInAModelIsToldAndGoesOn(t *testing.T) {
	h, _, done := job(t, nil)
	func() {
		defer func() {
			if got := recover(); got != "no model" {
				t.Errorf("the panic became %v", got)
			}
		}()
		_ = run(t, h, chains.NewLLMChain(langchaingo.WrapModel(panicking{}, nil), prompt("say hi")), nil)
	}()
	expect(t, done(), `
phase_update started chain LLMChain input={}
  thought started llm langchaingo_test model=langchaingo_test
  error panic error="panic: no model" scope=llm
phase_update failed chain LLMChain caused-below
error panic error="panic: no model" scope=job caused-below fatal
`)
}

func TestWhoAsksForAStreamGetsItAndViewersToo(t *testing.T) {
	p := newProvider(t, answer{text: "It is sunny"})
	h, _, done := job(t, nil)
	var got strings.Builder
	chain := chains.NewLLMChain(langchaingo.WrapModel(p.llm(t), nil), prompt("say {{.x}}", "x"))
	err := run(t, h, chain, map[string]any{"x": "hi"}, chains.WithModel("gpt-5"),
		chains.WithStreamingFunc(func(_ context.Context, chunk []byte) error {
			got.Write(chunk)
			return nil
		}))
	if err != nil || got.String() != "It is sunny" {
		t.Errorf("the caller got %q, %v", got.String(), err)
	}
	expect(t, done(), `
phase_update started chain LLMChain input={"x":"hi"}
  thought started llm gpt-5 model=gpt-5
  thought delta "It is sunny"
  thought completed llm gpt-5 model=gpt-5 content="It is sunny" usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
phase_update completed chain LLMChain output={"text":"It is sunny"}
done completed output={"text":"It is sunny"} usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
`)
}

func TestStreamIsNotAskedForUnlessTheOptionSaysSo(t *testing.T) {
	for _, stream := range []bool{false, true} {
		p := newProvider(t, answer{text: "It is sunny"})
		h, _, done := job(t, nil)
		model := langchaingo.WrapModel(p.llm(t), &langchaingo.ModelOptions{Stream: stream})
		if err := run(t, h, chains.NewLLMChain(model, prompt("say hi")), nil); err != nil {
			t.Fatal(err)
		}
		if asked := p.requests[0]["stream"] == true; asked != stream {
			t.Errorf("with Stream %v the request says %v", stream, asked)
		}
		if told := strings.Contains(done(), `thought delta "It is sunny"`); told != stream {
			t.Errorf("with Stream %v deltas are told: %v", stream, told)
		}
	}
}

func TestToolCallsThatOpenAIStreamsAsJSONAreNoText(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Oslo"}}, answer{text: "It is sunny"})
	h, _, done := job(t, nil)
	err := run(t, h, wrappedAgent(t, p, weather{}), hi,
		chains.WithStreamingFunc(func(context.Context, []byte) error { return nil }))
	if err != nil {
		t.Fatal(err)
	}
	if log := done(); strings.Count(log, "thought delta") != 1 || !strings.Contains(log, `thought delta "It is sunny"`) {
		t.Errorf("not only the text is told:\n%s", log)
	}
}

func TestThoughtsAreTheReasoningChannel(t *testing.T) {
	hello := []llms.MessageContent{llms.TextParts(llms.ChatMessageTypeHuman, "hi")}
	for name, options := range map[string][]llms.CallOption{
		"streamed": {llms.WithStreamingReasoningFunc(func(context.Context, []byte, []byte) error { return nil })},
		"both": {
			llms.WithStreamingFunc(func(context.Context, []byte) error { return nil }),
			llms.WithStreamingReasoningFunc(func(context.Context, []byte, []byte) error { return nil }),
		},
		"whole": nil,
	} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t, answer{think: "north or south?", text: "south it is"})
			h, _, done := job(t, nil)
			ctx := langchaingo.WithJob(t.Context(), h)
			if _, err := langchaingo.WrapModel(p.llm(t), nil).GenerateContent(ctx, hello, options...); err != nil {
				t.Fatal(err)
			}
			log := done()
			if n := strings.Count(log, `thought delta channel=reasoning "north or south?"`); n != 1 {
				t.Errorf("the thoughts are told %d times:\n%s", n, log)
			}
			if told := strings.Contains(log, `thought delta "south it is"`); told != (options != nil) {
				t.Errorf("the text is told by deltas: %v\n%s", told, log)
			}
		})
	}
}

func TestErrorOfTheCallersStreamingFuncIsTheCallers(t *testing.T) {
	p := newProvider(t, answer{text: "It is sunny"})
	h, _, done := job(t, nil)
	enough := errors.New("enough")
	err := run(t, h, chains.NewLLMChain(langchaingo.WrapModel(p.llm(t), nil), prompt("say hi")), nil,
		chains.WithStreamingFunc(func(context.Context, []byte) error { return enough }))
	if !errors.Is(err, enough) {
		t.Errorf("the caller got %v", err)
	}
	if log := done(); !strings.Contains(log, `error error="streaming func returned an error: enough" scope=llm`) {
		t.Errorf("it is not told:\n%s", log)
	}
}

// simple is the part of llms.Model that langchaingo would rather be without.
type simple interface {
	Call(ctx context.Context, prompt string, options ...llms.CallOption) (string, error)
}

func TestTheSimpleCallOfAModelIsToldOnce(t *testing.T) {
	p := newProvider(t, answer{text: "It is sunny"})
	h, _, done := job(t, nil)
	var model simple = langchaingo.WrapModel(p.llm(t), nil)
	answer, err := model.Call(langchaingo.WithJob(t.Context(), h), "hi")
	if err != nil || answer != "It is sunny" {
		t.Errorf("got %q, %v", answer, err)
	}
	expect(t, done(), `
thought started llm openai model=openai
thought completed llm openai model=openai content="It is sunny"
`)
}

func TestModelWrappedTwiceIsToldOnce(t *testing.T) {
	p := newProvider(t, answer{text: "It is sunny"})
	h, _, done := job(t, nil)
	var twice simple = langchaingo.WrapModel(langchaingo.WrapModel(p.llm(t), nil), &langchaingo.ModelOptions{Name: "outer"})
	if _, err := twice.Call(langchaingo.WithJob(t.Context(), h), "hi"); err != nil {
		t.Fatal(err)
	}
	expect(t, done(), `
thought started llm outer model=outer
thought completed llm outer model=outer content="It is sunny"
`)
}

func TestModelThatReasonsStillSaysSo(t *testing.T) {
	p := newProvider(t)
	if _, ok := langchaingo.WrapModel(p.llm(t), nil).(llms.ReasoningModel); !ok {
		t.Error("a wrapped OpenAI model no longer is a llms.ReasoningModel")
	}
	if _, ok := langchaingo.WrapModel(fake.NewFakeLLM(nil), nil).(llms.ReasoningModel); ok {
		t.Error("a wrapped fake model claims to be a llms.ReasoningModel")
	}
}

func sequence(t *testing.T, parts ...chains.Chain) chains.Chain {
	s, err := chains.NewSequentialChain(parts, []string{"x"}, []string{"z"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWrappedChainsNest(t *testing.T) {
	model := langchaingo.WrapModel(fake.NewFakeLLM([]string{"one", "two"}), nil)
	first := chains.NewLLMChain(model, prompt("say {{.x}}", "x"))
	first.OutputKey = "y"
	second := chains.NewLLMChain(model, prompt("again {{.y}}", "y"))
	second.OutputKey = "z"
	h, _, done := job(t, nil)
	s := sequence(t, langchaingo.WrapChain(first, "first"), langchaingo.WrapChain(second, "second"))
	if err := run(t, h, s, map[string]any{"x": "hi"}); err != nil {
		t.Fatal(err)
	}
	expect(t, done(), `
phase_update started chain SequentialChain input={"x":"hi"}
  phase_update started chain first input={"x":"hi"}
    thought started llm fake model=fake
    thought completed llm fake model=fake content="one"
  phase_update completed chain first output={"y":"one"}
  phase_update started chain second input={"y":"one"}
    thought started llm fake model=fake
    thought completed llm fake model=fake content="two"
  phase_update completed chain second output={"z":"two"}
phase_update completed chain SequentialChain output={"z":"two"}
done completed output={"z":"two"}
`)
}

func TestAgentAsAToolOfAnotherAgent(t *testing.T) {
	inner := newProvider(t, answer{calls: []string{"Oslo"}}, answer{text: "sunny there"})
	outer := newProvider(t, answer{calls: []string{"ask the other"}}, answer{text: "It is sunny"})
	sub := langchaingo.WrapChain(wrappedAgent(t, inner, weather{}), "meteorologist")
	h, _, done := job(t, nil)
	agent := wrappedAgent(t, outer, weather{call: func(ctx context.Context, question string) (string, error) {
		return chains.Run(ctx, sub, question)
	}})
	if err := run(t, h, agent, hi); err != nil {
		t.Fatal(err)
	}
	want := `
  tool_call tool tool=get_weather call=call_0 input="ask the other"
    phase_update started agent meteorologist input={"input":"ask the other"}
      thought started llm gpt-4o-mini model=gpt-4o-mini
      thought completed llm gpt-4o-mini model=gpt-4o-mini usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
      tool_call tool tool=get_weather call=call_0 input="Oslo"
      tool_result tool tool=get_weather call=call_0 output="sunny in Oslo"
`
	if log := done(); !strings.Contains(log, want) {
		t.Errorf("the inner agent is not beneath the outer's tool:\n%s", log)
	}
}

func TestToolTellsOfItsOwnSteps(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Oslo"}}, answer{text: "It is sunny"})
	h, _, done := job(t, nil)
	agent := wrappedAgent(t, p, weather{call: func(ctx context.Context, _ string) (string, error) {
		_, step := langchaingo.Job(ctx).Phase(ctx, "look out of the window")
		step.End(nil)
		return "sunny", nil
	}})
	if err := run(t, h, agent, hi); err != nil {
		t.Fatal(err)
	}
	if log := done(); !strings.Contains(log, "\n    phase_update started chain look out of the window\n") {
		t.Errorf("the step is not beneath the tool:\n%s", log)
	}
}

func TestCancelledJobEndsTheAgentsContext(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Oslo"}})
	h, log, done := job(t, nil)
	agent := wrappedAgent(t, p, weather{call: func(ctx context.Context, _ string) (string, error) {
		ask, err := tidings.NewEvent(tidings.TypeCancelRequested, map[string]string{"by": "ada", "reason": "rain"})
		if err == nil {
			_, err = log.Append(ctx, "job", tidings.Batch{Events: []tidings.Event{ask}})
		}
		if err != nil {
			return "", err
		}
		<-ctx.Done()
		return "", fmt.Errorf("asking the sky: %w", ctx.Err())
	}})
	// Call alone joins the contexts, also outside of Handler.Run.
	_, err := langchaingo.Call(t.Context(), h, agent, hi)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the agent's error is %v", err)
	}
	h.End(nil, err)
	if text := done(); !strings.HasSuffix(strings.TrimSpace(text), `reason=rain`) {
		t.Errorf("the job did not end as cancelled:\n%s", text)
	}
	if status := log.Summary("job").Status; status != tidings.StatusCancelled {
		t.Errorf("the job is %s", status)
	}
}

func TestAutomaticJobEndsWithItsChain(t *testing.T) {
	h, log, done := job(t, &tidings.HandlerOptions{Automatic: true})
	chain := chains.NewLLMChain(langchaingo.WrapModel(fake.NewFakeLLM([]string{"hello"}), nil), prompt("say hi"))
	if _, err := langchaingo.Call(t.Context(), h, chain, nil); err != nil {
		t.Fatal(err)
	}
	if text := done(); !strings.HasSuffix(text, "done completed output={\"text\":\"hello\"}\n") || !log.Summary("job").Closed {
		t.Errorf("the job did not end:\n%s", text)
	}
}

func TestSeveralRootsAreOneJob(t *testing.T) {
	h, _, done := job(t, nil)
	chain := chains.NewLLMChain(langchaingo.WrapModel(fake.NewFakeLLM([]string{"one", "two"}), nil), prompt("say hi"))
	for range 2 {
		if _, err := langchaingo.Call(t.Context(), h, chain, nil); err != nil {
			t.Fatal(err)
		}
	}
	h.End("both", nil)
	text := done()
	if n := strings.Count("\n"+text, "\nphase_update started chain LLMChain"); n != 2 || !strings.HasSuffix(text, "done completed output=\"both\"\n") {
		t.Errorf("%d roots:\n%s", n, text)
	}
}

func TestWithoutAJobTheWrappersOnlyPassOn(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Oslo"}}, answer{text: "It is sunny"})
	agent := langchaingo.WrapChain(wrappedAgent(t, p, weather{}), "")
	out, err := chains.Call(t.Context(), agent, hi)
	if diff := cmp.Diff(map[string]any{"output": "It is sunny"}, out); diff != "" || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
	out, err = langchaingo.Call(t.Context(), nil, chains.NewLLMChain(fake.NewFakeLLM([]string{"hello"}), prompt("say hi")), nil)
	if diff := cmp.Diff(map[string]any{"text": "hello"}, out); diff != "" || err != nil {
		t.Errorf("%s, %v", diff, err)
	}
	if langchaingo.WrapModel(nil, nil) != nil || langchaingo.WrapTool(nil) != nil || langchaingo.WrapChain(nil, "") != nil {
		t.Error("nothing wrapped is not nothing")
	}
}

func TestWrappedChainKeepsItsMemoryAndKeys(t *testing.T) {
	conversation := chains.NewConversation(fake.NewFakeLLM([]string{"hello"}), memory.NewConversationBuffer())
	wrapped := langchaingo.WrapChain(conversation, "")
	if wrapped.GetMemory() != conversation.GetMemory() || !slices.Equal(wrapped.GetInputKeys(), conversation.GetInputKeys()) {
		t.Error("the wrapped chain is another")
	}
	h, _, _ := job(t, nil)
	for range 2 {
		if _, err := langchaingo.Call(t.Context(), h, conversation, map[string]any{"input": "hi"}); err != nil {
			t.Fatal(err)
		}
	}
	saved, err := conversation.GetMemory().LoadMemoryVariables(t.Context(), nil)
	if n := strings.Count(fmt.Sprint(saved), "hello"); n != 2 || err != nil {
		t.Errorf("the memory holds %d answers: %v, %v", n, saved, err)
	}
}

// Inputs and outputs belong to the agent: what it does with them after a call
// must neither race with us nor change what was told.
func TestInputsAreTakenAsTheyWere(t *testing.T) {
	h, _, done := job(t, nil)
	inputs := map[string]any{"input": "hi", "more": map[string]any{"a": 1}}
	chain := langchaingo.WrapChain(mutating{}, "mutating")
	if _, err := chain.Call(langchaingo.WithJob(t.Context(), h), inputs); err != nil {
		t.Fatal(err)
	}
	if text := done(); !strings.Contains(text, `input={"input":"hi","more":{"a":1}}`) {
		t.Errorf("the input is not the one of the start:\n%s", text)
	}
}

type mutating struct{}

func (mutating) Call(_ context.Context, inputs map[string]any, _ ...chains.ChainCallOption) (map[string]any, error) {
	inputs["more"].(map[string]any)["a"] = 2
	return inputs, nil
}
func (mutating) GetMemory() schema.Memory { return memory.NewSimple() }
func (mutating) GetInputKeys() []string   { return nil }
func (mutating) GetOutputKeys() []string  { return nil }

func TestParallelCallsOfTwoJobsShareOneModelAndTool(t *testing.T) {
	const calls = 16
	model := langchaingo.WrapModel(echo{}, nil)
	tool := langchaingo.WrapTool(weather{})
	chain := langchaingo.WrapChain(&asking{model: model, tool: tool}, "asking")
	var all sync.WaitGroup
	for _, id := range []string{"east", "west"} {
		all.Go(func() {
			log := memlog.New()
			h := tidings.Start(t.Context(), id, log, nil)
			inputs := make([]map[string]any, calls)
			for i := range inputs {
				inputs[i] = map[string]any{"x": fmt.Sprint(id, i)}
			}
			if _, err := chains.Apply(langchaingo.WithJob(t.Context(), h), chain, inputs, 4); err != nil {
				t.Error(err)
			}
			if err := h.Close(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
			}
			text := memlog.Outline(log.Events(id))
			for i := range calls {
				// Whose answer, whose tool: the name goes through all of it.
				if want := fmt.Sprintf("output=\"sunny in %s%d\"", id, i); strings.Count(text, want) != 1 {
					t.Errorf("%s: no %s in\n%s", id, want, text)
				}
			}
			if n := strings.Count(text, "thought completed"); n != calls {
				t.Errorf("%s tells of %d model calls", id, n)
			}
		})
	}
	all.Wait()
}

// asking is a chain of a model and a tool.
type asking struct {
	mutating
	model simple
	tool  interface {
		Call(context.Context, string) (string, error)
	}
}

func (a *asking) Call(ctx context.Context, inputs map[string]any, _ ...chains.ChainCallOption) (map[string]any, error) {
	city, err := a.model.Call(ctx, inputs["x"].(string))
	if err != nil {
		return nil, err
	}
	out, err := a.tool.Call(ctx, city)
	return map[string]any{"y": out}, err
}

// echo is a model that answers with the prompt.
type echo struct{}

func (echo) GenerateContent(_ context.Context, messages []llms.MessageContent, _ ...llms.CallOption) (*llms.ContentResponse, error) {
	return &llms.ContentResponse{Choices: []*llms.ContentChoice{{Content: fmt.Sprint(messages[0].Parts[0])}}}, nil
}

func (echo) Call(_ context.Context, prompt string, _ ...llms.CallOption) (string, error) {
	return prompt, nil
}

func TestToolThatAsksForInputLeavesTheJobWaiting(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Oslo"}}, answer{calls: []string{"Oslo"}}, answer{text: "It is sunny"})
	h, log, done := job(t, nil)
	answered := false
	agent := wrappedAgent(t, p, weather{call: func(ctx context.Context, city string) (string, error) {
		if !answered {
			langchaingo.Job(ctx).Interrupt("which Oslo?")
			return "", tidings.ErrInterrupted
		}
		return "sunny", nil
	}})
	if err := run(t, h, agent, hi); !errors.Is(err, tidings.ErrInterrupted) {
		t.Fatalf("the agent's error is %v", err)
	}
	if status := log.Summary("job").Status; status != tidings.StatusWaiting {
		t.Fatalf("the job is %s:\n%s", status, done())
	}
	answered = true
	h = tidings.Start(t.Context(), "job", log, &tidings.HandlerOptions{Epoch: 1 << 50})
	if err := run(t, h, agent, hi); err != nil {
		t.Fatal(err)
	}
	text := memlog.Outline(log.Events("job"))
	if strings.Contains(text, "failed") || !strings.Contains(text, "\ndone completed") {
		t.Errorf("got:\n%s", text)
	}
}

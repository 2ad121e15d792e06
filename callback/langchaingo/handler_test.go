package langchaingo_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tmc/langchaingo/agents"
	"github.com/tmc/langchaingo/callbacks"
	"github.com/tmc/langchaingo/chains"
	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/llms/anthropic"
	"github.com/tmc/langchaingo/llms/fake"
	"github.com/tmc/langchaingo/llms/openai"
	"github.com/tmc/langchaingo/schema"
	"github.com/tmc/langchaingo/tools"
	"github.com/tmc/langchaingo/vectorstores"

	"tidings"
	"tidings/callback/langchaingo"
	"tidings/internal/memlog"
)

// bare is an agent that tells by callbacks only.
func bare(t *testing.T, p *provider, cb *langchaingo.Handler, list ...tools.Tool) *agents.Executor {
	return executor(p.llm(t, openai.WithCallback(cb)), list, agents.WithCallbacksHandler(cb))
}

func TestBareHandlerTakesTheResultOfAUsersToolFromTheNextQuestion(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Oslo", "Rome"}}, answer{text: "It is sunny"})
	h, _, done := job(t, nil)
	if _, err := chains.Call(t.Context(), bare(t, p, langchaingo.New(h), weather{}), hi); err != nil {
		t.Fatal(err)
	}
	expect(t, done(), `
phase_update started chain chain input={"input":"hi"}
  thought started llm llm
  thought completed llm llm usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
  tool_call tool tool=get_weather call=call_0 input="Oslo"
  tool_call tool tool=get_weather call=call_1 input="Rome"
  tool_result tool tool=get_weather call=call_0 output="sunny in Oslo"
  tool_result tool tool=get_weather call=call_1 output="sunny in Rome"
  thought started llm llm
  thought completed llm llm content="It is sunny" usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
phase_update completed chain chain output={"output":"It is sunny"}
`)
}

func TestBareHandlerToldOfATrueToolErrorByTheChainOnly(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Nowhere"}})
	h, _, done := job(t, nil)
	if _, err := chains.Call(t.Context(), bare(t, p, langchaingo.New(h), weather{}), hi); err == nil {
		t.Fatal("the agent lost its error")
	}
	if log := done(); !strings.HasSuffix(log, `
  tool_call tool tool=get_weather call=call_0 input="Nowhere"
  tool_result tool tool=get_weather call=call_0 error="city not found"
phase_update failed chain chain caused-below
`) {
		t.Errorf("got:\n%s", log)
	}
}

func TestBareHandlerUnknownToolIsAnErrorOfTheCall(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Oslo"}, tool: "get_tides"}, answer{text: "no idea"})
	h, _, done := job(t, nil)
	if _, err := chains.Call(t.Context(), bare(t, p, langchaingo.New(h), weather{}), hi); err != nil {
		t.Fatal(err)
	}
	if log := done(); !strings.Contains(log, `
  tool_call tool tool=get_tides call=call_0 input="Oslo"
  tool_result tool tool=get_tides call=call_0 error="get_tides is not a valid tool, try another one"
  thought started llm llm
`) {
		t.Errorf("got:\n%s", log)
	}
}

func TestBareHandlerOpenAIFailureIsAStartWithoutAnEnd(t *testing.T) {
	p := newProvider(t, answer{status: 500})
	h, _, done := job(t, nil)
	if _, err := chains.Call(t.Context(), bare(t, p, langchaingo.New(h)), hi); err == nil {
		t.Fatal("the agent lost its error")
	}
	expect(t, done(), `
phase_update started chain chain input={"input":"hi"}
  thought started llm llm
  error error="API returned unexpected status code: 500: boom" scope=llm
phase_update failed chain chain caused-below
`)
}

func TestBareHandlerModelThatNeverEndsIsOverWhenTheNextBegins(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"id":"m","type":"message","role":"assistant","model":"claude","stop_reason":"end_turn",
			"content":[{"type":"text","text":"sunny"}],
			"usage":{"input_tokens":5,"output_tokens":2,"cache_read_input_tokens":3,"cache_creation_input_tokens":1}}`)
	}))
	defer server.Close()
	llm, err := anthropic.New(anthropic.WithToken("k"), anthropic.WithModel("claude"), anthropic.WithBaseURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	ask := []llms.MessageContent{llms.TextParts(llms.ChatMessageTypeHuman, "hi")}

	h, _, done := job(t, nil)
	llm.CallbacksHandler = langchaingo.New(h)
	for range 2 {
		if _, err := llm.GenerateContent(t.Context(), ask); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, done(), `
thought started llm llm
thought completed llm llm
thought started llm llm
`)

	// Wrapped, nothing is missing, and what it read from its cache counts as input.
	h, _, done = job(t, nil)
	if _, err := langchaingo.WrapModel(llm, nil).GenerateContent(langchaingo.WithJob(t.Context(), h), ask); err != nil {
		t.Fatal(err)
	}
	expect(t, done(), `
thought started llm anthropic model=anthropic
thought completed llm anthropic model=anthropic content="sunny" usage={"input_tokens":9,"output_tokens":2,"cached_input_tokens":3,"cache_write_tokens":1}
`)
}

func TestBareHandlerModelThatNeverEndsIsOverWhenItsChainIs(t *testing.T) {
	h, _, done := job(t, nil)
	cb := langchaingo.New(h)
	cb.HandleChainStart(t.Context(), hi)
	cb.HandleLLMGenerateContentStart(t.Context(), nil)
	cb.HandleChainEnd(t.Context(), hi)
	expect(t, done(), `
phase_update started chain chain input={"input":"hi"}
  thought started llm llm
  thought completed llm llm
phase_update completed chain chain output={"input":"hi"}
`)
}

func TestBareHandlerMistralEndsTwiceAndFirstWithNothing(t *testing.T) {
	h, _, done := job(t, nil)
	cb := langchaingo.New(h)
	cb.HandleLLMGenerateContentStart(t.Context(), nil)
	cb.HandleLLMGenerateContentEnd(t.Context(), nil)
	cb.HandleLLMGenerateContentEnd(t.Context(), &llms.ContentResponse{Choices: []*llms.ContentChoice{{
		Content: "bonjour", GenerationInfo: map[string]any{"usage": struct {
			Prompt     int `json:"prompt_tokens"`
			Completion int `json:"completion_tokens"`
		}{7, 2}},
	}}})
	cb.HandleLLMError(t.Context(), errors.New("no client")) // before any start
	expect(t, done(), `
thought started llm llm
thought completed llm llm content="bonjour" usage={"input_tokens":7,"output_tokens":2}
error error="no client" scope=llm
`)
}

// calculator is one of the six tools that call their callbacks, though not when
// the input is broken.
func calculator(cb callbacks.Handler) tools.Tool { return tools.Calculator{CallbacksHandler: cb} }

func TestBareHandlerBuiltInToolIsTheOneThatTheExecutorCalls(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"6*7"}, tool: "calculator"}, answer{calls: []string{"6*"}, tool: "calculator"}, answer{text: "42"})
	h, _, done := job(t, nil)
	cb := langchaingo.New(h)
	if _, err := chains.Call(t.Context(), bare(t, p, cb, calculator(cb)), hi); err != nil {
		t.Fatal(err)
	}
	log := done()
	for _, want := range []string{
		`tool_call tool tool=calculator call=call_0 input="6*7"`,
		`tool_result tool tool=calculator call=call_0 output="42"`,
		`tool_result tool tool=calculator call=call_0 output="error from evaluator:`,
	} {
		if strings.Count(log, want) != 1 {
			t.Errorf("not once: %s", want)
		}
	}
	if n := strings.Count(log, "tool_call"); n != 2 {
		t.Errorf("%d tool calls:\n%s", n, log)
	}
}

func TestBareHandlerToolWithoutAnExecutorHasNoName(t *testing.T) {
	h, _, done := job(t, nil)
	if _, err := calculator(langchaingo.New(h)).Call(t.Context(), "6*7"); err != nil {
		t.Fatal(err)
	}
	expect(t, done(), `
tool_call tool tool=tool call=# input="6*7"
tool_result tool tool=tool call=# output="42"
`)
}

func TestBareHandlerChainsReportOnlyIfBuiltWithIt(t *testing.T) {
	h, _, done := job(t, nil)
	cb := langchaingo.New(h)
	model := fake.NewFakeLLM([]string{"one", "two"})
	first := chains.NewLLMChain(model, prompt("say {{.x}}", "x"))
	first.OutputKey = "y"
	second := chains.NewLLMChain(model, prompt("again {{.y}}", "y"), chains.WithCallback(cb))
	second.OutputKey = "z"
	if _, err := chains.Call(t.Context(), sequence(t, first, second), map[string]any{"x": "hi"}, chains.WithCallback(cb)); err != nil {
		t.Fatal(err)
	}
	expect(t, done(), `
phase_update started chain chain input={"y":"one"}
phase_update completed chain chain output={"z":"two"}
`)
}

func TestBareHandlerAsCallOptionGivesOnlyTheStream(t *testing.T) {
	p := newProvider(t, answer{text: "It is sunny"})
	h, _, done := job(t, nil)
	cb := langchaingo.New(h)
	chain := chains.NewLLMChain(p.llm(t, openai.WithCallback(cb)), prompt("say hi"))
	if _, err := chains.Call(t.Context(), chain, nil, chains.WithCallback(cb)); err != nil {
		t.Fatal(err)
	}
	expect(t, done(), `
thought started llm llm
thought delta "It is sunny"
thought completed llm llm content="It is sunny" usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
`)
}

func TestBareHandlerPieceOfUnknownCallIsLeftOut(t *testing.T) {
	h, _, done := job(t, nil)
	cb := langchaingo.New(h)
	one, two := context.WithValue(t.Context(), key{}, 1), context.WithValue(t.Context(), key{}, 2)
	cb.HandleStreamingFunc(t.Context(), []byte("no call"))
	cb.HandleLLMGenerateContentStart(one, nil)
	cb.HandleLLMGenerateContentStart(two, nil)
	cb.HandleStreamingFunc(t.Context(), []byte("whose?"))
	cb.HandleStreamingFunc(one, []byte("mine"))
	cb.HandleLLMGenerateContentEnd(one, &llms.ContentResponse{})
	expect(t, done(), `
thought started llm llm
thought started llm llm
thought delta "mine"
thought completed llm llm content="mine"
`)
}

type key struct{}

// The functions agent asks its model for a stream if it has a handler, and then
// overwrites that with the stream of the call's options, which is none.
func TestFunctionsAgentNeverStreamsToItsHandler(t *testing.T) {
	p := newProvider(t, answer{text: "It is sunny"})
	h, _, done := job(t, nil)
	if _, err := chains.Call(t.Context(), bare(t, p, langchaingo.New(h)), hi); err != nil {
		t.Fatal(err)
	}
	if log := done(); strings.Contains(log, "thought delta") || p.requests[0]["stream"] == true {
		t.Errorf("langchaingo has mended this; say so in the README:\n%s", log)
	}
}

func TestBareHandlerOneShotAgentPlansInAChainOfItsOwn(t *testing.T) {
	model := fake.NewFakeLLM([]string{
		"Thought: look\nAction: get_weather\nAction Input: Oslo",
		"Thought: I now know\nFinal Answer: It is sunny",
	})
	h, _, done := job(t, nil)
	with := agents.WithCallbacksHandler(langchaingo.New(h))
	agent := agents.NewExecutor(agents.NewOneShotAgent(model, []tools.Tool{weather{}}, with), with)
	if _, err := chains.Call(t.Context(), agent, hi); err != nil {
		t.Fatal(err)
	}
	log := ""
	for line := range strings.Lines(done()) { // the inputs of the chain hold the whole prompt
		line, _, _ = strings.Cut(line, " input={")
		line, _, _ = strings.Cut(line, " output={")
		log += strings.TrimRight(line, "\n") + "\n"
	}
	expect(t, log, `
phase_update started chain chain
  phase_update started chain chain
  phase_update completed chain chain
  tool_call tool tool=get_weather call=# input="Oslo"
  tool_result tool tool=get_weather call=# output=null
  phase_update started chain chain
  phase_update completed chain chain
phase_update completed chain chain
`)
}

func TestBareHandlerRetriever(t *testing.T) {
	h, _, done := job(t, nil)
	r := vectorstores.ToRetriever(shelf{}, 1)
	r.CallbacksHandler = langchaingo.New(h)
	if _, err := r.GetRelevantDocuments(t.Context(), "tides"); err != nil {
		t.Fatal(err)
	}
	expect(t, done(), `
phase_update started retriever retriever input="tides"
phase_update completed retriever retriever output=[{"PageContent":"on tides","Metadata":null,"Score":0}]
`)
}

type shelf struct{}

func (shelf) AddDocuments(context.Context, []schema.Document, ...vectorstores.Option) ([]string, error) {
	return nil, nil
}

func (shelf) SimilaritySearch(_ context.Context, about string, _ int, _ ...vectorstores.Option) ([]schema.Document, error) {
	return []schema.Document{{PageContent: "on " + about}}, nil
}

func TestBothAttachedTellEachCallOnce(t *testing.T) {
	script := []answer{{calls: []string{"Oslo"}}, {calls: []string{"6*7"}, tool: "calculator"}, {text: "It is sunny"}}
	var logs []string
	for _, own := range []bool{true, false} { // the handler's own job, or that of the context
		p := newProvider(t, script...)
		h, _, done := job(t, nil)
		cb := langchaingo.New(nil)
		if own {
			cb = langchaingo.New(h)
		}
		with := agents.WithCallbacksHandler(callbacks.CombiningHandler{Callbacks: []callbacks.Handler{cb, callbacks.SimpleHandler{}}})
		agent := executor(
			langchaingo.WrapModel(p.llm(t, openai.WithCallback(cb)), nil),
			langchaingo.WrapTools(weather{}, calculator(cb)), with)
		err := run(t, h, agent, hi, chains.WithCallback(cb))
		if err != nil {
			t.Fatal(err)
		}
		logs = append(logs, done())
	}
	expect(t, logs[0], `
phase_update started agent Executor input={"input":"hi"}
  thought started llm openai model=openai
  thought completed llm openai model=openai usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
  tool_call tool tool=get_weather call=call_0 input="Oslo"
  tool_result tool tool=get_weather call=call_0 output="sunny in Oslo"
  thought started llm openai model=openai
  thought completed llm openai model=openai usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
  tool_call tool tool=calculator call=call_0 input="6*7"
  tool_result tool tool=calculator call=call_0 output="42"
  thought started llm openai model=openai
  thought delta "It is sunny"
  thought completed llm openai model=openai content="It is sunny" usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
phase_update completed agent Executor output={"output":"It is sunny"}
done completed output={"output":"It is sunny"} usage={"input_tokens":33,"output_tokens":9,"cached_input_tokens":6}
`)
	expect(t, logs[1], logs[0])
}

// deadline gives a tool a context of its own, as middleware for tools does.
type deadline struct{ tools.Tool }

func (d deadline) Call(ctx context.Context, input string) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	return d.Tool.Call(ctx, input)
}

func TestBothAttachedTellAToolOnceThatGetsAnotherContext(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Oslo"}}, answer{text: "It is sunny"})
	h, _, done := job(t, &tidings.HandlerOptions{Automatic: true})
	cb := langchaingo.New(h)
	tool := deadline{langchaingo.WrapTool(weather{call: func(ctx context.Context, city string) (string, error) {
		_, step := langchaingo.Job(ctx).Phase(ctx, "look")
		step.End(nil)
		return "sunny", nil
	}})}
	agent := executor(langchaingo.WrapModel(p.llm(t), nil), []tools.Tool{tool}, agents.WithCallbacksHandler(cb))
	if _, err := langchaingo.Call(t.Context(), h, agent, hi); err != nil {
		t.Fatal(err)
	}
	if log := done(); !strings.Contains(log, `
  tool_call tool tool=get_weather call=call_0 input="Oslo"
    phase_update started chain look
    phase_update completed chain look
  tool_result tool tool=get_weather call=call_0 output="sunny"
  thought started llm openai model=openai
`) {
		t.Errorf("got:\n%s", log)
	}
}

func TestOneHandlerServesTheJobOfTheContext(t *testing.T) {
	cb := langchaingo.New(nil)
	cb.HandleChainStart(t.Context(), nil) // no job: nothing happens
	for _, id := range []string{"east", "west"} {
		log := memlog.New()
		h := tidings.Start(t.Context(), id, log, nil)
		p := newProvider(t, answer{text: "from " + id})
		if _, err := chains.Call(langchaingo.WithJob(t.Context(), h), bare(t, p, cb), hi); err != nil {
			t.Fatal(err)
		}
		_ = h.Close(context.WithoutCancel(t.Context()))
		if text := memlog.Outline(log.Events(id)); strings.Count(text, `content="from `+id+`"`) != 1 {
			t.Errorf("%s got:\n%s", id, text)
		}
	}
}

// hostile is an error whose methods panic, and a context that can't be compared.
type hostile struct{}

func (hostile) Error() string { panic("no text") }

type uncomparable struct {
	context.Context
	_ []int
}

func TestBareHandlerSurvivesBadInput(t *testing.T) {
	h, _, done := job(t, nil)
	odd := map[string]any{"f": func() {}, "c": make(chan int)}
	odd["self"] = odd
	for _, cb := range []*langchaingo.Handler{nil, langchaingo.New(nil), langchaingo.New(h)} {
		for _, ctx := range []context.Context{nil, uncomparable{Context: t.Context()}, t.Context()} {
			cb.HandleText(ctx, "\xff")
			cb.HandleChainEnd(ctx, nil)
			cb.HandleChainStart(ctx, odd)
			cb.HandleLLMStart(ctx, nil)
			cb.HandleLLMGenerateContentStart(ctx, []llms.MessageContent{{Parts: []llms.ContentPart{nil}}})
			cb.HandleStreamingFunc(ctx, []byte(`[{"`))
			cb.HandleStreamingFunc(ctx, []byte(`[{"a":1},null]`))
			cb.HandleStreamingFunc(ctx, []byte(`{"name":`))
			cb.HandleLLMGenerateContentEnd(ctx, &llms.ContentResponse{Choices: []*llms.ContentChoice{nil, {GenerationInfo: map[string]any{"PromptTokens": nil}}}})
			cb.HandleLLMError(ctx, hostile{})
			cb.HandleAgentAction(ctx, schema.AgentAction{})
			cb.HandleToolStart(ctx, "{")
			cb.HandleToolError(ctx, nil)
			cb.HandleToolEnd(ctx, "")
			cb.HandleRetrieverEnd(ctx, "", nil)
			cb.HandleRetrieverStart(ctx, "")
			cb.HandleAgentFinish(ctx, schema.AgentFinish{})
			cb.HandleChainError(ctx, hostile{})
			cb.HandleChainError(ctx, nil)
		}
	}
	if log := done(); !strings.Contains(log, "phase_update failed chain") {
		t.Errorf("got:\n%s", log)
	}
}

func TestBareHandlerForgetsContextsWhoseCallsNeverEnd(t *testing.T) {
	const calls = 1000
	h, _, done := job(t, nil)
	cb := langchaingo.New(h)
	for i := range calls {
		cb.HandleLLMGenerateContentStart(context.WithValue(t.Context(), key{}, i), nil)
	}
	log := done()
	if n := strings.Count(log, "thought completed"); n < calls-200 || n == calls {
		t.Errorf("%d of %d were taken for ended", n, calls)
	}
}

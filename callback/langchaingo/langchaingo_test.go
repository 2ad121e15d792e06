package langchaingo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/tmc/langchaingo/agents"
	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/llms/openai"
	"github.com/tmc/langchaingo/prompts"
	"github.com/tmc/langchaingo/tools"

	"tidings"
	"tidings/internal/memlog"
)

// weather is a tool as users write them.
type weather struct {
	call func(ctx context.Context, city string) (string, error)
}

func (weather) Name() string        { return "get_weather" }
func (weather) Description() string { return "the weather of a city" }
func (w weather) Call(ctx context.Context, city string) (string, error) {
	if w.call != nil {
		return w.call(ctx, city)
	}
	if city == "Nowhere" {
		return "", errors.New("city not found")
	}
	return "sunny in " + city, nil
}

// answer is what the provider says next.
type answer struct {
	text   string
	think  string
	calls  []string // inputs of get_weather
	tool   string   // instead of get_weather
	status int      // instead of an answer
}

// provider is the HTTP API of OpenAI with a script, for langchaingo's own client.
type provider struct {
	*httptest.Server
	mu       sync.Mutex
	script   []answer
	requests []map[string]any
}

func newProvider(t testing.TB, script ...answer) *provider {
	p := &provider{script: script}
	p.Server = httptest.NewServer(p)
	t.Cleanup(p.Close)
	return p
}

func (p *provider) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request map[string]any
	_ = json.NewDecoder(r.Body).Decode(&request)
	p.mu.Lock()
	next := answer{text: "I have no more to say"}
	if len(p.script) > 0 {
		next, p.script = p.script[0], p.script[1:]
	}
	p.requests = append(p.requests, request)
	p.mu.Unlock()
	switch {
	case next.status != 0:
		http.Error(w, `{"error":{"message":"boom"}}`, next.status)
	case request["stream"] == true:
		stream(w, next)
	default:
		whole(w, next)
	}
}

func toolCalls(a answer) []any {
	calls := []any{}
	for i, input := range a.calls {
		name := a.tool
		if name == "" {
			name = "get_weather"
		}
		arguments, _ := json.Marshal(map[string]string{"__arg1": input})
		calls = append(calls, map[string]any{"id": fmt.Sprint("call_", i), "type": "function",
			"function": map[string]string{"name": name, "arguments": string(arguments)}})
	}
	return calls
}

var tokens = map[string]any{"prompt_tokens": 11, "completion_tokens": 3, "total_tokens": 14,
	"prompt_tokens_details": map[string]int{"cached_tokens": 2}}

func whole(w http.ResponseWriter, a answer) {
	finish := "stop"
	if len(a.calls) > 0 {
		finish = "tool_calls"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"usage": tokens, "choices": []any{map[string]any{
		"finish_reason": finish,
		"message":       map[string]any{"role": "assistant", "content": a.text, "reasoning_content": a.think, "tool_calls": toolCalls(a)},
	}}})
}

func stream(w http.ResponseWriter, a answer) {
	chunk := func(v any) {
		text, _ := json.Marshal(v)
		fmt.Fprintf(w, "data: %s\n\n", text)
	}
	delta := func(v map[string]any, finish any) {
		chunk(map[string]any{"choices": []any{map[string]any{"delta": v, "finish_reason": finish}}})
	}
	for part := range strings.SplitAfterSeq(a.think, " ") {
		delta(map[string]any{"reasoning_content": part}, nil)
	}
	for part := range strings.SplitAfterSeq(a.text, " ") {
		delta(map[string]any{"content": part}, nil)
	}
	if calls := toolCalls(a); len(calls) > 0 {
		delta(map[string]any{"tool_calls": calls}, nil)
	}
	delta(map[string]any{}, "stop")
	chunk(map[string]any{"choices": []any{}, "usage": tokens})
	fmt.Fprint(w, "data: [DONE]\n\n")
}

// llm is langchaingo's client of the provider.
func (p *provider) llm(t testing.TB, options ...openai.Option) *openai.LLM {
	options = append(options, openai.WithToken("k"), openai.WithBaseURL(p.URL), openai.WithModel("gpt-4o-mini"))
	m, err := openai.New(options...)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// job starts the job "job" in a log in memory. The function it returns closes
// the job and gives the outline of its log behind the first line.
func job(t testing.TB, opts *tidings.HandlerOptions) (*tidings.Handler, *memlog.Log, func() string) {
	log := memlog.New()
	h := tidings.Start(t.Context(), "job", log, opts)
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	return h, log, func() string {
		t.Helper()
		if err := h.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Fatal(err)
		}
		text := strings.TrimPrefix(memlog.Outline(log.Events("job")), "phase_update started job\n")
		return uuids.ReplaceAllString(text, "#")
	}
}

var uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

func expect(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" {
		t.Errorf("the log differs (- want, + got):\n%s\ngot:\n%s", diff, got)
	}
}

func executor(model llms.Model, list []tools.Tool, options ...agents.Option) *agents.Executor {
	return agents.NewExecutor(agents.NewOpenAIFunctionsAgent(model, list, options...), options...)
}

func prompt(text string, inputs ...string) prompts.PromptTemplate {
	return prompts.NewPromptTemplate(text, inputs)
}

var hi = map[string]any{"input": "hi"}

package adk_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/genai"

	"google.golang.org/adk/v2/agent"
	"google.golang.org/adk/v2/agent/llmagent"
	"google.golang.org/adk/v2/model"
	"google.golang.org/adk/v2/plugin"
	"google.golang.org/adk/v2/runner"
	"google.golang.org/adk/v2/session"
	"google.golang.org/adk/v2/tool"
	"google.golang.org/adk/v2/tool/functiontool"

	"tidings"
	"tidings/callback/adk"
	"tidings/internal/memlog"
)

// script is a model that says what it was told to, one turn a call; the last
// turn again if there is none left.
type script struct {
	mu    sync.Mutex
	turns []turn
	calls int
}

// turn is one answer of a model.
type turn struct {
	thoughts []string
	pieces   []string // the text, as it is streamed
	calls    []*genai.FunctionCall
	err      error                 // instead of an answer, or after the pieces
	answer   *model.LLMResponse    // as it is
	do       func(context.Context) // before anything
	finish   genai.FinishReason    // STOP if empty
	usage    map[string]int32      // "cached", "thoughts"
	ctxErr   func(ctx context.Context) error
}

func says(pieces ...string) turn { return turn{pieces: pieces} }

func calls(id, name string, args map[string]any) turn {
	return turn{calls: []*genai.FunctionCall{{ID: id, Name: name, Args: args}}}
}

func newModel(turns ...turn) *script { return &script{turns: turns} }

func (s *script) Name() string { return "fake-model" }

func (s *script) next() turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.turns[min(s.calls, len(s.turns)-1)]
	s.calls++
	return t
}

func (s *script) GenerateContent(ctx context.Context, _ *model.LLMRequest, stream bool) iter.Seq2[*model.LLMResponse, error] {
	t := s.next()
	return func(yield func(*model.LLMResponse, error) bool) {
		if t.do != nil {
			t.do(ctx)
		}
		if t.ctxErr != nil {
			yield(nil, t.ctxErr(ctx))
			return
		}
		if stream && !t.stream(yield) {
			return
		}
		switch {
		case t.err != nil:
			yield(nil, t.err)
		case t.answer != nil:
			yield(t.answer, nil)
		default:
			yield(t.whole(), nil)
		}
	}
}

func (t turn) stream(yield func(*model.LLMResponse, error) bool) bool {
	piece := func(p *genai.Part) bool {
		return yield(&model.LLMResponse{Partial: true, Content: &genai.Content{Role: genai.RoleModel, Parts: []*genai.Part{p}}}, nil)
	}
	for _, text := range t.thoughts {
		if !piece(&genai.Part{Text: text, Thought: true}) {
			return false
		}
	}
	for _, text := range t.pieces {
		if !piece(&genai.Part{Text: text}) {
			return false
		}
	}
	for _, c := range t.calls { // some models stream them, and give them again in the whole
		if !piece(&genai.Part{FunctionCall: c}) {
			return false
		}
	}
	return true
}

func (t turn) whole() *model.LLMResponse {
	var parts []*genai.Part
	if len(t.thoughts) > 0 {
		parts = append(parts, &genai.Part{Text: strings.Join(t.thoughts, ""), Thought: true})
	}
	if len(t.pieces) > 0 {
		parts = append(parts, &genai.Part{Text: strings.Join(t.pieces, "")})
	}
	for _, c := range t.calls {
		parts = append(parts, &genai.Part{FunctionCall: c})
	}
	finish := t.finish
	if finish == "" {
		finish = genai.FinishReasonStop
	}
	return &model.LLMResponse{
		Content:      &genai.Content{Role: genai.RoleModel, Parts: parts},
		FinishReason: finish,
		UsageMetadata: &genai.GenerateContentResponseUsageMetadata{
			PromptTokenCount: 11, CandidatesTokenCount: 3,
			CachedContentTokenCount: t.usage["cached"], ThoughtsTokenCount: t.usage["thoughts"],
		},
	}
}

type city struct {
	City string `json:"city"`
}

type report struct {
	Weather string `json:"weather"`
}

var errNoCity = errors.New("city not found")

// weather is a tool that fails for the city Nowhere and panics for Chaos.
func weather(t testing.TB) tool.Tool {
	return newTool(t, "get_weather", func(_ agent.Context, in city) (report, error) {
		switch in.City {
		case "Nowhere":
			return report{}, errNoCity
		case "Chaos":
			panic("the tool broke")
		}
		return report{Weather: "sunny in " + in.City}, nil
	})
}

func newTool[In, Out any](t testing.TB, name string, fn functiontool.Func[In, Out]) tool.Tool {
	return newToolOf(t, functiontool.Config{Name: name, Description: "A tool."}, fn)
}

func newToolOf[In, Out any](t testing.TB, cfg functiontool.Config, fn functiontool.Func[In, Out]) tool.Tool {
	t.Helper()
	made, err := functiontool.New(cfg, fn)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// newAgent makes an agent with a model.
func newAgent(t testing.TB, name string, m model.LLM, change func(*llmagent.Config)) agent.Agent {
	t.Helper()
	cfg := llmagent.Config{Name: name, Model: m, Description: "An agent.", Instruction: "Help."}
	if change != nil {
		change(&cfg)
	}
	a, err := llmagent.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// newRunner makes a runner with the plugin.
func newRunner(t testing.TB, root agent.Agent, plugins ...*plugin.Plugin) *runner.Runner {
	t.Helper()
	r, err := runner.New(runner.Config{
		AppName: "app", Agent: root, SessionService: session.InMemoryService(), AutoCreateSession: true,
		PluginConfig: runner.PluginConfig{Plugins: plugins},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var streaming = agent.RunConfig{StreamingMode: agent.StreamingModeSSE}

func message(text string) *genai.Content { return genai.NewContentFromText(text, genai.RoleUser) }

// story is a job in a log in memory.
type story struct {
	*tidings.Handler
	t   testing.TB
	log *memlog.Log
}

func start(t testing.TB, opts *tidings.HandlerOptions) *story {
	t.Helper()
	s := &story{t: t, log: memlog.New()}
	if opts == nil {
		opts = &tidings.HandlerOptions{}
	}
	opts.Logger = slog.New(slog.DiscardHandler)
	s.Handler = tidings.Start(t.Context(), "job", s.log, opts)
	return s
}

// run runs the agent as the job, to the end, and gives the iterator's error.
func (s *story) run(root agent.Agent, cfg agent.RunConfig) error {
	s.t.Helper()
	return drain(adk.Run(s.t.Context(), s.Handler, newRunner(s.t, root, adk.Plugin(nil, nil)), "user", "session", message("hi"), cfg))
}

func drain(events iter.Seq2[*session.Event, error]) error {
	for _, err := range events {
		if err != nil {
			return err
		}
	}
	return nil
}

// outline closes the job and gives its log as an outline.
func (s *story) outline() string {
	s.t.Helper()
	if err := s.Close(context.WithoutCancel(s.t.Context())); err != nil {
		s.t.Fatal(err)
	}
	return strings.TrimSpace(memlog.Outline(s.log.Events("job")))
}

// tells checks the outline of the job, and that nothing came after its end.
func (s *story) tells(want string) {
	s.t.Helper()
	got := s.outline()
	if want = strings.TrimSpace(want); got != want {
		s.t.Errorf("got:\n%s\n\nwant:\n%s", got, want)
	}
	if n := s.Stats().Strays; n > 0 {
		s.t.Errorf("%d events came after the end", n)
	}
}

func (s *story) status(want tidings.Status) {
	s.t.Helper()
	if got := s.log.Summary("job").Status; got != want {
		s.t.Errorf("the job is %s, want %s", got, want)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t testing.TB, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(fmt.Sprint(err), text) {
		t.Fatalf("got error %v, want one with %q", err, text)
	}
}

// seen is what the tests look for in an event.
type seen struct {
	RunID   string `json:"run_id"`
	Parent  string `json:"parent_run_id"`
	Name    string `json:"name"`
	Status  string `json:"status"`
	Content string `json:"content"`
	Error   string `json:"error"`
	Kind    string `json:"error_kind"`
	Cause   string `json:"cause_run_id"`
}

func (s *story) seen(eventType string) []seen {
	s.t.Helper()
	var all []seen
	for _, e := range s.log.Events("job") {
		if e.Type != eventType {
			continue
		}
		var d seen
		if err := json.Unmarshal(e.Data, &d); err != nil {
			s.t.Fatal(err)
		}
		all = append(all, d)
	}
	return all
}

// contentOf is what the agent's model said last.
func (s *story) contentOf(agent string) string {
	s.t.Helper()
	run, content := s.runOf(agent), ""
	for _, d := range s.seen(tidings.TypeThought) {
		if d.Parent == run && d.Status == "completed" {
			content = d.Content
		}
	}
	return content
}

type failure struct{ text, kind, cause string }

func (s *story) failureOf(agent string) failure {
	s.t.Helper()
	for _, d := range s.seen(tidings.TypePhaseUpdate) {
		if d.Name == agent && d.Status == "failed" {
			return failure{d.Error, d.Kind, d.Cause}
		}
	}
	s.t.Errorf("agent %s did not fail", agent)
	return failure{}
}

// runOf is the run of the agent that began last.
func (s *story) runOf(agent string) string {
	s.t.Helper()
	run := ""
	for _, d := range s.seen(tidings.TypePhaseUpdate) {
		if d.Name == agent {
			run = d.RunID
		}
	}
	return run
}

// data gives the data of all events of a type.
func (s *story) data(eventType string) []string {
	var all []string
	for _, e := range s.log.Events("job") {
		if e.Type == eventType {
			all = append(all, string(e.Data))
		}
	}
	return all
}

// await waits until the log fulfils a condition.
func (s *story) await(what string, is func() bool) {
	s.t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			s.t.Fatalf("waited in vain for %s; the log:\n%s", what, memlog.Outline(s.log.Events("job")))
		}
		time.Sleep(time.Millisecond)
	}
}

type eventSeq = iter.Seq2[*session.Event, error]

// events is the turn as an agent's.
func (t turn) events(ctx agent.InvocationContext) eventSeq {
	return func(yield func(*session.Event, error) bool) {
		e := session.NewEvent(ctx, ctx.InvocationID())
		e.LLMResponse = *t.whole()
		yield(e, t.err)
	}
}

// recording is a plugin that notes the names of its callbacks.
func recording(t testing.TB, names *[]string) *plugin.Plugin {
	t.Helper()
	note := func(name string) { *names = append(*names, name) }
	p, err := plugin.New(plugin.Config{
		Name:                "recording",
		BeforeRunCallback:   func(agent.InvocationContext) (*genai.Content, error) { note("BeforeRun"); return nil, nil },
		AfterRunCallback:    func(agent.InvocationContext) { note("AfterRun") },
		BeforeAgentCallback: func(agent.Context) (*genai.Content, error) { note("BeforeAgent"); return nil, nil },
		AfterAgentCallback:  func(agent.Context) (*genai.Content, error) { note("AfterAgent"); return nil, nil },
		BeforeModelCallback: func(agent.Context, *model.LLMRequest) (*model.LLMResponse, error) {
			note("BeforeModel")
			return nil, nil
		},
		AfterModelCallback: func(agent.Context, *model.LLMResponse, error) (*model.LLMResponse, error) {
			note("AfterModel")
			return nil, nil
		},
		OnModelErrorCallback: func(agent.Context, *model.LLMRequest, error) (*model.LLMResponse, error) {
			note("OnModelError")
			return nil, nil
		},
		BeforeToolCallback: func(agent.Context, tool.Tool, map[string]any) (map[string]any, error) {
			note("BeforeTool")
			return nil, nil
		},
		AfterToolCallback: func(agent.Context, tool.Tool, map[string]any, map[string]any, error) (map[string]any, error) {
			note("AfterTool")
			return nil, nil
		},
		OnToolErrorCallback: func(agent.Context, tool.Tool, map[string]any, error) (map[string]any, error) {
			note("OnToolError")
			return nil, nil
		},
		OnEventCallback: func(agent.InvocationContext, *session.Event) (*session.Event, error) {
			note("OnEvent")
			return nil, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// stopped works until the context ends.
func stopped(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(30 * time.Second):
		return errors.New("the context did not end")
	}
}

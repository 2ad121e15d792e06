package trpcagent_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"trpc.group/trpc-go/trpc-agent-go/agent"
	"trpc.group/trpc-go/trpc-agent-go/agent/llmagent"
	"trpc.group/trpc-go/trpc-agent-go/event"
	trpclog "trpc.group/trpc-go/trpc-agent-go/log"
	"trpc.group/trpc-go/trpc-agent-go/model"
	"trpc.group/trpc-go/trpc-agent-go/runner"
	"trpc.group/trpc-go/trpc-agent-go/tool"
	"trpc.group/trpc-go/trpc-agent-go/tool/function"

	"tidings"
	"tidings/callback/trpcagent"
	"tidings/internal/leak"
	"tidings/internal/memlog"
)

func TestMain(m *testing.M) {
	trpclog.SetLevel(trpclog.LevelFatal) // of what the tests provoke
	leak.Main(m)
}

// answer is what the scripted model says next.
type answer struct {
	text, think string
	tool        string
	calls       []string // arguments for the tool
	fail        error    // the call itself fails
	refuse      string   // the provider answers with an error
}

// scripted is a chat model without a network.
type scripted struct {
	mu     sync.Mutex
	name   string
	script []answer
}

func newModel(script ...answer) *scripted { return &scripted{name: "scripted", script: script} }

// Info implements model.Model.
func (s *scripted) Info() model.Info { return model.Info{Name: s.name} }

// GenerateContent implements model.Model.
func (s *scripted) GenerateContent(_ context.Context, req *model.Request) (<-chan *model.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := answer{text: "I have no more to say"}
	if len(s.script) > 0 {
		next, s.script = s.script[0], s.script[1:]
	}
	if next.fail != nil {
		return nil, next.fail
	}
	out := make(chan *model.Response, 64)
	defer close(out)
	if req.GenerationConfig.Stream {
		for part := range strings.SplitAfterSeq(next.think, " ") {
			out <- partial(model.Message{ReasoningContent: part})
		}
		for part := range strings.SplitAfterSeq(next.text, " ") {
			out <- partial(model.Message{Content: part})
		}
	}
	out <- next.whole()
	return out, nil
}

func partial(delta model.Message) *model.Response {
	delta.Role = model.RoleAssistant
	return &model.Response{ID: "r", Object: model.ObjectTypeChatCompletionChunk, IsPartial: true,
		Choices: []model.Choice{{Delta: delta}}, Usage: &model.Usage{}}
}

func (a answer) whole() *model.Response {
	if a.refuse != "" {
		return &model.Response{Object: model.ObjectTypeError, Done: true, Error: &model.ResponseError{Type: model.ErrorTypeAPIError, Message: a.refuse}}
	}
	m := model.Message{Role: model.RoleAssistant, Content: a.text, ReasoningContent: a.think}
	finish := "stop"
	for i, arguments := range a.calls {
		finish = "tool_calls"
		call := model.ToolCall{Type: "function", ID: fmt.Sprint("call_", i)}
		call.Function.Name, call.Function.Arguments = a.tool, []byte(arguments)
		if a.tool == "" {
			call.Function.Name = "get_weather"
		}
		m.ToolCalls = append(m.ToolCalls, call)
	}
	return &model.Response{ID: "r", Object: model.ObjectTypeChatCompletion, Model: "scripted", Done: true,
		Choices: []model.Choice{{Message: m, FinishReason: &finish}},
		Usage:   &model.Usage{PromptTokens: 11, CompletionTokens: 3, TotalTokens: 14}}
}

type place struct {
	City string `json:"city"`
}

// weather is a tool as users write them.
func weather(ctx context.Context, in place) (string, error) {
	if in.City == "Nowhere" {
		return "", errors.New("city not found")
	}
	return "sunny in " + in.City, nil
}

func newTool(fn func(context.Context, place) (string, error)) tool.Tool {
	return function.NewFunctionTool(fn, function.WithName("get_weather"), function.WithDescription("the weather"))
}

func newAgent(name string, m model.Model, opts ...llmagent.Option) agent.Agent {
	return llmagent.New(name, append([]llmagent.Option{llmagent.WithModel(m),
		llmagent.WithTools([]tool.Tool{newTool(weather)})}, opts...)...)
}

// rooted puts an agent of a user's own around another one. The framework's chain
// and parallel agents, as the root, race with their runner.
func rooted(inner agent.Agent) agent.Agent { return root{inner} }

type root struct{ inner agent.Agent }

func (r root) Run(ctx context.Context, inv *agent.Invocation) (<-chan *event.Event, error) {
	child := inv.Clone(agent.WithInvocationAgent(r.inner))
	return agent.RunWithPlugins(agent.NewInvocationContext(ctx, child), child, r.inner)
}
func (r root) Info() agent.Info                { return agent.Info{Name: "root"} }
func (r root) Tools() []tool.Tool              { return nil }
func (r root) SubAgents() []agent.Agent        { return []agent.Agent{r.inner} }
func (r root) FindSubAgent(string) agent.Agent { return nil }

var streaming = llmagent.WithGenerationConfig(model.GenerationConfig{Stream: true})

func newRunner(t testing.TB, ag agent.Agent) runner.Runner {
	r := runner.NewRunner("app", ag, runner.WithPlugins(trpcagent.Plugin(nil, nil)))
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// story is a job in a log in memory.
type story struct {
	t   testing.TB
	job *tidings.Handler
	log *memlog.Log
}

func newStory(t testing.TB, opts *tidings.HandlerOptions) *story {
	log := memlog.New()
	return &story{t: t, log: log, job: tidings.Start(t.Context(), "job", log, opts)}
}

// run runs the agent as the job and gives the events.
func (s *story) run(ag agent.Agent, opts ...agent.RunOption) []*event.Event {
	s.t.Helper()
	events, err := trpcagent.Run(s.t.Context(), s.job, newRunner(s.t, ag), "ada", "s1", model.NewUserMessage("hi"), opts...)
	if err != nil {
		s.t.Fatal(err)
	}
	return drain(events)
}

func drain(events <-chan *event.Event) (all []*event.Event) {
	for e := range events {
		all = append(all, e)
	}
	return all
}

var uuids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

// outline closes the job and gives its log behind the first line.
func (s *story) outline() string {
	s.t.Helper()
	if err := s.job.Close(context.WithoutCancel(s.t.Context())); err != nil {
		s.t.Fatal(err)
	}
	text := strings.TrimPrefix(memlog.Outline(s.log.Events("job")), "phase_update started job\n")
	return uuids.ReplaceAllString(text, "#")
}

func (s *story) expect(want string) {
	s.t.Helper()
	got := s.outline()
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" {
		s.t.Errorf("the log differs (- want, + got):\n%s\ngot:\n%s", diff, got)
	}
}

// eventFields are those that tests ask for.
type eventFields struct {
	RunID       string `json:"run_id"`
	ParentRunID string `json:"parent_run_id"`
	Name        string `json:"name"`
	Content     string `json:"content"`
}

func fields(t *testing.T, e tidings.Event) (f eventFields) {
	t.Helper()
	if err := json.Unmarshal(e.Data, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

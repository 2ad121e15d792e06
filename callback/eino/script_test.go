package eino_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/components/tool"
	"github.com/cloudwego/eino/components/tool/utils"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"
	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/callback/eino"
	"tidings/internal/memlog"
)

// turn is one answer of a scripted model: its chunks, and the error it fails or
// breaks off with.
type turn struct {
	chunks []*schema.Message
	err    error
	gate   <-chan struct{} // waited for before the last chunk
}

// script is a chat model that gives one turn after the other, and the last one
// again.
type script struct {
	mu    sync.Mutex
	turns []turn
}

var _ model.ToolCallingChatModel = (*script)(nil)

func scripted(turns ...turn) *script { return &script{turns: turns} }

func (s *script) GetType() string { return "Scripted" }

func (s *script) WithTools([]*schema.ToolInfo) (model.ToolCallingChatModel, error) { return s, nil }

func (s *script) next() turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.turns[0]
	if len(s.turns) > 1 {
		s.turns = s.turns[1:]
	}
	return t
}

func (s *script) Generate(ctx context.Context, _ []*schema.Message, _ ...model.Option) (*schema.Message, error) {
	t := s.next()
	if t.gate != nil {
		select {
		case <-t.gate:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if t.err != nil {
		return nil, t.err
	}
	return schema.ConcatMessages(t.chunks)
}

func (s *script) Stream(ctx context.Context, _ []*schema.Message, _ ...model.Option) (*schema.StreamReader[*schema.Message], error) {
	t := s.next()
	out, in := schema.Pipe[*schema.Message](1)
	go func() {
		defer in.Close()
		for i, c := range t.chunks {
			if t.gate != nil && i == len(t.chunks)-1 {
				select {
				case <-t.gate:
				case <-ctx.Done():
					in.Send(nil, ctx.Err())
					return
				}
			}
			if in.Send(c, nil) {
				return
			}
		}
		if t.err != nil {
			in.Send(nil, t.err)
		}
	}()
	return out, nil
}

// says is a turn of text, in the pieces given.
func says(pieces ...string) turn {
	var t turn
	for _, p := range pieces {
		t.chunks = append(t.chunks, schema.AssistantMessage(p, nil))
	}
	last := *t.chunks[len(t.chunks)-1]
	last.ResponseMeta = &schema.ResponseMeta{FinishReason: "stop", Usage: &schema.TokenUsage{PromptTokens: 11, CompletionTokens: 3}}
	t.chunks[len(t.chunks)-1] = &last
	return t
}

// calls is a turn that asks for tools: name, arguments, name, arguments …
func calls(namesAndArguments ...string) turn {
	var list []schema.ToolCall
	for i := 0; i < len(namesAndArguments); i += 2 {
		index := i / 2
		list = append(list, schema.ToolCall{Index: &index, ID: "call_" + string(rune('0'+index)), Type: "function",
			Function: schema.FunctionCall{Name: namesAndArguments[i], Arguments: namesAndArguments[i+1]}})
	}
	return turn{chunks: []*schema.Message{schema.AssistantMessage("", list)}}
}

type place struct {
	City string `json:"city"`
}

var errNoCity = errors.New("city not found")

// weather is a real tool: it knows no Nowhere, and panics in Atlantis.
func weather(t testing.TB) tool.InvokableTool {
	w, err := utils.InferTool("get_weather", "the weather in a city", func(_ context.Context, in place) (string, error) {
		switch in.City {
		case "Nowhere":
			return "", errNoCity
		case "Atlantis":
			panic("drowned")
		}
		return "sunny in " + in.City, nil
	})
	check(t, err)
	return w
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// observed is a job in a log in memory, with a handler on it.
type observed struct {
	store *memlog.Log
	job   *tidings.Handler
	h     *eino.Handler
}

func observe(t testing.TB, o *eino.Options) observed {
	store := memlog.New()
	job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{CoalesceDeltas: -1})
	t.Cleanup(func() { _ = job.Close(context.Background()) })
	return observed{store: store, job: job, h: eino.NewHandler(job, o)}
}

// outline closes the job and gives what was told, without the job's start.
func (o observed) outline(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
	defer cancel()
	check(t, o.job.Close(ctx))
	return strings.TrimPrefix(memlog.Outline(o.store.Events("job")), "phase_update started job\n")
}

func (o observed) want(t testing.TB, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(o.outline(t))); diff != "" {
		t.Errorf("told differently (-want +got):\n%s", diff)
	}
}

// eventually waits for what another goroutine does.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}

// readAll reads a stream to its end and gives its text.
func readAll(t testing.TB, s *schema.StreamReader[*schema.Message]) (string, error) {
	t.Helper()
	defer s.Close()
	m, err := concat(s)
	return m, err
}

func concat(s *schema.StreamReader[*schema.Message]) (string, error) {
	var b strings.Builder
	for {
		m, err := s.Recv()
		switch {
		case err != nil && err.Error() == "EOF":
			return b.String(), nil
		case err != nil:
			return b.String(), err
		}
		b.WriteString(m.Content)
	}
}

// drainEvents reads an agent's events to their end, as a caller does.
func drainEvents(events *adk.AsyncIterator[*adk.AgentEvent]) (last *adk.AgentEvent, err error) {
	for {
		e, ok := events.Next()
		if !ok {
			return last, err
		}
		last, err = e, e.Err
		if e.Output != nil && e.Output.MessageOutput != nil && e.Output.MessageOutput.IsStreaming {
			if _, broke := concat(e.Output.MessageOutput.MessageStream); broke != nil && err == nil {
				err = broke
			}
		}
	}
}

// state is what react remembers; registered, as checkpoints hold it.
type state struct{ Messages []*schema.Message }

func init() { schema.RegisterName[*state]("tidings_test_state") }

// react is a graph of a model and its tools, as a team writes it: model, branch,
// tools, model.
func react(t testing.TB, m model.ToolCallingChatModel, tools ...tool.BaseTool) compose.Runnable[[]*schema.Message, *schema.Message] {
	t.Helper()
	g := compose.NewGraph[[]*schema.Message, *schema.Message](compose.WithGenLocalState(func(context.Context) *state { return &state{} }))
	node, err := compose.NewToolNode(t.Context(), &compose.ToolsNodeConfig{Tools: tools})
	check(t, err)
	remember := func(_ context.Context, in []*schema.Message, s *state) ([]*schema.Message, error) {
		s.Messages = append(s.Messages, in...)
		return append([]*schema.Message(nil), s.Messages...), nil
	}
	check(t, g.AddChatModelNode("model", m, compose.WithNodeName("model"), compose.WithStatePreHandler(remember)))
	check(t, g.AddToolsNode("tools", node, compose.WithNodeName("tools"), compose.WithStatePreHandler(
		func(_ context.Context, in *schema.Message, s *state) (*schema.Message, error) {
			s.Messages = append(s.Messages, in)
			return in, nil
		})))
	check(t, g.AddEdge(compose.START, "model"))
	check(t, g.AddBranch("model", compose.NewStreamGraphBranch(func(_ context.Context, s *schema.StreamReader[*schema.Message]) (string, error) {
		defer s.Close()
		m, err := s.Recv()
		if err == nil && len(m.ToolCalls) > 0 {
			return "tools", nil
		}
		return compose.END, nil
	}, map[string]bool{"tools": true, compose.END: true})))
	check(t, g.AddEdge("tools", "model"))
	r, err := g.Compile(t.Context(), compose.WithGraphName("react"), compose.WithCheckPointStore(&checkpoints{}))
	check(t, err)
	return r
}

func hello() []*schema.Message { return []*schema.Message{schema.UserMessage("hi")} }

func toolsOf(tools ...tool.BaseTool) []tool.BaseTool { return tools }

package tidingsgenkit_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/firebase/genkit/go/ai"
	"github.com/firebase/genkit/go/genkit"

	"tidings"
	tidingsgenkit "tidings/callback/genkit"
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
	thoughts   string
	pieces     []string // the text, as it is streamed
	calls      []*ai.ToolRequest
	err        error // instead of an answer, after the pieces
	aggregated bool  // each chunk repeats those before it
	panics     bool
	do         func(ctx context.Context) error // before anything
}

func says(pieces ...string) turn { return turn{pieces: pieces} }

func asks(ref, tool string, input any) turn {
	return turn{calls: []*ai.ToolRequest{{Ref: ref, Name: tool, Input: input}}}
}

func (s *script) next() turn {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.turns[min(s.calls, len(s.turns)-1)]
	s.calls++
	return t
}

func (s *script) generate(ctx context.Context, req *ai.ModelRequest, cb ai.ModelStreamCallback) (*ai.ModelResponse, error) {
	t := s.next()
	if t.panics {
		panic("the model broke")
	}
	if t.do != nil {
		if err := t.do(ctx); err != nil {
			return nil, err
		}
	}
	if cb != nil {
		if err := t.stream(ctx, cb); err != nil {
			return nil, err
		}
	}
	if t.err != nil {
		return nil, t.err
	}
	return &ai.ModelResponse{
		Request: req, FinishReason: ai.FinishReasonStop, Message: &ai.Message{Role: ai.RoleModel, Content: t.parts()},
		Usage: &ai.GenerationUsage{InputTokens: 11, OutputTokens: 3, TotalTokens: 14},
	}, nil
}

func (t turn) stream(ctx context.Context, cb ai.ModelStreamCallback) error {
	if t.thoughts != "" {
		if err := cb(ctx, &ai.ModelResponseChunk{Content: []*ai.Part{ai.NewReasoningPart(t.thoughts, nil)}}); err != nil {
			return err
		}
	}
	text := ""
	for _, p := range t.pieces {
		if text += p; t.aggregated {
			p = text
		}
		if err := cb(ctx, &ai.ModelResponseChunk{Aggregated: t.aggregated, Content: []*ai.Part{ai.NewTextPart(p)}}); err != nil {
			return err
		}
	}
	return nil
}

func (t turn) parts() []*ai.Part {
	var parts []*ai.Part
	if t.thoughts != "" {
		parts = append(parts, ai.NewReasoningPart(t.thoughts, nil))
	}
	if len(t.pieces) > 0 {
		parts = append(parts, ai.NewTextPart(strings.Join(t.pieces, "")))
	}
	for _, c := range t.calls {
		parts = append(parts, ai.NewToolRequestPart(c))
	}
	return parts
}

// world is a Genkit with a scripted model and tools.
type world struct {
	*genkit.Genkit
	tools []ai.ToolRef
}

type city struct {
	City string `json:"city"`
}

var errNoCity = errors.New("city not found")

func newWorld(t testing.TB, turns ...turn) *world {
	t.Helper()
	w := &world{Genkit: genkit.Init(t.Context(), genkit.WithDefaultModel("fake/m"))}
	s := &script{turns: turns}
	genkit.DefineModel(w.Genkit, "fake/m", &ai.ModelOptions{Supports: &ai.ModelSupports{Tools: true, Multiturn: true, SystemRole: true}}, s.generate)
	w.tool("get_weather", func(_ *ai.ToolContext, in city) (string, error) {
		if in.City == "Nowhere" {
			return "", errNoCity
		}
		return "sunny in " + in.City, nil
	})
	return w
}

func (w *world) tool(name string, fn ai.ToolFunc[city, string]) ai.Tool {
	t := genkit.DefineTool(w.Genkit, name, "A tool.", fn)
	w.tools = append(w.tools, t)
	return t
}

// generate asks the model, with the middleware and all tools.
func (w *world) generate(ctx context.Context, prompt string, more ...ai.GenerateOption) (*ai.ModelResponse, error) {
	options := append([]ai.GenerateOption{ai.WithTools(w.tools...), ai.WithUse(tidingsgenkit.Middleware())}, more...)
	if prompt != "" {
		options = append(options, ai.WithPrompt(prompt))
	}
	return genkit.Generate(ctx, w.Genkit, options...)
}

func (w *world) text(ctx context.Context, prompt string, more ...ai.GenerateOption) (string, error) {
	resp, err := w.generate(ctx, prompt, more...)
	if err != nil {
		return "", err
	}
	return resp.Text(), nil
}

// streamed takes chunks and does nothing with them.
func streamed() ai.GenerateOption {
	return ai.WithStreaming(func(context.Context, *ai.ModelResponseChunk) error { return nil })
}

// story is a job in a log in memory.
type story struct {
	*tidings.Handler
	t   testing.TB
	log *memlog.Log
}

func start(t testing.TB, opts *tidings.HandlerOptions) *story {
	t.Helper()
	s := &story{t: t, log: memlog.New()}
	s.Handler = tidings.Start(t.Context(), "job", s.log, opts)
	t.Cleanup(func() { _ = s.Close(context.Background()) })
	return s
}

func (s *story) run(fn func(ctx context.Context) (string, error)) (string, error) {
	s.t.Helper()
	return tidingsgenkit.Run(s.t.Context(), s.Handler, fn)
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

// await waits until the log fulfils a condition.
func (s *story) await(what string, is func() bool) {
	s.t.Helper()
	await(s.t, what, is)
}

func await(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(time.Millisecond)
	}
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

// count is how many events of the type have data with the text.
func (s *story) count(eventType, text string) int {
	n := 0
	for _, e := range s.log.Events("job") {
		if e.Type == eventType && strings.Contains(string(e.Data), text) {
			n++
		}
	}
	return n
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

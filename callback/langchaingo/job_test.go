package langchaingo_test

import (
	"context"
	"strings"
	"testing"

	"github.com/tmc/langchaingo/chains"

	"tidings"
	"tidings/callback/langchaingo"
)

// TestWrappersFindTheJobOfAnyContext: what tidings.Handler.Run gives will do, and
// a tool finds the job in its own.
func TestWrappersFindTheJobOfAnyContext(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Oslo"}}, answer{text: "It is sunny"})
	h, _, done := job(t, nil)
	agent := langchaingo.WrapChain(wrappedAgent(t, p, weather{call: func(ctx context.Context, _ string) (string, error) {
		found, run := tidings.FromContext(ctx)
		run.Progress(0.5, "looking")
		if found != h || langchaingo.Job(ctx) != h {
			t.Error("the tool did not find the job")
		}
		return "sunny", nil
	}}), "")
	err := h.Run(t.Context(), func(ctx context.Context) (any, error) { return chains.Call(ctx, agent, hi) })
	if err != nil {
		t.Fatal(err)
	}
	if log := done(); !strings.Contains(log, "\n  tool_call tool tool=get_weather call=call_0 ") || !strings.Contains(log, "\n  phase_update progress tool get_weather\n") {
		t.Errorf("got:\n%s", log)
	}
}

func TestTheModelSaysWhichToolsItAsksFor(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Oslo"}}, answer{text: "It is sunny"})
	h, log, done := job(t, nil)
	if err := run(t, h, wrappedAgent(t, p, weather{}), hi); err != nil {
		t.Fatal(err)
	}
	done()
	var got strings.Builder
	for _, e := range log.Events("job") {
		if e.Type == tidings.TypeThought {
			got.Write(e.Data)
		}
	}
	want := `"tool_calls":[{"call_id":"call_0","tool":"get_weather","input":{"__arg1":"Oslo"}}]`
	if text := got.String(); strings.Count(text, "tool_calls\":") != 1 || !strings.Contains(text, want) {
		t.Errorf("got:\n%s", text)
	}
}

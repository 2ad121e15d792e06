package tidingsgenkit_test

import (
	"context"
	"strings"
	"testing"

	"github.com/firebase/genkit/go/ai"
	"github.com/firebase/genkit/go/genkit"

	"tidings"
	tidingsgenkit "tidings/callback/genkit"
)

// TestFlowsFindTheJobOfAnyContext: what tidings.Handler.Run gives will do, and a
// tool and a flow find the job in their own.
func TestFlowsFindTheJobOfAnyContext(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, asks("c1", "look", city{"Oslo"}), says("sunny"))
	w.tool("look", func(ctx *ai.ToolContext, _ city) (string, error) {
		job, run := tidings.FromContext(ctx)
		run.Progress(0.5, "looking")
		if job != s.Handler {
			t.Error("the tool did not find the job")
		}
		return "sunny", nil
	})
	flow := genkit.DefineFlow(w.Genkit, "weather", func(ctx context.Context, q string) (string, error) {
		job, run := tidings.FromContext(tidingsgenkit.Context(ctx))
		run.Custom("asked", q)
		if job != s.Handler {
			t.Error("the flow did not find the job")
		}
		return w.text(ctx, q, streamed())
	})
	must(t, s.Run(t.Context(), func(ctx context.Context) (any, error) { return flow.Run(ctx, "hi") }))
	s.tells(`
phase_update started job
phase_update started flow weather
custom asked value="hi"
  phase_update started chain generate
    thought started llm fake/m model=fake/m
    thought completed llm fake/m model=fake/m usage={"input_tokens":11,"output_tokens":3}
    tool_call tool tool=look call=c1 input={"city":"Oslo"}
    phase_update progress tool look
    tool_result tool tool=look call=c1 output="sunny"
    thought started llm fake/m model=fake/m
    thought delta "sunny"
    thought completed llm fake/m model=fake/m content="sunny" usage={"input_tokens":11,"output_tokens":3}
  phase_update completed chain generate
phase_update completed flow weather output="sunny"
done completed output="sunny" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestTheModelSaysWhichToolsItAsksFor(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, asks("c1", "get_weather", city{"Oslo"}), says("ok"))
	_, err := s.run(func(ctx context.Context) (string, error) { return w.text(ctx, "hi") })
	must(t, err)
	s.outline()
	if n := s.count(tidings.TypeThought, `"tool_calls":[{"call_id":"c1","tool":"get_weather","input":{"city":"Oslo"}}]`); n != 1 || s.count(tidings.TypeThought, "tool_calls") != 1 {
		t.Errorf("%d events say it:\n%v", n, strings.Join([]string{s.outline()}, ""))
	}
}

// TestToolThatAsksForInputByOurWordsLeavesTheJobWaiting: they work in every
// framework; the flow itself fails of it.
func TestToolThatAsksForInputByOurWordsLeavesTheJobWaiting(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, asks("c1", "ask", city{"Oslo"}), says("sunny"))
	w.tool("ask", func(ctx *ai.ToolContext, _ city) (string, error) {
		_, run := tidings.FromContext(ctx)
		run.Interrupt("which one?")
		return "", tidings.ErrInterrupted
	})
	flow := genkit.DefineFlow(w.Genkit, "weather", func(ctx context.Context, q string) (string, error) { return w.text(ctx, q) })
	_, err := s.run(func(ctx context.Context) (string, error) { return flow.Run(ctx, "hi") })
	wantError(t, err, "waits for input")
	got := s.outline()
	if strings.Contains(got, "tool_result") || strings.Contains(got, "\nerror") || strings.Contains(got, "failed") {
		t.Errorf("got:\n%s", got)
	}
	s.status(tidings.StatusWaiting)
}

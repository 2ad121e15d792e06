package adk_test

import (
	"context"
	"strings"
	"testing"

	"google.golang.org/adk/v2/agent"

	"tidings"
	"tidings/callback/adk"
)

// TestAPluginFindsTheJobOfAnyContext: what tidings.Handler.Run gives will do,
// and a tool finds the job in its own.
func TestAPluginFindsTheJobOfAnyContext(t *testing.T) {
	s := start(t, nil)
	look := newTool(t, "look", func(ctx agent.Context, _ city) (report, error) {
		job, run := tidings.FromContext(adk.Context(ctx))
		run.Progress(0.5, "looking")
		if job != s.Handler {
			t.Error("the tool did not find the job")
		}
		return report{"sunny"}, nil
	})
	clock := custom(t, "clock", func(ctx agent.InvocationContext) eventSeq {
		if job, run := tidings.FromContext(adk.Context(ctx)); job != s.Handler || run == nil {
			t.Error("the agent did not find the job")
		}
		return says("noon").events(ctx)
	})
	weather := newAgent(t, "weather", newModel(calls("c1", "look", map[string]any{"city": "Oslo"}), says("ok")), withTools(look))
	must(t, s.Run(t.Context(), func(ctx context.Context) (any, error) {
		for _, a := range []agent.Agent{weather, clock} {
			if err := drain(newRunner(t, a, adk.Plugin(nil, nil)).Run(ctx, "user", "session", message("hi"), streaming)); err != nil {
				return nil, err
			}
		}
		return "both", nil
	}))
	got := s.outline()
	if !strings.Contains(got, "\n  phase_update progress tool look\n") || !strings.Contains(got, "phase_update completed agent clock") || !strings.HasSuffix(got, `}`) {
		t.Errorf("got:\n%s", got)
	}
}

func TestTheModelSaysWhichToolsItAsksFor(t *testing.T) {
	s := start(t, nil)
	must(t, s.run(newAgent(t, "weather", newModel(calls("c1", "get_weather", map[string]any{"city": "Oslo"}), says("ok")), withTools(weather(t))), streaming))
	s.outline()
	want := `"tool_calls":[{"call_id":"c1","tool":"get_weather","input":{"city":"Oslo"}}]`
	if got := strings.Join(s.data(tidings.TypeThought), "\n"); strings.Count(got, "tool_calls\":") != 1 || !strings.Contains(got, want) {
		t.Errorf("got:\n%s", got)
	}
}

// TestToolThatAsksForInputLeavesTheJobWaiting: by the words that every agent may
// use, although the framework goes on with what it takes for an error.
func TestToolThatAsksForInputLeavesTheJobWaiting(t *testing.T) {
	s := start(t, nil)
	ask := newTool(t, "ask", func(ctx agent.Context, _ city) (report, error) {
		_, run := tidings.FromContext(adk.Context(ctx))
		run.Interrupt("which one?")
		return report{}, tidings.ErrInterrupted
	})
	must(t, s.run(newAgent(t, "weather", newModel(calls("c1", "ask", map[string]any{"city": "Oslo"}), says("I asked")), withTools(ask)), streaming))
	got := s.outline()
	if strings.Contains(got, "tool_result") || strings.Contains(got, "\ndone") || !strings.Contains(got, "phase_update interrupted agent weather") {
		t.Errorf("got:\n%s", got)
	}
	s.status(tidings.StatusWaiting)
}

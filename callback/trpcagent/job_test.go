package trpcagent_test

import (
	"context"
	"strings"
	"testing"

	"trpc.group/trpc-go/trpc-agent-go/model"

	"tidings"
	"tidings/callback/trpcagent"
)

// TestAPluginFindsTheJobOfAnyContext: what tidings.Handler.Run gives will do,
// and a tool finds the job in its own.
func TestAPluginFindsTheJobOfAnyContext(t *testing.T) {
	s := newStory(t, nil)
	agent := newAgent("weather", newModel(answer{calls: []string{`{"city":"Oslo"}`}}, answer{text: "sunny"}),
		withTool(func(ctx context.Context, _ place) (string, error) {
			job, run := tidings.FromContext(ctx)
			run.Progress(0.5, "looking")
			if job != s.job || trpcagent.Job(ctx) != job {
				t.Error("the tool did not find the job")
			}
			return "sunny", nil
		}))
	err := s.job.Run(t.Context(), func(ctx context.Context) (any, error) {
		events, err := newRunner(t, agent).Run(ctx, "ada", "s1", model.NewUserMessage("hi"))
		if err != nil {
			return nil, err
		}
		drain(events)
		return "ok", nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if log := s.outline(); !strings.Contains(log, "\n  phase_update progress tool get_weather\n") || !strings.HasSuffix(log, "done completed output=\"ok\" usage={\"input_tokens\":22,\"output_tokens\":6}\n") {
		t.Errorf("got:\n%s", log)
	}
}

func TestTheModelSaysWhichToolsItAsksFor(t *testing.T) {
	s := newStory(t, nil)
	s.run(newAgent("weather", newModel(answer{calls: []string{`{"city":"Oslo"}`}}, answer{text: "sunny"})))
	s.outline()
	var got strings.Builder
	for _, e := range s.log.Events("job") {
		if e.Type == tidings.TypeThought {
			got.Write(e.Data)
		}
	}
	want := `"tool_calls":[{"call_id":"call_0","tool":"get_weather","input":{"city":"Oslo"}}]`
	if text := got.String(); strings.Count(text, "tool_calls\":") != 1 || !strings.Contains(text, want) {
		t.Errorf("got:\n%s", text)
	}
}

// TestToolThatAsksForInputLeavesTheJobWaiting: by the words that every agent may
// use, although the framework goes on with what it takes for an error.
func TestToolThatAsksForInputLeavesTheJobWaiting(t *testing.T) {
	s := newStory(t, nil)
	s.run(newAgent("weather", newModel(answer{calls: []string{`{"city":"Oslo"}`}}, answer{text: "I asked"}),
		withTool(func(ctx context.Context, _ place) (string, error) {
			_, run := tidings.FromContext(ctx)
			run.Interrupt("which one?")
			return "", tidings.ErrInterrupted
		})))
	log := s.outline()
	if strings.Contains(log, "tool_result") || strings.Contains(log, "\ndone") || !strings.Contains(log, "phase_update interrupted agent weather") {
		t.Errorf("got:\n%s", log)
	}
	if got := s.log.Summary("job").Status; got != tidings.StatusWaiting {
		t.Errorf("the job is %s", got)
	}
}

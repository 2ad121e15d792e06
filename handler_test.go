package tidings_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"tidings"
	"tidings/internal/memlog"
)

func TestHandlerTellsAJobFromStartToEnd(t *testing.T) {
	store := memlog.New()
	job := tidings.Start(t.Context(), "job-1", store, &tidings.HandlerOptions{Name: "study"})
	ctx, plan := job.Phase(t.Context(), "plan")
	m := job.Model(ctx, "gpt")
	m.Delta("text", "Hel")
	m.Delta("text", "lo")
	m.Usage(tidings.Usage{InputTokens: 3, OutputTokens: 2})
	m.Cost(0.25, "USD")
	m.End("", nil)
	out, err := job.Tool(ctx, "add", "c1", map[string]int{"a": 1}, func(context.Context) (any, error) { return 3, nil })
	if out != 3 || err != nil {
		t.Fatalf("Tool gave %v, %v", out, err)
	}
	_, _ = job.Tool(ctx, "div", "c2", nil, func(context.Context) (any, error) { return nil, errors.New("by zero") })
	plan.Progress(0.5, "half")
	plan.End(nil)
	job.End("report", nil)
	if err := job.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	var types []string
	delta := false
	for _, e := range store.Events("job-1") {
		again := delta
		// Whether two pieces of a stream are joined is a matter of time.
		if delta = strings.Contains(string(e.Data), `"status":"delta"`); !delta || !again {
			types = append(types, e.Type)
		}
		t.Logf("%s %s", e.Type, e.Data)
		if err := e.Validate(); err != nil {
			t.Error(err)
		}
	}
	want := "phase_update phase_update thought thought thought tool_call tool_result tool_call tool_result phase_update phase_update done"
	if got := strings.Join(types, " "); got != want {
		t.Errorf("the log has %s\nwant %s", got, want)
	}
	if j := store.Summary("job-1"); j.Status != tidings.StatusCompleted || j.Name != "study" || j.Usage.InputTokens != 3 {
		t.Errorf("the job is %+v", j)
	}
}

// Code that was not handed the job finds it, and its place, in the context.
func TestFromContext(t *testing.T) {
	if job, run := tidings.FromContext(t.Context()); job != nil || run != nil {
		t.Errorf("a context of no job gives %v, %v", job, run)
	}
	job, run := tidings.FromContext(nil) //lint:ignore SA1012 what an agent may do
	job.Custom("nothing", nil)
	run.Custom("nothing", nil)

	outer := tidings.Start(t.Context(), "outer", memlog.New(), nil)
	defer outer.Close(t.Context())
	inner := tidings.Start(t.Context(), "inner", memlog.New(), nil)
	err := inner.Run(t.Context(), func(ctx context.Context) (any, error) {
		if job, run := tidings.FromContext(ctx); job != inner || run != nil {
			t.Errorf("Run gives %v, %v", job, run)
		}
		ctx, phase := inner.Phase(ctx, "work")
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		if job, run := tidings.FromContext(ctx); job != inner || run != phase {
			t.Errorf("a phase gives %v, %v", job, run)
		}
		ctx, other := outer.Phase(ctx, "other")
		if job, run := tidings.FromContext(ctx); job != outer || run != other {
			t.Errorf("another job's phase gives %v, %v", job, run)
		}
		_, within := inner.Phase(ctx, "within")
		within.End(nil)
		phase.End(nil)
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

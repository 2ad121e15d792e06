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
	for _, e := range store.Events("job-1") {
		types = append(types, e.Type)
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

package memlog_test

import (
	"errors"
	"strings"
	"testing"

	"tidings"
	"tidings/internal/memlog"
)

func TestOutline(t *testing.T) {
	store := memlog.New()
	job := tidings.Start(t.Context(), "job", store, nil)
	ctx, plan := job.Phase(t.Context(), "plan")
	m := job.Model(ctx, "small")
	m.Delta("", "It is ")
	if err := job.Flush(t.Context()); err != nil { // so the text comes in two events
		t.Fatal(err)
	}
	m.Delta("", "the \"Moon\"")
	m.End("It is the \"Moon\"", nil)
	_, tool := job.ToolStart(ctx, "search", "c1", "tides")
	tool.End(nil, errors.New("no network"))
	plan.End(nil)
	job.End("done it", nil)
	if err := job.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := strings.TrimSpace(`
phase_update started job
phase_update started chain plan
  thought started llm small model=small
  thought delta "It is the \"Moon\""
  thought completed llm small model=small content="It is the \"Moon\""
  tool_call tool tool=search call=c1 input="tides"
  tool_result tool tool=search call=c1 error="no network"
phase_update completed chain plan
done completed output="done it"
`)
	if got := strings.TrimSpace(memlog.Outline(store.Events("job"))); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

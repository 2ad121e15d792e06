package monitor

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"tidings"
)

// A job that fails before it says its name, and goes on under one, is taken back where it
// was counted.
func TestFailureIsTakenBackWhereItWasCounted(t *testing.T) {
	t.Parallel()
	f, _ := newTape(t).
		add("a", "error", `{"error":"x"}`).
		add("a", "phase_update", `{"status":"started","name":"report","labels":{"env":"prod"}}`).fold(Limits{})
	for _, scope := range []Scope{All, {ByName, ""}, {ByName, "report"}, {ByLabel, "env=prod"}} {
		if w := day(f, scope); w.Failed != 0 || w.Duration.Count() != 0 {
			t.Errorf("%v: %d failed, %d durations", scope, w.Failed, w.Duration.Count())
		}
	}
}

// Calls that fail at once, each told of by an error and by a result, in any order,
// count once each.
func TestParallelFailuresCountOnce(t *testing.T) {
	t.Parallel()
	f, done := newTape(t).
		add("a", "tool_call", `{"tool":"x","call_id":"1"}`).
		add("a", "tool_call", `{"tool":"x","call_id":"2"}`).
		add("a", "error", `{"scope":"tool","tool":"x","call_id":"1","error":"bad"}`).
		add("a", "error", `{"scope":"tool","tool":"x","call_id":"2","error":"bad"}`).
		add("a", "tool_result", `{"tool":"x","call_id":"1","error":"bad"}`).
		add("a", "tool_result", `{"tool":"x","call_id":"2","output":"Error: bad"}`).
		add("a", "tool_call", `{"tool":"x","call_id":"3"}`).
		add("a", "tool_result", `{"tool":"x","call_id":"3","error":"bad"}`).
		add("a", "error", `{"scope":"tool","tool":"x","call_id":"3","error":"bad","fatal":true}`).fold(Limits{})
	w := day(f, Scope{ByTool, "x"})
	if g := f.Errors(); w.ToolCalls != 3 || w.ToolErrors != 3 || len(g) != 1 || g[0].Count != 3 || g[0].Fatal != 1 || done[8].ErrorID != g[0].ID {
		t.Errorf("%d calls, %d failed, %+v", w.ToolCalls, w.ToolErrors, g)
	}
	f, _ = newTape(t).
		add("a", "tool_result", `{"tool":"x","call_id":"1","error":"bad"}`).
		add("a", "tool_call", `{"tool":"x","call_id":"1"}`).
		add("a", "error", `{"scope":"tool","tool":"x","call_id":"1","error":"bad"}`).fold(Limits{})
	if w := day(f, All); w.ToolCalls != 2 {
		t.Errorf("%d calls; the second has the first one's ID and is another", w.ToolCalls)
	}
}

// A call that was open when the run around it ended may have ended without a word: it
// is not what the job waits for now.
func TestLeftBehindIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	r := newTape(t).
		add("a", "phase_update", `{"status":"started","phase":"agent","run_id":"r"}`).
		add("a", "phase_update", `{"status":"started","phase":"plan","run_id":"p","parent_run_id":"r"}`).
		add("a", "tool_call", `{"tool":"lost","call_id":"1","run_id":"t","parent_run_id":"p"}`).
		add("a", "phase_update", `{"status":"failed","phase":"plan","run_id":"p","error":"x"}`)
	f, _ := r.fold(Limits{})
	if j, _ := f.LiveJob("a"); j.Waits == nil || j.Waits.Name != "agent" || j.Others != 0 {
		t.Errorf("waits for %+v and %d more", j.Waits, j.Others)
	}
	_, done := r.add("a", "tool_result", `{"tool":"lost","call_id":"1","run_id":"t","output":1}`).fold(Limits{})
	if last := done[len(done)-1]; last.EndedRun == nil || last.Took == nil {
		t.Errorf("its end, if it comes after all: %+v", last)
	}
	for i := range 3 * maxOpenRuns { // calls whose results never come
		r.add("a", "tool_call", fmt.Sprintf(`{"tool":"t%d","call_id":"c%d"}`, i, i))
	}
	f, _ = r.add("a", "tool_call", `{"tool":"last","call_id":"last"}`).fold(Limits{})
	if runs := f.jobs["a"].Runs; len(runs) != maxOpenRuns || runs["call last"] == nil {
		t.Errorf("%d runs are open; is the last among them: %v", len(runs), runs["call last"])
	}
}

// Existing publishers tell which phase begins and not which one ends.
func TestLastOfNamelessPhasesIsWaitedFor(t *testing.T) {
	t.Parallel()
	f, _ := newTape(t).
		add("a", "phase_update", `{"status":"started","phase":"plan"}`).
		add("a", "phase_update", `{"status":"started","phase":"write"}`).fold(Limits{})
	if j, _ := f.LiveJob("a"); j.Waits == nil || j.Waits.Name != "write" || j.Others != 0 {
		t.Errorf("waits for %+v and %d more", j.Waits, j.Others)
	}
}

// A job that goes on in silence is not forgotten for jobs that are over, although
// their logs are open: those of a task queue alone never close.
func TestSilentJobOutlivesTheEnded(t *testing.T) {
	t.Parallel()
	r := newTape(t).add("silent", "phase_update", `{"status":"started"}`)
	for i := range 50 {
		r.add(fmt.Sprint("task-", i), "task_completed", `{"task":"work"}`)
	}
	f, _ := r.fold(Limits{Jobs: 10})
	if _, ok := f.LiveJob("silent"); !ok || f.lost != 0 || len(f.jobs) != 10 {
		t.Errorf("known: %v; %d forgotten, %d kept", ok, f.lost, len(f.jobs))
	}
	if again := roundTrip(t, f, Limits{Jobs: 10}); encoded(t, again) != encoded(t, f) || again.over.Len() != 9 {
		t.Error("the state is another after it was saved and loaded")
	}
}

// A job with many labels that are not measured apart is one job among the others.
func TestManyLabelsCountOnceAmongOthers(t *testing.T) {
	t.Parallel()
	f, _ := newTape(t).
		add("a", "phase_update", `{"status":"started","labels":{"a":"1"}}`).
		add("b", "phase_update", `{"status":"started","labels":{"b":"1","c":"1","d":"1"}}`).fold(Limits{Labels: 1})
	if m := f.Total(Scope{ByLabel, Other}); m.Created != 1 {
		t.Errorf("%d jobs have other labels", m.Created)
	}
}

// A rate is of the time that was counted, not of the time that was asked for.
func TestRatesAreOfTheTimeCounted(t *testing.T) {
	t.Parallel()
	r := newTape(t)
	for range 600 { // one a second
		r.add("a", "x", `{}`)
	}
	f, _ := r.fold(Limits{})
	for _, at := range []time.Duration{5*time.Minute + time.Second, 5*time.Minute + 30*time.Second, 5*time.Minute + 59*time.Second} {
		to := tapeStart.Add(at)
		for _, width := range []time.Duration{time.Minute, 4 * time.Minute} {
			w := f.Window(All, to.Add(-width), to)
			if rate, _ := w.Metric("event_rate"); rate < .95 || rate > 1.05 {
				t.Errorf("%v up to %v: %v events a second", width, at, rate)
			}
		}
	}
	f, _ = newTape(t).add("a", "x", `{}`).wait(28*time.Second).add("a", "x", `{}`).fold(Limits{}) // half a minute
	c, err := f.Chart(ChartQuery{Metrics: []string{"event_rate"}, From: tapeStart, To: tapeStart.Add(30 * time.Second)})
	if err != nil || len(c.Lines[0].Values) != 1 || *c.Lines[0].Values[0] != .067 {
		t.Errorf("the minute that is not over: %+v, %v", c.Lines, err)
	}
}

// The first and the last time of an error are so whatever order it comes in.
func TestErrorsOutOfOrder(t *testing.T) {
	t.Parallel()
	f := NewFold(Limits{})
	for i, at := range []time.Duration{2 * time.Hour, 0, 3 * time.Hour, time.Hour} {
		e := tidings.Event{JobID: fmt.Sprint(i), Type: "error", Data: []byte(`{"error":"x"}`), ID: tidings.ID{Ms: uint64(tapeStart.Add(at).UnixMilli())}}
		f.Apply(&tidings.Change{Event: e})
	}
	if g := f.Errors()[0]; !g.FirstSeen.Equal(tapeStart) || !g.LastSeen.Equal(tapeStart.Add(3*time.Hour)) || g.Count != 4 {
		t.Errorf("%+v", g)
	}
}

// Sums of tokens stay sums, whatever an event claims.
func TestTokensBeyondReason(t *testing.T) {
	t.Parallel()
	r := newTape(t)
	for range 20 {
		r.add("a", "thought", `{"status":"completed","usage":{"input_tokens":9000000000000000000,"cache_write_tokens":9000000000000000000}}`)
	}
	f, _ := r.add("a", "done", `{"usage":{"input_tokens":9000000000000000000,"cache_write_tokens":-9}}`).fold(Limits{})
	if m := f.Total(All); m.Tokens.InputTokens < 0 || m.Tokens.InputTokens > 21*maxCount || m.Tokens.CacheWriteTokens < 0 {
		t.Errorf("%+v", m.Tokens)
	}
}

// One millisecond is not nothing.
func TestSketchKnowsAMillisecond(t *testing.T) {
	t.Parallel()
	var s Sketch
	s.Add(1)
	if v := s.Quantile(.5); v < .99 || v > 1.011 {
		t.Errorf("1 reads as %v", v)
	}
}

// A checkpoint that an older version or a fault made is filled in; it is never
// a reason to fall over.
func TestIncompleteCheckpointDoesNoHarm(t *testing.T) {
	t.Parallel()
	state := `{"now":1795512000000,"jobs":[null,{"job":{"id":"a","status":"running","first_id":"1795512000000-0","last_id":"1795512060000-0"},
		"runs":{"call 1":null,"call 2":{"kind":"tool","name":"x","call":"2","event":"1795512030000-0"}}},
		{"job":{"id":"f","status":"failed","last_type":"error","last_id":"1795512060000-0"},"ended":{"status":"failed","at":1795512060000}}],
		"series":[{"scope":{"by":"all","value":""},"series":{"fine":[{"at":1795512000000}],"coarse":[{"at":1795512000000}]}},{"scope":{"by":"name","value":"x"},"series":null}],
		"steps":[null],"groups":[null]}`
	var s foldState
	if err := json.Unmarshal([]byte(state), &s); err != nil {
		t.Fatal(err)
	}
	f := restore(&s, Limits{})
	j, ok := f.LiveJob("a")
	if !ok || !j.SilentSince.Equal(time.UnixMilli(1795512060000)) || j.Waits == nil || !j.Waits.Since.Equal(time.UnixMilli(1795512030000)) {
		t.Fatalf("%+v", j)
	}
	for i, job := range []string{"a", "f", "new"} {
		e := tidings.Event{JobID: job, Type: "mine", Data: []byte(`{}`), ID: tidings.ID{Ms: uint64(1795512061000 + i)}}
		f.Apply(&tidings.Change{Event: e})
	}
	encoded(t, f)
}

// IDs of foreign publishers may lie anywhere; how long a job is silent does not
// follow from them.
func TestFutureIDsHideNoSilence(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	m := &Monitor{store: store, opts: Options{}.withDefaults(), fold: NewFold(Limits{}), ctx: t.Context()}
	now := time.Now()
	m.fold.SetHorizon(now.Add(-time.Hour))
	for i, ms := range []uint64{1 << 63, uint64(now.Add(-time.Hour).UnixMilli())} {
		e := tidings.Event{JobID: fmt.Sprint("job-", i), Type: "mine", Data: []byte(`{}`), ID: tidings.ID{Ms: ms}}
		m.fold.Apply(&tidings.Change{Event: e})
	}
	if due := m.dueLeases(now); len(due) != 2 {
		t.Errorf("asks for the leases of %v", due)
	}
	rows := m.Stuck(StuckQuery{})
	if len(rows) != 2 || !rows[0].Stalled || !rows[1].Stalled || rows[0].SilentMS < time.Hour.Milliseconds() {
		t.Errorf("%+v", rows)
	}
	if _, err := json.Marshal(rows); err != nil {
		t.Error(err)
	}
}

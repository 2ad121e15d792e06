package monitor

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings"
)

func TestJobIsCounted(t *testing.T) {
	t.Parallel()
	r := newTape(t)
	r.add("a", "phase_update", `{"phase":"job","status":"queued","name":"report","labels":{"env":"prod"}}`).wait(9*time.Second).
		add("a", "phase_update", `{"phase":"agent","status":"started","run_id":"r"}`).
		add("a", "thought", `{"status":"started","run_id":"m","parent_run_id":"r","model":"gpt"}`).
		add("a", "thought", `{"status":"delta","delta":"hi","run_id":"m"}`).
		add("a", "thought", `{"status":"completed","run_id":"m","usage":{"input_tokens":10,"output_tokens":5},"cost":{"amount":0.5,"currency":"usd"},"ttft_ms":200}`).
		add("a", "tool_call", `{"tool":"search","call_id":"c1","run_id":"t","parent_run_id":"r"}`).
		add("a", "tool_result", `{"tool":"search","call_id":"c1","run_id":"t","duration_ms":700,"output":1}`).
		add("a", "tool_call", `{"tool":"search","call_id":"c2","run_id":"u","parent_run_id":"r"}`).
		add("a", "tool_result", `{"tool":"search","call_id":"c2","run_id":"u","error":"no"}`).
		add("a", "custom", `{"name":"tidings.dropped","value":{"events":12}}`).
		add("a", "phase_update", `{"phase":"agent","status":"completed","run_id":"r"}`).
		add("a", "done", `{}`)
	f, done := r.fold(Limits{})
	for _, scope := range []Scope{All, {ByName, "report"}, {ByLabel, "env=prod"}} {
		w := day(f, scope)
		got := fmt.Sprint(w.Created, w.Started, w.Completed, w.Events, w.ModelCalls, w.ToolCalls, w.ToolErrors, w.Errors, w.Dropped, w.Tokens.InputTokens, w.Cost)
		if want := "1 1 1 12 1 2 1 1 12 10 map[USD:0.5]"; got != want {
			t.Errorf("%v: %s, want %s", scope, got, want)
		}
		for what, c := range map[string][2]float64{
			"duration": {w.Duration.Quantile(1), 10_000}, "wait": {w.Wait.Quantile(1), 10_000},
			"tool": {w.Tool.Quantile(0), 700}, "model": {w.Model.Quantile(1), 2000}, "ttft": {w.TTFT.Quantile(1), 200},
		} {
			if got, want := c[0], c[1]; got < .98*want || got > 1.02*want {
				t.Errorf("%v: %s is %v ms, want %v", scope, what, got, want)
			}
		}
	}
	if w := day(f, Scope{ByTool, "search"}); w.ToolCalls != 2 || w.ToolErrors != 1 || w.Events != 0 {
		t.Errorf("the tool: %+v", w.Measures)
	}
	if w := day(f, Scope{ByModel, "gpt"}); w.ModelCalls != 1 || w.Tokens.OutputTokens != 5 {
		t.Errorf("the model: %+v", w.Measures)
	}
	if last := done[len(done)-1]; !last.Ended || last.Was != tidings.StatusRunning || last.Job.Status != tidings.StatusCompleted {
		t.Errorf("the end: %+v", last)
	}
	if len(f.jobs) != 0 || f.Counts()[tidings.StatusRunning] != 0 {
		t.Error("a job whose log has ended is kept")
	}
	if u, ok := f.Usual("report", RunTool, "search"); !ok || u.Duration.Count() != 2 {
		t.Errorf("usual: %+v", u)
	}
}

// An existing publisher's error fails the job only while nothing follows.
func TestFailureIsTakenBack(t *testing.T) {
	t.Parallel()
	r := newTape(t).add("a", "phase_update", `{"status":"started","name":"n"}`).add("a", "error", `{"error":"x"}`)
	f, _ := r.fold(Limits{})
	if w := day(f, All); w.Failed != 1 || f.Counts()[tidings.StatusRunning] != 0 {
		t.Errorf("failed %d, running %d", w.Failed, f.Counts()[tidings.StatusRunning])
	}
	r.add("a", "thought", `{"content":"on it goes"}`)
	f, _ = r.fold(Limits{})
	if w := day(f, All); w.Failed != 0 || w.Duration.Count() != 0 || f.Counts()[tidings.StatusRunning] != 1 {
		t.Errorf("failed %d, durations %d, running %d", w.Failed, w.Duration.Count(), f.Counts()[tidings.StatusRunning])
	}
	r.add("a", "done", `{}`)
	f, _ = r.fold(Limits{})
	if w := day(f, All); w.Failed != 0 || w.Completed != 1 || w.Ended() != 1 {
		t.Errorf("%+v", w.Measures)
	}
	if m := f.Total(All); m.Ended() != 1 || m.FailedBack != 1 || m.Duration.Count() != 2 {
		t.Errorf("in total: %+v", m)
	}
}

// Tokens and money are counted once, whether the calls tell of them, the end, or
// both.
func TestUsageCountsOnce(t *testing.T) {
	t.Parallel()
	f, _ := newTape(t).
		add("both", "thought", `{"status":"completed","usage":{"input_tokens":10,"output_tokens":5},"cost":{"amount":0.25,"currency":"USD"}}`).
		add("both", "done", `{"usage":{"input_tokens":10,"output_tokens":5},"cost":{"amount":0.25,"currency":"USD"}}`).
		add("end", "done", `{"usage":{"input_tokens":100},"cost":[{"amount":1,"currency":"USD"},{"amount":2,"currency":"EUR"}]}`).
		add("calls", "thought", `{"status":"completed","usage":{"input_tokens":1000}}`).
		add("calls", "error", `{"fatal":true,"error":"x","usage":{"input_tokens":1500}}`).fold(Limits{})
	w := day(f, All)
	if w.Tokens.InputTokens != 1610 || w.Tokens.OutputTokens != 5 || w.Cost["USD"] != 1.25 || w.Cost["EUR"] != 2 {
		t.Errorf("%+v, %v", w.Tokens, w.Cost)
	}
}

// Some publishers tell of a failed call twice, others by an error event alone.
func TestFailedCallCountsOnce(t *testing.T) {
	t.Parallel()
	r := newTape(t).
		add("a", "tool_call", `{"tool":"x","call_id":"1"}`).
		add("a", "error", `{"scope":"tool","tool":"x","call_id":"1","error":"bad"}`).
		add("a", "tool_result", `{"tool":"x","call_id":"1","error":"bad"}`).
		add("a", "tool_call", `{"tool":"x","call_id":"2"}`).
		add("a", "error", `{"scope":"tool","tool":"x","call_id":"2","error":"bad"}`).
		add("a", "tool_call", `{"tool":"x","call_id":"3"}`).
		add("a", "tool_result", `{"tool":"x","call_id":"3"}`)
	f, _ := r.fold(Limits{})
	w := day(f, Scope{ByTool, "x"})
	groups := f.Errors()
	if w.ToolCalls != 3 || w.ToolErrors != 2 || len(groups) != 1 || groups[0].Count != 2 {
		t.Errorf("%d calls, %d failed, %+v", w.ToolCalls, w.ToolErrors, groups)
	}
}

// One error that climbs through several runs is one occurrence.
func TestErrorThatClimbsCountsOnce(t *testing.T) {
	t.Parallel()
	f, done := newTape(t).
		add("a", "phase_update", `{"phase":"agent","status":"started","run_id":"r","name":"agent"}`).
		add("a", "tool_call", `{"tool":"x","call_id":"1","run_id":"t","parent_run_id":"r"}`).
		add("a", "tool_result", `{"tool":"x","call_id":"1","run_id":"t","error":"no answer after 30 s","error_kind":"timeout"}`).
		add("a", "phase_update", `{"phase":"agent","status":"failed","run_id":"r","cause_run_id":"t"}`).
		add("a", "error", `{"error":"agent: no answer after 30 s","fatal":true,"scope":"job","cause_run_id":"t"}`).fold(Limits{})
	groups := f.Errors()
	if len(groups) != 1 {
		t.Fatalf("%+v", groups)
	}
	g := groups[0]
	if g.Count != 1 || g.Fatal != 1 || g.Tool != "x" || g.Kind != "timeout" || g.Message != "no answer after <n> s" || g.State != Open {
		t.Errorf("%+v", g)
	}
	if done[4].ErrorID != g.ID || done[2].ErrorID != g.ID || done[3].ErrorID != "" {
		t.Error("the changes name another group")
	}
}

// Errors that are objects are told apart by what they say.
func TestErrorsThatAreObjects(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{"error":{"message":"disk full","type":"io"}}`: "disk full", `{"error":{"error":{"message":"too long"}}}`: "too long",
		`{"error":{"detail":"gone"}}`: "gone", `{"error":{"code":5}}`: `{"code":5}`, `{"error":["a"]}`: `["a"]`, `{"error":{"message":null,"error":""}}`: `{"message":null,"error":""}`,
	} {
		f, _ := newTape(t).add("a", "error", data).fold(Limits{})
		if got := f.Errors()[0].Sample; got != want {
			t.Errorf("%s reads %q, want %q", data, got, want)
		}
	}
}

// The model that a call began without is the one that its end names.
func TestModelIsNamedAtTheEnd(t *testing.T) {
	t.Parallel()
	f, _ := newTape(t).
		add("a", "thought", `{"status":"started","run_id":"m","name":"ChatOpenAI"}`).
		add("a", "thought", `{"status":"completed","run_id":"m","model":"gpt-4o","usage":{"input_tokens":7}}`).
		add("a", "thought", `{"status":"started","run_id":"n","model":"gpt-4o","name":"ChatOpenAI"}`).
		add("a", "thought", `{"status":"completed","run_id":"n","model":"gpt-4o-2024-08-06","usage":{"input_tokens":7}}`).fold(Limits{})
	if m := f.Total(Scope{ByModel, "gpt-4o"}); m.Tokens.InputTokens != 14 || len(f.Scopes(ByModel)) != 1 {
		t.Errorf("%+v, %v", m, f.Scopes(ByModel))
	}
	if u, ok := f.Usual("ChatOpenAI", RunModel, "ChatOpenAI"); ok || u.Duration.Count() > 0 {
		t.Errorf("what is usual is known by the job's name: %+v", u)
	}
	if u, _ := f.Usual("", RunModel, "ChatOpenAI"); u.Duration.Count() != 1 {
		t.Error("what it waited for is not known by the name that it was waited for under")
	}
}

func TestErrorsAreGrouped(t *testing.T) {
	t.Parallel()
	r := newTape(t)
	for i := range 7 {
		r.add(fmt.Sprintf("job-%d", i), "error", fmt.Sprintf(`{"error":"row %d not found","kind":"db"}`, i))
	}
	r.wait(30*time.Hour).add("job-9", "error", `{"error":"row 9 not found","kind":"db"}`)
	r.add("job-9", "error", `{"error":"anything","kind":"db","fingerprint":"mine"}`)
	f, _ := r.fold(Limits{})
	groups := f.Errors()
	if len(groups) != 2 || groups[0].Message != "mine" {
		t.Fatalf("%+v", groups)
	}
	g := groups[1]
	if g.Count != 8 || len(g.Jobs) != errorPlaces || g.Jobs[0].JobID != "job-9" || g.Sample != "row 9 not found" {
		t.Errorf("%+v", g)
	}
	if want := append(make([]int64, errorHours-1), 1); !cmp.Equal(g.Hours, want) {
		t.Errorf("hours %v", g.Hours)
	}
}

func TestWhatAJobWaitsFor(t *testing.T) {
	t.Parallel()
	r := newTape(t)
	expect := func(want string) {
		t.Helper()
		f, _ := r.fold(Limits{})
		j, ok := f.LiveJob("a")
		if !ok {
			t.Fatal("the job is not live")
		}
		got := "nothing"
		if j.Waits != nil {
			got = fmt.Sprintf("%s %s +%d", j.Waits.Kind, j.Waits.Name, j.Others)
		}
		if got != want {
			t.Errorf("it waits for %s, want %s", got, want)
		}
	}
	r.add("a", "phase_update", `{"phase":"job","status":"started","name":"n"}`)
	expect("nothing")
	r.add("a", "phase_update", `{"phase":"agent","status":"started","run_id":"r"}`)
	expect("phase agent +0")
	r.add("a", "tool_call", `{"tool":"slow","call_id":"1","run_id":"t","parent_run_id":"r"}`)
	r.add("a", "tool_call", `{"tool":"fast","call_id":"2","run_id":"u","parent_run_id":"r"}`)
	expect("tool slow +1")
	r.add("a", "tool_result", `{"tool":"slow","call_id":"1","run_id":"t","parent_run_id":"r"}`)
	expect("tool fast +0")
	r.add("a", "tool_result", `{"tool":"fast","call_id":"2"}`)
	expect("phase agent +0")
	r.add("a", "thought", `{"status":"started","run_id":"m","parent_run_id":"r","model":"gpt"}`)
	expect("model gpt +0")
	r.add("a", "error", `{"scope":"llm","error":"overloaded","run_id":"m"}`)
	expect("phase agent +0")
	r.add("a", "phase_update", `{"phase":"agent","status":"interrupted","run_id":"r"}`)
	expect("nothing")
}

func TestDeletedJobIsForgotten(t *testing.T) {
	t.Parallel()
	f, done := newTape(t).add("a", "x", `{}`).remove("a").remove("b").fold(Limits{})
	if len(f.jobs) != 0 || f.order.Len() != 0 || f.Counts()[tidings.StatusRunning] != 0 {
		t.Error("it is still there")
	}
	if !done[1].Deleted || done[1].Job == nil || done[2].Job != nil {
		t.Errorf("%+v", done)
	}
}

// A change that was applied before does nothing.
func TestRepeatedChangeIsKnown(t *testing.T) {
	t.Parallel()
	r := newTape(t).add("a", "x", `{}`).add("a", "y", `{}`)
	f, _ := r.fold(Limits{})
	before := encoded(t, f)
	for i := range r.changes {
		if _, fresh := f.Apply(&r.changes[i]); fresh {
			t.Errorf("change %d counts again", i)
		}
	}
	if encoded(t, f) != before {
		t.Error("the state has changed")
	}
}

// Data that is not as docs/events.md says counts as absent.
func TestOddDataIsTaken(t *testing.T) {
	t.Parallel()
	r := newTape(t)
	for _, data := range []string{`null`, `[]`, `"x"`, `{}`, `7`, `{"status":5,"run_id":{},"tool":[],"usage":"x","cost":"free","duration_ms":"long","error":{"a":1},"fatal":"true","labels":[1]}`,
		`{"usage":{"input_tokens":-5,"output_tokens":9e18},"cost":{"amount":1e308},"duration_ms":-1,"ttft_ms":9000000000000000000,"status":"completed"}`,
		`{"name":"tidings.dropped","value":{"events":-3}}`, `{"cost":[{"amount":1,"currency":"EUR"},{"amount":2}],"status":"completed","content":"x"}`} {
		for _, eventType := range []string{"phase_update", "tool_call", "tool_result", "thought", "error", "state", "custom", "cancel_requested", "task_queued", "task_failed", "mine"} {
			r.add("a", eventType, data)
		}
	}
	f, _ := r.fold(Limits{})
	encoded(t, f) // no number is too large for JSON
	if w := day(f, All); w.Cost["EUR"] != 1 || w.Dropped != 0 || w.Tokens.InputTokens != 0 {
		t.Errorf("%+v", w.Measures)
	}
}

// IDs of foreign publishers may lie in a far future: windows must not move
// there.
func TestFutureIDsCountForNow(t *testing.T) {
	t.Parallel()
	r := newTape(t).add("a", "x", `{}`)
	f, _ := r.fold(Limits{})
	f.SetHorizon(r.at.Add(time.Minute))
	change := tidings.Change{Event: tidings.Event{JobID: "b", Type: "x", ID: tidings.MaxID, Time: r.at, Data: []byte(`{}`)}}
	if _, fresh := f.Apply(&change); !fresh {
		t.Fatal("it was refused")
	}
	if w := day(f, All); w.Events != 2 || f.Now().After(r.at.Add(time.Minute)) {
		t.Errorf("%d events, now %v", w.Events, f.Now())
	}
}

func TestFingerprints(t *testing.T) {
	t.Parallel()
	for _, same := range [][]string{
		{"timeout after 30 s", "timeout after 4.5 s"},
		{"no user 3f2b6c1e-9d0a-4b7e-8c51-2f6d3a9e7b10", "no user 00000000-0000-0000-0000-000000000000"},
		{`open /var/lib/a/b.txt: no such file`, `open /tmp/x/y.txt: no such file`},
		{`GET https://a.example/x?y=1: refused`, `GET http://b.example: refused`},
		{`KeyError: 'name'`, `KeyError: 'other'`},
		{`bad value "x"`, `bad value "a b c"`},
		{"at 2026-11-24T09:20:01Z it broke", "at 2025-01-01 10:00:00 it broke"},
		{"object at 0x7f3a2b gone", "object at 0xdeadbeef gone"},
		{"mail to a@b.example failed", "mail to x.y+z@mail.example failed"},
		{"two\n  lines", "two lines"},
		{"request req_011CSHoEeqs5C35K2UUqR7Fy failed", "request req_9zzHoEAqs5C35K2UUq77Fy failed"},
		{"no call call_oIHazX6yQrB8hUwl4cRilFKj", "no call call_8hUwl4cRilFKjoIHazX6yQrB"},
		{`{"message": "row 5 is locked", "at": "x"}`, `{"message": "row 77 is locked", "at": "yy"}`},
	} {
		if a, b := Normalise(same[0]), Normalise(same[1]); a != b {
			t.Errorf("%q and %q are two: %q, %q", same[0], same[1], a, b)
		}
	}
	for _, other := range [][]string{
		{"Error code: 429 - slow down", "Error code: 500 - slow down"},
		{"GET https://a.example: 404 Not Found", "GET https://a.example: 410 Gone"},
		{"HTTP/1.1 502 from upstream", "HTTP/1.1 401 from upstream"},
		{"exit code 137", "exit code 139"},
		{`Error code: 400 - {'error': {'message': 'Rate limit reached', 'type': 'x'}}`, `Error code: 400 - {'error': {'message': 'Context too long', 'type': 'x'}}`},
	} {
		if a, b := Normalise(other[0]), Normalise(other[1]); a == b {
			t.Errorf("%q and %q are one: %q", other[0], other[1], a)
		}
	}
	for message, want := range map[string]string{
		"tool search_flights failed: no answer from base64encoder":                  "tool search_flights failed: no answer from base<n>encoder",
		`{'error': {'message': 'Rate limit reached for gpt-4o', 'type': 'tokens'}}`: "{<text>: {message: Rate limit reached for gpt-<n>o, <text>: <text>}}",
	} {
		if got := Normalise(message); got != want {
			t.Errorf("%q becomes %q, want %q", message, got, want)
		}
	}
	base := Fingerprint{"job", "kind", "tool", "message"}
	for _, other := range []Fingerprint{{"x", "kind", "tool", "message"}, {"job", "x", "tool", "message"}, {"job", "kind", "x", "message"}, {"job", "kind", "tool", "x"}, {"jobk", "ind", "tool", "message"}} {
		if other.ID() == base.ID() {
			t.Errorf("%+v is taken for %+v", other, base)
		}
	}
	if Normalise("it's a pity that it isn't so") != "it's a pity that it isn't so" {
		t.Error("apostrophes were taken for quotes")
	}
	if got := base.ID(); got != "v1-5fd0831c4036f5ff" {
		t.Errorf("%s: IDs are kept in states and URLs; a change needs a new version", got)
	}
}

package main_test

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
)

const story = `{"event_type":"phase_update","data":{"phase":"plan","status":"started","run_id":"a"}}
{"event_type":"tool_call","data":{"tool":"search","call_id":"1","input":{"q":"x"},"run_id":"b","parent_run_id":"a"}}
{"event_type":"tool_result","data":{"tool":"search","call_id":"1","output":"found \u001b[31mred\u001b[0m","duration_ms":1500,"run_id":"b","parent_run_id":"a"}}
{"event_type":"thought","data":{"status":"delta","message_id":"m","delta":"Hello, ","run_id":"a"}}
{"event_type":"thought","data":{"status":"delta","message_id":"m","delta":"world\nagain\n","run_id":"a"}}
{"event_type":"thought","data":{"status":"completed","message_id":"m","content":"Hello, world\nagain\n","model":"gpt","usage":{"input_tokens":3,"output_tokens":4},"run_id":"a"}}
`

func TestTailExitCodeTellsTheOutcome(t *testing.T) {
	env := serve(t)
	for _, tc := range []struct {
		name, event string
		code        int
	}{
		{"done", `{"event_type":"done"}`, 0},
		{"failed", `{"event_type":"error","data":{"error":"boom","fatal":true}}`, 1},
		{"cancelled", `{"event_type":"cancelled"}`, 3},
	} {
		ok(t, env, story+tc.event, "publish", tc.name)
		for _, args := range [][]string{{}, {"--json"}, {"--no-follow"}, {"--type", "thought"}} {
			if r := tidings(t, env, "", append([]string{"tail", tc.name}, args...)...); r.code != tc.code {
				t.Errorf("tail %s %v: exit code %d, want %d\n%s", tc.name, args, r.code, tc.code, r.err)
			}
		}
	}
	if r := tidings(t, env, "", "tail", "done", "--after", "nonsense"); r.code != 2 {
		t.Errorf("a bad cursor: exit code %d, want 2", r.code)
	}
	if r := tidings(t, env, "", "tail", "nothing", "--no-follow"); r.code != 2 || !strings.Contains(r.err, "unknown job") {
		t.Errorf("an unknown job: exit code %d, want 2\n%s", r.code, r.err)
	}
}

func TestTailShowsTheStoryToPeople(t *testing.T) {
	env := serve(t)
	ok(t, env, story+`{"event_type":"done"}`, "publish", "job")
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(tidings(t, env, "", "tail", "job").out), "\n") {
		lines = append(lines, strings.TrimRight(line[min(len(line), len("15:04:05.000")):], " "))
	}
	want := []string{
		"  ▸ plan",
		"    → search {\"q\":\"x\"}",
		"    ← search (1.5s) found [31mred[0m", // without what would colour the terminal
		"  » Hello, world",
		"    again  (gpt · 3 in, 4 out tokens)",
		"  ■ done",
	}
	if got := strings.Join(lines, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("got:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
	if r := tidings(t, env, "", "tail", "job", "--color", "always"); !strings.Contains(r.out, "\x1b[") {
		t.Error("--color always gives no colours")
	}
	if r := tidings(t, env, "", "jobs"); strings.Contains(r.out, "\x1b") || !strings.Contains(r.out, "completed") {
		t.Errorf("jobs in a pipe: %q", r.out)
	}
}

// What tail gives as JSON is the event as it was published, and can be replayed.
func TestTailJSONCanBeReplayed(t *testing.T) {
	env := serve(t)
	odd := `{"event_type":"custom","timestamp":"2026-01-02T03:04:05.678901Z","data":{"b":1.00,"a":12345678901234567890,"a":"\u00e9\u0000<é>"}}`
	ok(t, env, odd+"\n"+`{"event_type":"done","data":[]}`, "publish", "job")
	first := ok(t, env, "", "tail", "job", "--json")
	if !strings.Contains(first, `"data":{"b":1.00,"a":12345678901234567890,"a":"\u00e9\u0000<é>"}`) {
		t.Errorf("the data has changed: %s", first)
	}
	ok(t, env, first, "replay", "-", "--job-prefix", "copy-")
	second := ok(t, env, "", "tail", "copy-job", "--json")
	if a, b := withoutIDs(t, first), strings.ReplaceAll(withoutIDs(t, second), "copy-", ""); a != b {
		t.Errorf("replayed:\n%s\nwant:\n%s", b, a)
	}
}

func withoutIDs(t *testing.T, lines string) string {
	t.Helper()
	var out strings.Builder
	for line := range strings.Lines(lines) {
		var e struct{ ID string }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		out.WriteString(strings.Replace(line, e.ID, "", 1))
	}
	return out.String()
}

func TestTailWaitsForAJobAndFollowsIt(t *testing.T) {
	env := serve(t)
	tail := start(t, env, "tail", "later", "--json")
	ok(t, env, "", "publish", "later", "custom", `{"n":1}`)
	tail.until(`"n":1`)
	ok(t, env, "", "publish", "later", "custom", `{"n":2}`)
	tail.until(`"n":2`)
	ok(t, env, "", "publish", "later", "done")
	tail.until(`"event_type":"done"`)
	if code := tail.end(); code != 0 {
		t.Errorf("exit code %d\n%s", code, tail.err)
	}
}

func TestTailGoesOnAfterTheServerWasAway(t *testing.T) {
	data := t.TempDir()
	first := start(t, nil, "serve", "--addr", "127.0.0.1:0", "--data", data, "--log-level", "error")
	url := first.until(`serves on (http://\S+)`)[1]
	env := []string{"TIDINGS_URL=" + url}
	ok(t, env, "", "publish", "job", "custom", `{"n":1}`)
	tail := start(t, env, "tail", "job", "--json")
	tail.until(`"n":1`)
	if err := first.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	first.end()
	second := start(t, nil, "serve", "--addr", strings.TrimPrefix(url, "http://"), "--data", data, "--log-level", "error")
	second.until("serves on")
	ok(t, env, "", "publish", "job", "done")
	tail.until(`"event_type":"done"`)
	if code := tail.end(); code != 0 || !strings.Contains(tail.err.String(), "connection lost") {
		t.Errorf("exit code %d\n%s", code, tail.err)
	}
}

func TestAnInterruptedTailSaysSoByItsExitCode(t *testing.T) {
	env := serve(t)
	ok(t, env, "", "publish", "job", "custom")
	tail := start(t, env, "tail", "job", "--json")
	tail.until("custom")
	if err := tail.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := tail.end(); code != 130 || tail.err.Len() > 0 {
		t.Errorf("exit code %d, want 130\n%s", code, tail.err)
	}
}

func TestServeStopsGracefullyOnASignal(t *testing.T) {
	server := start(t, nil, "serve", "--addr", "127.0.0.1:0", "--log-level", "error")
	env := []string{"TIDINGS_URL=" + server.until(`serves on (http://\S+)`)[1]}
	ok(t, env, "", "publish", "job", "custom")
	tail := start(t, env, "tail", "job", "--json")
	tail.until("custom")
	if err := server.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := server.end(); code != 0 || server.err.Len() > 0 {
		t.Errorf("exit code %d\n%s", code, server.err)
	}
}

package main_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func rules(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRulesCheck(t *testing.T) {
	t.Parallel()
	good := rules(t, "rules: [{name: loop, with: {count: 4}}, {name: watchdog, disabled: true}]")
	if out := ok(t, nil, "", "rules", "check", good); !strings.HasSuffix(out, "rules.yaml: 16 rules, 1 off, 0 receivers\n") {
		t.Error(out)
	}
	bad := rules(t, "rules:\n  - {name: loop, with: {cuont: 4}}\n  - {name: x, expr: 1 +}\n")
	r := tidings(t, nil, "", "rules", "check", good, bad)
	if r.code != 1 || !strings.Contains(r.err, bad+`:2:25: "cuont" is not known here`) || !strings.Contains(r.err, bad+":3:") || !strings.Contains(r.out, "16 rules") {
		t.Errorf("%d\n%s%s", r.code, r.out, r.err)
	}
}

func TestRulesTest(t *testing.T) {
	t.Parallel()
	line := `{"event_type":"tool_call","data":{"tool":"search","input":{"q":"cats"}}}` + "\n"
	run := filepath.Join(t.TempDir(), "run-7.jsonl")
	if err := os.WriteFile(run, []byte(strings.Repeat(line, 3)), 0o600); err != nil {
		t.Fatal(err)
	}
	file := rules(t, "builtin: false\nrules: [{name: loop}]")
	if out := ok(t, nil, "", "rules", "test", file, "--replay", run); !strings.Contains(out, "job run-7 called search with the same input 3 times in a row") || !strings.HasSuffix(out, "1 alerts on 3 events of 1 files; loop 1\n") {
		t.Error(out)
	}
	if out := ok(t, nil, strings.ReplaceAll(strings.Repeat(line, 4), `{"event_type"`, `{"job_id":"j","event_type"`), "rules", "test", file, "--json", "--replay", "-"); strings.Count(out, "\n") != 1 || !strings.Contains(out, `"rule":"loop"`) {
		t.Error(out)
	}
}

// From a failed job to the shell of who is on call.
func TestAlertsAndSilences(t *testing.T) {
	t.Parallel()
	env := serve(t, "--rules", rules(t, "every: 1s"))
	if out := tidings(t, env, "", "alerts"); out.code != 0 {
		t.Errorf("nothing fires yet: %d\n%s%s", out.code, out.out, out.err)
	}
	ok(t, env, "", "publish", "job-7", "error", `{"error":"it broke","fatal":true}`)
	var last result
	await(t, "the alert", func() bool { last = tidings(t, env, "", "alerts"); return last.code == 1 })
	if !strings.Contains(last.out, "firing  warning   job_failed") || !strings.Contains(last.out, "job job-7 failed: it broke") {
		t.Error(last.out)
	}
	id, _, _ := strings.Cut(ok(t, env, "", "silence", "alertname=job_failed", "job_id=~job.*", "--for", "2h", "-m", "known"), " ")
	await(t, "the silence", func() bool { last = tidings(t, env, "", "alerts"); return last.code == 0 })
	if !strings.Contains(last.out, "firing (silenced)") {
		t.Error(last.out)
	}
	if out := ok(t, env, "", "silence"); !strings.Contains(out, id+"  active") || !strings.Contains(out, "known") {
		t.Error(out)
	}
	ok(t, env, "", "silence", "--end", id)
	await(t, "its end", func() bool { return tidings(t, env, "", "alerts").code == 1 })
}

// SIGHUP reads the rules again, and ends nothing.
func TestHangupReadsTheRules(t *testing.T) {
	t.Parallel()
	file := rules(t, "every: 1s")
	s := start(t, nil, "serve", "--addr", "127.0.0.1:0", "--log-level", "error", "--rules", file)
	env := []string{"TIDINGS_URL=" + s.until(`serves on (http://\S+)`)[1]}
	if err := os.WriteFile(file, []byte("every: 1s\nrules: [{name: mine, expr: created >= 0, severity: critical}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, "the new rule", func() bool {
		return strings.Contains(tidings(t, env, "", "alerts").out, "critical  mine")
	})
}

// await runs commands until ok or a deadline that only a broken program reaches.
func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not come in time", what)
		}
	}
}

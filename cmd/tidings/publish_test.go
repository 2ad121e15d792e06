package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tidings/internal/redistest"
)

func TestPublishPrintsTheIDsOfWhatIsStored(t *testing.T) {
	env := serve(t)
	one := ok(t, env, "", "publish", "job", "custom", `{"n":0}`)
	var in strings.Builder
	for n := 1; n <= 1000; n++ {
		fmt.Fprintf(&in, "{\"event_type\":\"custom\",\"data\":{\"n\":%d}}\n\n", n)
	}
	ids := strings.Fields(one + ok(t, env, in.String(), "publish", "job"))
	events := strings.Split(strings.TrimSpace(ok(t, env, "", "tail", "job", "--json", "--no-follow")), "\n")
	if len(ids) != 1001 || len(events) != 1001 {
		t.Fatalf("%d IDs, %d events; want 1001", len(ids), len(events))
	}
	for n, line := range events {
		if want := fmt.Sprintf(`{"id":%q,"job_id":"job","event_type":"custom",`, ids[n]); !strings.HasPrefix(line, want) || !strings.HasSuffix(line, fmt.Sprintf(`"data":{"n":%d}}`, n)) {
			t.Fatalf("event %d is %s", n, line)
		}
	}
	if out := ok(t, env, "", "publish", "job", "custom", "--quiet"); out != "" {
		t.Errorf("--quiet prints %q", out)
	}
}

func TestPublishExplainsWhatItCannotDo(t *testing.T) {
	env := serve(t)
	ok(t, env, "", "publish", "ended", "done")
	for _, tc := range []struct {
		stdin string
		args  []string
		want  string
	}{
		{"", []string{"job", "custom", "hello"}, "is not JSON"},
		{"", []string{"bad{job", "custom"}, "braces"},
		{"{\"event_type\":\"custom\"}\n", []string{"job", ""}, "event_type: is empty"},
		{"", []string{"ended", "custom"}, "takes no more events"},
		{"{\"event_type\":\"custom\"}\nnonsense\n", []string{"job"}, "line 2"},
		{"{\"event_type\":\"custom\",\"dat\":1}\n", []string{"job"}, "unknown field"},
	} {
		if r := tidings(t, env, tc.stdin, append([]string{"publish"}, tc.args...)...); r.code != 2 || !strings.Contains(r.err, tc.want) {
			t.Errorf("publish %v: exit code %d, error %q; want 2 and %q", tc.args, r.code, r.err, tc.want)
		}
	}
}

func TestJobsOfANegativeNumber(t *testing.T) {
	if r := tidings(t, serve(t), "", "jobs", "--limit=-1"); r.code != 2 || !strings.Contains(r.err, "--limit: -1") {
		t.Errorf("exit code %d, error %q; want 2 and a word about --limit", r.code, r.err)
	}
}

func TestAServerThatIsNotThere(t *testing.T) {
	env := []string{"TIDINGS_URL=http://127.0.0.1:1"}
	for _, args := range [][]string{{"publish", "job", "custom"}, {"tail", "job"}, {"jobs"}, {"cancel", "job"}, {"delete", "job"}, {"health"}} {
		r := tidings(t, env, "", args...)
		if r.code != 2 || !strings.Contains(r.err, "tidings serve") || !strings.Contains(r.err, "http://127.0.0.1:1") {
			t.Errorf("%v: exit code %d, error %q", args, r.code, r.err)
		}
	}
}

// recordings writes files of events as runs are recorded: with white space, odd
// numbers, and without timestamps.
func recordings(t *testing.T) (dir string, want map[string][]string) {
	t.Helper()
	dir, want = t.TempDir(), map[string][]string{}
	for f := range 5 {
		job := fmt.Sprintf("run-%d", f)
		var text strings.Builder
		for n := range 300 {
			fmt.Fprintf(&text, "{\"job_id\": %q, \"event_type\": \"custom\", \"data\": {\"z\": %d.50, \"a\": [1, 2e3], \"a\": \"ü\"}}\n", job, n)
			want[job] = append(want[job], fmt.Sprintf(`{"z":%d.50,"a":[1,2e3],"a":"ü"}`, n))
		}
		if err := os.WriteFile(filepath.Join(dir, job+".jsonl"), []byte(text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir, want
}

func checkReplayed(t *testing.T, env []string, prefix string, want map[string][]string, end string) {
	t.Helper()
	for job, data := range want {
		lines := strings.Split(strings.TrimSpace(tidings(t, env, "", "tail", prefix+job, "--json", "--no-follow").out), "\n")
		if end != "" {
			if last := lines[len(lines)-1]; !strings.Contains(last, end) {
				t.Errorf("%s ends with %s", job, last)
			}
			lines = lines[:len(lines)-1]
		}
		if len(lines) != len(data) {
			t.Fatalf("%s has %d events, want %d", job, len(lines), len(data))
		}
		for i, line := range lines {
			if !strings.HasSuffix(line, `"data":`+data[i]+"}") {
				t.Fatalf("event %d of %s is %s, want data %s", i, job, line, data[i])
			}
		}
	}
}

func TestReplayKeepsEveryByteOfTheData(t *testing.T) {
	env := serve(t)
	dir, want := recordings(t)
	if out := ok(t, env, "", "replay", dir); !strings.HasPrefix(out, "5 jobs, 1500 events") {
		t.Errorf("replay says %q", out)
	}
	checkReplayed(t, env, "", want, "")
	ok(t, env, "", "replay", dir, "--job-prefix", "again-", "--end", "--parallel", "1", "--speed", "1000000")
	checkReplayed(t, env, "again-", want, `"event_type":"done"`)
	r := tidings(t, env, "", "replay", dir, "--job-prefix", "again-")
	if r.code != 2 || !strings.Contains(r.err, "--job-prefix") {
		t.Errorf("replay into ended jobs: exit code %d, %q", r.code, r.err)
	}
	if r := tidings(t, env, "", "replay", dir, "--speed", "2x"); r.code != 2 || !strings.Contains(r.err, "no timestamps") {
		t.Errorf("replay at a factor of no speed: exit code %d, %q", r.code, r.err)
	}
}

func TestReplayStraightIntoAStore(t *testing.T) {
	data := t.TempDir()
	dir, want := recordings(t)
	ok(t, nil, "", "replay", dir, "--data", data)
	env := serve(t, "--data", data)
	checkReplayed(t, env, "", want, "")
}

func TestJobsAndDelete(t *testing.T) {
	env := serve(t)
	ok(t, env, "", "publish", "a", "done")
	ok(t, env, "", "publish", "b", "custom")
	if out := ok(t, env, "", "jobs", "-q"); out != "b\na\n" {
		t.Errorf("jobs: %q", out)
	}
	if out := ok(t, env, "", "jobs", "-q", "--status", "completed,failed", "--since", "1h"); out != "a\n" {
		t.Errorf("ended jobs: %q", out)
	}
	if out := ok(t, env, "", "jobs", "--json", "--limit", "1"); !strings.HasPrefix(out, `{"id":"b",`) {
		t.Errorf("jobs as JSON: %q", out)
	}
	ok(t, env, "", "delete", "a", "b")
	if out := ok(t, env, "", "jobs", "-q"); out != "" {
		t.Errorf("after all are deleted: %q", out)
	}
	if r := tidings(t, env, "", "jobs", "--status", "done"); r.code != 2 || !strings.Contains(r.err, "completed") {
		t.Errorf("a wrong status: %d %q", r.code, r.err)
	}
}

func TestReplayStraightIntoRedis(t *testing.T) {
	redis := redistest.Server(t)
	dir, want := recordings(t)
	ok(t, nil, "", "replay", dir, "--redis", redis.URL())
	env := serve(t, "--redis", redis.URL())
	checkReplayed(t, env, "", want, "")
}

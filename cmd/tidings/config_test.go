package main_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A flag comes before its environment variable, and that before the file. The
// address that was tried tells which one counted.
func TestFlagThenEnvironmentThenFile(t *testing.T) {
	file := writeFile(t, "config.yaml", "url: http://127.0.0.1:3\njobs:\n  limit: 7\n  status: [running, failed]\n")
	env := []string{"TIDINGS_URL=http://127.0.0.1:2"}
	for _, tc := range []struct {
		env  []string
		args []string
		want string
	}{
		{nil, []string{"jobs"}, "127.0.0.1:8080"},
		{nil, []string{"jobs", "--config", file}, "127.0.0.1:3"},
		{[]string{"TIDINGS_CONFIG=" + file}, []string{"jobs"}, "127.0.0.1:3"},
		{env, []string{"jobs", "--config", file}, "127.0.0.1:2"},
		{env, []string{"jobs", "--config", file, "--url", "http://127.0.0.1:1"}, "127.0.0.1:1"},
	} {
		if r := tidings(t, tc.env, "", append(tc.args, "--name", "none-is-called-so")...); tc.want != "127.0.0.1:8080" && !strings.Contains(r.err, tc.want) {
			t.Errorf("%v %v: %q, want %s", tc.env, tc.args, r.err, tc.want)
		}
	}
}

func TestConfigFileReachesTheFlagsOfACommand(t *testing.T) {
	env := serve(t)
	for _, job := range []string{"a", "b", "c"} {
		ok(t, env, "", "publish", job, "done")
	}
	file := writeFile(t, "config.yaml", "jobs:\n  quiet: true\n  limit: 2\n  status:\n    - completed\n    - failed\n")
	if out := ok(t, env, "", "jobs", "--config", file); out != "c\nb\n" {
		t.Errorf("jobs: %q", out)
	}
	if out := ok(t, append(env, "TIDINGS_JOBS_LIMIT=1"), "", "jobs", "--config", file); out != "c\n" {
		t.Errorf("jobs with TIDINGS_JOBS_LIMIT=1: %q", out)
	}
	if out := ok(t, append(env, "TIDINGS_JOBS_LIMIT=1"), "", "jobs", "--config", file, "--limit", "3"); out != "c\nb\na\n" {
		t.Errorf("jobs --limit 3: %q", out)
	}
}

func TestConfigFileWithAMistakeNamesItsLine(t *testing.T) {
	for text, want := range map[string]string{
		"url: http://127.0.0.1:1\nserv:\n  addr: x\n": "config.yaml:3: \"serv\" is no command",
		"jobs:\n  limit: 3\n  limits: 4\n":            "config.yaml:3: \"limits\" is no flag of \"tidings jobs\"",
		"color: never\nlimit: 3\n":                    "config.yaml:2: \"limit\" is no flag that every command has",
		"jobs:\n  limit: [1\n":                        "config.yaml:",
		"jobs:\n  limit: 3\n  limit: 4\n":             "config.yaml:3: \"limit\" is set twice",
		"jobs:\n  limit: many\n":                      "config.yaml:2: jobs.limit: ",
		"jobs:\n  quiet: perhaps\n":                   "config.yaml:2: jobs.quiet: ",
		"\ncolor: purple\n":                           "config.yaml:2: color: \"purple\" is none of auto, always, never",
		"jobs:\n\tlimit: 3\n":                         "config.yaml:2: a tab",
		"url: @\n":                                    "config.yaml:1: found",
		"- a\n":                                       "config.yaml:1: a mapping",
		"jobs:\n  status:\n    - running: 1\n":        "config.yaml:3: a list of plain values",
	} {
		file := writeFile(t, "config.yaml", text)
		if r := tidings(t, nil, "", "jobs", "--config", file); r.code != 2 || !strings.Contains(r.err, want) {
			t.Errorf("%q: exit code %d, %q; want %q", text, r.code, r.err, want)
		}
	}
	file := writeFile(t, "config.yaml", "serve: {keep-for: 3 fortnights}\n")
	if r := tidings(t, nil, "", "serve", "--config", file); r.code != 2 || !strings.HasPrefix(r.err, "tidings: "+file+":1: serve.keep-for: ") {
		t.Errorf("a wrong duration: %d %q", r.code, r.err)
	}
	if r := tidings(t, nil, "", "jobs", "--config", "/no/such/file"); r.code != 2 || !strings.Contains(r.err, "can't read the config file") {
		t.Errorf("a missing file: %d %q", r.code, r.err)
	}
}

func TestCompletionScriptsParse(t *testing.T) {
	script := ok(t, nil, "", "completion", "bash")
	file := writeFile(t, "tidings.bash", script)
	if out, err := exec.Command("bash", "-n", file).CombinedOutput(); err != nil {
		t.Errorf("bash -n: %v\n%s", err, out)
	}
	for line, want := range map[string]string{
		"tidings ta":           "tail",
		"tidings tail --js":    "--json",
		"tidings --col":        "--color",
		"tidings completion z": "zsh",
		"tidings jobs --sta":   "--status --stalled",
	} {
		words := strings.Fields(line)
		probe := "source " + file + "; COMP_WORDS=(" + line + "); COMP_CWORD=" + string(rune('0'+len(words)-1)) + "; _tidings; echo ${COMPREPLY[@]}"
		out, err := exec.Command("bash", "-c", probe).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("%q is completed by %q, want %q (%v)", line, got, want, err)
		}
	}
	for _, shell := range []string{"zsh", "fish"} {
		if out := ok(t, nil, "", "completion", shell); !strings.Contains(out, "no-follow") {
			t.Errorf("%s: the flags are missing", shell)
		}
	}
}

// A job ID that looks like a command must not be run when it is completed.
func TestCompletionRunsNoJobID(t *testing.T) {
	env := serve(t)
	evil := "$(touch pwned)"
	ok(t, env, "", "publish", evil, "done")
	dir := t.TempDir()
	file := writeFile(t, "tidings.bash", ok(t, nil, "", "completion", "bash"))
	cmd := exec.Command("bash", "-c", "source "+file+"; tidings() { "+binary+` "$@"; }; COMP_WORDS=(tidings tail ""); COMP_CWORD=2; _tidings; printf '%s\n' "${COMPREPLY[@]}"`)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), `\$\(touch\ pwned\)`) {
		t.Errorf("%v: %q", err, out)
	}
	if _, err := os.Stat(filepath.Join(dir, "pwned")); err == nil {
		t.Error("the job ID was run")
	}
}

func TestEveryCommandTeachesItself(t *testing.T) {
	help := ok(t, nil, "", "--help")
	for _, name := range []string{"serve", "demo", "tail", "publish", "replay", "run", "jobs", "cancel", "delete", "token", "health", "completion", "version"} {
		if !strings.Contains(help, "\n  "+name) {
			t.Errorf("--help does not name %s", name)
		}
		if own := ok(t, nil, "", name, "--help"); name != "version" && !strings.Contains(own, "Example") {
			t.Errorf("%s --help has no example", name)
		}
	}
	if out := ok(t, nil, "", "version"); !strings.HasPrefix(out, "tidings ") {
		t.Errorf("version: %q", out)
	}
}

package main_test

import (
	"bufio"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestRunMakesAJobOfAProgram(t *testing.T) {
	env := append(serve(t), "TIDINGS_TOKEN=some-token")
	script := `echo one; printf 'no end'; echo two >&2; echo "$TIDINGS_URL $TIDINGS_JOB_ID $TIDINGS_TOKEN" >&2
		echo '{"event_type":"state","data":{"snapshot":1}}'; exit 7`
	r := tidings(t, env, "", "run", "--job", "job", "--name", "nightly", "--label", "a=b", "--", "sh", "-c", script)
	if r.code != 7 || !strings.HasPrefix(r.out, "one\nno end") || !strings.Contains(r.err, "two\n") {
		t.Errorf("exit code %d, output %q, errors %q; want them as of the program", r.code, r.out, r.err)
	}
	if want := strings.TrimPrefix(env[0], "TIDINGS_URL=") + " job some-token"; !strings.Contains(r.err, want) {
		t.Errorf("the program's environment gives %q, want %q", r.err, want)
	}
	tail := tidings(t, env, "", "tail", "job", "--json")
	for _, want := range []string{
		`"phase":"job","status":"started","name":"nightly","labels":{"a":"b"}`,
		`{"name":"output","value":{"line":"one","stream":"stdout"}}`,
		`{"name":"output","value":{"line":"two","stream":"stderr"}}`,
		`"exit_code":7`, `"fatal":true`,
	} {
		if !strings.Contains(tail.out, want) {
			t.Errorf("%s is missing in\n%s", want, tail.out)
		}
	}
	if tail.code != 1 {
		t.Errorf("tail: exit code %d, want 1", tail.code)
	}
}

func TestRunTakesALineThatIsAnEvent(t *testing.T) {
	env := serve(t)
	script := `echo '{"event_type":"state","data":{"snapshot":1.0}}'; echo '{"event_type":1}'; echo '{"event_type":"state","job_id":"other"}'`
	ok(t, env, "", "run", "-q", "--job", "job", "sh", "-c", script)
	out := ok(t, env, "", "tail", "job", "--json")
	if !strings.Contains(out, `"event_type":"state"`) || !strings.Contains(out, `"data":{"snapshot":1.0}`) {
		t.Errorf("the event is missing in\n%s", out)
	}
	if n := strings.Count(out, `"name":"output"`); n != 2 {
		t.Errorf("%d lines of output, want the 2 that are no event of this job:\n%s", n, out)
	}
}

// A program that ends its job itself goes on without a log, which is said once.
func TestRunSaysWhatComesAfterTheProgramsOwnEnd(t *testing.T) {
	env := serve(t)
	const own = `echo '{"event_type":"done","data":{}}'`
	for script, want := range map[string]string{
		own + `; echo a; echo b; exit 3`: `2 later lines of output and its failure (exit status 3) are not in the log`,
		own + `; echo a`:                 `1 later line of output is not in the log`,
		own + `; exit 3`:                 `its failure (exit status 3) is not in the log`,
		own:                              "",
		`echo a`:                         "",
	} {
		r := tidings(t, env, "", "run", "-q", "--", "sh", "-c", script)
		if said := strings.Count(r.err, "not in the log"); !strings.Contains(r.err, want) || (want == "" && r.err != "") || said > 1 {
			t.Errorf("%s: %q is said, want %q once", script, r.err, want)
		}
		if wantCode := strings.Contains(script, "exit 3"); (r.code == 3) != wantCode {
			t.Errorf("%s: exit code %d", script, r.code)
		}
	}
}

// cancelOnceKnown asks a job to stop whose program runs, but whose first event
// may still be on its way.
func cancelOnceKnown(t *testing.T, env []string, job string, flags ...string) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		r := tidings(t, env, "", append([]string{"cancel", job}, flags...)...)
		switch {
		case r.code == 0:
			return
		case !strings.Contains(r.err, "unknown job") || time.Now().After(deadline):
			t.Fatalf("cancel: exit code %d\n%s", r.code, r.err)
		}
	}
}

func TestCancelStopsTheProgramAndAllItStarted(t *testing.T) {
	env := serve(t)
	// The inner shell ends only by the signal that its group gets.
	script := `sh -c 'trap "echo inner stops; exit 0" TERM; echo begun; while :; do sleep 0.02; done' & trap 'wait; exit 9' TERM; wait`
	run := start(t, env, "run", "-q", "--job", "job", "--grace", "30s", "--", "sh", "-c", script)
	run.until("begun")
	cancelOnceKnown(t, env, "job", "--reason", "enough", "--by", "me")
	run.until("inner stops")
	if code := run.end(); code != 9 {
		t.Errorf("exit code %d, want that of the program, 9\n%s", code, run.err)
	}
	r := tidings(t, env, "", "tail", "job", "--json")
	if r.code != 3 || !strings.Contains(r.out, `"event_type":"cancelled"`) || !strings.Contains(r.out, `"reason":"enough"`) {
		t.Errorf("tail: exit code %d\n%s", r.code, r.out)
	}
	if r := tidings(t, env, "", "cancel", "job"); r.code != 2 || !strings.Contains(r.err, "has ended") {
		t.Errorf("cancel of an ended job: %d %q", r.code, r.err)
	}
}

func TestCancelKillsAProgramThatDoesNotStop(t *testing.T) {
	env := serve(t)
	run := start(t, env, "run", "-q", "--job", "job", "--grace", "50ms", "--", "sh", "-c", `trap "" TERM; echo begun; while :; do sleep 0.02; done`)
	run.until("begun")
	cancelOnceKnown(t, env, "job")
	if code := run.end(); code != 128+9 {
		t.Errorf("exit code %d, want 137\n%s", code, run.err)
	}
}

func TestRunSurvivesTheAbsenceOfTheServer(t *testing.T) {
	r := tidings(t, []string{"TIDINGS_URL=http://127.0.0.1:1"}, "input\n", "run", "--flush", "100ms", "--", "sh", "-c", "cat; exit 4")
	if r.code != 4 || r.out != "input\n" || !strings.Contains(r.err, "could not be sent") {
		t.Errorf("exit code %d, output %q, errors %q", r.code, r.out, r.err)
	}
}

func TestRunOfWhatIsNoProgram(t *testing.T) {
	env := []string{"TIDINGS_URL=http://127.0.0.1:1"}
	if r := tidings(t, env, "", "run", "--", "no-such-program"); r.code != 127 {
		t.Errorf("not found: %d %q", r.code, r.err)
	}
	if r := tidings(t, env, "", "run", "--", "/etc/passwd"); r.code != 126 {
		t.Errorf("not executable: %d %q", r.code, r.err)
	}
	if r := tidings(t, env, "", "run", "--"); r.code != 2 {
		t.Errorf("nothing: %d %q", r.code, r.err)
	}
}

func TestASignalIsPassedOnAndCancelsTheJob(t *testing.T) {
	env := serve(t)
	run := start(t, env, "run", "-q", "--job", "job", "--", "sh", "-c", `trap "echo stops; exit 3" TERM; echo begun; while :; do sleep 0.02; done`)
	run.until("begun")
	if err := run.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	run.until("stops")
	if code := run.end(); code != 3 {
		t.Errorf("exit code %d, want that of the program, 3\n%s", code, run.err)
	}
	if r := tidings(t, env, "", "tail", "job", "--json"); r.code != 3 || !strings.Contains(r.out, `"by":"signal"`) {
		t.Errorf("tail: exit code %d\n%s", r.code, r.out)
	}
}

// As in "tidings run … | head": the story goes on and has an end.
func TestRunOutlivesTheReaderOfItsOutput(t *testing.T) {
	env := serve(t)
	run := command(t.Context(), t, env, "run", "-q", "--job", "job", "--", "sh", "-c",
		`echo first; read line; for i in 1 2 3; do echo "after $i"; done; exit 5`)
	in, err := run.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := run.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	out.Close()
	if _, err := in.Write([]byte("go on\n")); err != nil {
		t.Fatal(err)
	}
	_ = run.Wait() // what it returns is the exit code
	if code := run.ProcessState.ExitCode(); code != 5 {
		t.Errorf("%v; want the program's exit code 5", run.ProcessState)
	}
	tail := tidings(t, env, "", "tail", "job", "--json", "--no-follow")
	for _, want := range []string{`"line":"after 3"`, `"exit_code":5`} {
		if !strings.Contains(tail.out, want) {
			t.Errorf("%s is missing in\n%s", want, tail.out)
		}
	}
}

package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/pebblelog"
	"tidings/runner"
)

func openStore(t *testing.T, dir string) *pebblelog.Store {
	t.Helper()
	store, err := pebblelog.Open(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func start(t *testing.T, store tidings.Store, commands map[string]runner.Command) *runner.Queue {
	t.Helper()
	q, err := runner.Start(t.Context(), store, runner.Options{Commands: commands, Env: []string{"TIDINGS_URL=http://here"}})
	if err != nil {
		t.Fatal(err)
	}
	return q
}

func newQueue(t *testing.T, commands map[string]runner.Command) (*runner.Queue, *pebblelog.Store) {
	t.Helper()
	store := openStore(t, t.TempDir())
	q := start(t, store, commands)
	t.Cleanup(func() { _ = q.Close(); _ = store.Close() })
	return q, store
}

func submit(t *testing.T, q *runner.Queue, id, task string) {
	t.Helper()
	if created, err := q.Submit(t.Context(), tidings.JobSpec{ID: id}, json.RawMessage(task)); err != nil || !created {
		t.Fatalf("submitting %s: %v, %v", id, created, err)
	}
}

func await(t *testing.T, store tidings.Store, id string, want tidings.Status) tidings.Job {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		job, err := store.Job(context.Background(), id)
		if err == nil && job.Status == want {
			return job
		}
		if time.Now().After(deadline) {
			t.Fatalf("job %s is %s (%s), want %s; %v", id, job.Status, job.Error, want, err)
		}
	}
}

func shell(script string) runner.Command {
	return runner.Command{Command: []string{"sh", "-c", script}}
}

// A job that is submitted runs its command: with the input that it was given, in the
// folder and environment that were configured, once.
func TestJobRunsACommand(t *testing.T) {
	dir := t.TempDir()
	c := shell(`echo "$(cat) $GREETING $TIDINGS_JOB_ID $TIDINGS_URL $(pwd)"; echo done >> ran`)
	c.Dir, c.Env = dir, map[string]string{"GREETING": "hello"}
	q, store := newQueue(t, map[string]runner.Command{"report": c})
	submit(t, q, "job", `{"type":"command","command":"report","input":{"n":1}}`)
	if again, err := q.Submit(t.Context(), tidings.JobSpec{ID: "job"}, json.RawMessage(`{"command":"report"}`)); again || err != nil && !errors.As(err, new(*tidings.ClosedError)) {
		t.Errorf("submitted again: %v, %v", again, err)
	}
	job := await(t, store, "job", tidings.StatusCompleted)
	if job.Name != "report" || job.Task.Task != "report" || job.Task.Queue != "command" || !job.Closed {
		t.Errorf("the job is %+v, its task %+v", job, job.Task)
	}
	page, err := store.Read(t.Context(), "job", tidings.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	for _, e := range page.Events {
		fmt.Fprintln(&log, e.Type, string(e.Data))
	}
	resolved, _ := filepath.EvalSymlinks(dir)
	if want := `{\"n\":1} hello job http://here ` + resolved; !strings.Contains(log.String(), want) {
		t.Errorf("the output %q is missing in\n%s", want, &log)
	}
	if ran, _ := os.ReadFile(filepath.Join(dir, "ran")); string(ran) != "done\n" {
		t.Errorf("it ran %q", ran)
	}
}

func TestHowCommandsEnd(t *testing.T) {
	slow := shell("sleep 60")
	slow.Timeout = 50 * time.Millisecond
	q, store := newQueue(t, map[string]runner.Command{"fails": shell("exit 3"), "slow": slow, "waits": shell("echo begun; sleep 60")})
	submit(t, q, "fails", `{"command":"fails"}`)
	if job := await(t, store, "fails", tidings.StatusFailed); job.Error != "exit status 3" {
		t.Errorf("it failed with %q", job.Error)
	}
	submit(t, q, "slow", `{"command":"slow"}`)
	if job := await(t, store, "slow", tidings.StatusFailed); job.Error != "it took longer than 50ms" {
		t.Errorf("it failed with %q", job.Error)
	}
	submit(t, q, "stopped", `{"command":"waits"}`)
	submit(t, q, "behind", `{"command":"waits"}`)
	await(t, store, "stopped", tidings.StatusRunning)
	if depths, err := q.Depths(t.Context()); err != nil || depths[2].Waiting != 1 || depths[2].Unacked != 1 {
		t.Errorf("depths %+v, %v", depths, err)
	}
	for _, id := range []string{"behind", "stopped"} {
		if err := tidings.RequestCancel(t.Context(), store, id, "ann", "enough"); err != nil {
			t.Fatal(err)
		}
		if report, err := q.Stop(t.Context(), id, tidings.StopOptions{Reason: "enough"}); err != nil || report.Workers != 1 {
			t.Errorf("%s: %+v, %v", id, report, err)
		}
		await(t, store, id, tidings.StatusCancelled)
	}
	if _, err := q.Stop(t.Context(), "other", tidings.StopOptions{}); !errors.Is(err, tidings.ErrNoTask) {
		t.Errorf("a job of another queue: %v", err)
	}
}

// No more than the configured number run at a time, in the order in which they
// came.
func TestConcurrency(t *testing.T) {
	dir := t.TempDir()
	c := shell(`mkdir lock || exit 1; echo $TIDINGS_JOB_ID >> order; sleep 0.02; rmdir lock`)
	c.Dir = dir
	q, store := newQueue(t, map[string]runner.Command{"one": c})
	want := ""
	for i := range 5 {
		id := fmt.Sprint("job-", i)
		submit(t, q, id, `{"command":"one"}`)
		want += id + "\n"
	}
	for i := range 5 {
		await(t, store, fmt.Sprint("job-", i), tidings.StatusCompleted)
	}
	if order, _ := os.ReadFile(filepath.Join(dir, "order")); string(order) != want {
		t.Errorf("they ran in the order\n%s", order)
	}
}

// When the server stops, what runs ends and has failed, and what waits runs
// after the next start.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	store := openStore(t, dir)
	commands := map[string]runner.Command{"waits": shell(`read x; echo "$x"; case $x in *quick*) ;; *) sleep 60; esac`), "gone": shell("true")}
	q := start(t, store, commands)
	submit(t, q, "runs", `{"command":"waits","input":"slow"}`)
	await(t, store, "runs", tidings.StatusRunning)
	submit(t, q, "waits", `{"command":"waits","input":"quick"}`)
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	if job := await(t, store, "runs", tidings.StatusFailed); job.Error != "the server was stopped" {
		t.Errorf("it failed with %q", job.Error)
	}
	await(t, store, "waits", tidings.StatusQueued)
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	store = openStore(t, dir)
	q = start(t, store, commands)
	defer func() { _ = q.Close(); _ = store.Close() }()
	await(t, store, "waits", tidings.StatusCompleted)
}

func TestWrongCommandsAreRefused(t *testing.T) {
	store := openStore(t, t.TempDir())
	defer store.Close()
	for want, c := range map[string]runner.Command{
		"needs a command":      {},
		"executable file":      {Command: []string{"no-such-program"}},
		"is no folder":         {Command: []string{"sh"}, Dir: "/no/such/folder"},
		"must not be negative": {Command: []string{"sh"}, Timeout: -1},
	} {
		_, err := runner.Start(t.Context(), store, runner.Options{Commands: map[string]runner.Command{"job": c}})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "jobs.job") {
			t.Errorf("%+v gives %v, want %q", c, err, want)
		}
	}
	q := start(t, store, map[string]runner.Command{"sh": {Command: []string{"sh"}}})
	defer q.Close()
	for task, want := range map[string]string{
		`{"command":"rm"}`:                      `not among the commands of this server: [sh]`,
		`{"command":"sh","argv":["-c"]}`:        `unknown field "argv"`,
		`{"command":"sh","args":[1],"input":1}`: `one input`,
	} {
		if _, err := q.Submit(t.Context(), tidings.JobSpec{ID: "job"}, json.RawMessage(task)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want %q", task, err, want)
		}
	}
}

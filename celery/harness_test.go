package celery

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
	"tidings/pebblelog"
)

// python is an interpreter that has Celery, as scripts/install.sh sets it up.
func python(t testing.TB) string {
	t.Helper()
	path := os.Getenv("TIDINGS_PYTHON")
	if path == "" {
		path, _ = filepath.Abs("../sdk/python/.venv/bin/python")
	}
	if err := exec.Command(path, "-c", "import celery, redis").Run(); err != nil {
		if os.Getenv("TIDINGS_REQUIRE_CELERY") != "" {
			t.Fatalf("%s has no Celery: %v", path, err)
		}
		t.Skipf("%s has no Celery; scripts/install.sh installs it", path)
	}
	return path
}

// app is a real Celery application on a real Redis.
type app struct {
	t      testing.TB
	redis  *redistest.Redis
	python string
	env    []string
}

func newApp(t testing.TB) *app {
	t.Helper()
	a := &app{t: t, python: python(t), redis: redistest.Server(t)}
	a.env = append(os.Environ(), "BROKER="+a.redis.URL()+"/0", "PYTHONPATH=testdata", "PYTHONDONTWRITEBYTECODE=1")
	return a
}

// proc is a worker. Its output is shown if the test fails.
type proc struct {
	cmd  *exec.Cmd
	done chan struct{}
	out  *output
}

// worker starts a prefork worker with two processes and waits until it is ready.
func (a *app) worker(name string, args ...string) *proc {
	a.t.Helper()
	args = append([]string{"-m", "celery", "-A", "app", "worker", "-n", name + "@test", "-c", "2", "-l", "INFO", "--without-gossip", "--without-mingle"}, args...)
	cmd := exec.Command(a.python, args...)
	cmd.Env = a.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	p := &proc{cmd: cmd, done: make(chan struct{}), out: out}
	go func() { _ = cmd.Wait(); close(p.done) }()
	a.t.Cleanup(func() {
		p.kill()
		if a.t.Failed() {
			a.t.Logf("worker %s:\n%s", name, out.tail(6000))
		}
	})
	eventually(a.t, "the worker is ready", func() bool { return strings.Contains(out.tail(1<<20), " ready.") })
	return p
}

// awaitEvents waits until a bridge has turned on the worker's events.
func (p *proc) awaitEvents(t testing.TB) {
	t.Helper()
	eventually(t, "the worker's events are enabled", func() bool { return strings.Contains(p.out.tail(1<<20), "enabled by remote") })
}

// kill ends a worker with all its processes, as a machine that breaks down.
func (p *proc) kill() {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
	<-p.done
}

type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) tail(n int) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	s := o.buf.String()
	return s[max(0, len(s)-n):]
}

// do runs Python code with the application at hand and gives what it prints.
func (a *app) do(code string, args ...any) string {
	a.t.Helper()
	cmd := exec.Command(a.python, "-c", "import app, sys\n"+fmt.Sprintf(code, args...))
	cmd.Env = a.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		a.t.Fatalf("%s\n%s: %v", code, out, err)
	}
	return strings.TrimSpace(string(out))
}

func testStore(t testing.TB) *pebblelog.Store {
	t.Helper()
	store, err := pebblelog.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func (a *app) bridge(store tidings.Store, opts Options) *Bridge {
	a.t.Helper()
	if opts.BrokerURL == "" {
		opts.BrokerURL = a.redis.URL() + "/0"
	}
	if opts.reconcileEvery == 0 {
		opts.reconcileEvery = time.Second
	}
	if opts.closeAfter == 0 {
		opts.closeAfter = time.Hour // so that the stories end with the tasks
	}
	opts.Logger = slog.New(slog.NewTextHandler(a.t.Output(), nil))
	ctx, cancel := context.WithTimeout(a.t.Context(), 30*time.Second)
	defer cancel()
	b, err := Start(ctx, store, opts)
	if err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() { _ = b.Close() })
	return b
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !is(); {
		if time.Now().After(deadline) {
			t.Fatalf("after a minute it is not so: %s", what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// awaitStatus waits until the job has the status, and gives it.
func awaitStatus(t testing.TB, store tidings.Store, jobID string, want tidings.Status) tidings.Job {
	t.Helper()
	var job tidings.Job
	defer func() {
		if t.Failed() {
			t.Logf("job %s is %s:\n%s", jobID, job.Status, strings.Join(story(t, store, jobID), "\n"))
		}
	}()
	eventually(t, fmt.Sprintf("job %s is %s", jobID, want), func() bool {
		job, _ = store.Job(context.Background(), jobID)
		return job.Status == want
	})
	return job
}

// story gives a job's events, a line each: the type, the attempt, and what
// else tells it apart.
func story(t testing.TB, store tidings.Store, jobID string) []string {
	t.Helper()
	page, err := store.Read(context.Background(), jobID, tidings.Query{})
	if err != nil {
		return []string{err.Error()}
	}
	var lines []string
	for _, e := range page.Events {
		var d data
		_ = json.Unmarshal(e.Data, &d)
		line := fmt.Sprintf("%s %d", e.Type, d.Attempt)
		if d.Delivery > 0 {
			line += fmt.Sprintf("+%d", d.Delivery)
		}
		for _, word := range []string{d.Status, d.Reason, d.Kind} {
			if word != "" {
				line += " " + word
			}
		}
		if d.Reconciled {
			line += " reconciled"
		}
		lines = append(lines, line)
	}
	return lines
}

func same(t testing.TB, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got:\n\t%s\nwant:\n\t%s", strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
	}
}

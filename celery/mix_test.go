package celery

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidings"
	"tidings/redislog"
)

// TestBridgeProcess is not a test: it is the second node of others, in a process
// of its own that can be paused and killed.
func TestBridgeProcess(t *testing.T) {
	url := os.Getenv("TIDINGS_TEST_BRIDGE")
	if url == "" {
		t.Skip("it is a part of other tests")
	}
	store, err := redislog.Open(t.Context(), redislog.Options{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Start(t.Context(), store, Options{
		BrokerURL: url + "/0", Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)), reconcileEvery: time.Second, closeAfter: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	fmt.Println("listening")
	_, _ = bufio.NewReader(os.Stdin).ReadByte() // until whoever started it ends
}

// node is a bridge in a process of its own.
type node struct {
	cmd *exec.Cmd
	out *output
}

func (a *app) node() *node {
	a.t.Helper()
	n := &node{cmd: exec.Command(os.Args[0], "-test.run", "^TestBridgeProcess$", "-test.timeout", "5m"), out: &output{}}
	n.cmd.Env = append(os.Environ(), "TIDINGS_TEST_BRIDGE="+a.redis.URL())
	n.cmd.Stdout, n.cmd.Stderr = n.out, n.out
	if _, err := n.cmd.StdinPipe(); err != nil {
		a.t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		a.t.Fatal(err)
	}
	a.t.Cleanup(func() {
		n.kill()
		if a.t.Failed() {
			a.t.Logf("the other node:\n%s", n.out.tail(3000))
		}
	})
	eventually(a.t, "the other node listens", func() bool { return strings.Contains(n.out.tail(1<<20), "listening") })
	return n
}

func (n *node) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := n.cmd.Process.Signal(s); err != nil {
		t.Fatal(err)
	}
}

func (n *node) kill() {
	_ = n.cmd.Process.Kill()
	_ = n.cmd.Wait()
}

// mix are kinds of tasks, how many of each there are, and how their jobs end.
var mix = []struct {
	name   string
	n      int
	code   string // sends one with the ID i
	status tidings.Status
}{
	{"ok", 92, `app.add.apply_async((2, 3), task_id=i)`, tidings.StatusCompleted},
	{"fails", 25, `app.fail.apply_async(("broken",), task_id=i)`, tidings.StatusFailed},
	{"retried", 30, `app.flaky.apply_async((1 + n % 3,), task_id=i)`, tidings.StatusCompleted},
	{"progress", 10, `app.progress.apply_async((2,), task_id=i)`, tidings.StatusCompleted},
	{"too-long", 5, `app.limited.apply_async((), task_id=i)`, tidings.StatusFailed},
	{"dies", 4, `app.die.apply_async((), task_id=i)`, tidings.StatusFailed},
	{"ignored", 4, `app.ignored.apply_async((), task_id=i)`, tidings.StatusCompleted},
	{"expired", 5, `app.add.apply_async((2, 3), task_id=i, expires=-5)`, tidings.StatusCancelled},
	{"for-later", 10, `app.add.apply_async((2, 3), task_id=i, countdown=3000)`, tidings.StatusCancelled},
	{"stopped", 5, `app.sleep.apply_async((3000,), task_id=i, queue="stopped")`, tidings.StatusCancelled},
	{"lost", 5, `app.sleep.apply_async((3000,), task_id=i, queue="doomed")`, tidings.StatusFailed},
	{"redelivered", 5, `app.sleep_late.apply_async((2,), task_id=i, queue="doomed")`, tidings.StatusCompleted},
}

func (a *app) sendMix(names ...string) {
	a.t.Helper()
	var code strings.Builder
	for _, kind := range mix {
		for _, name := range names {
			if kind.name == name {
				fmt.Fprintf(&code, "for n in range(%d):\n    i = \"%s-%%d\" %% n\n    %s\n", kind.n, kind.name, kind.code)
			}
		}
	}
	a.do("%s", code.String())
}

func eachOf(name string, do func(id string)) {
	for _, kind := range mix {
		for n := range kind.n {
			if kind.name == name {
				do(fmt.Sprintf("%s-%d", name, n))
			}
		}
	}
}

// Two hundred tasks of every kind on real workers, told by two nodes of which
// one is paused, killed and started again, and the other is restarted in the
// middle: every job ends as its task did, each step is told once, in order.
func TestTwoHundredTasks(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	store, err := redislog.Open(t.Context(), redislog.Options{URL: a.redis.URL()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	began := time.Now()
	first := a.bridge(store, Options{})
	second := a.node()
	main := a.worker("w1", "-Q", "celery")
	stopped := a.worker("w2", "-Q", "stopped", "-c", "5")
	doomed := a.worker("w3", "-Q", "doomed", "-c", "10")
	for _, w := range []*proc{main, stopped, doomed} {
		w.awaitEvents(t)
	}

	a.sendMix("ok", "stopped", "lost", "redelivered")
	second.signal(t, syscall.SIGSTOP)
	a.sendMix("fails", "retried", "progress", "for-later")
	for _, name := range []string{"stopped", "lost", "redelivered"} {
		eachOf(name, func(id string) { awaitStatus(t, store, id, tidings.StatusRunning) })
	}
	doomed.kill()
	if err := first.Close(); err != nil { // now nobody listens
		t.Fatal(err)
	}
	a.sendMix("too-long", "dies", "ignored", "expired")
	first = a.bridge(store, Options{})
	second.signal(t, syscall.SIGCONT)

	for _, name := range []string{"stopped", "for-later"} {
		eachOf(name, func(id string) {
			eventually(t, id+" is known", func() bool { _, err := store.Job(t.Context(), id); return err == nil })
			first.askStop(t, id, tidings.StopOptions{Terminate: true})
		})
	}
	second.kill()
	a.node()
	eachOf("lost", func(id string) { awaitStatus(t, store, id, tidings.StatusFailed) })
	for _, kind := range mix[:10] {
		eachOf(kind.name, func(id string) { awaitStatus(t, store, id, kind.status) })
	}
	// From now on what is not acknowledged is delivered again soon.
	a.env = append(a.env, "VISIBILITY=1")
	a.worker("w4", "-E", "-Q", "doomed", "-c", "5")
	eachOf("redelivered", func(id string) { awaitStatus(t, store, id, tidings.StatusCompleted) })

	var total, steps, reconciled int
	for _, kind := range mix {
		eachOf(kind.name, func(id string) {
			if job, err := store.Job(t.Context(), id); err != nil || job.Status != kind.status {
				t.Errorf("%s is %s, want %s (%v)", id, job.Status, kind.status, err)
			}
			total++
			n, r := checkSteps(t, store, id)
			steps, reconciled = steps+n, reconciled+r
		})
	}
	if total != 200 {
		t.Errorf("the mix is of %d tasks", total)
	}
	t.Logf("%d tasks ended right in %.0f s: %d steps, each once and in order; the ends of %d reconciled", total, time.Since(began).Seconds(), steps, reconciled)
	t.Logf("the node that was restarted: %+v", first.Stats())
}

// checkSteps fails unless each step of the job is later than the one before.
func checkSteps(t *testing.T, store tidings.Store, id string) (steps, reconciled int) {
	t.Helper()
	page, err := store.Read(context.Background(), id, tidings.Query{})
	if err != nil {
		t.Error(err)
	}
	last, ends := int64(0), 0
	for i := range page.Events {
		e := &page.Events[i]
		var d data
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Error(err)
		}
		if !isTaskEvent(e.Type) {
			continue
		}
		at := place{retries: d.Attempt - 1, delivery: d.Delivery, kind: kindOf(e.Type, &d)}
		if at.epoch() <= last {
			t.Errorf("%s: a step twice or out of order:\n\t%s", id, strings.Join(story(t, store, id), "\n\t"))
			return steps, reconciled
		}
		last = at.epoch()
		steps++
		if at.kind >= ended {
			ends++
		}
		if d.Reconciled {
			reconciled++
		}
	}
	if ends != 1 {
		t.Errorf("%s ended %d times:\n\t%s", id, ends, strings.Join(story(t, store, id), "\n\t"))
	}
	return steps, reconciled
}

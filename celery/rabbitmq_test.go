package celery

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"tidings"
	"tidings/internal/redistest"
)

const rabbitServer = "/usr/lib/rabbitmq/bin/rabbitmq-server"

// rabbit starts a RabbitMQ of the test's own and gives its URL.
func rabbit(t testing.TB) string {
	t.Helper()
	if _, err := os.Stat(rabbitServer); err != nil {
		if os.Getenv("TIDINGS_REQUIRE_RABBITMQ") != "" {
			t.Fatal(err)
		}
		t.Skip("no RabbitMQ: apt-get install rabbitmq-server")
	}
	dir := t.TempDir()
	port, dist, epmd := port(t), port(t), port(t)
	env := append(os.Environ(), "HOME="+dir, "RABBITMQ_NODENAME="+fmt.Sprintf("t%d@localhost", port),
		"RABBITMQ_MNESIA_BASE="+filepath.Join(dir, "db"), "RABBITMQ_LOG_BASE="+filepath.Join(dir, "log"),
		"RABBITMQ_ENABLED_PLUGINS_FILE="+filepath.Join(dir, "plugins"), "RABBITMQ_CONFIG_FILE="+filepath.Join(dir, "none"),
		fmt.Sprintf("RABBITMQ_NODE_PORT=%d", port), fmt.Sprintf("RABBITMQ_DIST_PORT=%d", dist), fmt.Sprintf("ERL_EPMD_PORT=%d", epmd),
		"RABBITMQ_NODE_IP_ADDRESS=127.0.0.1", "ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1")
	// Erlang's port mapper would outlive the server if the server started it.
	run(t, env, "epmd", "-port", fmt.Sprint(epmd), "-address", "127.0.0.1")
	out := run(t, env, rabbitServer)
	eventually(t, "RabbitMQ listens", func() bool { return strings.Contains(out.tail(1<<20), "Starting broker... completed") })
	return fmt.Sprintf("amqp://guest:guest@127.0.0.1:%d//", port)
}

// run starts a program that ends with the test.
func run(t testing.TB, env []string, name string, args ...string) *output {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out := &output{}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("%s:\n%s", name, out.tail(3000))
		}
	})
	return out
}

func port(t testing.TB) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// Over RabbitMQ it is as over Redis: events in, tasks out, requests to stop.
func TestRabbitMQ(t *testing.T) {
	url := rabbit(t)
	a := &app{t: t, python: python(t), redis: redistest.Server(t)}
	a.env = append(os.Environ(), "BROKER="+url, "BACKEND="+a.redis.URL()+"/0", "PYTHONPATH=testdata", "PYTHONDONTWRITEBYTECODE=1")
	store := testStore(t)
	opts := Options{BrokerURL: url, BackendURL: a.redis.URL() + "/0"}
	b := a.bridge(store, opts)
	second := a.bridge(store, opts)                                                                      // of another node
	b.submit(t, "ours", `{"task":"app.add","args":[2],"kwargs":{"y":3},"headers":{"n":[1,{"a":null}]}}`) // before its queue is there
	w := a.worker("w1")
	w.awaitEvents(t)
	a.do(`
app.fail.apply_async(("broken",), task_id="fails")
app.flaky.apply_async((1,), task_id="retried")
app.progress.apply_async((2,), task_id="progress")
app.ignored.apply_async((), task_id="ignored")
`)
	awaitStatus(t, store, "ours", tidings.StatusCompleted)
	awaitStatus(t, store, "fails", tidings.StatusFailed)
	same(t, story(t, store, "fails"), "task_queued 1 received", "task_started 1", "task_failed 1 ValueError")
	awaitStatus(t, store, "retried", tidings.StatusCompleted)
	same(t, story(t, store, "retried"), "task_queued 1 received", "task_started 1", "task_retried 1 RuntimeError",
		"task_queued 2 received", "task_started 2", "task_completed 2")
	awaitStatus(t, store, "progress", tidings.StatusCompleted)
	same(t, story(t, store, "progress"), "task_queued 1 received", "task_started 1", "task_progress 1", "task_progress 1", "task_completed 1")
	awaitStatus(t, store, "ignored", tidings.StatusCompleted)

	b.submit(t, "running", `{"task":"app.sleep","args":[60]}`)
	awaitStatus(t, store, "running", tidings.StatusRunning)
	if report := b.askStop(t, "running", tidings.StopOptions{Terminate: true}); report.Workers != 1 || report.Warning != "" {
		t.Errorf("stopping: %+v", report)
	}
	awaitStatus(t, store, "running", tidings.StatusCancelled)
	if depths, err := b.Depths(t.Context()); err != nil || len(depths) != 1 || depths[0].Name != "celery" {
		t.Errorf("depths %+v, %v", depths, err)
	}
	if b.holds() == second.holds() {
		t.Error("one of the nodes must hold the lease")
	}
	w.kill()
	b.submit(t, "nobody's", `{"task":"app.add","args":[1,1]}`)
	eventually(t, "the worker is given up", func() bool { return b.workers.living() == 0 })
	if report := b.askStop(t, "nobody's", tidings.StopOptions{}); report.Workers != 0 || report.Warning == "" {
		t.Errorf("stopping with no worker: %+v", report)
	}
}

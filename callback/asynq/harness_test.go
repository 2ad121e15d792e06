package asynq_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	hibiken "github.com/hibiken/asynq"

	"tidings"
	"tidings/callback/asynq"
	"tidings/internal/leak"
	"tidings/internal/memlog"
	"tidings/internal/redistest"
	"tidings/redislog"
)

// workerEnv makes this test program a worker on the Redis that it names.
const workerEnv = "TIDINGS_TEST_ASYNQ_WORKER"

func TestMain(m *testing.M) {
	if addr := os.Getenv(workerEnv); addr != "" {
		workUntilKilled(addr)
		return
	}
	leak.Main(m)
}

// patience bounds every wait. It is no expectation.
const patience = 60 * time.Second

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// world is one Redis with a store and asynq's client and inspector on it.
type world struct {
	t         testing.TB
	ctx       context.Context
	redis     *redistest.Redis
	store     *redislog.Store
	client    *asynq.Client
	inspector *hibiken.Inspector
	queue     *asynq.Queue
	output    bytes.Buffer // of the worker in a process of its own; read it after Wait
}

func newWorld(t testing.TB) *world {
	if t, ok := t.(*testing.T); ok {
		t.Parallel() // they mostly wait
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	w := &world{t: t, ctx: ctx, redis: redistest.Server(t)}
	var err error
	if w.store, err = redislog.Open(ctx, redislog.Options{URL: w.redis.URL(), Logger: quiet}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.store.Close() })
	client := hibiken.NewClient(w.opt())
	w.inspector = hibiken.NewInspector(w.opt())
	t.Cleanup(func() { _, _ = client.Close(), w.inspector.Close() })
	w.client = asynq.NewClient(client, w.store)
	w.queue = w.newQueue(nil)
	return w
}

// newQueue gives one that takes nothing for too young to be looked at.
func (w *world) newQueue(opts *asynq.QueueOptions) *asynq.Queue {
	o := asynq.QueueOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Missing == 0 {
		o.Missing = time.Millisecond
	}
	o.Logger = quiet
	return asynq.NewQueue(w.client, w.inspector, w.store, &o)
}

func (w *world) opt() hibiken.RedisClientOpt { return hibiken.RedisClientOpt{Addr: w.redis.Addr()} }

// config is that of a server that looks often.
func config() hibiken.Config {
	return hibiken.Config{
		Concurrency: 4, LogLevel: hibiken.FatalLevel,
		TaskCheckInterval: 20 * time.Millisecond, DelayedTaskCheckInterval: 50 * time.Millisecond,
		RetryDelayFunc:  func(int, error, *hibiken.Task) time.Duration { return time.Millisecond },
		ShutdownTimeout: time.Second,
		Queues:          map[string]int{"default": 1, "low": 1},
	}
}

// serve starts a server whose tasks the function handles, and gives it.
func (w *world) serve(opts *asynq.Options, c hibiken.Config, handle func(context.Context, *hibiken.Task) error) *hibiken.Server {
	w.t.Helper()
	if opts == nil {
		opts = &asynq.Options{}
	}
	opts.Handler.Logger = quiet
	s := hibiken.NewServer(w.opt(), c)
	if err := s.Start(asynq.Middleware(w.store, opts)(hibiken.HandlerFunc(handle))); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.Shutdown)
	return s
}

func (w *world) enqueue(id string, opts ...hibiken.Option) *hibiken.TaskInfo {
	w.t.Helper()
	info, err := w.client.Enqueue(w.ctx, tidings.JobSpec{ID: id}, hibiken.NewTask("report", []byte(`{"n":1}`)), opts...)
	if err != nil {
		w.t.Fatal(err)
	}
	return info
}

// await waits until the log of the job holds an event that is wanted.
func (w *world) await(id string, wanted func(e tidings.Event) bool) {
	w.t.Helper()
	f, err := w.store.Follow(w.ctx, id, tidings.Cursor{})
	for errors.Is(err, tidings.ErrUnknownJob) && w.ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
		f, err = w.store.Follow(w.ctx, id, tidings.Cursor{})
	}
	if err != nil {
		w.t.Fatal(err)
	}
	defer f.Close()
	for {
		events, err := f.Next(w.ctx)
		if err != nil {
			w.t.Fatalf("%v; the log is:\n%s", err, w.outline(id))
		}
		for _, e := range events {
			if wanted(e) {
				return
			}
		}
	}
}

func is(eventType string) func(tidings.Event) bool {
	return func(e tidings.Event) bool { return e.Type == eventType }
}

func custom(name string) func(tidings.Event) bool {
	return func(e tidings.Event) bool {
		return e.Type == tidings.TypeCustom && strings.Contains(string(e.Data), `"`+name+`"`)
	}
}

// until waits for a condition in Redis, which tells nobody of its changes.
func (w *world) until(what string, done func() bool) {
	w.t.Helper()
	for !done() {
		if w.ctx.Err() != nil {
			w.t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (w *world) job(id string) tidings.Job {
	w.t.Helper()
	job, err := w.store.Job(w.ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return job
}

func (w *world) events(id string) []tidings.Event {
	w.t.Helper()
	page, err := w.store.Read(context.WithoutCancel(w.ctx), id, tidings.Query{})
	if err != nil {
		w.t.Fatal(err)
	}
	return page.Events
}

func (w *world) outline(id string) string { return memlog.Outline(w.events(id)) }

// steps are the log's events but those of the handler, as "type attempt".
func (w *world) steps(id string) string {
	var out []string
	for _, e := range w.events(id) {
		f := fields(w.t, e)
		switch {
		case strings.HasPrefix(e.Type, "task_"):
			step := e.Type
			if f.Attempt > 0 {
				step += fmt.Sprint(" ", f.Attempt)
			}
			if f.Reconciled {
				step += " reconciled"
			}
			out = append(out, step)
		case e.Type == tidings.TypeDone, e.Type == tidings.TypeError, e.Type == tidings.TypeCancelled:
			out = append(out, e.Type)
		}
	}
	return strings.Join(out, ", ")
}

func (w *world) expectSteps(id, want string) {
	w.t.Helper()
	if got := w.steps(id); got != want {
		w.t.Errorf("the steps of %s are\n%s, want\n%s\n%s", id, got, want, w.outline(id))
	}
}

func (w *world) expectStatus(id string, want tidings.Status) {
	w.t.Helper()
	if got := w.job(id).Status; got != want {
		w.t.Errorf("%s is %s, want %s\n%s", id, got, want, w.outline(id))
	}
}

// gone reports whether asynq holds no such task.
func (w *world) gone(queue, id string) bool {
	_, err := w.inspector.GetTaskInfo(queue, id)
	return errors.Is(err, hibiken.ErrTaskNotFound) || errors.Is(err, hibiken.ErrQueueNotFound)
}

func (w *world) state(queue, id string) hibiken.TaskState {
	info, err := w.inspector.GetTaskInfo(queue, id)
	if err != nil {
		return 0
	}
	return info.State
}

// startWorker starts a worker in a process of its own. Its tasks say "working"
// and go on until they are killed.
func (w *world) startWorker() *exec.Cmd {
	w.t.Helper()
	exe, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Stdout = &w.output
	cmd.Env = append(os.Environ(), workerEnv+"="+w.redis.Addr())
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd
}

func workUntilKilled(addr string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience) // an orphan ends by itself
	defer cancel()
	store, err := redislog.Open(ctx, redislog.Options{URL: "redis://" + addr, Logger: quiet})
	if err != nil {
		panic(err)
	}
	opts := &asynq.Options{Handler: tidings.HandlerOptions{HeartbeatEvery: 50 * time.Millisecond, LeaseTTL: 500 * time.Millisecond, Logger: quiet}}
	handler := asynq.Middleware(store, opts)(hibiken.HandlerFunc(func(taskCtx context.Context, _ *hibiken.Task) error {
		asynq.Job(taskCtx).Custom("working", os.Getpid())
		<-taskCtx.Done()
		fmt.Println("the task's context ended:", context.Cause(taskCtx))
		os.Exit(0) // its lease is only old in Redis: asynq would go on with the task
		return nil
	}))
	s := hibiken.NewServer(hibiken.RedisClientOpt{Addr: addr}, config())
	if err := s.Start(handler); err != nil {
		panic(err)
	}
	<-ctx.Done()
}

package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"tidings"
)

// Command is a program that jobs may run. Nothing of it comes from those who
// submit jobs but its standard input.
type Command struct {
	Command []string          `yaml:"command"` // the program and its arguments
	Dir     string            `yaml:"dir"`     // where it runs; empty: where the server does
	Env     map[string]string `yaml:"env"`     // added to the server's
	// Timeout ends a run that takes longer. Zero: none.
	Timeout time.Duration `yaml:"timeout"`
	// Concurrency is how many may run at a time; others wait. Zero: 1.
	Concurrency int `yaml:"concurrency"`
	// Grace is how long it may take to end when it is asked to; then it is
	// killed. Zero: 10 s.
	Grace time.Duration `yaml:"grace"`
}

// QueueType names the runner among the task queues.
const QueueType = "command"

// maxWaiting bounds the jobs that wait for one command.
const maxWaiting = 10_000

// Options are the settings of a [Queue].
type Options struct {
	// Commands that jobs may run, by name.
	Commands map[string]Command
	// Env is added to the environment of every program, which further gets
	// TIDINGS_JOB_ID.
	Env    []string
	Logger *slog.Logger // nil: slog.Default()
}

// Queue runs commands of an allow-list as jobs, on this machine: a
// [tidings.TaskQueue] for those who have no other. Its task is
// {"type":"command","command":NAME,"input":…}: the input, any JSON, is the program's
// standard input. Safe for concurrent use.
//
// What waits is found again in the logs after a restart. What ran then has
// failed.
type Queue struct {
	store    tidings.Store
	opts     Options
	log      *slog.Logger
	host     string
	commands map[string]*lane

	ctx    context.Context
	cancel context.CancelCauseFunc
	work   sync.WaitGroup
}

// lane is one command, with the jobs that wait for it.
type lane struct {
	Command
	name string
	wake chan struct{} // holds one

	mu        sync.Mutex
	waiting   []waiting
	running   map[string]bool // job IDs
	processed int64
}

type waiting struct {
	jobID string
	input json.RawMessage
}

// errStopped is why programs end when the server does.
var errStopped = errors.New("the server was stopped")

// Start begins to run jobs. Close ends it. Errors: a [*tidings.InvalidError] that
// says which command is wrong.
func Start(ctx context.Context, store tidings.Store, opts Options) (*Queue, error) {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	q := &Queue{store: store, opts: opts, log: opts.Logger, commands: map[string]*lane{}}
	q.host, _ = os.Hostname()
	for name, c := range opts.Commands {
		if err := c.prepare(name); err != nil {
			return nil, err
		}
		q.commands[name] = &lane{Command: c, name: name, wake: make(chan struct{}, 1), running: map[string]bool{}}
	}
	q.ctx, q.cancel = context.WithCancelCause(context.Background())
	if err := q.recover(ctx); err != nil {
		q.cancel(err)
		return nil, err
	}
	for _, l := range q.commands {
		for range l.Concurrency {
			q.work.Go(func() { q.run(l) })
		}
	}
	return q, nil
}

// prepare fills in the defaults and finds the program.
func (c *Command) prepare(name string) error {
	field := "jobs." + name
	switch {
	case name == "" || len(name) > 200:
		return &tidings.InvalidError{Field: "jobs", Reason: "a name must be 1 to 200 bytes long"}
	case len(c.Command) == 0:
		return &tidings.InvalidError{Field: field, Reason: `needs a command: a list of the program and its arguments, such as ["python", "report.py"]`}
	case c.Timeout < 0 || c.Grace < 0 || c.Concurrency < 0 || c.Concurrency > 1000:
		return &tidings.InvalidError{Field: field, Reason: "timeout, grace and concurrency must not be negative, nor concurrency over 1000"}
	}
	c.Concurrency, c.Grace = max(c.Concurrency, 1), max(c.Grace, 0)
	if c.Grace == 0 {
		c.Grace = 10 * time.Second
	}
	if c.Dir != "" {
		if info, err := os.Stat(c.Dir); err != nil || !info.IsDir() {
			return &tidings.InvalidError{Field: field, Reason: fmt.Sprintf("%s is no folder", c.Dir)}
		}
	}
	path, err := exec.LookPath(c.Command[0])
	if err != nil && c.Dir != "" && !filepath.IsAbs(c.Command[0]) {
		path, err = exec.LookPath(filepath.Join(c.Dir, c.Command[0]))
	}
	if err != nil {
		return &tidings.InvalidError{Field: field, Reason: err.Error()}
	}
	if path, err = filepath.Abs(path); err != nil {
		return &tidings.InvalidError{Field: field, Reason: err.Error()}
	}
	c.Command = append([]string{path}, c.Command...)
	return nil
}

// Close asks the programs to stop, waits for them, and leaves what waits for the
// next start.
func (q *Queue) Close() error {
	q.cancel(errStopped)
	q.work.Wait()
	return nil
}

// task is what is submitted. As other task queues call them, a command may be
// given as a task, and its input as arguments.
type task struct {
	Type    string            `json:"type"`
	Command string            `json:"command"`
	Input   json.RawMessage   `json:"input"`
	Task    string            `json:"task"`
	Args    []json.RawMessage `json:"args"`
	Kwargs  json.RawMessage   `json:"kwargs"`
}

// normal puts the command and its input where they belong.
func (t *task) normal() error {
	if t.Command == "" {
		t.Command = t.Task
	}
	given := 0
	for _, is := range []bool{len(t.Input) > 0, len(t.Args) > 0, len(t.Kwargs) > 0} {
		if is {
			given++
		}
	}
	if given > 1 {
		return &tidings.InvalidError{Field: "queue", Reason: "a command has one input: give input, args or kwargs"}
	}
	switch {
	case len(t.Args) == 1:
		t.Input = t.Args[0]
	case len(t.Args) > 1:
		t.Input, _ = json.Marshal(t.Args) // they are JSON
	case len(t.Kwargs) > 0:
		t.Input = t.Kwargs
	}
	return nil
}

// data is what an event says of a task.
type data struct {
	Task    string          `json:"task"`
	Queue   string          `json:"queue"`
	Worker  string          `json:"worker,omitempty"`
	Attempt int64           `json:"attempt"`
	Input   json.RawMessage `json:"input,omitempty"`
}

// producer makes each step of a job's task be written once.
func producer(step int64) *tidings.Producer { return &tidings.Producer{ID: "command", Epoch: step} }

const (
	stepQueued = iota + 1
	stepStarted
	stepOver // before it began, or with the server
)

// Submit implements [tidings.TaskQueue].
func (q *Queue) Submit(ctx context.Context, job tidings.JobSpec, text json.RawMessage) (created bool, err error) {
	var t task
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		return false, &tidings.InvalidError{Field: "queue", Reason: "must be an object with command and input: " + err.Error()}
	}
	if err := t.normal(); err != nil {
		return false, err
	}
	l := q.commands[t.Command]
	if l == nil {
		return false, &tidings.InvalidError{Field: "queue.command", Reason: fmt.Sprintf("%.64q is not among the commands of this server: %v", t.Command, slices.Sorted(maps.Keys(q.commands)))}
	}
	if err := tidings.ValidateJobID(job.ID); err != nil {
		return false, err
	}
	if l.full() {
		return false, fmt.Errorf("%w: %d jobs wait for %q already", tidings.ErrUnavailable, maxWaiting, l.name)
	}
	if job.Name == "" {
		job.Name = t.Command
	}
	job.Labels = labelled(job.Labels)
	if _, _, err := tidings.Create(ctx, q.store, job); err != nil {
		return false, err
	}
	duplicate, err := q.tell(ctx, job.ID, stepQueued, tidings.TypeTaskQueued, data{Task: l.name, Queue: QueueType, Worker: "", Attempt: 1, Input: t.Input})
	if err != nil || duplicate {
		return false, err
	}
	l.put(waiting{job.ID, t.Input})
	return true, nil
}

// label marks the jobs of the runner, so that other task queues leave them alone.
const label = "task_queue"

func labelled(labels map[string]string) map[string]string {
	out := map[string]string{label: QueueType}
	maps.Copy(out, labels)
	return out
}

// tell writes a step of a job's task, once.
func (q *Queue) tell(ctx context.Context, jobID string, step int64, eventType string, d any) (duplicate bool, err error) {
	e, err := tidings.NewEvent(eventType, d)
	if err != nil {
		return false, err
	}
	r, err := q.store.Append(ctx, jobID, tidings.Batch{Events: []tidings.Event{e}, Producer: producer(step)})
	var fenced *tidings.FencedError
	if errors.As(err, &fenced) {
		return true, nil // a later step was told
	}
	return r.Duplicate, err
}

func (l *lane) full() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) >= maxWaiting
}

func (l *lane) put(w waiting) {
	l.mu.Lock()
	l.waiting = append(l.waiting, w)
	l.mu.Unlock()
	l.signal()
}

func (l *lane) signal() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// take gives the next job, if there is one, and has it count as running.
func (l *lane) take() (w waiting, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return w, false
	}
	w, l.waiting = l.waiting[0], l.waiting[1:]
	l.running[w.jobID] = true
	if len(l.waiting) > 0 {
		l.signal()
	}
	return w, true
}

func (l *lane) done(jobID string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.running, jobID)
	l.processed++
}

// run runs one job of the command after the other.
func (q *Queue) run(l *lane) {
	for q.ctx.Err() == nil {
		w, ok := l.take()
		if !ok {
			select {
			case <-q.ctx.Done():
			case <-l.wake:
			}
			continue
		}
		q.runJob(l, w)
		l.done(w.jobID)
	}
}

func (q *Queue) runJob(l *lane, w waiting) {
	ctx := q.ctx
	taken, err := q.tell(ctx, w.jobID, stepStarted, tidings.TypeTaskStarted, data{Task: l.name, Queue: QueueType, Worker: q.host, Attempt: 1})
	if _, closed := errors.AsType[*tidings.ClosedError](err); taken || closed {
		return // by another server that found it waiting, or it was stopped
	}
	if err != nil {
		q.log.Error("a job can't be begun; it waits for the next start", "job", w.jobID, "error", err)
		return
	}
	if l.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, l.Timeout, &timeoutError{l.Timeout})
		defer cancel()
	}
	h := tidings.Start(ctx, w.jobID, q.store, &tidings.HandlerOptions{Name: l.name, BlockFor: 250 * time.Millisecond, Logger: q.log})
	p := &Program{Command: l.Command.Command, Dir: l.Dir, Env: q.env(l, w.jobID), Stdin: bytes.NewReader(w.input), Grace: l.Grace}
	p.Run(h)
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := h.Close(closing); err != nil {
		q.log.Error("the end of a job can't be written", "job", w.jobID, "error", err)
	}
}

// timeoutError is why a program ends that takes too long.
type timeoutError struct{ after time.Duration }

func (e *timeoutError) Error() string { return "it took longer than " + e.after.String() }

func (q *Queue) env(l *lane, jobID string) []string {
	env := append(os.Environ(), q.opts.Env...)
	for _, name := range slices.Sorted(maps.Keys(l.Env)) {
		env = append(env, name+"="+l.Env[name])
	}
	return append(env, "TIDINGS_JOB_ID="+jobID)
}

// Stop implements [tidings.TaskQueue]. A program that runs learns of the request
// by its handler, which asks it to end; one that waits is taken back.
func (q *Queue) Stop(ctx context.Context, jobID string, opts tidings.StopOptions) (tidings.StopReport, error) {
	for _, l := range q.commands {
		switch waits, runs := l.drop(jobID); {
		case runs:
			return tidings.StopReport{Workers: 1}, nil
		case waits:
			_, err := q.tell(ctx, jobID, stepOver, tidings.TypeCancelled, map[string]string{"reason": opts.Reason, "by": opts.By})
			return tidings.StopReport{Workers: 1}, err
		}
	}
	return tidings.StopReport{}, tidings.ErrNoTask
}

// drop takes a job out of those that wait.
func (l *lane) drop(jobID string) (waits, runs bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.waiting)
	l.waiting = slices.DeleteFunc(l.waiting, func(w waiting) bool { return w.jobID == jobID })
	return len(l.waiting) < n, l.running[jobID]
}

// Workers implements [tidings.TaskQueue]: this machine is the one worker.
func (q *Queue) Workers(context.Context) ([]tidings.Worker, error) {
	w := tidings.Worker{Name: q.host, Type: QueueType, Alive: true, SeenAt: time.Now()}
	for _, l := range q.commands {
		l.mu.Lock()
		w.Active += len(l.running)
		w.Processed += l.processed
		w.Concurrency += l.Concurrency
		l.mu.Unlock()
	}
	return []tidings.Worker{w}, nil
}

// Depths implements [tidings.TaskQueue]: each command is a queue.
func (q *Queue) Depths(context.Context) ([]tidings.QueueDepth, error) {
	var out []tidings.QueueDepth
	for _, name := range slices.Sorted(maps.Keys(q.commands)) {
		l := q.commands[name]
		l.mu.Lock()
		out = append(out, tidings.QueueDepth{Name: name, Type: QueueType, Waiting: int64(len(l.waiting)), Unacked: int64(len(l.running))})
		l.mu.Unlock()
	}
	return out, nil
}

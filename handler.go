package tidings

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// HandlerOptions are the settings of a [Handler]. The zero value works.
type HandlerOptions struct {
	// Name, Labels and Metadata (a JSON object) describe the job in listings.
	Name     string
	Labels   map[string]string
	Metadata json.RawMessage

	// ProducerID and Epoch are those of [PublisherOptions]: a higher epoch, as
	// the attempt number of a task queue, takes the job over and fences the
	// earlier handler off. Zero epoch: the Unix time in milliseconds.
	ProducerID string
	Epoch      int64

	// HeartbeatEvery is the pause between signs of life. Zero: 10 s; negative:
	// none are sent.
	HeartbeatEvery time.Duration
	// LeaseTTL is how long one sign of life holds. Zero: [DefaultLeaseTTL].
	LeaseTTL time.Duration

	// CoalesceDeltas is how long the deltas of a stream are gathered into one
	// event; the first after a pause goes at once. Zero: 25 ms; negative: only
	// those that wait in the queue anyway are joined.
	CoalesceDeltas time.Duration

	// QueueBytes bounds the memory of events that are not acknowledged yet.
	// Zero: 8 MiB.
	QueueBytes int64
	// SpoolDir is a folder that takes what the queue can't hold while the store
	// is away. Empty: none, and what the queue can't hold is dropped.
	SpoolDir string
	// SpoolBytes bounds the spool file of this job. Zero: 1 GiB.
	SpoolBytes int64
	// BlockFor is how long a callback may block the agent when the queue is
	// full. Zero: not at all.
	BlockFor time.Duration

	// MaxFieldBytes is the size from which an input, output, content or other
	// value of the agent is truncated. Zero: 64 KiB; negative: never.
	MaxFieldBytes int
	// Redact, if set, sees every value of the agent before it is truncated and
	// leaves the handler, and gives what to publish in its place. It is called
	// with the event type and the field ("input", "output", "content", "delta",
	// "error", "value" …) from several goroutines. If it panics, the value is
	// replaced by a note.
	Redact func(eventType, field string, value json.RawMessage) json.RawMessage

	// Automatic lets the handler end the job by itself when its root run has
	// ended; for adapters of frameworks. Otherwise only End ends it.
	Automatic bool
	// Grace is how long an automatic end waits for another root run.
	Grace time.Duration
	// StreamWait is how long an automatic end waits for runs and streams that
	// are open when the root has ended. Zero: 10 s; negative: not at all.
	StreamWait time.Duration

	// Logger takes warnings: drops, retries, refusals. Nil: slog.Default().
	Logger *slog.Logger
}

// ErrCancelRequested is what a [*CancelledError] is, for [errors.Is].
var ErrCancelRequested = errors.New("the job was asked to stop")

// CancelledError is the cause with which a handler's context ends when the job
// is asked to stop.
type CancelledError struct {
	By     string // who asked, if known
	Reason string // why, if known
}

// Error says who asked, and why.
func (e *CancelledError) Error() string {
	text := ErrCancelRequested.Error()
	if e.By != "" {
		text += " by " + e.By
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Is makes the error match [ErrCancelRequested] and [context.Canceled].
func (e *CancelledError) Is(target error) bool {
	return target == ErrCancelRequested || target == context.Canceled
}

// HandlerStats are a handler's counters.
type HandlerStats struct {
	Queued      int64 // events that are not acknowledged yet, in memory or in the spool
	QueuedBytes int64 // of them in memory
	Sent        int64 // events acknowledged
	Dropped     int64 // events lost: the queue was full, or the store refused them
	Spooled     int64 // events that went through the spool file
	Retried     int64 // tries of a batch after the first
	Strays      int64 // events that came after the end
}

// Handler tells the story of one job while it runs: a callback handler without
// a framework. Its methods only take a snapshot of their input and put an event
// into a queue, from which it is appended in order and exactly once. They never
// fail or block the agent beyond [HandlerOptions].BlockFor, recover from every
// panic of their own or of the values given, are safe for concurrent use, and
// do nothing on a nil Handler, so that code can run unobserved.
type Handler struct {
	jobID string
	opts  HandlerOptions
	log   *slog.Logger
	began time.Time

	q      *queue
	sender *sender

	ctx    context.Context // of the agent
	cancel context.CancelCauseFunc
	sends  context.Context // of the sender
	abort  context.CancelCauseFunc

	alive context.Context // of heartbeats and the watch for a request to stop
	die   context.CancelCauseFunc

	acked   chan struct{} // closed when the first batch is stored
	sent    chan struct{} // closed when the sender has ended
	reason  error         // why; after sent
	work    sync.WaitGroup
	ended   chan struct{} // closed when every goroutine has
	closing sync.Once
	closed  error // what Close gives

	mu   sync.Mutex
	tree tree
}

// Start begins to tell of a job, in the store or through the client to. It
// publishes that the job has started, and sends heartbeats until End or Close.
// Starting a job again, after an interrupt or a crash, goes on with its log and
// takes it over from an earlier handler. Nil opts are the defaults.
//
// The context that [Handler.Context] gives ends with ctx; events go on to be
// sent until [Handler.Close].
func Start(ctx context.Context, jobID string, to Appender, opts *HandlerOptions) *Handler {
	o := HandlerOptions{}
	if opts != nil {
		o = *opts
	}
	o.fill()
	h := &Handler{
		jobID: jobID, opts: o, log: o.Logger, began: time.Now(), q: newQueue(&o),
		acked: make(chan struct{}), sent: make(chan struct{}), ended: make(chan struct{}),
	}
	h.ctx, h.cancel = context.WithCancelCause(ctx)
	h.sends, h.abort = context.WithCancelCause(context.WithoutCancel(ctx))
	h.alive, h.die = context.WithCancelCause(h.sends)
	h.sender = &sender{
		to: to, jobID: jobID, q: h.q, log: h.log, ownEpoch: o.Epoch == 0, fresh: true,
		first: func() { close(h.acked) }, stop: h.stopped, dir: o.SpoolDir, spoolBytes: o.SpoolBytes,
		mapping: mapping{producer: newProducer(o.ProducerID, o.Epoch)},
	}
	if err := h.validate(); err != nil {
		h.log.Error("the job can't be told of; it runs unobserved", "job", jobID, "error", err)
		h.q.refuse(err)
	}
	h.begun()
	h.work.Go(h.send)
	h.work.Go(func() { h.keepAlive(to) })
	h.work.Go(func() { h.watch(to) })
	go func() {
		h.work.Wait()
		close(h.ended)
	}()
	return h
}

// validate reports what every append would be refused for.
func (h *Handler) validate() error {
	p := h.sender.of(0)
	return errors.Join(ValidateJobID(h.jobID), p.validate())
}

func (o *HandlerOptions) fill() {
	setDefault(&o.HeartbeatEvery, 10*time.Second)
	setDefault(&o.LeaseTTL, DefaultLeaseTTL)
	setDefault(&o.CoalesceDeltas, 25*time.Millisecond)
	setDefault(&o.QueueBytes, 8<<20)
	setDefault(&o.SpoolBytes, 1<<30)
	setDefault(&o.MaxFieldBytes, 64<<10)
	setDefault(&o.StreamWait, 10*time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

func setDefault[T comparable](v *T, standard T) {
	if *v == *new(T) {
		*v = standard
	}
}

// begun publishes that the job has started.
func (h *Handler) begun() {
	o := newObject(256).str("phase", "job").str("status", "started").text("name", h.opts.Name)
	if len(h.opts.Labels) > 0 {
		o = o.raw("labels", encodeValue(h.opts.Labels))
	}
	if len(h.opts.Metadata) > 0 {
		o = o.raw("metadata", h.redacted(TypePhaseUpdate, "metadata", compactRaw(h.opts.Metadata)))
	}
	h.emit(TypePhaseUpdate, o.end())
}

// send runs the sender until everything is sent or nothing more can be.
func (h *Handler) send() {
	defer close(h.sent)
	ctx, cancel := context.WithCancel(h.sends)
	defer cancel()
	if h.opts.SpoolDir != "" {
		h.work.Go(func() { h.sender.spillWhenFull(ctx) })
	}
	h.reason = h.sender.run(ctx)
}

// JobID is the job's ID.
func (h *Handler) JobID() string {
	if h == nil {
		return ""
	}
	return h.jobID
}

// Context is for the agent's work. It ends with the context given to [Start],
// at Close, when the job is asked to stop (its cause is then a
// [*CancelledError]), and when another handler has taken the job over
// ([*FencedError]) or ended it ([*ClosedError]). A nil Handler gives the
// background context.
func (h *Handler) Context() context.Context {
	if h == nil {
		return context.Background()
	}
	return h.ctx
}

// guard keeps a panic of a callback from the agent. Defer it directly.
func (h *Handler) guard(method string) {
	if p := recover(); p != nil {
		h.log.Error("a callback panicked; its event is lost", "job", h.jobID, "method", method, "panic", p, "stack", string(debug.Stack()))
	}
}

func (h *Handler) emit(eventType string, data []byte) {
	h.q.putEvent(item{eventType: eventType, at: time.Now(), data: data}, false)
}

func (h *Handler) emitTerminal(eventType string, data []byte) {
	h.q.putEvent(item{eventType: eventType, at: time.Now(), data: data}, true)
}

// Emit publishes an event as it is. A terminal one ends the job. An event that
// can't be appended is dropped, counted and logged.
func (h *Handler) Emit(e Event) {
	if h == nil {
		return
	}
	defer h.guard("Emit")
	if err := e.Validate(); err != nil {
		h.log.Error("an event that can't be published is dropped", "job", h.jobID, "error", err)
		h.q.mu.Lock()
		h.q.stats.Dropped++
		h.q.mu.Unlock()
		return
	}
	it := item{eventType: e.Type, at: e.Time, data: append([]byte(nil), e.Data...)}
	if it.at.IsZero() {
		it.at = time.Now()
	}
	if !e.Terminal() {
		h.q.putEvent(it, false)
		return
	}
	h.mu.Lock()
	h.tree.over = true
	h.stopTimer()
	h.mu.Unlock()
	defer h.over()
	h.q.putEvent(it, true)
}

// Custom publishes anything the agent wants to say.
func (h *Handler) Custom(name string, value any) {
	if h == nil {
		return
	}
	defer h.guard("Custom")
	h.custom(nil, name, value)
}

func (h *Handler) custom(r *Run, name string, value any) {
	f := h.field(TypeCustom, "value", value)
	o := f.add(newObject(len(f.json)+128).str("name", name))
	h.emit(TypeCustom, f.close(r.place(o)))
}

// State publishes a snapshot of the job's state.
func (h *Handler) State(snapshot any) {
	if h == nil {
		return
	}
	defer h.guard("State")
	h.state(nil, "snapshot", snapshot)
}

// StatePatch publishes a change of the job's state: a JSON Patch (RFC 6902).
func (h *Handler) StatePatch(patch any) {
	if h == nil {
		return
	}
	defer h.guard("StatePatch")
	h.state(nil, "patch", patch)
}

func (h *Handler) state(r *Run, name string, value any) {
	f := h.field(TypeState, name, value)
	h.emit(TypeState, f.close(r.place(f.add(newObject(len(f.json)+128)))))
}

// place adds where in the tree an event belongs whose own members use the names
// of the tree's others.
func (r *Run) place(o object) object {
	if r == nil {
		return o
	}
	o = o.str("run_id", r.id)
	if p := r.parent.visible(); p != nil {
		o = o.str("parent_run_id", p.id)
	}
	return o
}

// Error publishes an error that does not end the job, in the run that ctx
// holds. Scope is chain, tool, llm or job.
func (h *Handler) Error(ctx context.Context, err error, scope string) {
	if h == nil || err == nil {
		return
	}
	defer h.guard("Error")
	h.emitError(err, scope, h.runFrom(ctx).visible(), "")
}

func (h *Handler) emitError(err error, scope string, r *Run, messageID string) {
	f := h.explain(TypeError, err, r)
	o := f.add(newObject(len(f.text.json)+256), "kind")
	o = o.text("scope", scope).boolean("fatal", false).text("message_id", messageID)
	h.emit(TypeError, f.close(r.place(o)))
}

// Interrupt says that the whole job waits for input; value is what it asks for.
// [Run.Interrupt] is for one run of it.
func (h *Handler) Interrupt(value any) {
	if h == nil {
		return
	}
	defer h.guard("Interrupt")
	v := h.field(TypePhaseUpdate, "value", value)
	o := newObject(len(v.json)+128).str("phase", "job").str("status", "interrupted")
	h.emit(TypePhaseUpdate, v.close(appendInterrupt(o, "job", v)))
}

// Resume says that the job goes on after an Interrupt; value is the answer.
func (h *Handler) Resume(value any) {
	if h == nil {
		return
	}
	defer h.guard("Resume")
	v := h.field(TypePhaseUpdate, "value", value)
	o := newObject(len(v.json)+128).str("phase", "job").str("status", "resumed")
	h.emit(TypePhaseUpdate, v.close(v.add(o)))
}

// over says that nothing more will be put: heartbeats and the watch for a
// request to stop end, and the sender once the queue is empty.
func (h *Handler) over() {
	h.die(context.Canceled)
	h.q.finish()
}

// stopped is called when the store refuses the handler for good.
func (h *Handler) stopped(err error) {
	h.log.Warn("the store takes no more events of this handler", "job", h.jobID, "error", err)
	h.q.refuse(err)
	h.cancel(err)
	h.die(err)
}

// Flush waits until everything that was published before is stored, or ctx
// ends.
func (h *Handler) Flush(ctx context.Context) error {
	if h == nil {
		return nil
	}
	return h.q.flush(ctx)
}

// Close sends what is queued, until ctx ends, and releases the handler. What
// can't be sent by then goes to the spool if there is one, and is dropped
// otherwise; the error says how many events those are. It does not end the
// job: see [Handler.End]. Give it a context that has not ended: that of a job
// that was asked to stop has.
func (h *Handler) Close(ctx context.Context) error {
	if h == nil {
		return nil
	}
	h.closing.Do(func() { h.closed = h.shut(ctx) })
	return h.closed
}

// closePatience is how long Close waits for an appender that goes on after its
// context has ended.
const closePatience = time.Second

func (h *Handler) shut(ctx context.Context) error {
	defer h.cancel(context.Canceled)
	h.over()
	select {
	case <-h.sent:
	case <-ctx.Done():
	}
	h.abort(context.Cause(ctx))
	select {
	case <-h.ended:
	case <-time.After(closePatience):
		h.log.Error("the appender does not return although its context has ended", "job", h.jobID)
		return h.leave(context.Cause(ctx))
	}
	if err := h.q.refused(); err != nil || h.reason == nil {
		return err
	}
	return h.leave(h.reason)
}

// leave puts what could not be sent into the spool, or drops it.
func (h *Handler) leave(reason error) error {
	kept, lost, err := h.sender.rescue()
	if kept > 0 {
		h.log.Warn("events that could not be sent wait in the spool folder", "job", h.jobID, "events", kept, "dir", h.opts.SpoolDir, "reason", reason)
	}
	if lost == 0 && err == nil {
		return nil
	}
	h.log.Error("events could not be sent and are lost", "job", h.jobID, "events", lost, "reason", reason)
	return errors.Join(fmt.Errorf("%d events could not be sent and are lost: %w", lost, reason), err)
}

// Stats gives the handler's counters.
func (h *Handler) Stats() HandlerStats {
	if h == nil {
		return HandlerStats{}
	}
	h.q.mu.Lock()
	defer h.q.mu.Unlock()
	s := h.q.stats
	s.Queued, s.QueuedBytes = h.q.put-h.q.settled, h.q.bytes
	return s
}

package tidings

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"
)

// Handler tells the story of one job while it runs: a callback handler without
// a framework. Its methods only take a snapshot of their input and put an event
// into a queue, from which it is appended in order and exactly once. They never
// fail or block the agent beyond [HandlerOptions].BlockFor, recover from every
// panic of their own or of the values given, are safe for concurrent use, and
// do nothing on a nil Handler, so that code can run unobserved.
//
// [Handler.Run] runs a whole agent as the job; within, [Do] tells of a part of
// it, [Handler.Model] of a model call and [Handler.Tool] of a tool call. What has
// no function of its own to be called in is begun and ended: [Handler.Phase],
// [Handler.ToolStart].
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
	if ctx == nil { // a fault of the caller's, but no reason to end the agent's process
		ctx = context.Background()
	}
	h := &Handler{
		jobID: jobID, opts: o, log: o.Logger, began: time.Now(), q: newQueue(&o),
		acked: make(chan struct{}), sent: make(chan struct{}), ended: make(chan struct{}),
	}
	h.ctx, h.cancel = context.WithCancelCause(WithJob(ctx, h))
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
	if h.sender.to == nil {
		return errors.Join(errNoAppender, ValidateJobID(h.jobID))
	}
	return errors.Join(ValidateJobID(h.jobID), p.validate())
}

var errNoAppender = errors.New("there is nothing to append to: give Start a store or a client")

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
	defer func() {
		if p := recover(); p != nil { // a fault of ours must not end the agent's process
			h.reason = fmt.Errorf("the sender panicked: %v", p)
			h.log.Error("the sender panicked; what is queued waits for Close", "job", h.jobID, "panic", p, "stack", string(debug.Stack()))
		}
	}()
	ctx, cancel := context.WithCancel(h.sends)
	defer cancel()
	if h.opts.SpoolDir != "" {
		h.work.Go(func() {
			defer h.guard("spill")
			h.sender.spillWhenFull(ctx)
		})
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

// Context is for the agent's work, and holds the job, see [FromContext]. It ends
// with the context given to [Start], at Close, when the job is asked to stop (its
// cause is then a [*CancelledError]), and when another handler has taken the job
// over ([*FencedError]) or ended it ([*ClosedError]). A nil Handler gives the
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

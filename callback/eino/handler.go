package eino

import (
	"context"
	"log/slog"
	"runtime/debug"

	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/schema"

	"tidings"
)

// Options are the settings of a [Handler]. The zero value works. What is
// published of values is bounded and redacted by [tidings.HandlerOptions].
type Options struct {
	// ModelInput publishes the messages that a model is called with. They hold
	// the whole conversation, again with each call.
	ModelInput bool
	// NoValues leaves out the inputs and outputs of graphs, nodes and agents.
	// Those of tools and the models' answers stay.
	NoValues bool
	// Plumbing shows what is hidden otherwise: tools nodes, unnamed lambdas of
	// chains, and the chain, graph and helper nodes that an ADK agent is made of.
	Plumbing bool
	// Logger takes panics of callbacks. Nil: slog.Default().
	Logger *slog.Logger
}

// Handler is a callbacks.Handler that tells what it sees to a job. Safe for
// concurrent use, by any number of graphs and agents.
type Handler struct {
	own  *story // nil: the context's
	opts Options
}

var (
	_ callbacks.Handler       = (*Handler)(nil)
	_ callbacks.TimingChecker = (*Handler)(nil)
)

// NewHandler makes a handler that tells of one job. With a nil job it tells of
// the job that the context holds, see [WithJob], and of nothing where there is
// none: for callbacks.AppendGlobalHandlers. Nil opts are the defaults.
func NewHandler(job *tidings.Handler, opts *Options) *Handler {
	h := &Handler{own: newStory(job)}
	if opts != nil {
		h.opts = *opts
	}
	if h.opts.Logger == nil {
		h.opts.Logger = slog.Default()
	}
	return h
}

// Needed implements callbacks.TimingChecker: without a job nothing is.
func (h *Handler) Needed(ctx context.Context, _ *callbacks.RunInfo, _ callbacks.CallbackTiming) bool {
	if h.own != nil {
		return true
	}
	job, _ := tidings.FromContext(ctx)
	return job != nil
}

// OnStart implements callbacks.Handler: a run begins.
func (h *Handler) OnStart(ctx context.Context, info *callbacks.RunInfo, input callbacks.CallbackInput) (inner context.Context) {
	inner = ctx
	defer h.guard("OnStart")
	if s := h.beginning(ctx); s != nil {
		inner = s.start(ctx, info, input, &h.opts)
	}
	return
}

// OnStartWithStreamInput implements callbacks.Handler: a run begins whose input
// comes as it goes on. The input is not published: its first chunk can't be
// waited for.
func (h *Handler) OnStartWithStreamInput(ctx context.Context, info *callbacks.RunInfo, input *schema.StreamReader[callbacks.CallbackInput]) (inner context.Context) {
	inner = ctx
	defer h.guard("OnStartWithStreamInput")
	if input != nil {
		defer input.Close()
	}
	if s := h.beginning(ctx); s != nil {
		inner = s.start(ctx, info, nil, &h.opts)
	}
	return
}

// OnEnd implements callbacks.Handler: a run has ended. That of an ADK agent has
// only begun to give events, and ends with them.
func (h *Handler) OnEnd(ctx context.Context, info *callbacks.RunInfo, output callbacks.CallbackOutput) context.Context {
	defer h.guard("OnEnd")
	n := h.story(ctx).claim(ctx, info)
	switch events := agentEvents(output); {
	case n == nil:
	case events != nil:
		n.drain(h, events)
	default:
		n.end(output, nil)
	}
	return ctx
}

// OnEndWithStreamOutput implements callbacks.Handler: a run gives a stream, and
// ends with it.
func (h *Handler) OnEndWithStreamOutput(ctx context.Context, info *callbacks.RunInfo, output *schema.StreamReader[callbacks.CallbackOutput]) context.Context {
	defer h.guard("OnEndWithStreamOutput")
	if output == nil {
		return ctx
	}
	n := h.story(ctx).claim(ctx, info)
	if n == nil {
		output.Close()
		return ctx
	}
	n.drain(h, func() result { return n.read(output) })
	return ctx
}

// OnError implements callbacks.Handler: a run has failed, or waits for input.
func (h *Handler) OnError(ctx context.Context, info *callbacks.RunInfo, err error) context.Context {
	defer h.guard("OnError")
	if n := h.story(ctx).claim(ctx, info); n != nil {
		n.end(nil, err)
	}
	return ctx
}

// guard keeps a panic of a callback from the agent: Eino would take it for an
// error of the node. Defer it directly.
func (h *Handler) guard(callback string) {
	if p := recover(); p != nil {
		h.opts.Logger.Error("a callback panicked; what it saw is not published", "callback", callback, "panic", p, "stack", string(debug.Stack()))
	}
}

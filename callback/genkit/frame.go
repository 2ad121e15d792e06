package tidingsgenkit

import (
	"context"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/trace"

	"tidings"
)

type frameKey struct{}

// frame is what a hook puts into the context that it calls on with.
type frame struct {
	run  *tidings.Run
	root *tidings.Run // the outermost run that we know of around it
	span spanKey      // the span in the context when the run began
	// Spans begin for what the hook tells of itself: those of a generation, and
	// one of a model or tool.
	kind   coverage
	covers string // the tool's name
	taken  atomic.Bool
	model  string // the name of the generation's model
}

type coverage int

const (
	coversNothing coverage = iota
	coversGenerate
	coversModel
	coversTool
)

func frameFrom(ctx context.Context) *frame {
	f, _ := ctx.Value(frameKey{}).(*frame)
	return f
}

// spanKey names a span in this process.
type spanKey struct {
	trace trace.TraceID
	span  trace.SpanID
}

func spanOf(ctx context.Context) spanKey {
	return keyOf(trace.SpanContextFromContext(ctx))
}

func keyOf(c trace.SpanContext) spanKey {
	return spanKey{trace: c.TraceID(), span: c.SpanID()}
}

// opened is a span that is under way in a job.
type opened struct {
	run   *tidings.Run    // that the span began, or nil
	root  *tidings.Run    // the outermost run that we know of around it
	inner context.Context // holds the run around what happens in the span
	job   *tracked
}

// spans holds the spans of jobs that are under way in this process: a span
// processor can't put a run into the context, so it is found by the span.
var spans = struct {
	sync.Mutex
	open map[spanKey]*opened
}{open: map[spanKey]*opened{}}

func findSpan(k spanKey) *opened {
	spans.Lock()
	defer spans.Unlock()
	return spans.open[k]
}

func putSpan(k spanKey, o *opened) {
	spans.Lock()
	defer spans.Unlock()
	spans.open[k] = o
}

func takeSpan(k spanKey) *opened {
	spans.Lock()
	defer spans.Unlock()
	o := spans.open[k]
	delete(spans.open, k)
	return o
}

// around gives a context that holds the run in which ctx is, and the outermost
// run known: a hook's, if no span has begun since, and else the span's.
func around(ctx context.Context) (base context.Context, root *tidings.Run) {
	f, at := frameFrom(ctx), spanOf(ctx)
	if f != nil && f.span == at {
		return ctx, f.root
	}
	if o := findSpan(at); o != nil {
		return o.inner, o.root
	}
	if f != nil {
		return ctx, f.root
	}
	return ctx, nil
}

// Context gives a context that holds the run of the flow, step or tool that ctx
// is in, for the methods of [tidings.Handler]: what is started with it appears
// there. Within tools it is not needed.
//
//	genkit.DefineFlow(g, "answer", func(ctx context.Context, q string) (string, error) {
//		step, run := job.Phase(tidingsgenkit.Context(ctx), "look it up")
//		defer run.End(nil)
func Context(ctx context.Context) context.Context {
	base, root := around(ctx)
	if base == ctx {
		return ctx
	}
	return within(ctx, base, &frame{root: root})
}

// within is ctx with the run that inner holds and with the frame.
func within(ctx, inner context.Context, f *frame) context.Context {
	f.span = spanOf(ctx)
	if f.root == nil {
		f.root = f.run
	}
	return context.WithValue(carry{Context: ctx, run: inner}, frameKey{}, f)
}

// carry is a context that finds the run of another one.
type carry struct {
	context.Context
	run context.Context
}

// Value gives the run and the job, and everything else from the newer context.
func (c carry) Value(key any) any {
	switch v := c.run.Value(key).(type) {
	case *tidings.Run, *tidings.Handler:
		return v
	}
	return c.Context.Value(key)
}

// guard keeps a panic of ours away from the flow.
func guard(callback string) {
	if p := recover(); p != nil {
		slog.Error("a callback panicked; what it saw is not published", "callback", callback, "panic", p, "stack", string(debug.Stack()))
	}
}

package tidings

import (
	"cmp"
	"context"
	"errors"
	"time"
)

// ToolRun is one call of a tool. Its methods are safe for concurrent use, never
// block or fail, and do nothing on a nil ToolRun.
type ToolRun struct {
	run    Run
	tool   string
	callID string
}

// errGoexit is how work ends that stops its goroutine, as a test's FailNow
// does.
var errGoexit = errors.New("it ended its goroutine without returning")

// Tool calls fn, a tool that the model asked for by callID (empty: the run's
// ID), and publishes the call and its result. fn's context holds the call as
// the run around what it starts. A panic of fn is published and goes on.
func (h *Handler) Tool(ctx context.Context, name, callID string, input any, fn func(ctx context.Context) (any, error)) (output any, err error) {
	ctx, t := h.ToolStart(ctx, name, callID, input)
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		if p == nil {
			t.End(nil, errGoexit)
			return
		}
		t.End(nil, &PanicError{Value: p})
		panic(p)
	}()
	output, err = fn(ctx)
	returned = true
	t.End(output, err)
	return output, err
}

// ToolStart publishes that a tool is called, for adapters whose framework calls
// it. End the call it returns.
func (h *Handler) ToolStart(ctx context.Context, name, callID string, input any) (context.Context, *ToolRun) {
	return h.ToolWith(ctx, RunInfo{Name: name, Input: input}, name, callID)
}

// ToolWith is [Handler.ToolStart] with everything that an adapter may know.
func (h *Handler) ToolWith(ctx context.Context, info RunInfo, tool, callID string) (inner context.Context, t *ToolRun) {
	inner = ctx
	if h == nil {
		return
	}
	defer h.guard("Tool")
	input := h.field(TypeToolCall, "input", info.Input)
	if info.Name == "" {
		info.Name = tool
	}
	call := &ToolRun{tool: shortName(tool)}
	h.begin(&call.run, ctx, &info, "tool", true)
	call.callID = cmp.Or(shortName(callID), call.run.id)
	inner, t = call.run.within(ctx), call
	if !info.Hidden {
		h.emit(TypeToolCall, input.close(t.object(input)))
	}
	return
}

// object begins the data of a tool event.
func (t *ToolRun) object(value field) object {
	o := newObject(len(t.run.tree) + value.room() + len(t.tool) + len(t.callID) + 128)
	return t.run.addTree(value.add(o.str("tool", t.tool).str("call_id", t.callID)))
}

// Run is the call's place in the tree, for what is not about its result.
func (t *ToolRun) Run() *Run {
	if t == nil {
		return nil
	}
	return &t.run
}

// End publishes the result of the call: its output, or an error, which does not
// fail the job, or none yet if err is [ErrInterrupted]. The second End of a call does nothing.
func (t *ToolRun) End(output any, err error) {
	if t == nil {
		return
	}
	h := t.run.h
	defer h.guard("Tool.End")
	// A snapshot before the call counts as ended: it may take long.
	value := h.resultField(output, err)
	e, ok := h.close(&t.run, err)
	if !ok {
		return
	}
	defer h.settle(&t.run)
	if t.run.hidden || e.status == "" || err != nil && e.status != "failed" { // the tool waits for input
		return
	}
	f := h.explain(TypeToolResult, err, &t.run)
	if err != nil {
		value = f.text
	}
	o := t.object(value)
	if err != nil {
		o = failure{cause: f.cause, kind: f.kind}.add(o, "error_kind")
	}
	h.emit(TypeToolResult, value.close(o.millis("duration_ms", time.Since(t.run.began))))
}

// resultField is the output of a tool, which is published also if it is nil.
func (h *Handler) resultField(output any, err error) field {
	if err != nil {
		return field{}
	}
	if output == nil {
		return field{name: "output", json: []byte("null")}
	}
	return h.field(TypeToolResult, "output", output)
}

package adk

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/adk/v2/agent"
	"google.golang.org/adk/v2/tool"

	"tidings"
)

// toolRun is one call of a tool.
type toolRun struct {
	run   *tidings.ToolRun
	inner context.Context
	err   error // as OnToolError told; another callback may mend it
}

func (v *invocation) toolStarts(ctx agent.Context, t tool.Tool, args map[string]any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tools[ctx.FunctionCallID()] = v.openTool(ctx, t, args)
}

// openTool tells of a call. v.mu is held.
func (v *invocation) openTool(ctx agent.Context, t tool.Tool, args map[string]any) *toolRun {
	_, _, parent := v.around(ctx)
	inner, run := v.job.ToolWith(ctx, tidings.RunInfo{Parent: parent, Input: args}, t.Name(), ctx.FunctionCallID())
	return &toolRun{run: run, inner: inner}
}

// take gives the open call, or one that is told of only now: of a tool that does
// not exist, or that another plugin answered for. v.mu is held.
func (v *invocation) take(ctx agent.Context, t tool.Tool, args map[string]any) *toolRun {
	id := ctx.FunctionCallID()
	run := v.tools[id]
	if run == nil {
		run = v.openTool(ctx, t, args)
	}
	delete(v.tools, id)
	return run
}

// toolFails is told before toolEnds is, or alone if there is no such tool.
func (v *invocation) toolFails(ctx agent.Context, t tool.Tool, args map[string]any, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if open := v.tools[ctx.FunctionCallID()]; open != nil {
		open.err = err
		return
	}
	v.take(ctx, t, args).run.End(nil, err)
}

func (v *invocation) toolEnds(ctx agent.Context, t tool.Tool, args, result map[string]any, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	run := v.take(ctx, t, args)
	id := ctx.FunctionCallID()
	if actions := ctx.Actions(); actions != nil {
		if ask, asked := actions.RequestedToolConfirmations[id]; asked {
			v.interrupted = true
			run.run.Run().Interrupt(map[string]any{"tool": t.Name(), "call_id": id, "message": ask.Hint, "payload": ask.Payload})
			run.run.End(nil, nil)
			return
		}
	}
	if errors.Is(err, tidings.ErrInterrupted) { // it said what for
		v.interrupted = true
	}
	if err == nil && t.IsLongRunning() {
		v.waits(ctx, t.Name(), id, run, result)
		return
	}
	run.run.End(anyOf(result), panicked(err))
}

// waits tells of a long-running tool, whose result somebody gives later.
// With a first answer the agent still ends its turn. v.mu is held.
func (v *invocation) waits(ctx agent.Context, name, id string, t *toolRun, result map[string]any) {
	ask := map[string]any{"tool": name, "call_id": id}
	a, _, _ := v.around(ctx)
	if result == nil || a == nil {
		v.interrupted = true
		t.run.Run().Interrupt(ask)
		t.run.End(nil, nil)
		return
	}
	t.run.End(result, nil)
	a.pending = append(a.pending, ask)
}

// panicError is a panic of a tool as the framework tells of it, without the
// stack that it puts into the text.
type panicError struct{ error }

// Error is the first line.
func (e panicError) Error() string {
	text, _, _ := strings.Cut(e.error.Error(), "\nstack: ")
	return text
}

// ErrorKind is how events name it.
func (panicError) ErrorKind() string { return "panic" }

func (e panicError) Unwrap() error { return e.error }

func panicked(err error) error {
	if err != nil && strings.HasPrefix(errorText(err), "panic in tool ") {
		return panicError{err}
	}
	return err
}

// anyOf is the map, or nil rather than a nil map.
func anyOf(m map[string]any) any {
	if m == nil {
		return nil
	}
	return m
}

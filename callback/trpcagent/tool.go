package trpcagent

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"trpc.group/trpc-go/trpc-agent-go/event"
	"trpc.group/trpc-go/trpc-agent-go/graph"
	"trpc.group/trpc-go/trpc-agent-go/model"
	"trpc.group/trpc-go/trpc-agent-go/tool"

	"tidings"
)

// toolRun is one call of a tool.
type toolRun struct {
	id    string
	run   *tidings.ToolRun
	agent *agentRun
}

type toolKey struct{}

func toolFrom(ctx context.Context) *toolRun {
	t, _ := ctx.Value(toolKey{}).(*toolRun)
	return t
}

func (o *observation) toolStarts(ctx context.Context, args *tool.BeforeToolArgs) context.Context {
	t := &toolRun{id: args.ToolCallID, agent: agentFrom(ctx)}
	info := tidings.RunInfo{Name: args.ToolName, Input: arguments(args.Arguments), Parent: o.node(ctx)}
	inner, run := o.job.ToolWith(ctx, info, args.ToolName, args.ToolCallID)
	t.run = run
	o.mu.Lock()
	delete(o.asked, args.ToolCallID)
	if t.agent != nil {
		t.agent.tools = append(t.agent.tools, t)
	}
	o.mu.Unlock()
	return context.WithValue(inner, toolKey{}, t)
}

func (o *observation) toolEnds(ctx context.Context, args *tool.AfterToolArgs) {
	t := toolFrom(ctx)
	if t == nil || t.id != args.ToolCallID {
		return // its beginning was not told: the job was attached later
	}
	if t.agent != nil {
		o.mu.Lock()
		t.agent.tools = slices.DeleteFunc(t.agent.tools, func(other *toolRun) bool { return other == t })
		o.mu.Unlock()
	}
	if interrupt, ok := graph.GetInterruptError(args.Error); ok {
		t.run.Run().Interrupt(interrupt.Value)
		t.run.End(nil, nil)
		return
	}
	if errors.Is(args.Error, tidings.ErrInterrupted) { // it said what for
		o.mu.Lock()
		o.paused = true
		o.mu.Unlock()
	}
	t.run.End(args.Result, args.Error)
}

// arguments gives what the model wrote as JSON if it is.
func arguments(text []byte) any {
	if json.Valid(text) {
		return json.RawMessage(slices.Clone(text))
	}
	return string(text)
}

// askedFor remembers the calls that a model asks for, until they begin.
func (o *observation) askedFor(a *agentRun, r *model.Response) {
	if a == nil || len(r.Choices) == 0 {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, call := range r.Choices[0].Message.ToolCalls {
		if call.ID != "" {
			o.asked[call.ID] = askedCall{agent: a, name: call.Function.Name, arguments: slices.Clone(call.Function.Arguments)}
		}
	}
}

// askedCall is a call of a tool that has not begun.
type askedCall struct {
	agent     *agentRun
	name      string
	arguments []byte
}

// toolResponse tells of the calls in a tool's response that never began, since
// there is no such tool.
func (o *observation) toolResponse(e *event.Event) {
	for i := range e.Response.Choices {
		m := &e.Response.Choices[i].Message
		o.mu.Lock()
		call, ok := o.asked[m.ToolID]
		delete(o.asked, m.ToolID)
		o.mu.Unlock()
		if !ok {
			continue
		}
		info := tidings.RunInfo{Name: call.name, Input: arguments(call.arguments)}
		_, run := o.job.ToolWith(call.agent.inner, info, call.name, m.ToolID)
		if strings.Contains(m.Content, "Error: ") {
			run.End(nil, errors.New(m.Content))
		} else {
			run.End(m.Content, nil)
		}
	}
}

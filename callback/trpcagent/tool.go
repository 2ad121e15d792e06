package trpcagent

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"trpc.group/trpc-go/trpc-agent-go/event"
	"trpc.group/trpc-go/trpc-agent-go/graph"
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

func (o *observation) toolStarts(ctx context.Context, args *tool.BeforeToolArgs) context.Context {
	t := &toolRun{id: args.ToolCallID, agent: agentFrom(ctx)}
	inner, run := o.job.ToolWith(ctx, tidings.RunInfo{Name: args.ToolName, Input: arguments(args.Arguments)}, args.ToolName, args.ToolCallID)
	t.run = run
	o.mu.Lock()
	o.calls[args.ToolCallID] = true
	if t.agent != nil {
		t.agent.tools = append(t.agent.tools, t)
	}
	o.mu.Unlock()
	return context.WithValue(inner, toolKey{}, t)
}

func (o *observation) toolEnds(ctx context.Context, args *tool.AfterToolArgs) {
	t, _ := ctx.Value(toolKey{}).(*toolRun)
	if t == nil || t.id != args.ToolCallID {
		o.strayTool(ctx, args)
		return
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
	t.run.End(args.Result, args.Error)
}

// strayTool tells of a call whose beginning was not.
func (o *observation) strayTool(ctx context.Context, args *tool.AfterToolArgs) {
	o.mu.Lock()
	told := o.calls[args.ToolCallID]
	o.calls[args.ToolCallID] = true
	o.mu.Unlock()
	if told {
		return
	}
	_, run := o.job.ToolWith(ctx, tidings.RunInfo{Name: args.ToolName, Input: arguments(args.Arguments)}, args.ToolName, args.ToolCallID)
	run.End(args.Result, args.Error)
}

// arguments gives what the model wrote as JSON if it is.
func arguments(text []byte) any {
	if json.Valid(text) {
		return json.RawMessage(slices.Clone(text))
	}
	return string(text)
}

// toolResponse tells of the calls in a tool's response that no callback told of:
// those of tools that don't exist.
func (o *observation) toolResponse(a *agentRun, e *event.Event) {
	for i := range e.Response.Choices {
		m := e.Response.Choices[i].Message
		if m.ToolID == "" {
			continue
		}
		o.mu.Lock()
		told := o.calls[m.ToolID]
		o.calls[m.ToolID] = true
		o.mu.Unlock()
		if told {
			continue
		}
		_, run := o.job.ToolWith(a.inner, tidings.RunInfo{Name: m.ToolName}, m.ToolName, m.ToolID)
		if strings.HasPrefix(m.Content, "Error") {
			run.End(nil, errors.New(m.Content))
			continue
		}
		run.End(m.Content, nil)
	}
}

package langchaingo

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/tmc/langchaingo/tools"

	"tidings"
)

// WrapTool gives a tool that tells of its calls if their context holds a job.
// Without it nothing but the request to call a tool of your own reaches
// Tidings. What the tool starts with its context appears beneath the call.
func WrapTool(tool tools.Tool) tools.Tool {
	if tool == nil {
		return nil
	}
	if _, wrapped := tool.(*observedTool); wrapped {
		return tool
	}
	return &observedTool{Tool: tool}
}

// WrapTools is [WrapTool] for each.
func WrapTools(list ...tools.Tool) []tools.Tool {
	wrapped := make([]tools.Tool, len(list))
	for i, tool := range list {
		wrapped[i] = WrapTool(tool)
	}
	return wrapped
}

type observedTool struct{ tools.Tool }

// Call runs the tool as a run of the job.
func (t *observedTool) Call(ctx context.Context, input string) (output string, err error) {
	s, ctx := storyOf(ctx)
	if s == nil {
		return t.Tool.Call(ctx, input)
	}
	c := s.enterTool(ctx, t.Name(), input)
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		s.leaveTool(c, nil, panicked(p))
		if p != nil {
			panic(p)
		}
	}()
	output, err = t.Tool.Call(c.ctx, input)
	returned = true
	s.leaveTool(c, output, err)
	return output, err
}

// toolCall is one call of a wrapped tool.
type toolCall struct {
	ctx    context.Context // for the tool
	run    *tidings.ToolRun
	bridge *tidings.Run // leads from the context to the run; mostly nil
}

// enterTool begins the call, or takes over the one that the executor's callback
// has begun.
func (s *story) enterTool(ctx context.Context, name, input string) toolCall {
	c := s.adopt(ctx, name)
	if c.run == nil {
		c.ctx, c.run = s.job.ToolWith(s.around(ctx), tidings.RunInfo{Name: name, Input: jsonOrText(input)}, name, s.callID(name, input))
	}
	c.ctx = within(c.ctx, false)
	s.ownTool(c.ctx)
	return c
}

func (s *story) leaveTool(c toolCall, output any, err error) {
	s.leave(c.ctx, err)
	c.bridge.End(nil)
	c.run.End(output, err)
}

// jsonOrText gives a tool's input as what it is: tools take a string, but models
// mostly write a JSON object.
func jsonOrText(s string) any {
	if text := strings.TrimSpace(s); strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[") {
		if json.Valid([]byte(text)) {
			return json.RawMessage(text)
		}
	}
	return s
}

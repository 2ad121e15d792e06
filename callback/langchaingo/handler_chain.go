package langchaingo

import (
	"context"

	"github.com/tmc/langchaingo/schema"

	"tidings"
)

// HandleChainStart begins a chain; only chains that were built with the handler
// call it, and no chain says its name.
func (h *Handler) HandleChainStart(ctx context.Context, inputs map[string]any) {
	h.with(ctx, "HandleChainStart", func(s *story, l *level) {
		l.endModel(nil)
		if _, plans := inputs["agent_scratchpad"]; plans { // an agent asks its chain what to do next
			l.results(nil)
		}
		inner, run := s.job.PhaseWith(l.inner(), tidings.RunInfo{Name: "chain", Kind: "chain", Input: inputs})
		sc := s.scope(ctx)
		if sc == nil {
			run.End(nil) // its end can't be found
			return
		}
		sc.levels = append(sc.levels, &level{ctx: inner, chain: run})
	})
}

// HandleChainEnd ends the innermost chain of the context.
func (h *Handler) HandleChainEnd(ctx context.Context, outputs map[string]any) {
	h.endChain(ctx, "HandleChainEnd", outputs, nil)
}

// HandleChainError ends the innermost chain of the context, and with the same
// error what is open in it: a model or tool that failed has said nothing.
func (h *Handler) HandleChainError(ctx context.Context, err error) {
	if err != nil {
		h.endChain(ctx, "HandleChainError", nil, err)
	}
}

func (h *Handler) endChain(ctx context.Context, callback string, outputs map[string]any, err error) {
	h.with(ctx, callback, func(s *story, l *level) {
		if l.chain == nil {
			return
		}
		l.settle(err)
		if err == nil {
			l.chain.Output(outputs)
		}
		l.chain.End(err)
		sc := s.scope(ctx)
		sc.levels = sc.levels[:len(sc.levels)-1]
	})
}

// HandleAgentAction begins the call of a tool: the executor calls the tool next.
// A wrapped tool, or one of langchaingo's own, tells of its result; that of any
// other is taken from the next question to the model, if it is there.
func (h *Handler) HandleAgentAction(ctx context.Context, step schema.AgentAction) {
	h.with(ctx, "HandleAgentAction", func(s *story, l *level) {
		l.endModel(nil)
		a := &action{tool: step.Tool, id: step.ToolID}
		info := tidings.RunInfo{Name: a.tool, Input: jsonOrText(step.ToolInput)}
		a.ctx, a.run = s.job.ToolWith(l.ctx, info, a.tool, a.id)
		l.actions = append(l.actions, a)
	})
}

// HandleAgentFinish says that the agent calls no more tools; its chain's end has
// the answer.
func (h *Handler) HandleAgentFinish(ctx context.Context, _ schema.AgentFinish) {
	h.with(ctx, "HandleAgentFinish", func(_ *story, l *level) { l.settle(nil) })
}

// HandleToolStart is called by a few of langchaingo's own tools, which don't say
// their names: if the executor has said which tool it calls, it is that one.
func (h *Handler) HandleToolStart(ctx context.Context, input string) {
	h.with(ctx, "HandleToolStart", func(s *story, l *level) {
		if n := len(l.actions); n > 0 && !l.actions[n-1].claimed {
			l.actions[n-1].claimed = true
			return
		}
		if len(l.actions) == 0 && l.ownTool {
			return
		}
		a := &action{tool: "tool", claimed: true}
		a.ctx, a.run = s.job.ToolWith(l.inner(), tidings.RunInfo{Name: a.tool, Input: jsonOrText(input)}, a.tool, "")
		l.actions = append(l.actions, a)
	})
}

// HandleToolEnd ends the call.
func (h *Handler) HandleToolEnd(ctx context.Context, output string) {
	h.endTool(ctx, "HandleToolEnd", output, nil)
}

// HandleToolError ends the call.
func (h *Handler) HandleToolError(ctx context.Context, err error) {
	h.endTool(ctx, "HandleToolError", nil, err)
}

func (h *Handler) endTool(ctx context.Context, callback string, output any, err error) {
	h.with(ctx, callback, func(_ *story, l *level) {
		n := len(l.actions) - 1
		if n < 0 || !l.actions[n].claimed {
			return
		}
		l.actions[n].run.End(output, err)
		l.actions = l.actions[:n]
	})
}

package trpcagent

import (
	"context"
	"slices"
	"strings"

	"trpc.group/trpc-go/trpc-agent-go/agent"
	"trpc.group/trpc-go/trpc-agent-go/model"

	"tidings"
)

// modelRun is one call of the model.
type modelRun struct {
	run      *tidings.ModelRun
	agent    *agentRun // nil outside of agents
	reasoned bool      // thoughts were streamed; only the call's own goroutine uses it
}

type modelKey struct{}

func (o *observation) modelStarts(ctx context.Context) context.Context {
	name := ""
	if inv, ok := agent.InvocationFromContext(ctx); ok && inv != nil && inv.Model != nil {
		name = inv.Model.Info().Name
	}
	m := &modelRun{agent: agentFrom(ctx)}
	// The context of the call goes on to the tools that it asks for. These belong
	// to the agent, so the model's run is not put into it.
	_, m.run = o.job.ModelWith(ctx, tidings.RunInfo{Name: name, Parent: o.node(ctx)}, name, "")
	if m.agent != nil {
		o.mu.Lock()
		m.agent.models = append(m.agent.models, m)
		o.mu.Unlock()
	}
	return context.WithValue(ctx, modelKey{}, m)
}

func (o *observation) modelAnswers(ctx context.Context, args *model.AfterModelArgs) {
	m, _ := ctx.Value(modelKey{}).(*modelRun)
	if m == nil {
		return
	}
	r := args.Response
	switch {
	case r != nil && r.Error != nil:
		o.modelEnds(m, "", responseError(r.Error))
	case args.Error != nil:
		o.modelEnds(m, "", args.Error)
	case r == nil:
	case r.IsPartial:
		m.piece(r)
	default:
		m.whole(r)
		o.askedFor(m.agent, r)
		o.modelEnds(m, answerOf(r), nil)
	}
}

func (o *observation) modelEnds(m *modelRun, text string, err error) {
	if m.agent != nil {
		o.mu.Lock()
		m.agent.models = slices.DeleteFunc(m.agent.models, func(other *modelRun) bool { return other == m })
		o.mu.Unlock()
	}
	m.run.End(text, err)
}

// piece tells of a part of the stream. Of several choices only the first is the
// agent's.
func (m *modelRun) piece(r *model.Response) {
	m.usage(r.Usage)
	if len(r.Choices) == 0 {
		return
	}
	delta := &r.Choices[0].Delta
	if delta.ReasoningContent != "" {
		m.reasoned = true
		m.run.Delta(tidings.ChannelReasoning, delta.ReasoningContent)
	}
	m.run.Delta(tidings.ChannelText, delta.Content)
}

// whole tells what the answer has besides its text.
func (m *modelRun) whole(r *model.Response) {
	m.usage(r.Usage)
	if len(r.Choices) == 0 {
		return
	}
	c := &r.Choices[0]
	if c.FinishReason != nil {
		m.run.FinishReason(*c.FinishReason)
	}
	if !m.reasoned {
		m.run.Delta(tidings.ChannelReasoning, c.Message.ReasoningContent)
	}
	for i := range c.Message.ToolCalls {
		call := &c.Message.ToolCalls[i]
		m.run.ToolCall(call.ID, call.Function.Name, arguments(call.Function.Arguments))
	}
}

// usage takes the counts, which pieces carry too, as zeros until the last.
func (m *modelRun) usage(u *model.Usage) {
	if u == nil || u.PromptTokens == 0 && u.CompletionTokens == 0 {
		return
	}
	m.run.Usage(tidings.Usage{
		InputTokens: int64(u.PromptTokens), OutputTokens: int64(u.CompletionTokens),
		CachedInputTokens: int64(u.PromptTokensDetails.CachedTokens),
		ReasoningTokens:   int64(u.CompletionTokensDetails.ReasoningTokens),
	})
}

// agentError is an error that the framework passes on as text and a type.
type agentError struct {
	text, kind string
	cause      error // context.Canceled or DeadlineExceeded, if it is one
}

// responseError gives the error in a response.
func responseError(e *model.ResponseError) error {
	err := &agentError{text: e.Message, kind: e.Type}
	if err.text == "" {
		err.text = e.Type
	}
	switch {
	case strings.Contains(e.Message, context.DeadlineExceeded.Error()):
		err.cause = context.DeadlineExceeded
	case e.Type == model.ErrorTypeCancelled || strings.Contains(e.Message, context.Canceled.Error()):
		err.cause = context.Canceled
	}
	return err
}

// Error gives the text.
func (e *agentError) Error() string { return e.text }

// Unwrap gives what the error was before it became text, if that can be told.
func (e *agentError) Unwrap() error { return e.cause }

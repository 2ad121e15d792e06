package tidingsgenkit

import (
	"context"
	"strings"
	"sync"

	"github.com/firebase/genkit/go/ai"

	"tidings"
)

// modelCall is one call of a model.
type modelCall struct {
	run *tidings.ModelRun

	mu             sync.Mutex
	text, thoughts string // that were streamed, only as long as it is needed
	reasoned       bool
}

// observe wraps the callback of a stream. There is none if nobody streams.
func (m *modelCall) observe(callback ai.ModelStreamCallback) ai.ModelStreamCallback {
	if callback == nil {
		return nil
	}
	return func(ctx context.Context, chunk *ai.ModelResponseChunk) error {
		m.piece(chunk)
		return callback(ctx, chunk)
	}
}

func (m *modelCall) piece(chunk *ai.ModelResponseChunk) {
	defer guard("chunk")
	if chunk == nil || chunk.Role == ai.RoleTool {
		return
	}
	text, thoughts := split(chunk.Content)
	if chunk.Aggregated {
		text, thoughts = m.added(text, thoughts)
	}
	if thoughts != "" {
		m.mu.Lock()
		m.reasoned = true
		m.mu.Unlock()
	}
	m.run.Delta(tidings.ChannelReasoning, thoughts)
	m.run.Delta(tidings.ChannelText, text)
}

// added is what an aggregated chunk has more than those before it.
func (m *modelCall) added(text, thoughts string) (string, string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	moreText, moreThoughts := strings.TrimPrefix(text, m.text), strings.TrimPrefix(thoughts, m.thoughts)
	m.text, m.thoughts = text, thoughts
	return moreText, moreThoughts
}

// split gives the text and the thoughts of a message's parts.
func split(parts []*ai.Part) (text, thoughts string) {
	if len(parts) == 1 && parts[0] != nil && parts[0].IsText() {
		return parts[0].Text, "" // nearly always
	}
	var answer, thought strings.Builder
	for _, p := range parts {
		switch {
		case p == nil:
		case p.IsReasoning():
			thought.WriteString(p.Text)
		case p.IsText(), p.IsData():
			answer.WriteString(p.Text)
		}
	}
	return answer.String(), thought.String()
}

func (m *modelCall) end(resp *ai.ModelResponse, err error) {
	defer guard("WrapModel")
	if err != nil || resp == nil {
		m.run.End("", err)
		return
	}
	text := ""
	if resp.Message != nil {
		var thoughts string
		text, thoughts = split(resp.Message.Content)
		if m.mu.Lock(); !m.reasoned {
			m.run.Delta(tidings.ChannelReasoning, thoughts)
		}
		m.mu.Unlock()
		m.toolCalls(resp.Message.Content)
	}
	if u := resp.Usage; u != nil && (u.InputTokens > 0 || u.OutputTokens > 0) {
		m.run.Usage(usage(u))
	}
	m.run.FinishReason(string(resp.FinishReason))
	m.run.End(text, nil)
}

// toolCalls tells which tools the answer asks for.
func (m *modelCall) toolCalls(parts []*ai.Part) {
	for _, p := range parts {
		if p != nil && p.ToolRequest != nil {
			m.run.ToolCall(p.ToolRequest.Ref, p.ToolRequest.Name, p.ToolRequest.Input)
		}
	}
}

// usage counts reasoning as output. Providers differ in whether OutputTokens has it
// already; the total tells.
func usage(u *ai.GenerationUsage) tidings.Usage {
	output := u.OutputTokens
	if u.TotalTokens == u.InputTokens+u.OutputTokens+u.ThoughtsTokens {
		output += u.ThoughtsTokens
	}
	return tidings.Usage{
		InputTokens: int64(u.InputTokens), OutputTokens: int64(output),
		CachedInputTokens: int64(u.CachedContentTokens), ReasoningTokens: int64(u.ThoughtsTokens),
	}
}

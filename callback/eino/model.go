package eino

import (
	"encoding/json"
	"strings"

	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/schema"

	"tidings"
)

// modelName is the model's name if its component tells it, and what implements
// it otherwise.
func modelName(info *callbacks.RunInfo, input any) string {
	if in := model.ConvCallbackInput(input); in != nil && in.Config != nil && in.Config.Model != "" {
		return in.Config.Model
	}
	if in := model.ConvAgenticCallbackInput(input); in != nil && in.Config != nil && in.Config.Model != "" {
		return in.Config.Model
	}
	if info != nil {
		return info.Type
	}
	return ""
}

// answer is what a model said, whole or what has come of a stream.
type answer struct {
	text      string
	reasoning string
	finish    string
	usage     *tidings.Usage
	calls     []schema.ToolCall // pieces of a stream, not joined yet
}

// answerOf reads an output, or one chunk, of a model of either message type.
func answerOf(output any) answer {
	if o := model.ConvCallbackOutput(output); o != nil {
		a := messageAnswer(o.Message)
		if o.TokenUsage != nil {
			u := o.TokenUsage
			a.usage = usage(u.PromptTokens, u.CompletionTokens, u.PromptTokenDetails.CachedTokens, u.CompletionTokensDetails.ReasoningTokens)
		}
		return a
	}
	if o := model.ConvAgenticCallbackOutput(output); o != nil {
		a := agenticAnswer(o.Message)
		if o.TokenUsage != nil {
			u := o.TokenUsage
			a.usage = usage(u.PromptTokens, u.CompletionTokens, u.PromptTokenDetails.CachedTokens, u.CompletionTokensDetails.ReasoningTokens)
		}
		return a
	}
	return answer{}
}

func usage(in, out, cached, reasoning int) *tidings.Usage {
	return &tidings.Usage{InputTokens: int64(in), OutputTokens: int64(out), CachedInputTokens: int64(cached), ReasoningTokens: int64(reasoning)}
}

func schemaUsage(u *schema.TokenUsage) *tidings.Usage {
	if u == nil {
		return nil
	}
	return usage(u.PromptTokens, u.CompletionTokens, u.PromptTokenDetails.CachedTokens, u.CompletionTokensDetails.ReasoningTokens)
}

func messageAnswer(m *schema.Message) answer {
	if m == nil {
		return answer{}
	}
	a := answer{text: messageText(m), reasoning: m.ReasoningContent, calls: m.ToolCalls}
	if m.ResponseMeta != nil {
		a.finish, a.usage = m.ResponseMeta.FinishReason, schemaUsage(m.ResponseMeta.Usage)
	}
	return a
}

// messageText is a message's text, of its parts if it has no other.
func messageText(m *schema.Message) string {
	if m.Content != "" || len(m.AssistantGenMultiContent) == 0 {
		return m.Content
	}
	var b strings.Builder
	for _, part := range m.AssistantGenMultiContent {
		b.WriteString(part.Text)
	}
	return b.String()
}

func agenticAnswer(m *schema.AgenticMessage) answer {
	var a answer
	if m == nil {
		return a
	}
	for i, b := range m.ContentBlocks {
		if b == nil {
			continue
		}
		if b.AssistantGenText != nil {
			a.text += b.AssistantGenText.Text
		}
		if b.Reasoning != nil {
			a.reasoning += b.Reasoning.Text
		}
		if c := b.FunctionToolCall; c != nil {
			if b.StreamingMeta != nil {
				i = b.StreamingMeta.Index
			}
			a.calls = append(a.calls, schema.ToolCall{Index: &i, ID: c.CallID, Function: schema.FunctionCall{Name: c.Name, Arguments: c.Arguments}})
		}
	}
	if m.ResponseMeta != nil {
		a.usage = schemaUsage(m.ResponseMeta.TokenUsage)
	}
	return a
}

// add takes the next chunk of a stream in; its text goes to the job at once.
func (a *answer) add(chunk answer, m *tidings.ModelRun) {
	m.Delta(tidings.ChannelReasoning, chunk.reasoning)
	m.Delta(tidings.ChannelText, chunk.text)
	a.calls = append(a.calls, chunk.calls...)
	if chunk.finish != "" {
		a.finish = chunk.finish
	}
	if chunk.usage != nil {
		a.usage = chunk.usage
	}
}

// tell ends the model's call.
func (a *answer) tell(m *tidings.ModelRun, err error) {
	m.Delta(tidings.ChannelReasoning, a.reasoning)
	if a.usage != nil {
		m.Usage(*a.usage)
	}
	if a.finish != "" {
		m.FinishReason(a.finish)
	}
	if err == nil {
		for _, c := range joined(a.calls) {
			m.ToolCall(c.ID, c.Function.Name, arguments(c.Function.Arguments))
		}
	}
	m.End(a.text, err)
}

// joined puts the pieces of tool calls together, as Eino does.
func joined(calls []schema.ToolCall) []schema.ToolCall {
	if len(calls) < 2 {
		return calls
	}
	pieces := make([]*schema.Message, len(calls))
	for i := range calls {
		pieces[i] = &schema.Message{Role: schema.Assistant, ToolCalls: calls[i : i+1]}
	}
	m, err := schema.ConcatMessages(pieces)
	if err != nil {
		return calls
	}
	return m.ToolCalls
}

// arguments are those of a tool, as the model wrote them.
func arguments(text string) any {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}

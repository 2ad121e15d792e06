package openai

import (
	"context"
	"encoding/json"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/respjson"
	"github.com/openai/openai-go/v3/packages/ssestream"

	"tidings"
)

// ChatStream calls create, which is client.Chat.Completions.NewStreaming, in the
// run that ctx holds, and tells of the stream while it is read. The tokens that
// the call took are told if params ask for them (StreamOptions.IncludeUsage).
// Of several choices the first is told.
func ChatStream(
	ctx context.Context, job *tidings.Handler,
	create func(context.Context, openai.ChatCompletionNewParams, ...option.RequestOption) *ssestream.Stream[openai.ChatCompletionChunk],
	params openai.ChatCompletionNewParams, opts ...option.RequestOption,
) *Stream[openai.ChatCompletionChunk] {
	ctx, c := begin(ctx, job, params.Model)
	return &Stream[openai.ChatCompletionChunk]{from: create(ctx, params, opts...), call: c, see: (*call).chunk}
}

// Chat calls create, which is client.Chat.Completions.New, in the run that ctx
// holds, and tells of its answer.
func Chat(
	ctx context.Context, job *tidings.Handler,
	create func(context.Context, openai.ChatCompletionNewParams, ...option.RequestOption) (*openai.ChatCompletion, error),
	params openai.ChatCompletionNewParams, opts ...option.RequestOption,
) (*openai.ChatCompletion, error) {
	ctx, c := begin(ctx, job, params.Model)
	completion, err := create(ctx, params, opts...)
	if err == nil {
		c.completion(completion)
	}
	c.end(err)
	return completion, err
}

// chunk takes in a piece of a stream.
func (c *call) chunk(chunk *openai.ChatCompletionChunk) {
	if chunk.JSON.Usage.Valid() {
		c.model.Usage(chatUsage(&chunk.Usage))
	}
	for i := range chunk.Choices {
		choice := &chunk.Choices[i]
		if choice.Index != 0 {
			continue
		}
		c.delta(&choice.Delta)
		if choice.FinishReason != "" {
			c.finished = true
			c.model.FinishReason(choice.FinishReason)
		}
	}
}

func (c *call) delta(d *openai.ChatCompletionChunkChoiceDelta) {
	c.model.Delta(tidings.ChannelReasoning, reasoning(d.JSON.ExtraFields))
	c.model.Delta(tidings.ChannelText, d.Content)
	c.model.Delta(tidings.ChannelRefusal, d.Refusal)
	for i := range d.ToolCalls {
		piece := &d.ToolCalls[i]
		t := c.tool(piece.Index)
		t.id += piece.ID
		t.name += piece.Function.Name
		t.arguments = append(t.arguments, piece.Function.Arguments...)
	}
}

// completion takes in a whole answer.
func (c *call) completion(completion *openai.ChatCompletion) {
	defer guard("completion")
	if completion.JSON.Usage.Valid() {
		c.model.Usage(chatUsage(&completion.Usage))
	}
	if len(completion.Choices) == 0 {
		return
	}
	choice := &completion.Choices[0]
	c.model.FinishReason(choice.FinishReason)
	c.model.Delta(tidings.ChannelReasoning, reasoning(choice.Message.JSON.ExtraFields))
	c.model.Delta(tidings.ChannelRefusal, choice.Message.Refusal)
	c.text = choice.Message.Content
	for i := range choice.Message.ToolCalls {
		id, name, input := chatToolCall(&choice.Message.ToolCalls[i])
		c.asks(id, name, input)
	}
}

func chatToolCall(t *openai.ChatCompletionMessageToolCallUnion) (id, name, input string) {
	if t.Type == "custom" {
		return t.ID, t.Custom.Name, t.Custom.Input
	}
	return t.ID, t.Function.Name, t.Function.Arguments
}

// reasoning is what other providers of this API tell of the model's reasoning.
func reasoning(extra map[string]respjson.Field) string {
	for _, name := range []string{"reasoning_content", "reasoning"} {
		if f, ok := extra[name]; ok {
			var text string
			_ = json.Unmarshal([]byte(f.Raw()), &text) // of another shape: not told
			return text
		}
	}
	return ""
}

func chatUsage(u *openai.CompletionUsage) tidings.Usage {
	return tidings.Usage{
		InputTokens: u.PromptTokens, OutputTokens: u.CompletionTokens,
		CachedInputTokens: u.PromptTokensDetails.CachedTokens, CacheWriteTokens: u.PromptTokensDetails.CacheWriteTokens,
		ReasoningTokens: u.CompletionTokensDetails.ReasoningTokens,
	}
}

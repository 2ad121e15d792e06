package openai

import (
	"context"
	"errors"

	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/ssestream"
	"github.com/openai/openai-go/v3/responses"

	"tidings"
)

// ResponseStream calls create, which is client.Responses.NewStreaming, in the
// run that ctx holds, and tells of the stream while it is read.
func ResponseStream(
	ctx context.Context, job *tidings.Handler,
	create func(context.Context, responses.ResponseNewParams, ...option.RequestOption) *ssestream.Stream[responses.ResponseStreamEventUnion],
	params responses.ResponseNewParams, opts ...option.RequestOption,
) *Stream[responses.ResponseStreamEventUnion] {
	ctx, c := begin(ctx, job, params.Model)
	return &Stream[responses.ResponseStreamEventUnion]{from: create(ctx, params, opts...), call: c, see: (*call).event, last: (*call).lastEvent}
}

// Response calls create, which is client.Responses.New, in the run that ctx
// holds, and tells of its answer.
func Response(
	ctx context.Context, job *tidings.Handler,
	create func(context.Context, responses.ResponseNewParams, ...option.RequestOption) (*responses.Response, error),
	params responses.ResponseNewParams, opts ...option.RequestOption,
) (*responses.Response, error) {
	ctx, c := begin(ctx, job, params.Model)
	response, err := create(ctx, params, opts...)
	if err == nil {
		c.response(response)
	}
	c.end(err)
	return response, err
}

// event takes in an event of a stream.
func (c *call) event(e *responses.ResponseStreamEventUnion) {
	switch e.Type {
	case "response.output_text.delta":
		c.model.Delta(tidings.ChannelText, e.Delta)
	case "response.refusal.delta":
		c.model.Delta(tidings.ChannelRefusal, e.Delta)
	case "response.reasoning_text.delta", "response.reasoning_summary_text.delta":
		c.model.Delta(tidings.ChannelReasoning, e.Delta)
	case "response.output_item.done":
		c.item(&e.Item)
	case "response.completed", "response.incomplete", "response.failed":
		c.outcome(&e.Response)
	case "error":
		c.failure = apiFailure(e.Code, e.Message)
	}
}

// lastEvent is the end of a stream, which every answer comes before.
func (c *call) lastEvent() {
	if !c.finished && c.failure == nil {
		c.failure = errCut
	}
}

// response takes in a whole answer.
func (c *call) response(r *responses.Response) {
	defer guard("response")
	for i := range r.Output {
		c.item(&r.Output[i])
		for _, part := range r.Output[i].Summary {
			c.model.Delta(tidings.ChannelReasoning, part.Text)
		}
		for _, part := range r.Output[i].Content {
			c.model.Delta(tidings.ChannelRefusal, part.Refusal)
		}
	}
	c.text = r.OutputText()
	c.outcome(r)
}

// item takes in a whole part of the answer.
func (c *call) item(item *responses.ResponseOutputItemUnion) {
	if name, input, ok := itemToolCall(item); ok {
		c.asks(item.CallID, name, input)
	}
}

// itemToolCall says which tool the item asks the caller for, if it does.
func itemToolCall(item *responses.ResponseOutputItemUnion) (name, input string, ok bool) {
	switch item.Type {
	case "function_call":
		return item.Name, item.Arguments.OfString, true
	case "custom_tool_call":
		return item.Name, item.AsCustomToolCall().Input, true
	}
	return "", "", false
}

// outcome takes in how the answer ended.
func (c *call) outcome(r *responses.Response) {
	c.finished = true
	if r.JSON.Usage.Valid() {
		c.model.Usage(tidings.Usage{
			InputTokens: r.Usage.InputTokens, OutputTokens: r.Usage.OutputTokens,
			CachedInputTokens: r.Usage.InputTokensDetails.CachedTokens, CacheWriteTokens: r.Usage.InputTokensDetails.CacheWriteTokens,
			ReasoningTokens: r.Usage.OutputTokensDetails.ReasoningTokens,
		})
	}
	switch r.Status {
	case "failed":
		c.failure = apiFailure(string(r.Error.Code), r.Error.Message)
	case "incomplete":
		c.model.FinishReason(r.IncompleteDetails.Reason)
	default:
		c.model.FinishReason(string(r.Status))
	}
}

// apiFailure is an error that the API told within an answer.
func apiFailure(code, message string) error {
	if message == "" {
		message = "the model failed without saying why"
	}
	return &kindError{errors.New(message), code}
}

package openai

import (
	"context"
	"encoding/json"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"

	"tidings"
)

// Tools are the functions that a model may call, by name. A function gets the
// arguments as the model wrote them; what it returns goes to the model, a string
// as it is and anything else as JSON, and so does its error.
type Tools map[string]func(ctx context.Context, arguments json.RawMessage) (any, error)

// RunChat calls the tools that a chat completion asks for, one after another, as
// tool calls of the job, and gives the messages that answer them. Put them
// behind the message that asked: message.ToParam().
func (t Tools) RunChat(ctx context.Context, job *tidings.Handler, calls []openai.ChatCompletionMessageToolCallUnion) []openai.ChatCompletionMessageParamUnion {
	var answers []openai.ChatCompletionMessageParamUnion
	for i := range calls {
		c := &calls[i]
		name, input := c.Function.Name, c.Function.Arguments
		if c.Type == "custom" {
			name, input = c.Custom.Name, c.Custom.Input
		}
		answers = append(answers, openai.ToolMessage(t.run(ctx, job, c.ID, name, input), c.ID))
	}
	return answers
}

// RunResponse calls the tools that a response asks for, one after another, as
// tool calls of the job, and gives the items that answer them. Send them with
// PreviousResponseID, or behind the items of the response.
func (t Tools) RunResponse(ctx context.Context, job *tidings.Handler, output []responses.ResponseOutputItemUnion) []responses.ResponseInputItemUnionParam {
	var answers []responses.ResponseInputItemUnionParam
	for i := range output {
		switch o := &output[i]; o.Type {
		case "function_call":
			answer := responses.ResponseInputItemParamOfFunctionCallOutput(t.run(ctx, job, o.CallID, o.Name, o.Arguments.OfString))
			answer.OfFunctionCallOutput.CallID = param.NewOpt(o.CallID)
			answers = append(answers, answer)
		case "custom_tool_call":
			answer := t.run(ctx, job, o.CallID, o.Name, o.AsCustomToolCall().Input)
			answers = append(answers, responses.ResponseInputItemParamOfCustomToolCallOutput(o.CallID, answer))
		}
	}
	return answers
}

// run calls one tool and gives what the model is told of it.
func (t Tools) run(ctx context.Context, job *tidings.Handler, id, name, input string) string {
	answer, err := tidings.Tools(t).Call(ctx, job, name, id, json.RawMessage(input))
	if err != nil {
		return "error: " + answer
	}
	return answer
}

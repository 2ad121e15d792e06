package anthropic

import (
	"context"
	"encoding/json"

	"github.com/anthropics/anthropic-sdk-go"

	"tidings"
)

// Tools are the functions that a model may call, by name. A function gets the
// arguments as the model wrote them; what it returns goes to the model, a string
// as it is and anything else as JSON, and so does its error.
type Tools map[string]func(ctx context.Context, arguments json.RawMessage) (any, error)

// Run calls the tools that a message asks for, one after another, as tool calls
// of the job, and gives the results for the next user message. There are none
// if the message asks for no tool.
func (t Tools) Run(ctx context.Context, job *tidings.Handler, content []anthropic.ContentBlockUnion) []anthropic.ContentBlockParamUnion {
	var results []anthropic.ContentBlockParamUnion
	for i := range content {
		if b := &content[i]; b.Type == "tool_use" {
			answer, err := tidings.Tools(t).Call(ctx, job, b.Name, b.ID, b.Input)
			results = append(results, anthropic.NewToolResultBlock(b.ID, answer, err != nil))
		}
	}
	return results
}

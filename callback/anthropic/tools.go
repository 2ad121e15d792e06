package anthropic

import (
	"context"
	"encoding/json"
	"fmt"

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
			answer, failed := t.run(ctx, job, b.ID, b.Name, b.Input)
			results = append(results, anthropic.NewToolResultBlock(b.ID, answer, failed))
		}
	}
	return results
}

// run calls one tool and gives what the model is told of it.
func (t Tools) run(ctx context.Context, job *tidings.Handler, id, name string, input json.RawMessage) (answer string, failed bool) {
	output, err := job.Tool(ctx, name, id, input, func(ctx context.Context) (any, error) {
		fn := t[name]
		if fn == nil {
			return nil, fmt.Errorf("there is no tool %q", name)
		}
		return fn(ctx, input)
	})
	if err != nil {
		return err.Error(), true
	}
	if s, ok := output.(string); ok {
		return s, false
	}
	text, err := json.Marshal(output)
	if err != nil {
		return "the tool's output can't be written as JSON: " + err.Error(), true
	}
	return string(text), false
}

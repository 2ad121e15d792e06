package tidings

import (
	"context"
	"encoding/json"
	"fmt"
)

// Tools are the functions that a model may call, by name, for agents without a
// framework. A function gets the arguments as the model wrote them.
type Tools map[string]func(ctx context.Context, arguments json.RawMessage) (any, error)

// Call calls the tool that a model asked for, as a tool call of the job
// ([Handler.Tool]), and gives what the model is to read: what the function
// returned, a string as it is and anything else as JSON, or the text of its
// error, which is returned too. That there is no such tool is an error like any
// other. A nil job calls the tool and tells nobody.
func (t Tools) Call(ctx context.Context, job *Handler, name, callID string, arguments json.RawMessage) (answer string, err error) {
	output, err := job.Tool(ctx, name, callID, arguments, func(ctx context.Context) (any, error) {
		fn := t[name]
		if fn == nil {
			return nil, fmt.Errorf("there is no tool %q", name)
		}
		return fn(ctx, arguments)
	})
	if err != nil {
		return errorText(err), err
	}
	if text, ok := output.(string); ok {
		return text, nil
	}
	return string(encodeValue(output)), nil
}

package anthropic

import (
	"bytes"
	"context"
	"encoding/json"
	"sync"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"tidings"
)

// Runner makes one of the SDK's tool runners, which tells the job of its model
// calls and tool calls: create is client.Beta.Messages.NewToolRunner or
// NewToolRunnerStreaming. Everything happens in the run that the context holds
// with which the runner is asked for the next message.
func Runner[R any](
	job *tidings.Handler,
	create func(tools []anthropic.BetaTool, params anthropic.BetaToolRunnerParams, opts ...option.RequestOption) R,
	tools []anthropic.BetaTool, params anthropic.BetaToolRunnerParams, opts ...option.RequestOption,
) R {
	calls := &asked{}
	told := make([]anthropic.BetaTool, len(tools))
	for i, t := range tools {
		told[i] = &tool{BetaTool: t, job: job, asked: calls}
	}
	return create(told, params, append(opts[:len(opts):len(opts)], tell(job, calls))...)
}

// tool is a tool whose calls are told.
type tool struct {
	anthropic.BetaTool
	job   *tidings.Handler
	asked *asked
}

// Execute calls the tool.
func (t *tool) Execute(ctx context.Context, input json.RawMessage) (content []anthropic.BetaToolResultBlockParamContentUnion, err error) {
	job := t.job
	if job == nil {
		job, _ = tidings.FromContext(ctx)
	}
	_, err = job.Tool(ctx, t.Name(), t.asked.take(t.Name(), input), input, func(ctx context.Context) (any, error) {
		content, err = t.BetaTool.Execute(ctx, input)
		return output(content), err
	})
	return content, err
}

// output is a tool's result for people: its text if it is one, else all of it.
func output(content []anthropic.BetaToolResultBlockParamContentUnion) any {
	if len(content) == 1 && content[0].OfText != nil {
		return content[0].OfText.Text
	}
	return content
}

// asked are the tool calls that answers asked for and nobody has made yet. The
// runner does not tell tools the ID of their call.
type asked struct {
	mu    sync.Mutex
	calls []block
}

// add notes the calls of an answer. A runner makes those of one answer before it
// asks for the next, so what is left of older ones is forgotten.
func (a *asked) add(calls []block) {
	if a == nil {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls[:0:0], calls...)
}

// take gives the ID of a call of that name and input, or "".
func (a *asked) take(name string, input json.RawMessage) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	wanted := canonical(input)
	for i := range a.calls {
		if c := &a.calls[i]; c.Name == name && bytes.Equal(canonical(c.arguments()), wanted) {
			id := c.ID
			a.calls = append(a.calls[:i], a.calls[i+1:]...)
			return id
		}
	}
	return ""
}

// canonical is JSON with its members in one order.
func canonical(raw json.RawMessage) []byte {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return raw
	}
	out, err := json.Marshal(v)
	if err != nil {
		return raw
	}
	return out
}

package openai

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/ssestream"

	"tidings"
)

// call is one call of a model, as it comes in.
type call struct {
	model    *tidings.ModelRun
	tools    []toolCall
	text     string // the whole answer, if the provider told it
	finished bool   // the model has said its last word
	failure  error  // told within the stream
	ended    bool
	leave    func() bool // takes back what is to happen when the context ends
}

// toolCall is a tool that the model asks for.
type toolCall struct {
	index     int64
	id, name  string
	arguments []byte
}

// begin starts a call. One whose stream is read by nobody any more ends with
// ctx.
func begin(ctx context.Context, job *tidings.Handler, model string) (context.Context, *call) {
	inner, m := job.ModelWith(ctx, tidings.RunInfo{Name: model}, model, "")
	c := &call{model: m}
	c.leave = context.AfterFunc(ctx, func() { m.End("", context.Cause(ctx)) })
	return inner, c
}

// tool is the tool call at that place of the answer.
func (c *call) tool(index int64) *toolCall {
	for i := range c.tools {
		if c.tools[i].index == index {
			return &c.tools[i]
		}
	}
	c.tools = append(c.tools, toolCall{index: index})
	return &c.tools[len(c.tools)-1]
}

// asks adds a whole tool call.
func (c *call) asks(id, name, arguments string) {
	t := c.tool(int64(len(c.tools)))
	t.id, t.name = id, name
	t.arguments = []byte(arguments)
}

// end ends the call as far as it came.
func (c *call) end(err error) {
	if c.ended {
		return
	}
	c.ended = true
	c.leave()
	if err == nil {
		err = c.failure
	}
	if err != nil {
		c.model.End("", named(err))
		return
	}
	slices.SortFunc(c.tools, func(a, b toolCall) int { return int(a.index - b.index) })
	for i := range c.tools {
		t := &c.tools[i]
		c.model.ToolCall(t.id, t.name, json.RawMessage(t.arguments))
	}
	c.model.End(c.text, nil)
}

// errClosed is how a call ends whose stream is closed before its end.
var errClosed = &kindError{errors.New("the stream was closed before its end"), "aborted"}

// errCut is how a call ends whose stream stops without the model's last word.
var errCut = &kindError{fmt.Errorf("the stream ended before the answer did: %w", io.ErrUnexpectedEOF), "cut_short"}

// kindError says what kind of error it is: see the kind of error events.
type kindError struct {
	error
	kind string
}

func (e *kindError) ErrorKind() string { return e.kind }
func (e *kindError) Unwrap() error     { return e.error }

// named gives an error of the API the kind that the API tells.
func named(err error) error {
	var told struct{ Error struct{ Code, Type string } }
	if api, ok := errors.AsType[*openai.Error](err); ok {
		told.Error.Code, told.Error.Type = api.Code, api.Type
	} else if broken, ok := errors.AsType[*ssestream.StreamError](err); ok {
		_ = json.Unmarshal(broken.Event.Data, &told) // of another shape: no kind
	}
	if kind := cmp.Or(told.Error.Code, told.Error.Type); kind != "" {
		return &kindError{err, kind}
	}
	return err
}

// guard keeps a fault of ours from the agent. Defer it directly.
func guard(what string) {
	if p := recover(); p != nil {
		slog.Error("a callback panicked; what it saw is not published", "callback", what, "panic", p)
	}
}

package openai

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"

	"tidings"
)

// call is one call of a model, as it comes in. The SDK may close the answer
// while it is read.
type call struct {
	model *tidings.ModelRun
	chat  bool        // of Chat Completions, else of Responses
	leave func() bool // takes back what is to happen when the context ends

	mu     sync.Mutex
	tools  []toolCall
	text   string // the whole answer, if it came as a whole
	last   bool   // the model has said its last word
	broken error  // told in the answer
	ended  bool
}

// toolCall is a tool that the model asks for.
type toolCall struct {
	index     int
	id, name  string
	arguments []byte
}

// Event takes in an event of a stream.
func (c *call) Event(data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if bytes.HasPrefix(bytes.TrimSpace(data), []byte("[DONE]")) {
		c.finish(nil)
		return
	}
	var err error
	if c.chat {
		var chunk completion
		if err = json.Unmarshal(data, &chunk); err == nil {
			c.chunk(&chunk)
		}
	} else {
		var e responseEvent
		if err = json.Unmarshal(data, &e); err == nil {
			c.responseEvent(&e)
		}
	}
	c.broken = cmp.Or(c.broken, err)
}

// Message takes in an answer that came as a whole.
func (c *call) Message(data []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	if c.chat {
		var whole completion
		if c.broken = json.Unmarshal(data, &whole); c.broken == nil {
			c.completion(&whole)
			c.finish(nil)
		}
		return
	}
	var whole response
	if c.broken = json.Unmarshal(data, &whole); c.broken == nil {
		c.response(&whole)
	}
}

// Refused takes in an answer of the API that is an error. Its text is that of
// the SDK's error, which keeps the API's own from logs.
func (c *call) Refused(status int, data []byte) {
	var e struct{ Error apiError }
	_ = json.Unmarshal(data, &e) // of another form: it has no kind
	text := strings.TrimSpace(fmt.Sprintf("OpenAI API error: %d %s", status, http.StatusText(status)))
	c.End(&kindError{errors.New(text), e.Error.kind()})
}

// tool is the tool call at that place of the answer.
func (c *call) tool(index int) *toolCall {
	i := slices.IndexFunc(c.tools, func(t toolCall) bool { return t.index == index })
	if i < 0 {
		c.tools = append(c.tools, toolCall{index: index})
		i = len(c.tools) - 1
	}
	return &c.tools[i]
}

// asks adds a whole tool call.
func (c *call) asks(id, name, arguments string) {
	c.tools = append(c.tools, toolCall{index: len(c.tools), id: id, name: name, arguments: []byte(arguments)})
}

// Over is the end of the answer.
func (c *call) Over() { c.endUnlessSaid(errCut) }

// Close is the end of the SDK's interest in the answer.
func (c *call) Close() { c.endUnlessSaid(errClosed) }

// endUnlessSaid ends the call well if the model has said its last word.
func (c *call) endUnlessSaid(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last && c.broken == nil {
		err = nil
	}
	c.finish(err)
}

// End ends the call, which has failed of err unless its end came before.
func (c *call) End(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish(err)
}

// finish ends the call, with c.mu held.
func (c *call) finish(err error) {
	if c.ended {
		return
	}
	c.ended = true
	c.leave()
	if err != nil {
		c.model.End("", cmp.Or(c.broken, err))
		return
	}
	slices.SortStableFunc(c.tools, func(a, b toolCall) int { return a.index - b.index })
	for i := range c.tools {
		t := &c.tools[i]
		c.model.ToolCall(t.id, t.name, json.RawMessage(t.arguments))
	}
	c.model.End(c.text, nil)
}

// errClosed is how a call ends whose answer is closed before its end.
var errClosed error = &kindError{errors.New("the answer was closed before its end"), "aborted"}

// errCut is how a call ends whose answer stops without the model's last word.
var errCut error = &kindError{fmt.Errorf("the answer stops in the middle: %w", io.ErrUnexpectedEOF), "cut_short"}

// kindError says what kind of error it is: see the kind of error events.
type kindError struct {
	error
	kind string
}

func (e *kindError) ErrorKind() string { return e.kind }
func (e *kindError) Unwrap() error     { return e.error }

// guard keeps a fault of ours from the agent. Defer it directly.
func guard(callback string) {
	if p := recover(); p != nil {
		slog.Error("a callback panicked; what it saw is not published", "callback", callback, "panic", p, "stack", string(debug.Stack()))
	}
}

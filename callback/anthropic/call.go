package anthropic

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"sync"

	"tidings"
)

// call is one call of a model, as it comes in. The SDK may close the answer
// while it is read.
type call struct {
	model *tidings.ModelRun
	asked *asked
	leave func() bool // takes back what is to happen when the context ends

	mu     sync.Mutex
	usage  usage
	tools  []block
	text   string // the whole answer, if it came as a whole
	last   bool   // the model has said its last word
	broken error  // told in the answer
	ended  bool
}

// Event takes in an event of a stream.
func (c *call) Event(data []byte) {
	var e event
	err := json.Unmarshal(data, &e)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.broken = cmp.Or(c.broken, err)
		return
	}
	switch e.Type {
	case "message_start":
		c.count(e.Message.Usage)
	case "content_block_start":
		c.start(e.Index, e.Block)
	case "content_block_delta":
		c.delta(e.Index, &e.Delta)
	case "message_delta":
		c.count(e.Usage)
		c.model.FinishReason(e.Delta.StopReason)
	case "message_stop":
		c.last = true
		c.finish(nil)
	case "error": // the SDK reads no further
		c.finish(e.Error.err())
	}
}

func (c *call) start(index int, b block) {
	b.index = index
	c.model.Delta(tidings.ChannelText, b.Text)
	c.model.Delta(tidings.ChannelReasoning, b.Thinking)
	if b.Type == "tool_use" {
		c.tools = append(c.tools, b)
	}
}

func (c *call) delta(index int, d *delta) {
	switch d.Type {
	case "text_delta":
		c.model.Delta(tidings.ChannelText, d.Text)
	case "thinking_delta":
		c.model.Delta(tidings.ChannelReasoning, d.Thinking)
	case "input_json_delta":
		if i := slices.IndexFunc(c.tools, func(b block) bool { return b.index == index }); i >= 0 {
			c.tools[i].pieces = append(c.tools[i].pieces, d.PartialJSON...)
		}
	}
}

// Message takes in an answer that came as a whole.
func (c *call) Message(data []byte) {
	var m message
	err := json.Unmarshal(data, &m)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.broken = err
	}
	if err != nil || c.ended {
		return
	}
	for i, b := range m.Content {
		switch b.Type {
		case "text":
			c.text += b.Text
		default:
			c.start(i, b)
		}
	}
	c.count(m.Usage)
	c.model.FinishReason(m.StopReason)
	c.last = true
	c.finish(nil)
}

// Refused takes in an answer of the API that is an error.
func (c *call) Refused(status int, data []byte) {
	var e event
	_ = json.Unmarshal(data, &e) // of another form: the status says it
	err := e.Error.err()
	if e.Error.Message == "" {
		err = errors.New(fmt.Sprint(status, " ", http.StatusText(status)))
	}
	c.End(err)
}

// Over is the end of the answer.
func (c *call) Over() {
	c.End(errCut)
}

// Close is the end of the SDK's interest in the answer.
func (c *call) Close() {
	c.End(errClosed)
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
	if usage, told := c.usage.sum(); told {
		c.model.Usage(usage)
	}
	if err != nil {
		c.model.End("", cmp.Or(c.broken, err))
		return
	}
	for i := range c.tools {
		t := &c.tools[i]
		c.model.ToolCall(t.ID, t.Name, t.arguments())
	}
	c.asked.add(c.tools)
	c.model.End(c.text, nil)
}

func (c *call) count(u *usage) {
	if u != nil {
		c.usage.update(u)
	}
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

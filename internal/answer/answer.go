// Package answer looks at the answers of model APIs while their SDKs read them.
package answer

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
)

// Call is told what an answer says. If it panics, that is logged, and the answer goes
// to its reader all the same.
type Call interface {
	Event(data []byte)               // the data of one event of a stream
	Message(body []byte)             // an answer that is no stream
	Refused(status int, body []byte) // an answer that is no success
	Over()                           // it was read to its end
	End(err error)                   // reading it failed
	Close()                          // its reader wants no more of it
}

// maxHeld is how much of an answer is held to be read as a whole: one event of a
// stream, or all of what is none. The rest goes by unseen.
const maxHeld = 8 << 20

// body is the body of an answer, which is told of while the SDK reads it.
type body struct {
	io.ReadCloser
	call   Call
	status int
	stream bool
	held   []byte // the line that is not complete, or all that came
	data   []byte // of the event that is not complete
}

// Listen gives the answer's body, which tells the call what passes through it.
func Listen(c Call, r *http.Response) io.ReadCloser {
	return &body{
		ReadCloser: r.Body, call: c, status: r.StatusCode,
		stream: r.StatusCode < 300 && strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream"),
	}
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.take(p[:n])
	switch err {
	case nil:
	case io.EOF:
		b.whole()
		b.call.Over()
	default:
		b.call.End(err)
	}
	return n, err
}

// Close ends the call, also if the answer was not read to its end.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.whole()
	b.call.Close()
	return err
}

// take looks at what was read.
func (b *body) take(p []byte) {
	defer guard()
	if !b.stream {
		b.held = append(b.held, p[:min(len(p), maxHeld-len(b.held))]...)
		return
	}
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			b.held = append(b.held, p[:min(len(p), maxHeld-len(b.held))]...)
			return
		}
		line := p[:end]
		if len(b.held) > 0 {
			line = append(b.held, line...)
		}
		b.line(bytes.TrimSuffix(line, []byte("\r")))
		b.held = b.held[:0]
		p = p[end+1:]
	}
}

// line takes in a line of a stream. An empty one completes an event.
func (b *body) line(line []byte) {
	if len(line) == 0 {
		if len(b.data) > 0 {
			b.call.Event(b.data)
			b.data = b.data[:0]
		}
		return
	}
	if data, ok := bytes.CutPrefix(line, []byte("data:")); ok && len(b.data)+len(data) <= maxHeld {
		b.data = append(b.data, data...) // white space does not matter in JSON
	}
}

// whole takes in an answer that is no stream.
func (b *body) whole() {
	defer guard()
	switch {
	case b.stream || b.held == nil && b.status < 300:
	case b.status >= 300:
		b.call.Refused(b.status, b.held)
	default:
		b.call.Message(b.held)
	}
	b.held = nil
}

func guard() {
	if p := recover(); p != nil {
		slog.Error("a callback panicked; what it saw is not published", "callback", "answer", "panic", p, "stack", string(debug.Stack()))
	}
}

package openai

import (
	"bytes"
	"io"
	"net/http"
	"strings"
)

// maxHeld is how much of an answer is held to be read as a whole: one event of a
// stream, or all of what is none. The rest goes by unseen.
const maxHeld = 8 << 20

// body is the body of an answer, which is told of while the SDK reads it.
type body struct {
	io.ReadCloser
	call   *call
	status int
	stream bool
	held   []byte // the line that is not complete, or all that came
	data   []byte // of the event that is not complete
}

func listen(c *call, r *http.Response) io.ReadCloser {
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
		b.call.over()
	default:
		b.call.end(err)
	}
	return n, err
}

// Close ends the call, also if the answer was not read to its end.
func (b *body) Close() error {
	err := b.ReadCloser.Close()
	b.whole()
	b.call.close()
	return err
}

// take looks at what was read.
func (b *body) take(p []byte) {
	defer guard("answer")
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
			b.call.event(b.data)
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
	defer guard("answer")
	switch {
	case b.stream || b.held == nil && b.status < 300:
	case b.status >= 300:
		b.call.refused(b.status, b.held)
	default:
		b.call.message(b.held)
	}
	b.held = nil
}

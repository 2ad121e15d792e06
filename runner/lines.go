package runner

import (
	"bytes"
	"io"

	"tidings"
	"tidings/wire"
)

// lineWriter passes on what a program writes, and gives its lines.
type lineWriter struct {
	through io.Writer
	line    func([]byte) // valid during the call only
	partial []byte
}

// maxOutputLine is where a line is cut in two: a program that writes no line
// ends must not be kept in memory.
const maxOutputLine = 32 << 10

// Write implements [io.Writer]. A reader that went away does not stop the
// program: its lines are events all the same.
func (w *lineWriter) Write(p []byte) (int, error) {
	if w.through != nil {
		if _, err := w.through.Write(p); err != nil {
			w.through = nil
		}
	}
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		switch room := maxOutputLine - len(w.partial); {
		case end >= 0 && end <= room:
			w.give(p[:end])
			p = p[end+1:]
		case len(p) > room:
			w.give(p[:room])
			p = p[room:]
		default:
			w.partial = append(w.partial, p...)
			p = nil
		}
	}
	return n, nil
}

func (w *lineWriter) give(rest []byte) {
	line := rest
	if len(w.partial) > 0 {
		line = append(w.partial, rest...)
	}
	w.line(bytes.TrimSuffix(line, []byte("\r")))
	w.partial = w.partial[:0]
}

// flush gives a last line that has no end.
func (w *lineWriter) flush() {
	if len(w.partial) > 0 {
		w.give(nil)
	}
}

// asEvent reads a line that is an event.
func asEvent(line []byte) (tidings.Event, bool) {
	line = bytes.TrimSpace(line)
	if !bytes.HasPrefix(line, []byte("{")) || !bytes.Contains(line, []byte(`"event_type"`)) {
		return tidings.Event{}, false
	}
	e, err := wire.ParseEvent(line)
	return e, err == nil
}

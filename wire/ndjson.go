package wire

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	"tidings"
)

// ContentTypeNDJSON is the media type of events as lines
// (https://github.com/ndjson/ndjson-spec).
const ContentTypeNDJSON = "application/x-ndjson"

// EventReader reads events as NDJSON, one a line; blank lines are skipped. It
// holds one line at a time. Not safe for concurrent use.
type EventReader struct {
	r       *bufio.Reader
	line    int
	maxLine int
	long    []byte
}

// NewEventReader reads lines of at most maxLine bytes from r.
func NewEventReader(r io.Reader, maxLine int) *EventReader {
	return &EventReader{r: bufio.NewReaderSize(r, 32<<10), maxLine: maxLine}
}

// Line is the number, from 1, of the line that Next read last.
func (r *EventReader) Line() int { return r.line }

// Next gives the next event, or [io.EOF]. A line that is no event is a
// [*tidings.InvalidError] that names the line; one that is too long is a
// [*tidings.TooLargeError], after which the reader can't go on.
func (r *EventReader) Next() (tidings.Event, error) {
	for {
		text, err := r.readLine()
		if err != nil {
			return tidings.Event{}, err
		}
		if len(text) == 0 {
			continue
		}
		e, err := ParseEvent(text)
		if err != nil {
			var invalid *tidings.InvalidError
			if errors.As(err, &invalid) {
				err = &tidings.InvalidError{Field: fmt.Sprintf("line %d: %s", r.line, invalid.Field), Reason: invalid.Reason}
			}
			return tidings.Event{}, err
		}
		return e, nil
	}
}

// readLine gives the next line without its end and outer white space. The
// slice is valid until the next call.
func (r *EventReader) readLine() ([]byte, error) {
	r.long = r.long[:0]
	for {
		part, err := r.r.ReadSlice('\n')
		if len(r.long)+len(part) > r.maxLine+1 {
			r.line++
			return nil, &tidings.TooLargeError{What: fmt.Sprintf("line %d", r.line), Limit: int64(r.maxLine)}
		}
		switch {
		case err == nil && len(r.long) == 0:
			r.line++
			return bytes.TrimSpace(part), nil
		case errors.Is(err, bufio.ErrBufferFull):
			r.long = append(r.long, part...)
		case err == nil || errors.Is(err, io.EOF):
			r.long = append(r.long, part...)
			if err != nil && len(r.long) == 0 {
				return nil, io.EOF
			}
			r.line++
			return bytes.TrimSpace(r.long), nil
		default:
			return nil, err
		}
	}
}

// Ready reports whether a whole line that is not blank has been read ahead, so
// that Next will not wait for input.
func (r *EventReader) Ready() bool {
	ahead, _ := r.r.Peek(r.r.Buffered())
	for {
		line, rest, whole := bytes.Cut(ahead, []byte("\n"))
		if !whole {
			return false
		}
		if len(bytes.TrimSpace(line)) > 0 {
			return true
		}
		ahead = rest
	}
}

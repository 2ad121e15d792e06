package wire

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"strconv"
	"time"

	"tidings"
)

// ContentTypeSSE is the media type of Server-Sent Events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
const ContentTypeSSE = "text/event-stream"

// Control events of a stream. They carry no id line, and their data has no
// event_type, so that they can't be taken for events of the job.
const (
	ControlEnd     = "end"     // the log has ended and everything was sent
	ControlGap     = "gap"     // events after the cursor were trimmed
	ControlRewound = "rewound" // the log is not the one of the cursor; it follows from its start
	ControlDeleted = "deleted" // the job was deleted
	ControlStalled = "stalled" // no sign of life from the job
	ControlResumed = "resumed" // signs of life are back
)

// AppendFrame appends the event as an SSE frame whose id line is the cursor
// with the log's incarnation.
func AppendFrame(dst []byte, e *tidings.Event, incarnation string) []byte {
	dst = append(dst, "id: "...)
	dst = tidings.Cursor{ID: e.ID, Incarnation: incarnation}.Append(dst)
	dst = append(dst, "\nevent: "...)
	dst = appendOneLine(dst, e.Type)
	dst = append(dst, "\ndata: "...)
	dst = AppendEvent(dst, e)
	return append(dst, "\n\n"...)
}

// AppendFeedFrame appends a change of the feed as an SSE frame. A deletion is
// a [ControlDeleted] frame with the feed's cursor as its id.
func AppendFeedFrame(dst []byte, c *tidings.Change) []byte {
	dst = append(dst, "id: "...)
	dst = append(dst, c.Cursor...)
	dst = append(dst, "\nevent: "...)
	if c.Deleted {
		dst = append(dst, ControlDeleted+"\ndata: {\"job_id\":"...)
		dst = AppendString(dst, c.Event.JobID)
		return append(dst, "}\n\n"...)
	}
	dst = appendOneLine(dst, c.Event.Type)
	dst = append(dst, "\ndata: "...)
	dst = AppendEvent(dst, &c.Event)
	return append(dst, "\n\n"...)
}

// AppendControl appends a control frame; data is one line of JSON.
func AppendControl(dst []byte, name string, data []byte) []byte {
	dst = append(dst, "event: "...)
	dst = append(dst, name...)
	dst = append(dst, "\ndata: "...)
	dst = append(dst, data...)
	return append(dst, "\n\n"...)
}

// AppendRetry appends a frame that sets the client's delay before it
// reconnects.
func AppendRetry(dst []byte, delay time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, delay.Milliseconds(), 10)
	return append(dst, "\n\n"...)
}

// Heartbeat is a comment frame that keeps a quiet connection from being closed.
const Heartbeat = ": \n\n"

// appendOneLine appends s with line ends, which would end the SSE field, as
// spaces. The event's JSON still has it as it is.
func appendOneLine(dst []byte, s string) []byte {
	for i := range len(s) {
		c := s[i]
		if c == '\n' || c == '\r' {
			c = ' '
		}
		dst = append(dst, c)
	}
	return dst
}

// Message is one dispatched SSE message.
type Message struct {
	ID    string // of this message only; empty if it had no id line
	Event string // empty: "message"
	Data  []byte // valid until the next call of Next
}

// SSEReader parses a stream of Server-Sent Events as WHATWG HTML, section
// 9.2.6, says. Not safe for concurrent use.
type SSEReader struct {
	r     *bufio.Reader
	max   int
	data  []byte
	retry time.Duration
	first bool
	sawCR bool
	line  []byte
}

// NewSSEReader reads frames whose lines and data have at most maxBytes.
func NewSSEReader(r io.Reader, maxBytes int) *SSEReader {
	return &SSEReader{r: bufio.NewReaderSize(r, 16<<10), max: maxBytes, first: true, retry: -1}
}

// Retry is the reconnection delay that the stream set last, or -1.
func (r *SSEReader) Retry() time.Duration { return r.retry }

// Next gives the next message with data. An unfinished one at the end of the
// stream is dropped, as the specification says, and [io.EOF] returned. Data over the
// limit is a [*tidings.TooLargeError].
func (r *SSEReader) Next() (Message, error) {
	m := Message{}
	r.data = r.data[:0]
	hasData := false
	for {
		line, err := r.readLine()
		if err != nil {
			return Message{}, err
		}
		if len(line) == 0 {
			if !hasData {
				m = Message{}
				continue
			}
			m.Data = bytes.TrimSuffix(r.data, []byte("\n"))
			return m, nil
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(name) {
		case "id":
			if !bytes.ContainsRune(value, 0) {
				m.ID = string(value)
			}
		case "event":
			m.Event = string(value)
		case "data":
			if len(r.data)+len(value) > r.max {
				return Message{}, &tidings.TooLargeError{What: "SSE message", Limit: int64(r.max)}
			}
			hasData = true
			r.data = append(append(r.data, value...), '\n')
		case "retry":
			if ms, err := strconv.ParseUint(string(value), 10, 31); err == nil {
				r.retry = time.Duration(ms) * time.Millisecond
			}
		}
	}
}

// readLine gives a line without its end: LF, CR or CRLF.
func (r *SSEReader) readLine() ([]byte, error) {
	r.line = r.line[:0]
	for {
		chunk, err := r.r.Peek(max(1, r.r.Buffered()))
		if len(chunk) == 0 {
			if err == nil || errors.Is(err, bufio.ErrBufferFull) {
				err = io.ErrNoProgress
			}
			return nil, err // a line without an end is dropped
		}
		if r.sawCR {
			r.sawCR = false
			if chunk[0] == '\n' {
				_, _ = r.r.Discard(1)
				continue
			}
		}
		end := bytes.IndexAny(chunk, "\r\n")
		if end < 0 {
			r.line = append(r.line, chunk...)
			_, _ = r.r.Discard(len(chunk))
			if len(r.line) > r.max+16 {
				return nil, &tidings.TooLargeError{What: "SSE line", Limit: int64(r.max)}
			}
			continue
		}
		r.line = append(r.line, chunk[:end]...)
		r.sawCR = chunk[end] == '\r'
		_, _ = r.r.Discard(end + 1)
		if r.first {
			r.first = false
			r.line = bytes.TrimPrefix(r.line, []byte("\xef\xbb\xbf"))
		}
		return r.line, nil
	}
}

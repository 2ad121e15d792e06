package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"

	"tidings"
	"tidings/wire"
)

// A stream's lines are committed when no further line has arrived, or at these
// sizes.
const (
	chunkEvents = 1000
	chunkBytes  = 1 << 20
	lineMargin  = 8 << 10 // what a line may have besides its data
)

// appendLines takes a body of NDJSON in one of two ways. A body that says its
// length, and any body of a producer, is one batch: all or nothing, within the
// limits of a batch. A body without a length is a stream: its lines are committed
// in order as they arrive, however long it goes on, and an answer says how many
// were. ?stream= chooses where the client can't.
func (s *Server) appendLines(w http.ResponseWriter, r *http.Request, jobID string, producer *tidings.Producer) error {
	stream, err := boolParam(r, "stream", r.ContentLength < 0 && producer == nil)
	if err != nil {
		return err
	}
	if stream && producer != nil {
		return &tidings.InvalidError{Field: "stream", Reason: "a producer's sequence counts batches, so its body can't be a stream; leave out the Producer headers or stream=true"}
	}
	if stream {
		return s.appendStream(w, r, jobID)
	}
	events, err := s.readLines(w, r)
	if err != nil {
		return err
	}
	return s.appendBatch(w, r, jobID, tidings.Batch{Events: events, Producer: producer})
}

// readLines reads a batch of lines.
func (s *Server) readLines(w http.ResponseWriter, r *http.Request) ([]tidings.Event, error) {
	if r.ContentLength > s.limits.BodyBytes {
		return nil, &http.MaxBytesError{Limit: s.limits.BodyBytes}
	}
	body := s.watchBody(w, http.MaxBytesReader(w, r.Body, s.limits.BodyBytes), s.limits.BodyTimeout)
	defer body.done()
	lines := wire.NewEventReader(body, s.limits.EventBytes+lineMargin)
	var events []tidings.Event
	for {
		e, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		events = append(events, e)
		if len(events) > s.limits.BatchEvents {
			return events, nil // checkBatch refuses it
		}
	}
}

// lineStream commits lines as they arrive.
type lineStream struct {
	s     *Server
	jobID string
	lines *wire.EventReader

	chunk     []tidings.Event
	chunkSize int
	chunkLine int // where the chunk starts

	accepted    int64
	ids         []tidings.ID // of the first batch limit
	lastID      tidings.ID
	incarnation string
	ended       bool // by a terminal event
}

func (s *Server) appendStream(w http.ResponseWriter, r *http.Request, jobID string) error {
	body := s.watchBody(w, r.Body, s.limits.StreamIdle)
	defer onDrain(s.drain, func() { body.stop(errDraining) })()
	l := &lineStream{s: s, jobID: jobID, lines: wire.NewEventReader(body, s.limits.EventBytes+lineMargin)}
	if err := l.run(r.Context()); err != nil {
		return err
	}
	body.done()
	if l.accepted == 0 {
		return &tidings.InvalidError{Field: "body", Reason: "holds no event; send one a line"}
	}
	return l.answer(w)
}

// run reads to the end of the body. The lines before a bad one are committed:
// what a stream has accepted does not depend on how the network cut it.
func (l *lineStream) run(ctx context.Context) error {
	for {
		e, err := l.lines.Next()
		if err == nil {
			err = l.check(&e)
		}
		if err != nil {
			if commitErr := l.commit(ctx); commitErr != nil {
				return commitErr
			}
			if errors.Is(err, io.EOF) {
				return nil
			}
			return l.partial(err, l.stoppedAt(err))
		}
		l.take(e)
		if l.full(&e) || !l.lines.Ready() {
			if err := l.commit(ctx); err != nil {
				return err
			}
		}
	}
}

func (l *lineStream) check(e *tidings.Event) error {
	if len(e.Data) > l.s.limits.EventBytes {
		return &tidings.TooLargeError{What: "line " + strconv.Itoa(l.lines.Line()), Limit: int64(l.s.limits.EventBytes)}
	}
	if e.JobID != "" && e.JobID != l.jobID {
		return &tidings.InvalidError{Field: "line " + strconv.Itoa(l.lines.Line()) + ": job_id", Reason: "is not the job appended to, " + strconv.Quote(l.jobID)}
	}
	return nil
}

func (l *lineStream) take(e tidings.Event) {
	if len(l.chunk) == 0 {
		l.chunkLine = l.lines.Line()
	}
	l.chunk = append(l.chunk, e)
	l.chunkSize += len(e.Data)
}

// full ends a chunk also at a terminal event: what follows is refused by the
// store, not together with what came before.
func (l *lineStream) full(last *tidings.Event) bool {
	return len(l.chunk) >= chunkEvents || l.chunkSize >= chunkBytes || last.Terminal()
}

func (l *lineStream) commit(ctx context.Context) error {
	if len(l.chunk) == 0 {
		return nil
	}
	receipt, err := l.s.append(ctx, l.jobID, tidings.Batch{Events: l.chunk})
	if err != nil {
		return l.partial(err, l.chunkLine)
	}
	l.accepted += int64(len(l.chunk))
	l.lastID, l.incarnation = receipt.LastID, receipt.Incarnation
	l.ended = l.chunk[len(l.chunk)-1].Terminal()
	if l.accepted <= int64(l.s.limits.BatchEvents) {
		l.ids = append(l.ids, receipt.IDs...)
	}
	l.chunk, l.chunkSize = nil, 0 // the store keeps the events
	return nil
}

// stoppedAt is the line that was not accepted: the bad one, or the one that did
// not come.
func (l *lineStream) stoppedAt(err error) int {
	_, invalid := errors.AsType[*tidings.InvalidError](err)
	_, tooLarge := errors.AsType[*tidings.TooLargeError](err)
	if invalid || tooLarge {
		return l.lines.Line()
	}
	return l.lines.Line() + 1
}

func (l *lineStream) partial(err error, line int) error {
	return &partialError{err: err, accepted: l.accepted, lastID: l.lastID, line: line}
}

// answer is that of a batch, and the number of events. The IDs are left out if
// they are more than a batch may have.
func (l *lineStream) answer(w http.ResponseWriter) error {
	if l.ended {
		w.Header().Set("Stream-Closed", "true")
	}
	out := []byte{'{'}
	if l.accepted == int64(len(l.ids)) {
		out = append(appendIDs(out[:0], l.ids), ',')
	}
	out = strconv.AppendInt(append(out, `"accepted":`...), l.accepted, 10)
	out = append(l.lastID.Append(append(out, `,"last_id":"`...)), '"')
	return writeBytes(w, http.StatusCreated, contentTypeJSON, appendIncarnation(out, l.incarnation))
}

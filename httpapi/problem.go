package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"tidings"
	"tidings/hub"
)

// problem is an answer that is no success (RFC 9457), and the error that leads
// to it where no error of the store does.
type problem struct {
	status int
	name   string // the last part of the type URI
	title  string
	detail string // what to do, for people
	more   map[string]any
	header map[string]string
}

func (p *problem) Error() string { return p.title + ": " + p.detail }

// contentTypeProblem is the media type of RFC 9457.
const contentTypeProblem = "application/problem+json"

// statusClientGone is nginx's code for a client that hung up before the answer;
// it is only seen in the log and the metrics.
const statusClientGone = 499

const retryAfterSeconds = "2"

// errDraining refuses what would keep a node from going down.
var errDraining = errors.New("the server is shutting down")

// fail answers with the error's problem. If the response has begun, all that can
// be done is to keep it from looking complete.
func (s *Server) fail(rec *recorder, r *http.Request, err error) {
	rec.reason = err.Error()
	if rec.hijacked {
		return
	}
	if rec.started() {
		rec.broken = true
		return
	}
	if clientGone(r.Context(), err) {
		rec.status = statusClientGone
		return
	}
	p := problemOf(err)
	if p.status == http.StatusInternalServerError {
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	s.abandonBody(rec, r)
	p.write(rec, r)
}

// abandonBody keeps the server from waiting, before it answers, for the rest of
// a body that nobody will read and that may go on for hours.
func (s *Server) abandonBody(rec *recorder, r *http.Request) {
	if rec.bodyRead || r.ContentLength == 0 || r.ProtoMajor != 1 {
		return
	}
	deadline := time.Now().Add(s.limits.BodyTimeout)
	if r.ContentLength < 0 {
		rec.Header().Set("Connection", "close")
		deadline = time.Unix(1, 0)
	}
	_ = http.NewResponseController(rec).SetReadDeadline(deadline) // where there are no deadlines, the rest is read
}

// clientGone reports whether nobody is there to read the answer. A read deadline
// that this server set ends the request's context too.
func clientGone(ctx context.Context, err error) bool {
	if errors.Is(err, errDraining) || errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	return errors.Is(ctx.Err(), context.Canceled) || errors.Is(err, io.ErrUnexpectedEOF)
}

func (p *problem) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for name, value := range p.header {
		h.Set(name, value)
	}
	h.Set("Content-Type", contentTypeProblem)
	body := p.json()
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(p.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // nobody is left to tell
	}
}

// json writes the standard members first, for people's eyes.
func (p *problem) json() []byte {
	out := []byte(`{"type":`)
	out = append(out, quote("/problems/"+p.name)...)
	out = append(append(out, `,"title":`...), quote(p.title)...)
	out = append(append(out, `,"status":`...), strconv.Itoa(p.status)...)
	out = append(append(out, `,"detail":`...), quote(p.detail)...)
	for _, name := range slices.Sorted(maps.Keys(p.more)) {
		out = append(append(append(out, ','), quote(name)...), ':')
		out = append(out, quote(p.more[name])...)
	}
	return append(out, "}\n"...)
}

func quote(v any) []byte {
	text, err := json.Marshal(v)
	if err != nil { // members are strings, numbers and IDs
		return []byte(`null`)
	}
	return text
}

// partialError tells how far an NDJSON stream got before its error.
type partialError struct {
	err      error
	accepted int64
	lastID   tidings.ID
	line     int // where it stopped
}

func (e *partialError) Error() string { return e.err.Error() }
func (e *partialError) Unwrap() error { return e.err }

// problemOf maps every error to an answer.
func problemOf(err error) *problem {
	p := mapError(err)
	if partial, ok := errors.AsType[*partialError](err); ok {
		more := map[string]any{"accepted": partial.accepted, "line": partial.line}
		if partial.accepted > 0 {
			more["last_id"] = partial.lastID
		}
		maps.Copy(more, p.more)
		p = &problem{status: p.status, name: p.name, title: p.title, detail: p.detail, header: p.header, more: more}
		p.detail += "; " + strconv.FormatInt(partial.accepted, 10) + " events of this stream were accepted before"
	}
	return p
}

func mapError(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if p := inputProblem(err); p != nil {
		return p
	}
	if p := appendProblem(err); p != nil {
		return p
	}
	if p := readProblem(err); p != nil {
		return p
	}
	if p := serverProblem(err); p != nil {
		return p
	}
	return &problem{status: http.StatusInternalServerError, name: "internal", title: "Internal error",
		detail: "something went wrong in the server; its log says what"}
}

// inputProblem: the request can't be accepted as it is.
func inputProblem(err error) *problem {
	if e, ok := errors.AsType[*tidings.InvalidError](err); ok {
		return &problem{status: http.StatusBadRequest, name: "invalid", title: "Invalid input",
			detail: e.Error(), more: map[string]any{"field": e.Field, "reason": e.Reason}}
	}
	if e, ok := errors.AsType[*tidings.TooLargeError](err); ok {
		return tooLarge(e.What, e.Limit, "")
	}
	if e, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return tooLarge("body", e.Limit, "send less at once, or many events as an NDJSON stream")
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return &problem{status: http.StatusRequestTimeout, name: "timeout", title: "The request body came too slowly",
			detail: "no byte of the body came for too long; send it again", header: map[string]string{"Connection": "close"}}
	}
	return nil
}

func tooLarge(what string, limit int64, advice string) *problem {
	e := tidings.TooLargeError{What: what, Limit: limit}
	if advice == "" {
		advice = "send less at once"
	}
	return &problem{status: http.StatusRequestEntityTooLarge, name: "too-large", title: "Too large",
		detail: e.Error() + "; " + advice, more: map[string]any{"what": what, "limit": limit}}
}

// appendProblem: the log does not take the events. The headers are those of the
// Durable Streams protocol.
func appendProblem(err error) *problem {
	if e, ok := errors.AsType[*tidings.ClosedError](err); ok {
		return &problem{status: http.StatusConflict, name: "closed", title: "The job has ended",
			detail: e.Error() + "; use another job ID, or delete the job first",
			more:   map[string]any{"last_id": e.LastID},
			header: map[string]string{"Stream-Closed": "true"}}
	}
	if e, ok := errors.AsType[*tidings.SequenceError](err); ok {
		return &problem{status: http.StatusConflict, name: "sequence", title: "A batch is missing",
			detail: e.Error() + "; send the batches from there again",
			more:   map[string]any{"producer_id": e.ProducerID, "expected_seq": e.Expected, "received_seq": e.Received},
			header: map[string]string{
				"Producer-Expected-Seq": strconv.FormatInt(e.Expected, 10),
				"Producer-Received-Seq": strconv.FormatInt(e.Received, 10),
			}}
	}
	if e, ok := errors.AsType[*tidings.FencedError](err); ok {
		return &problem{status: http.StatusForbidden, name: "fenced", title: "Another producer has taken over",
			detail: e.Error() + "; stop, or take over with a higher epoch",
			more:   map[string]any{"producer_id": e.ProducerID, "epoch": e.Epoch, "current_epoch": e.Current},
			header: map[string]string{"Producer-Epoch": strconv.FormatInt(e.Current, 10)}}
	}
	return nil
}

// readProblem: there is nothing to read, or not after this cursor.
func readProblem(err error) *problem {
	if errors.Is(err, tidings.ErrUnknownJob) {
		return &problem{status: http.StatusNotFound, name: "unknown-job", title: "Unknown job",
			detail: "there is no job of this ID; it begins with its first event"}
	}
	if e, ok := errors.AsType[*tidings.GapError](err); ok {
		detail := "events after the cursor were trimmed by retention"
		more := map[string]any{"first_id": e.First, "incarnation": e.Incarnation}
		if !e.First.IsZero() {
			resume := tidings.Cursor{ID: e.First.Prev(), Incarnation: e.Incarnation}.String()
			more["resume_after"] = resume
			detail += "; what is still held is read with after=" + resume
		}
		return &problem{status: http.StatusGone, name: "gap", title: "Events were trimmed", detail: detail, more: more}
	}
	if e, ok := errors.AsType[*tidings.RewoundError](err); ok {
		return &problem{status: http.StatusGone, name: "rewound", title: "The log is another one",
			detail: e.Error() + "; read it from the start, without after",
			more:   map[string]any{"last_id": e.Last, "incarnation": e.Incarnation}}
	}
	return nil
}

// serverProblem: not now, or not here.
func serverProblem(err error) *problem {
	retry := map[string]string{"Retry-After": retryAfterSeconds}
	if e, ok := errors.AsType[*hub.TooManyViewersError](err); ok {
		status := http.StatusServiceUnavailable
		if e.PerJob {
			status = http.StatusTooManyRequests
		}
		return &problem{status: status, name: "too-many-viewers", title: "Too many viewers", detail: e.Error() + "; try again later",
			more: map[string]any{"limit": e.Limit}, header: map[string]string{"Retry-After": "10"}}
	}
	switch {
	case errors.Is(err, errDraining) || errors.Is(err, hub.ErrClosed) || errors.Is(err, tidings.ErrStoreClosed):
		return &problem{status: http.StatusServiceUnavailable, name: "unavailable", title: "Shutting down",
			detail: "the server is shutting down; try again soon", header: retry}
	case errors.Is(err, tidings.ErrUnavailable):
		return &problem{status: http.StatusServiceUnavailable, name: "unavailable", title: "The store is unavailable",
			detail: "the store can't be reached or can't write at the moment; repeat the request, an append with the same Producer-Seq", header: retry}
	case errors.Is(err, context.DeadlineExceeded):
		return &problem{status: http.StatusServiceUnavailable, name: "unavailable", title: "It took too long",
			detail: "there was no answer in time; repeat the request, an append with the same Producer-Seq", header: retry}
	}
	return nil
}

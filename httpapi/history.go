package httpapi

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"tidings"
	"tidings/wire"
)

// readEvents answers GET /v1/jobs/{id}/events in the form that Accept asks for.
func (s *Server) readEvents(w http.ResponseWriter, r *http.Request, jobID string) error {
	w.Header().Add("Vary", "Accept")
	switch {
	case accepts(r, wire.ContentTypeSSE):
		return s.streamEvents(w, r, jobID)
	case accepts(r, wire.ContentTypeNDJSON):
		return s.writeLines(w, r, jobID)
	}
	return s.writePage(w, r, jobID)
}

// streamEvents serves the job live. A node that goes down sends a new viewer on.
func (s *Server) streamEvents(w http.ResponseWriter, r *http.Request, jobID string) error {
	if s.draining() {
		return comeBack(w)
	}
	return s.streams.serve(w, r, jobID)
}

// historyQuery is what a reader of history asks for.
type historyQuery struct {
	tidings.Query
	types []string // empty: all
}

func parseHistoryQuery(q url.Values) (historyQuery, error) {
	h := historyQuery{types: typesOf(q["type"])}
	var err error
	if h.After, err = cursorParam(q, "after"); err != nil {
		return h, err
	}
	before, err := cursorParam(q, "before")
	if err != nil {
		return h, err
	}
	h.Before = before.ID
	if h.Limit, err = intParam(q, "limit", defaultPageEvents, 1, maxPageEvents); err != nil {
		return h, err
	}
	if h.MaxBytes, err = intParam(q, "max_bytes", maxPageBytes, 1, maxPageBytes); err != nil {
		return h, err
	}
	switch q.Get("order") {
	case "", "asc":
	case "desc":
		h.Backward = true
	default:
		return h, &tidings.InvalidError{Field: "order", Reason: "must be asc, oldest first, or desc"}
	}
	return h, nil
}

func cursorParam(q url.Values, name string) (tidings.Cursor, error) {
	c, err := tidings.ParseCursor(q.Get(name))
	if err != nil {
		return c, &tidings.InvalidError{Field: name, Reason: err.(*tidings.InvalidError).Reason}
	}
	return c, nil
}

func intParam(q url.Values, name string, def, low, high int) (int, error) {
	text := q.Get(name)
	if text == "" {
		return def, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < low || n > high {
		return 0, &tidings.InvalidError{Field: name, Reason: "must be a whole number from " + strconv.Itoa(low) + " to " + strconv.Itoa(high)}
	}
	return n, nil
}

// page is a page of history that is being written.
type page struct {
	tidings.Page        // as the store gave it last
	out          []byte // the events' JSON
	count        int
	reached      tidings.ID // the place up to which the log was looked at
}

// writePage answers with one page as JSON. It is complete in memory before the
// first byte is written, so an error is never half an answer.
func (s *Server) writePage(w http.ResponseWriter, r *http.Request, jobID string) error {
	q, err := parseHistoryQuery(r.URL.Query())
	if err != nil {
		return err
	}
	buf := takeBuffer()
	defer giveBuffer(buf)
	p := page{out: append(buf.AvailableBuffer(), `{"events":[`...)}
	if err := s.fillPage(r.Context(), jobID, q, &p); err != nil {
		return err
	}
	if p.Closed && !p.More {
		w.Header().Set("Stream-Closed", "true")
	}
	body := p.finish()
	w.Header().Set("Content-Type", contentTypeJSON)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	_ = s.writeLong(w, body) // the reader is gone
	return nil
}

// fillPage reads until the page is full or the range ends: a filter must not
// give an empty page while there is more.
func (s *Server) fillPage(ctx context.Context, jobID string, q historyQuery, p *page) error {
	limit := q.Limit
	if len(q.types) > 0 {
		q.Limit = max(q.Limit, defaultPageEvents)
	}
	p.reached = q.After.ID
	for {
		got, err := s.store.Read(ctx, jobID, q.Query)
		if err != nil {
			return err
		}
		p.Page = got
		cut := p.take(got.Events, q.types, limit, q.MaxBytes)
		p.More = cut || got.More
		if !p.More && len(q.types) > 0 && !q.Backward && q.Before.IsZero() {
			p.reached = got.LastID // what the filter left out needs no second look
		}
		if cut || !got.More || p.count == limit || len(q.types) == 0 {
			return nil
		}
		q.advance(p.reached)
	}
}

// take adds the events that pass the filter, and reports whether it had to leave
// some out.
func (p *page) take(events []tidings.Event, types []string, limit, maxBytes int) (cut bool) {
	for i := range events {
		e := &events[i]
		if p.count == limit || len(p.out) > maxBytes && p.count > 0 {
			return true
		}
		p.reached = e.ID
		if len(types) > 0 && !slices.Contains(types, e.Type) {
			continue
		}
		if p.count > 0 {
			p.out = append(p.out, ',')
		}
		p.out = wire.AppendEvent(p.out, e)
		p.count++
	}
	return false
}

// advance makes the query go on after, or backwards before, the place reached.
func (q *historyQuery) advance(reached tidings.ID) {
	if q.Backward {
		q.Before = reached
		return
	}
	q.After.ID = reached
}

func (p *page) finish() []byte {
	out := append(p.out, `],"last_id":"`...)
	out = p.reached.Append(out)
	out = strconv.AppendBool(append(out, `","has_more":`...), p.More)
	out = strconv.AppendBool(append(out, `,"closed":`...), p.Closed)
	out = p.First.Append(append(out, `,"first_id":"`...))
	out = p.LastID.Append(append(out, `","log_last_id":"`...))
	return appendIncarnation(append(out, '"'), p.Incarnation)
}

// writeLines answers with the whole history up to now as NDJSON, page by page:
// a log of any length is never held in memory.
func (s *Server) writeLines(w http.ResponseWriter, r *http.Request, jobID string) error {
	values := r.URL.Query()
	left, err := intParam(values, "limit", 0, 1, 1<<31-1)
	if err != nil {
		return err
	}
	values.Del("limit")
	q, err := parseHistoryQuery(values)
	if err != nil {
		return err
	}
	if q.Backward {
		return &tidings.InvalidError{Field: "order", Reason: "lines come oldest first; read pages of JSON for desc"}
	}
	q.Limit, q.MaxBytes = maxPageEvents, linesPageBytes
	return s.copyLines(w, r, jobID, q, left)
}

const linesPageBytes = 1 << 20

// copyLines writes the lines of the range, at most left of them if that is not 0.
func (s *Server) copyLines(w http.ResponseWriter, r *http.Request, jobID string, q historyQuery, left int) error {
	unlimited := left == 0
	var out []byte
	for first := true; ; first = false {
		got, err := s.store.Read(r.Context(), jobID, q.Query)
		if err != nil {
			return err
		}
		if first {
			if q.Before.IsZero() { // a log that grows meanwhile has an end all the same
				q.Before = got.LastID.Next()
			}
			q.After.Incarnation = got.Incarnation // pages of one log only
			setLinesHeader(w.Header(), &got)
			w.WriteHeader(http.StatusOK)
			if r.Method == http.MethodHead {
				return nil
			}
		}
		out = out[:0]
		for i := range got.Events {
			e := &got.Events[i]
			q.After.ID = e.ID
			if len(q.types) > 0 && !slices.Contains(q.types, e.Type) {
				continue
			}
			if left--; !unlimited && left < 0 {
				break
			}
			out = append(wire.AppendEvent(out, e), '\n')
		}
		if s.writeLong(w, out) != nil {
			return nil // the reader is gone
		}
		if !got.More || !unlimited && left <= 0 {
			return nil
		}
	}
}

func setLinesHeader(h http.Header, first *tidings.Page) {
	h.Set("Content-Type", wire.ContentTypeNDJSON)
	if first.Closed {
		h.Set("Stream-Closed", "true")
	}
}

package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"tidings"
	"tidings/wire"
)

// appendEvents answers POST /v1/jobs/{id}/events. A JSON body is one batch, all
// or nothing; see ndjson.go for lines.
func (s *Server) appendEvents(w http.ResponseWriter, r *http.Request, jobID string) error {
	producer, err := parseProducer(r.Header, true)
	if err != nil {
		return err
	}
	kind, err := mediaType(r)
	switch {
	case err != nil:
		return err
	case kind == contentTypeJSON:
		return s.appendJSON(w, r, jobID, producer)
	case isNDJSON(kind):
		return s.appendLines(w, r, jobID, producer)
	}
	return unsupportedType(kind, contentTypeJSON, wire.ContentTypeNDJSON)
}

func (s *Server) appendJSON(w http.ResponseWriter, r *http.Request, jobID string, producer *tidings.Producer) error {
	events, err := s.readEventsBody(w, r)
	if err != nil {
		return err
	}
	return s.appendBatch(w, r, jobID, tidings.Batch{Events: events, Producer: producer})
}

// appendBatch appends what a whole body held, and answers with the receipt.
func (s *Server) appendBatch(w http.ResponseWriter, r *http.Request, jobID string, batch tidings.Batch) error {
	if err := s.checkBatch(&batch, jobID); err != nil {
		return err
	}
	receipt, err := s.append(r.Context(), jobID, batch)
	if err != nil {
		return err
	}
	return writeReceipt(w, &batch, &receipt)
}

func (s *Server) readEventsBody(w http.ResponseWriter, r *http.Request) ([]tidings.Event, error) {
	buf := takeBuffer()
	defer giveBuffer(buf) // the parsed events share nothing with it
	if err := s.readBody(buf, w, r, s.limits.BodyBytes); err != nil {
		return nil, err
	}
	return wire.ParseEvents(buf.Bytes())
}

// checkBatch holds the batch to the limits of this server and to the rules of
// every store, before anything is written.
func (s *Server) checkBatch(b *tidings.Batch, jobID string) error {
	if len(b.Events) > s.limits.BatchEvents {
		return tooLarge("batch", int64(s.limits.BatchEvents), "send fewer events at once, or send lines as a stream (application/x-ndjson with ?stream=true)")
	}
	for i := range b.Events {
		if len(b.Events[i].Data) > s.limits.EventBytes {
			what := "event"
			if len(b.Events) > 1 {
				what = fmt.Sprintf("events[%d]", i)
			}
			return &tidings.TooLargeError{What: what, Limit: int64(s.limits.EventBytes)}
		}
	}
	return b.Validate(jobID)
}

// append writes a batch and measures it.
func (s *Server) append(ctx context.Context, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	start := time.Now()
	receipt, err := s.store.Append(ctx, jobID, b)
	s.metrics.observeAppend(&b, &receipt, err, time.Since(start))
	return receipt, err
}

func writeReceipt(w http.ResponseWriter, b *tidings.Batch, r *tidings.Receipt) error {
	h := w.Header()
	setProducer(h, b.Producer)
	if b.Events[len(b.Events)-1].Terminal() {
		h.Set("Stream-Closed", "true")
	}
	if r.Duplicate {
		out := append([]byte(`{"duplicate":true,"last_id":"`), r.LastID.String()...)
		return writeBytes(w, http.StatusOK, contentTypeJSON, appendIncarnation(append(out, '"'), r.Incarnation))
	}
	out := appendIDs(make([]byte, 0, 128+24*len(r.IDs)), r.IDs)
	out = append(r.LastID.Append(append(out, `,"last_id":"`...)), '"')
	return writeBytes(w, http.StatusCreated, contentTypeJSON, appendIncarnation(out, r.Incarnation))
}

func appendIDs(dst []byte, ids []tidings.ID) []byte {
	dst = append(dst, `{"ids":[`...)
	for i, id := range ids {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(id.Append(append(dst, '"')), '"')
	}
	return append(dst, ']')
}

func appendIncarnation(dst []byte, incarnation string) []byte {
	if incarnation != "" {
		dst = append(dst, `,"incarnation":`...)
		dst = wire.AppendString(dst, incarnation)
	}
	return append(dst, "}\n"...)
}

// boolParam reads a query parameter that is true or false; absent is def.
func boolParam(r *http.Request, name string, def bool) (bool, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return def, nil
	}
	v, err := strconv.ParseBool(text)
	if err != nil {
		return false, &tidings.InvalidError{Field: name, Reason: "must be true or false"}
	}
	return v, nil
}

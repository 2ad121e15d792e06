package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidings"
	"tidings/hub"
	"tidings/wire"
)

// streams serves the events of a job as Server-Sent Events
// (https://html.spec.whatwg.org/multipage/server-sent-events.html), one viewer a
// connection. On HTTP/1.1 it takes the connection over, so that the server's
// buffers and goroutines go and a quiet viewer costs one small goroutine; on
// HTTP/2 it writes through the response.
type streams struct {
	hub          *hub.Hub
	retry        time.Duration // what clients are told to wait before they reconnect
	writeTimeout time.Duration // one write to a viewer that takes nothing
	log          *slog.Logger
	lag          func(time.Duration) // from append to the viewer's socket
	drain        context.Context     // ends when the node goes down

	wg    sync.WaitGroup // taken-over connections
	crowd crowd
}

const (
	maxWait     = 300 * time.Second // of ?wait=
	waitPoll    = 250 * time.Millisecond
	defaultSSE  = 2 * time.Second
	goodbyeMin  = 500 * time.Millisecond
	goodbyeSpan = 2500 * time.Millisecond
)

// viewRequest is what a viewer asks for.
type viewRequest struct {
	after tidings.Cursor
	types []string
	wait  time.Duration // for a job that does not exist yet
}

// parseViewRequest reads the cursor, which a reconnecting EventSource sends in
// Last-Event-ID and everyone else in ?after=, and the filters.
func parseViewRequest(r *http.Request) (viewRequest, error) {
	q := r.URL.Query()
	text := r.Header.Get("Last-Event-ID")
	if text == "" {
		text = q.Get("after")
	}
	after, err := tidings.ParseCursor(text)
	if err != nil {
		return viewRequest{}, err
	}
	v := viewRequest{after: after, types: typesOf(q["type"])}
	if text := q.Get("wait"); text != "" {
		seconds, err := strconv.Atoi(text)
		if err != nil || seconds < 0 || time.Duration(seconds)*time.Second > maxWait {
			return viewRequest{}, &tidings.InvalidError{Field: "wait", Reason: "must be whole seconds from 0 to 300"}
		}
		v.wait = time.Duration(seconds) * time.Second
	}
	return v, nil
}

func typesOf(values []string) []string {
	var types []string
	for _, value := range values {
		for name := range strings.SplitSeq(value, ",") {
			if name != "" {
				types = append(types, name)
			}
		}
	}
	return types
}

// serve answers GET /v1/jobs/{id}/events with Accept: text/event-stream. An
// error means that nothing was written yet.
func (s *streams) serve(w http.ResponseWriter, r *http.Request, jobID string) error {
	want, err := parseViewRequest(r)
	if err != nil {
		return err
	}
	v, err := s.join(r.Context(), jobID, want)
	if errors.Is(err, tidings.ErrUnavailable) || errors.Is(err, tidings.ErrStoreClosed) || errors.Is(err, hub.ErrClosed) {
		s.log.Warn("a viewer is asked to come back", "job", jobID, "err", err)
		return comeBack(w)
	}
	if err != nil {
		return err
	}
	if v.AtEnd() {
		// 204 tells an EventSource not to come again.
		v.Close()
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	h := w.Header()
	h.Set("Content-Type", wire.ContentTypeSSE)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold events back
	if r.Method == http.MethodHead {
		v.Close()
		return nil
	}
	if r.ProtoMajor == 1 {
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			s.takeOver(conn, h, jobID, v, caller(r))
			return nil
		}
	}
	defer v.Close()
	defer hurry(s.drain, http.NewResponseController(w).SetWriteDeadline)()
	ctx, cancel := caller(r).bound(r.Context())
	defer cancel()
	s.pump(ctx, &responseSink{w: w, control: http.NewResponseController(w), drain: s.drain, timeout: s.writeTimeout}, jobID, v)
	return nil
}

// comeBack answers a viewer who can't be served at the moment. An EventSource
// takes any status but 200 for final and never comes again; so it gets a stream
// that says when to come back, and ends.
func comeBack(w http.ResponseWriter) error {
	w.Header().Set("Content-Type", wire.ContentTypeSSE)
	_, err := w.Write(goodbye([]byte(": not now\n")))
	return err
}

// goodbye appends when to come back, spread over time: or all viewers come at
// once.
func goodbye(dst []byte) []byte {
	return wire.AppendRetry(dst, goodbyeMin+rand.N(goodbyeSpan))
}

// join waits, if asked to, for a job that is not known yet.
func (s *streams) join(ctx context.Context, jobID string, want viewRequest) (*hub.Viewer, error) {
	deadline := time.Now().Add(want.wait)
	for {
		v, err := s.hub.Join(ctx, jobID, want.after, want.types)
		if !errors.Is(err, tidings.ErrUnknownJob) || !time.Now().Before(deadline) {
			return v, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(waitPoll):
		}
	}
}

// takeOver writes the response's head itself and goes on in a goroutine of its
// own: the handler returns, and with it goes what net/http holds for a request.
func (s *streams) takeOver(conn net.Conn, h http.Header, jobID string, v *hub.Viewer, who *Principal) {
	head := &strings.Builder{}
	head.WriteString("HTTP/1.1 200 OK\r\n")
	h.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	h.Set("Connection", "close")
	_ = h.Write(head) // a Builder does not fail
	head.WriteString("\r\n")
	ctx, cancel := who.bound(context.Background())
	to := &connSink{conn: conn, drain: s.drain, timeout: s.writeTimeout, release: cancel}
	to.calm = hurry(s.drain, conn.SetWriteDeadline)
	s.crowd.join()
	s.wg.Go(func() {
		defer to.close()
		defer v.Close()
		if to.write([]byte(head.String())) == nil {
			s.pump(ctx, to, jobID, v)
		}
	})
}

// waitAll returns when every taken-over connection has said goodbye, or ctx ends.
// The hub must have been closed.
func (s *streams) waitAll(ctx context.Context) error {
	s.crowd.stop()
	gone := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// sink is where a viewer's bytes go.
type sink interface {
	write(p []byte) error
	// gone reports whether a quiet peer has hung up.
	gone() bool
}

// pump writes deliveries until the log, the viewer or the node ends. It and
// deliver leave little on the stack while a viewer is quiet: see [hub.Viewer].
func (s *streams) pump(ctx context.Context, to sink, jobID string, v *hub.Viewer) {
	start := time.Now()
	s.ended(jobID, s.deliver(ctx, to, v), time.Since(start))
}

func (s *streams) ended(jobID, why string, took time.Duration) {
	s.log.Info("stream ended", "job", jobID, "reason", why, "duration", took.Round(time.Millisecond))
}

// deliver gives the reason why it ended.
func (s *streams) deliver(ctx context.Context, to sink, v *hub.Viewer) (why string) {
	if to.write(wire.AppendRetry(nil, s.retry)) != nil {
		return viewerLeft
	}
	for why == "" {
		d, err := v.Next(ctx)
		switch {
		case err == nil && d.Notice == hub.NoticeIdle:
			why = s.beat(to)
		case err == nil:
			why = s.tell(to, d)
		case ctx.Err() != nil:
			why = viewerLeft
		default:
			why = err.Error()
		}
	}
	return why
}

// beat writes a heartbeat, on the stack of another goroutine: writing takes more
// of a stack than waiting does, and one that has grown shrinks no sooner than
// the next garbage collection, which a quiet server hardly ever has.
func (s *streams) beat(to sink) (why string) {
	done := make(chan bool)
	go func() { done <- !to.gone() && to.write([]byte(wire.Heartbeat)) == nil }()
	if !<-done {
		return viewerLeft
	}
	return ""
}

// tell writes one delivery. It gives the reason if it was the last.
func (s *streams) tell(to sink, d *hub.Delivery) (why string) {
	frames := d.Frames
	if d.Notice != hub.NoticeNone {
		frames = noticeFrame(d)
		why = lastWords[d.Notice]
	}
	if to.write(frames) != nil {
		return viewerLeft
	}
	if d.Live {
		s.lag(time.Since(time.UnixMilli(int64(d.Last.Ms))))
	}
	return why
}

const viewerLeft = "viewer left"

// lastWords are the notices after which nothing follows.
var lastWords = map[hub.Notice]string{
	hub.NoticeEnd:      "log ended",
	hub.NoticeDeleted:  "job deleted",
	hub.NoticeShutdown: "shutting down",
}

// noticeFrame gives the frame that tells a notice.
func noticeFrame(d *hub.Delivery) []byte {
	control := func(name string, data any) []byte {
		text, _ := json.Marshal(data) // maps of plain values
		return wire.AppendControl(nil, name, text)
	}
	switch d.Notice {
	case hub.NoticeGap:
		return control(wire.ControlGap, map[string]any{
			"first_id": d.Gap.First, "after": d.Gap.Cursor.String(), "incarnation": d.Gap.Incarnation,
		})
	case hub.NoticeRewound:
		return control(wire.ControlRewound, map[string]any{
			"last_id": d.Rewind.Last, "after": d.Rewind.Cursor.String(), "incarnation": d.Rewind.Incarnation,
		})
	case hub.NoticeStalled:
		return control(wire.ControlStalled, map[string]any{})
	case hub.NoticeResumed:
		return control(wire.ControlResumed, map[string]any{})
	case hub.NoticeEnd:
		return control(wire.ControlEnd, map[string]any{"last_id": d.Last, "status": d.Status})
	case hub.NoticeDeleted:
		return control(wire.ControlDeleted, map[string]any{})
	case hub.NoticeShutdown:
		return goodbye(nil)
	}
	return nil
}

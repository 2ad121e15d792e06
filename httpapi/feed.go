package httpapi

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"time"

	"tidings"
	"tidings/hub"
	"tidings/wire"
)

// feedOldest is the word for the oldest change still held, the default.
const feedOldest = "oldest"

// feedView is one connection to the feed.
type feedView struct {
	s      *Server
	to     *responseSink
	feed   tidings.Feed
	may    *Principal
	types  []string // empty: all
	jobs   []string // patterns; empty: all
	out    []byte
	cursor string // of the last change looked at
	unsent bool   // changes that were left out since the last id line
}

// serveFeed answers GET /v1/events: the changes of all jobs that the caller may
// read, as Server-Sent Events. Unlike a job's viewers, those of the feed are few,
// so each follows the store itself.
func (s *Server) serveFeed(w http.ResponseWriter, r *http.Request) error {
	if s.draining() {
		return comeBack(w)
	}
	select {
	case s.feedSlots <- struct{}{}:
		defer func() { <-s.feedSlots }()
	default:
		return &hub.TooManyViewersError{Limit: s.limits.FeedViewers}
	}
	q := r.URL.Query()
	feed, err := s.store.Feed(r.Context(), feedCursor(r, q))
	if errors.Is(err, tidings.ErrUnavailable) || errors.Is(err, tidings.ErrStoreClosed) {
		s.log.Warn("a viewer of the feed is asked to come back", "error", err)
		return comeBack(w)
	}
	if err != nil {
		return feedError(err)
	}
	defer feed.Close()

	h := w.Header()
	h.Set("Content-Type", wire.ContentTypeSSE)
	h.Set("X-Accel-Buffering", "no") // nginx would hold changes back
	if r.Method == http.MethodHead {
		return nil
	}
	v := &feedView{
		s: s, feed: feed, may: caller(r), types: typesOf(q["type"]), jobs: typesOf(q["job"]),
		to: &responseSink{w: w, control: http.NewResponseController(w), drain: s.drain, timeout: s.limits.WriteTimeout},
	}
	ctx, cancel := v.may.bound(r.Context())
	defer cancel()
	defer hurry(s.drain, v.to.control.SetWriteDeadline)()
	v.run(ctx)
	return nil
}

func feedCursor(r *http.Request, q url.Values) string {
	after := r.Header.Get("Last-Event-ID")
	if after == "" {
		after = q.Get("after")
	}
	if after == feedOldest {
		return ""
	}
	return after
}

func feedError(err error) error {
	if e, ok := errors.AsType[*tidings.InvalidError](err); ok {
		return &tidings.InvalidError{Field: "after", Reason: e.Reason + "; give the id line of an earlier change, \"latest\" or \"oldest\""}
	}
	return err
}

// run writes until the viewer, its permission or the node ends. It waits for
// changes in a goroutine of its own, because heartbeats come meanwhile.
func (v *feedView) run(ctx context.Context) {
	if v.to.write(wire.AppendRetry(nil, v.s.opts.Retry)) != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	type step struct {
		changes []tidings.Change
		err     error
	}
	steps := make(chan step)
	stopped := make(chan struct{})
	defer func() { cancel(); <-stopped }()
	go func() {
		defer close(stopped)
		for {
			changes, err := v.feed.Next(ctx)
			select {
			case steps <- step{changes, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	beat := time.NewTicker(v.s.opts.Heartbeat)
	defer beat.Stop()
	for {
		var err error
		select {
		case next := <-steps:
			err = v.write(next.changes, next.err)
		case <-beat.C:
			err = v.to.write(v.heartbeat())
		case <-v.s.drain.Done():
			_ = v.to.write(wire.AppendRetry(nil, goodbyeMin+rand.N(goodbyeSpan))) // it goes anyway
			return
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// write sends the changes that pass, many in one write. An error ends the
// connection; the client comes back with its cursor.
func (v *feedView) write(changes []tidings.Change, err error) error {
	if gap, ok := errors.AsType[*tidings.GapError](err); ok {
		return v.to.write(wire.AppendControl(nil, wire.ControlGap, []byte(`{"first_id":"`+gap.First.String()+`"}`)))
	}
	if err != nil {
		return err
	}
	v.out = v.out[:0]
	for i := range changes {
		c := &changes[i]
		v.cursor = c.Cursor
		if v.unsent = !v.passes(c); !v.unsent {
			v.out = wire.AppendFeedFrame(v.out, c)
		}
	}
	if len(v.out) == 0 {
		return nil
	}
	return v.to.write(v.out)
}

func (v *feedView) passes(c *tidings.Change) bool {
	if !v.may.May(Read, c.Event.JobID) || len(v.jobs) > 0 && !matchesAny(v.jobs, c.Event.JobID) {
		return false
	}
	return c.Deleted || len(v.types) == 0 || slices.Contains(v.types, c.Event.Type)
}

// heartbeat also moves the client's cursor over changes that it was not sent. A
// frame with an id line and no data sets the last event ID and dispatches
// nothing (WHATWG HTML 9.2.6).
func (v *feedView) heartbeat() []byte {
	if !v.unsent {
		return []byte(wire.Heartbeat)
	}
	v.unsent = false
	return []byte("id: " + v.cursor + "\n\n")
}

// feedViewers is the number of connections to the feed.
func (s *Server) feedViewers() float64 { return float64(len(s.feedSlots)) }

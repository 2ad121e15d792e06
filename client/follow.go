package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"tidings"
	"tidings/wire"
)

// FollowOptions say what [Client.FollowWith] follows. The zero value is
// everything from the start.
type FollowOptions struct {
	After tidings.Cursor
	// Types are the event types wanted. Empty: all.
	Types []string
	// WaitForJob waits for a job that does not exist yet. FollowWith then
	// returns at once, and errors of the first connection come from Next.
	WaitForJob bool
	// Notify is told of what happens to the connection and to the job's
	// liveness, as it happens: it may be ahead of the events that Next has not
	// given yet. It is called from another goroutine and must not block.
	Notify func(Notice)
}

// Follow reads a job's events from after the cursor on, live, and resumes by
// itself. It implements [tidings.Reader].
func (c *Client) Follow(ctx context.Context, jobID string, after tidings.Cursor) (tidings.Follower, error) {
	return c.FollowWith(ctx, jobID, FollowOptions{After: after})
}

// FollowWith is [Client.Follow] with options. The first connection is made
// before it returns, and fails at once if the server is not there; ctx bounds
// that, and no more. The follower must be closed.
func (c *Client) FollowWith(ctx context.Context, jobID string, o FollowOptions) (*Follower, error) {
	if err := tidings.ValidateJobID(jobID); err != nil {
		return nil, err
	}
	f := newFollower(c, jobID, &o)
	f.ctx, f.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	var first *stream
	if !o.WaitForJob {
		stop := context.AfterFunc(ctx, func() { f.cancel(context.Cause(ctx)) })
		var err error
		first, err = f.sub.open(f.ctx)
		if !stop() && err == nil {
			first.close()
			err = context.Cause(ctx)
		}
		switch {
		case errors.Is(err, io.EOF): // 204: the log has ended at the cursor
			f.queue.finish(io.EOF)
			close(f.stopped)
			return f, nil
		case err != nil:
			f.cancel(err)
			return nil, err
		}
	}
	go f.run(first)
	return f, nil
}

// Follower gives the events of one job as they arrive: see
// [tidings.Follower].
type Follower struct {
	jobID   string
	sub     subscription
	queue   *queue[tidings.Event]
	ctx     context.Context
	cancel  context.CancelCauseFunc
	stopped chan struct{} // closed when run has ended

	cursor      tidings.Cursor // received last; run's own after the start
	incarnation string         // of what Next gave last
}

func newFollower(c *Client, jobID string, o *FollowOptions) *Follower {
	f := &Follower{
		jobID: jobID, cursor: o.After, incarnation: o.After.Incarnation,
		queue: newQueue[tidings.Event](), stopped: make(chan struct{}),
	}
	query := url.Values{}
	if len(o.Types) > 0 {
		query.Set("type", strings.Join(o.Types, ","))
	}
	f.sub = subscription{
		c:       c,
		request: request{method: http.MethodGet, path: jobPath(jobID, "events"), query: query, jobID: jobID},
		lastID:  f.lastID, message: f.message, notify: o.Notify, wait: o.WaitForJob,
	}
	return f
}

func (f *Follower) run(first *stream) {
	defer close(f.stopped)
	f.queue.finish(f.sub.run(f.ctx, first))
}

// lastID is what to resume after.
func (f *Follower) lastID() string {
	if f.cursor == (tidings.Cursor{}) {
		return ""
	}
	return f.cursor.String()
}

// message takes one SSE message. An error ends the follower.
func (f *Follower) message(ctx context.Context, m wire.Message) error {
	if m.ID == "" { // events have an id line, what is said about the stream has none
		return f.control(m)
	}
	at, err := tidings.ParseCursor(m.ID)
	if err != nil {
		return fmt.Errorf("the server sent an unreadable id line: %w", err)
	}
	e, err := wire.ReadEvent(m.Data)
	if err != nil {
		return fmt.Errorf("the server sent an unreadable event after %s: %w", f.cursor, err)
	}
	if f.otherLog(at) {
		f.rewound(at)
	} else if !f.cursor.ID.Less(at.ID) {
		return nil // given before
	}
	f.cursor = at
	return f.queue.push(ctx, e, len(m.Data), at.Incarnation)
}

// otherLog reports whether the event comes from another incarnation than what
// was received before, and the server did not say so.
func (f *Follower) otherLog(at tidings.Cursor) bool {
	return f.cursor.Incarnation != "" && at.Incarnation != "" && f.cursor.Incarnation != at.Incarnation
}

// rewound tells that the log is another, and starts at its beginning.
func (f *Follower) rewound(now tidings.Cursor) {
	f.queue.tell(&tidings.RewoundError{JobID: f.jobID, Cursor: f.cursor, Last: now.ID, Incarnation: now.Incarnation})
	f.cursor = tidings.Cursor{Incarnation: now.Incarnation}
}

// controlData is the data of control events.
type controlData struct {
	FirstID     tidings.ID `json:"first_id"`
	LastID      tidings.ID `json:"last_id"`
	Incarnation string     `json:"incarnation"`
}

// control takes what the server says about the stream. A name that is not known
// is of a newer server, and of no harm.
func (f *Follower) control(m wire.Message) error {
	var d controlData
	_ = json.Unmarshal(m.Data, &d) // members that are missing stay zero
	switch m.Event {
	case wire.ControlEnd:
		return io.EOF
	case wire.ControlDeleted:
		return tidings.ErrUnknownJob
	case wire.ControlGap:
		f.gap(&d)
	case wire.ControlRewound:
		f.rewound(tidings.Cursor{ID: d.LastID, Incarnation: d.Incarnation})
	case wire.ControlStalled:
		f.sub.tell(Notice{Kind: Stalled})
	case wire.ControlResumed:
		f.sub.tell(Notice{Kind: Resumed})
	default:
		f.sub.c.log.Debug("unknown control event", "job_id", f.jobID, "event", m.Event)
	}
	return nil
}

// gap tells that events were trimmed. If the connection breaks now, it goes on
// with the first event still held, and the gap is not told again.
func (f *Follower) gap(d *controlData) {
	f.queue.tell(&tidings.GapError{JobID: f.jobID, Cursor: f.cursor, First: d.FirstID, Incarnation: d.Incarnation})
	f.cursor = tidings.Cursor{ID: d.FirstID.Prev(), Incarnation: d.Incarnation}
}

// Next implements [tidings.Follower]. While the server is away it waits.
func (f *Follower) Next(ctx context.Context) ([]tidings.Event, error) {
	e, err := f.queue.next(ctx)
	if err != nil {
		return nil, err
	}
	f.incarnation = e.tag
	return e.items, nil
}

// Incarnation implements [tidings.Follower].
func (f *Follower) Incarnation() string { return f.incarnation }

// Close ends the connection, waits for the follower's goroutine, and lets Next
// return [tidings.ErrStoreClosed].
func (f *Follower) Close() error {
	f.cancel(tidings.ErrStoreClosed)
	<-f.stopped
	f.queue.abort(tidings.ErrStoreClosed)
	return nil
}

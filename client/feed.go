package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"tidings"
	"tidings/wire"
)

// Feed reads the changes of all jobs, as [tidings.Store] does, and resumes by
// itself.
func (c *Client) Feed(ctx context.Context, after string) (tidings.Feed, error) {
	f := &feed{queue: newQueue[tidings.Change](), stopped: make(chan struct{})}
	query := url.Values{}
	if after != "" { // until the first change, which is then resumed after
		query.Set("after", after)
	}
	f.sub = subscription{
		c:       c,
		request: request{method: http.MethodGet, path: "/v1/events", query: query},
		lastID:  func() string { return f.cursor }, message: f.message,
	}
	f.ctx, f.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { f.cancel(context.Cause(ctx)) })
	first, err := f.sub.open(f.ctx)
	if !stop() && err == nil {
		first.close()
		err = context.Cause(ctx)
	}
	if err != nil {
		f.cancel(err)
		return nil, err
	}
	go f.run(first)
	return f, nil
}

type feed struct {
	sub     subscription
	queue   *queue[tidings.Change]
	ctx     context.Context
	cancel  context.CancelCauseFunc
	stopped chan struct{}
	cursor  string
}

func (f *feed) run(first *stream) {
	defer close(f.stopped)
	f.queue.finish(f.sub.run(f.ctx, first))
}

func (f *feed) message(ctx context.Context, m wire.Message) error {
	if m.ID == "" {
		if m.Event == wire.ControlGap {
			f.queue.tell(&tidings.GapError{})
		}
		return nil
	}
	change, err := parseChange(m)
	if err != nil {
		return err
	}
	f.cursor = m.ID
	return f.queue.push(ctx, change, len(m.Data), "")
}

// parseChange reads a frame that [wire.AppendFeedFrame] wrote. A deletion has
// the job's ID and nothing else.
func parseChange(m wire.Message) (tidings.Change, error) {
	if m.Event == wire.ControlDeleted {
		var d map[string]string
		if json.Unmarshal(m.Data, &d) == nil && len(d) == 1 && d["job_id"] != "" {
			return tidings.Change{Cursor: m.ID, Deleted: true, Event: tidings.Event{JobID: d["job_id"]}}, nil
		}
	}
	e, err := wire.ReadEvent(m.Data)
	if err != nil {
		return tidings.Change{}, fmt.Errorf("the server sent an unreadable change: %w", err)
	}
	return tidings.Change{Cursor: m.ID, Event: e}, nil
}

// Next implements [tidings.Feed].
func (f *feed) Next(ctx context.Context) ([]tidings.Change, error) {
	e, err := f.queue.next(ctx)
	return e.items, err
}

// Close implements [tidings.Feed].
func (f *feed) Close() error {
	f.cancel(tidings.ErrStoreClosed)
	<-f.stopped
	f.queue.abort(tidings.ErrStoreClosed)
	return nil
}

package tidingsgenkit

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/firebase/genkit/go/core"
	"github.com/firebase/genkit/go/core/x/streaming"

	"tidings"
)

// subscriberBuffer is how many events of a stream wait for a subscriber; what
// comes then waits in the store.
const subscriberBuffer = 100

// Subscribe gives all of a stream, what there is and then what comes, until it
// ends, ctx does, or unsubscribe is called; then the channel is closed. The error
// has the status NOT_FOUND if there is no such stream or it has expired, and
// UNAVAILABLE if the store can't be reached. A stream whose writer is gone ends
// with an error of the status UNAVAILABLE, one that has lost chunks with
// DATA_LOSS.
func (m *StreamManager) Subscribe(ctx context.Context, streamID string) (<-chan streaming.StreamEvent, func(), error) {
	id := m.JobID(streamID)
	job, err := m.store.Job(ctx, id)
	if err != nil {
		return nil, nil, notFound(err)
	}
	if m.expired(&job) {
		return nil, nil, errNotFound()
	}
	ctx, cancel := context.WithCancel(ctx)
	follower, err := m.store.Follow(ctx, id, tidings.Cursor{})
	if err != nil {
		cancel()
		return nil, nil, notFound(err)
	}
	s := &subscription{m: m, id: id, follower: follower, events: make(chan streaming.StreamEvent, subscriberBuffer), done: make(chan struct{})}
	go s.run(ctx)
	return s.events, func() { cancel(); <-s.done }, nil
}

// notFound is the error for a stream that can't be subscribed to.
func notFound(err error) error {
	var invalid *tidings.InvalidError
	if errors.Is(err, tidings.ErrUnknownJob) || errors.As(err, &invalid) {
		return errNotFound()
	}
	return unavailable(err)
}

// subscription follows one stream for one subscriber.
type subscription struct {
	m        *StreamManager
	id       string
	follower tidings.Follower
	events   chan streaming.StreamEvent
	done     chan struct{}
}

func (s *subscription) run(ctx context.Context) {
	defer close(s.done)
	defer close(s.events)
	defer func() { _ = s.follower.Close() }()
	for {
		events, err := s.next(ctx)
		switch {
		case ctx.Err() != nil, errors.Is(err, io.EOF):
			return
		case err != nil:
			s.send(ctx, streaming.StreamEvent{Type: streaming.StreamEventError, Err: err})
			return
		}
		for i := range events {
			if e, is := streamEvent(&events[i]); is && (!s.send(ctx, e) || e.Type != streaming.StreamEventChunk) {
				return
			}
		}
	}
}

// next waits for events, looking from time to time whether the writer lives.
func (s *subscription) next(ctx context.Context) ([]tidings.Event, error) {
	for {
		waiting, cancel := context.WithTimeout(ctx, s.m.opts.Handler.LeaseTTL/3)
		events, err := s.follower.Next(waiting)
		late := waiting.Err() != nil
		cancel()
		switch {
		case err == nil:
			return events, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case !late || errors.Is(err, io.EOF):
			return nil, streamFailure(err)
		case s.writerIsGone(ctx):
			return nil, &storedError{text: "the writer of the stream is gone", status: core.UNAVAILABLE}
		}
	}
}

func (s *subscription) writerIsGone(ctx context.Context) bool {
	job, err := s.m.store.Job(ctx, s.id)
	return err == nil && job.Stalled(time.Now(), s.m.opts.Handler.LeaseTTL)
}

// streamFailure is what a subscriber is told of an error of the store.
func streamFailure(err error) error {
	var gap *tidings.GapError
	var rewound *tidings.RewoundError
	switch {
	case errors.Is(err, io.EOF):
		return err
	case errors.As(err, &gap), errors.As(err, &rewound):
		return &storedError{text: "the stream has lost chunks: " + err.Error(), status: core.DATA_LOSS}
	case errors.Is(err, tidings.ErrUnknownJob):
		return errNotFound()
	}
	return unavailable(err)
}

// send reports whether the subscriber is still there.
func (s *subscription) send(ctx context.Context, e streaming.StreamEvent) bool {
	select {
	case s.events <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// streamEvent is an event of the log as one of the stream, if it is one.
func streamEvent(e *tidings.Event) (streaming.StreamEvent, bool) {
	var d struct {
		Name   string          `json:"name"`
		Value  json.RawMessage `json:"value"`
		Output json.RawMessage `json:"output"`
		Error  string          `json:"error"`
		Kind   string          `json:"kind"`
		Reason string          `json:"reason"`
	}
	if err := json.Unmarshal(e.Data, &d); err != nil {
		return streaming.StreamEvent{}, false
	}
	failure := func(status core.StatusName, text string) (streaming.StreamEvent, bool) {
		return streaming.StreamEvent{Type: streaming.StreamEventError, Err: &storedError{text: text, status: status}}, true
	}
	switch {
	case e.Type == tidings.TypeCustom && d.Name == ChunkEvent:
		return streaming.StreamEvent{Type: streaming.StreamEventChunk, Chunk: d.Value}, true
	case e.Type == tidings.TypeCustom && d.Name == "tidings.dropped":
		return failure(core.DATA_LOSS, "the stream has lost chunks while its store was away")
	case e.Type == tidings.TypeDone:
		return streaming.StreamEvent{Type: streaming.StreamEventDone, Output: d.Output}, true
	case e.Type == tidings.TypeCancelled:
		return failure(core.CANCELLED, "the stream was asked to stop: "+d.Reason)
	case e.Terminal():
		return failure(statusOf(d.Kind), d.Error)
	}
	return streaming.StreamEvent{}, false
}

// statusOf is the status that an event's kind of error names.
func statusOf(kind string) core.StatusName {
	status := core.StatusName(kind)
	if _, known := core.StatusNameToCode[status]; known {
		return status
	}
	return core.INTERNAL
}

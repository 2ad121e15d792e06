package tidingsgenkit

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"sync"
	"time"

	"github.com/firebase/genkit/go/core"
	"github.com/firebase/genkit/go/core/x/streaming"

	"tidings"
)

// DefaultStreamTTL is how long a stream that has ended can be read, as in Genkit's
// own manager.
const DefaultStreamTTL = 5 * time.Minute

// StreamLabel is the label of the jobs that keep streams; its value is "stream".
const StreamLabel = "genkit"

// ChunkEvent is the name of the custom events that hold a stream's chunks.
const ChunkEvent = "genkit.chunk"

// StreamStore is where streams are kept: a store, or a client of a server.
type StreamStore interface {
	tidings.Appender
	tidings.Reader
}

// StreamOptions are the settings of a [StreamManager]. The zero value works.
type StreamOptions struct {
	// Prefix begins the job IDs of streams. Empty: "genkit-stream-".
	Prefix string
	// TTL is how long a stream that has ended can be read. Zero:
	// [DefaultStreamTTL]; negative: as long as the store keeps it.
	TTL time.Duration
	// FlushFor bounds how long the end of a stream waits until all of it is
	// stored. Zero: 10 s.
	FlushFor time.Duration
	// Handler has the settings of the handlers that write the streams: queue,
	// spool, lease, logger. What names and cuts events is ours.
	Handler tidings.HandlerOptions
}

// StreamManager keeps Genkit's durable streams in a store: a stream is a job
// whose log holds the chunks. Any process over the same store can subscribe to a
// stream that another writes. A subscriber gets all of it, each chunk once and in
// order, however slow it is. It is safe for concurrent use and has nothing
// to close.
type StreamManager struct {
	store StreamStore
	opts  StreamOptions
}

var _ streaming.StreamManager = (*StreamManager)(nil)

// NewStreamManager makes a manager for genkit.WithStreamManager. Nil opts are
// the defaults.
func NewStreamManager(store StreamStore, opts *StreamOptions) *StreamManager {
	m := &StreamManager{store: store}
	if opts != nil {
		m.opts = *opts
	}
	if m.opts.Prefix == "" {
		m.opts.Prefix = "genkit-stream-"
	}
	if m.opts.TTL == 0 {
		m.opts.TTL = DefaultStreamTTL
	}
	if m.opts.FlushFor <= 0 {
		m.opts.FlushFor = 10 * time.Second
	}
	h := &m.opts.Handler
	h.Automatic, h.MaxFieldBytes, h.Redact = false, -1, nil
	h.Labels = maps.Clone(h.Labels)
	if h.Labels == nil {
		h.Labels = map[string]string{}
	}
	h.Labels[StreamLabel] = "stream"
	if h.Name == "" {
		h.Name = "genkit stream"
	}
	if h.LeaseTTL <= 0 {
		h.LeaseTTL = tidings.DefaultLeaseTTL
	}
	return m
}

// JobID is the ID of the job that keeps the stream.
func (m *StreamManager) JobID(streamID string) string { return m.opts.Prefix + streamID }

// Open makes a new stream, known to everyone when it returns. The error has the
// status ALREADY_EXISTS if there is one with this ID that can still be read,
// INVALID_ARGUMENT if the ID can't name a job, and UNAVAILABLE if the store can't
// be reached.
func (m *StreamManager) Open(ctx context.Context, streamID string) (streaming.StreamInput, error) {
	id := m.JobID(streamID)
	if err := tidings.ValidateJobID(id); err != nil {
		return nil, core.NewPublicError(core.INVALID_ARGUMENT, err.Error(), nil)
	}
	if err := m.makeRoom(ctx, id); err != nil {
		return nil, err
	}
	_, receipt, err := tidings.Create(ctx, m.store, tidings.JobSpec{ID: id, Name: m.opts.Handler.Name, Labels: m.opts.Handler.Labels})
	switch closed := (*tidings.ClosedError)(nil); {
	case errors.As(err, &closed), err == nil && receipt.Duplicate:
		return nil, errExists()
	case err != nil:
		return nil, unavailable(err)
	}
	opts := m.opts.Handler
	return &streamInput{job: tidings.Start(context.WithoutCancel(ctx), id, m.store, &opts), flushFor: m.opts.FlushFor}, nil
}

// makeRoom deletes a stream of this ID that has expired.
func (m *StreamManager) makeRoom(ctx context.Context, id string) error {
	job, err := m.store.Job(ctx, id)
	switch {
	case errors.Is(err, tidings.ErrUnknownJob):
		return nil
	case err != nil:
		return unavailable(err)
	case !m.expired(&job):
		return errExists()
	}
	d, ok := m.store.(deleter)
	if !ok {
		return errExists()
	}
	if err := d.Delete(ctx, id); err != nil && !errors.Is(err, tidings.ErrUnknownJob) {
		return unavailable(err)
	}
	return nil
}

// deleter is a store or client that can delete.
type deleter interface {
	Delete(ctx context.Context, jobID string) error
}

func (m *StreamManager) expired(job *tidings.Job) bool {
	return m.opts.TTL > 0 && job.EndedAt != nil && time.Since(*job.EndedAt) > m.opts.TTL
}

// Sweep deletes the streams that have expired, and gives their number. The
// store's retention may do so instead; without either, what has expired can't be
// read any more but takes room.
func (m *StreamManager) Sweep(ctx context.Context) (int, error) {
	d, ok := m.store.(deleter)
	if !ok {
		return 0, errors.New("this store can't delete: let its retention take expired streams away")
	}
	n := 0
	q := tidings.JobsQuery{
		Labels: map[string]string{StreamLabel: "stream"},
		Status: []tidings.Status{tidings.StatusCompleted, tidings.StatusFailed, tidings.StatusCancelled},
	}
	for {
		page, err := m.store.Jobs(ctx, q)
		if err != nil {
			return n, err
		}
		for i := range page.Jobs {
			if !m.expired(&page.Jobs[i]) {
				continue
			}
			if err := d.Delete(ctx, page.Jobs[i].ID); err != nil && !errors.Is(err, tidings.ErrUnknownJob) {
				return n, err
			}
			n++
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return n, nil
		}
	}
}

// streamInput writes a stream.
type streamInput struct {
	job      *tidings.Handler
	flushFor time.Duration

	mu     sync.Mutex
	closed bool
}

var _ streaming.StreamInput = (*streamInput)(nil)

// Write adds a chunk. It does not wait until it is stored: chunks that come close
// together are stored together.
func (s *streamInput) Write(_ context.Context, chunk json.RawMessage) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	if len(chunk) == 0 {
		chunk = json.RawMessage("null")
	}
	if !json.Valid(chunk) {
		return core.NewPublicError(core.INVALID_ARGUMENT, "the chunk is no JSON", nil)
	}
	data := append([]byte(`{"name":"`+ChunkEvent+`","value":`), chunk...)
	s.job.Emit(tidings.Event{Type: tidings.TypeCustom, Time: time.Now(), Data: append(data, '}')})
	return nil
}

// open says why the stream takes nothing more, or nil. s.mu is held.
func (s *streamInput) open() error {
	var closed *tidings.ClosedError
	var fenced *tidings.FencedError
	switch cause := context.Cause(s.job.Context()); {
	case s.closed:
		return core.NewPublicError(core.FAILED_PRECONDITION, "stream writer is closed", nil)
	case errors.As(cause, &closed), errors.As(cause, &fenced):
		return core.NewPublicError(core.FAILED_PRECONDITION, "stream has already completed", nil)
	}
	return nil
}

// Done ends the stream with the flow's output, and waits until all of it is
// stored.
func (s *streamInput) Done(ctx context.Context, output json.RawMessage) error {
	return s.finish(ctx, func() { s.job.End(output, nil) })
}

// Error ends the stream with an error, and waits until all of it is stored.
func (s *streamInput) Error(ctx context.Context, err error) error {
	return s.finish(ctx, func() { s.job.End(nil, toStore(err)) })
}

func (s *streamInput) finish(ctx context.Context, end func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.open(); err != nil {
		return err
	}
	s.closed = true
	end()
	return s.release(ctx)
}

// Close sends what was written and leaves the stream as it is. Subscribers of a
// stream without an end are told when its lease has run out.
func (s *streamInput) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return s.release(context.Background())
}

func (s *streamInput) release(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.flushFor)
	defer cancel()
	if err := s.job.Close(ctx); err != nil {
		return unavailable(err)
	}
	return nil
}

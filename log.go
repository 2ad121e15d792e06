package tidings

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Appender takes events into logs: a store itself, or a client that sends them
// to a server. Safe for concurrent use.
type Appender interface {
	// Append writes the batch to the end of the job's log, atomically, in
	// order, and durably by the store's setting before it returns. The job is
	// created by its first append. See [Batch] for producers and closing.
	//
	// Errors: [*InvalidError], [*TooLargeError], [*ClosedError],
	// [*FencedError], [*SequenceError], [ErrUnavailable], [ErrStoreClosed].
	// With any of them but ErrUnavailable nothing was written.
	Append(ctx context.Context, jobID string, b Batch) (Receipt, error)

	// Heartbeat renews the lease of a running job: its sign of life, which is
	// not an event. Errors: as for Append, and [ErrUnknownJob].
	Heartbeat(ctx context.Context, jobID string, l Lease) error
}

// Reader reads logs: a store itself, or a client that asks a server. Safe for
// concurrent use.
type Reader interface {
	// Read gives one page of a job's history. Errors: [*GapError] and
	// [*RewoundError] on what After asks for, [ErrUnknownJob], [*InvalidError],
	// [ErrUnavailable], [ErrStoreClosed].
	Read(ctx context.Context, jobID string, q Query) (Page, error)

	// Follow reads on from a cursor: history, then live, without gap or
	// duplicate, in order, until the log ends. It fails at once with
	// [ErrUnknownJob] or [*InvalidError]; a cursor that can't be continued
	// exactly is told by the first Next.
	Follow(ctx context.Context, jobID string, after Cursor) (Follower, error)

	// Job gives the summary of one job, or [ErrUnknownJob].
	Job(ctx context.Context, jobID string) (Job, error)

	// Jobs lists jobs, the newest first. It may lag a moment behind appends, as
	// [Reader.Job] does not. Paging gives every job that was there when it began
	// once, whatever comes meanwhile. A malformed cursor is an [*InvalidError].
	Jobs(ctx context.Context, q JobsQuery) (JobsPage, error)
}

// Store keeps logs. pebblelog and redislog implement it, and logtest holds
// every implementation to the same promises. Safe for concurrent use.
type Store interface {
	Appender
	Reader

	// Delete removes a job and its log. Followers get [ErrUnknownJob]; a later
	// append starts another incarnation. An unknown job is [ErrUnknownJob].
	Delete(ctx context.Context, jobID string) error

	// Feed reads the changes of all jobs after a cursor of an earlier
	// [Change], without gap or duplicate; "" is the oldest still held and
	// [FeedLatest] is now. Changes of one job come in order. A cursor trimmed
	// away is told by the first Next as a [*GapError] with no job ID, after
	// which Next goes on from the oldest held. A malformed cursor is an
	// [*InvalidError].
	Feed(ctx context.Context, after string) (Feed, error)

	// Stats gives counters since the store was opened.
	Stats() Stats

	// Health says whether the store can take appends now, and warns of
	// settings that weaken its promises.
	Health(ctx context.Context) Health

	// Close releases the store and waits for its goroutines. Appends that were
	// acknowledged are kept; blocked calls return [ErrStoreClosed].
	Close() error
}

// Batch is what one append writes: all of it or nothing. It may be closed by a
// terminal event (see [Event.Terminal]), which must be its last and closes the
// log in the same step.
type Batch struct {
	Events   []Event   // at least one
	Producer *Producer // nil: not idempotent
}

// Producer makes appends idempotent and fences off zombies, by the rules of the
// Durable Streams protocol, section 5.2.1
// (https://github.com/durable-streams/durable-streams/blob/main/PROTOCOL.md):
// sequences count batches from 0 in each epoch; a sequence at or below the last
// accepted one writes nothing and succeeds as a duplicate; a gap is refused
// with [*SequenceError]; a lower epoch with [*FencedError]; a higher epoch
// takes over and starts at 0. A duplicate is recognised also after the log was
// closed. A store remembers at least [MinProducers] producers of a job.
type Producer struct {
	ID         string
	Epoch, Seq int64
}

// Receipt says what an append did.
type Receipt struct {
	IDs         []ID   // of the events, in order; nil for a duplicate
	LastID      ID     // the last event of the log after the append
	Incarnation string // of the log
	Duplicate   bool   // the producer's sequence had been accepted before
}

// Lease is a running job's sign of life.
type Lease struct {
	// TTL is how long the sign holds. Zero means [DefaultLeaseTTL].
	TTL time.Duration
	// Producer, if set, must not be fenced off: a zombie can't keep a job
	// alive. Its Seq is not looked at.
	Producer *Producer
}

// DefaultLeaseTTL is how long a heartbeat holds unless it says otherwise:
// handlers send one every 10 s, so two may be lost.
const DefaultLeaseTTL = 30 * time.Second

// Query says which part of a log to read.
type Query struct {
	// After: read events after this. Forward, a cursor behind which events were
	// trimmed is a [*GapError], and so is the zero cursor, the start, if the
	// start was trimmed. Backward, the zero cursor is whatever is held first.
	After    Cursor
	Before   ID   // read events before this; zero: to the end
	Backward bool // take the newest of the range first and give them newest first
	Limit    int  // at most so many events; zero: 1,000
	// MaxBytes ends the page once the data of its events is over so many
	// bytes; at least one event is always given. Zero: 1 MiB.
	MaxBytes int
}

// Defaults of a [Query].
const (
	DefaultLimit    = 1000
	DefaultMaxBytes = 1 << 20
)

// Page is one page of a log.
type Page struct {
	Events      []Event
	More        bool   // the range asked for holds more events
	First       ID     // the first event still held by the log; zero if none
	LastID      ID     // the last event of the log
	Incarnation string // of the log
	Closed      bool   // a terminal event has ended the log
}

// Follower gives the events of one job as they arrive. Not safe for concurrent
// use, but Close may be called at any time from anywhere.
type Follower interface {
	// Next waits for events after the follower's cursor and gives them: at
	// least one, in order. [io.EOF] says that the log has ended and everything
	// was given. [*GapError] and [*RewoundError] are told once, and the
	// following Next goes on from what is still held. [ErrUnknownJob] says that
	// the job was deleted. While a store is unreachable Next goes on waiting. If
	// ctx ends, nothing is lost: the following Next goes on.
	Next(ctx context.Context) ([]Event, error)
	// Incarnation of the log that the last events came from.
	Incarnation() string
	// Close makes a waiting Next, and every later one, fail with an error that
	// is not io.EOF. Closing twice is harmless.
	Close() error
}

// FeedLatest is the feed cursor that means "from now on".
const FeedLatest = "latest"

// Change is one step of the feed: an event of any job, or a job's deletion.
type Change struct {
	Cursor  string // opaque; read after it with [Store.Feed]
	Event   Event  // JobID is set; the rest is zero for a deletion
	Deleted bool
}

// Feed gives the changes of all jobs. Not safe for concurrent use, but Close
// may be called at any time from anywhere.
type Feed interface {
	// Next waits for changes and gives them: at least one.
	Next(ctx context.Context) ([]Change, error)
	Close() error
}

// Retention says what a store may forget. Zero values keep everything.
type Retention struct {
	AfterEnd     time.Duration // delete a job so long after it ended
	EventsPerJob int64         // trim a log to about its newest so many events
	BytesPerJob  int64         // trim a log to about its newest so many bytes of data
}

// Stats are a store's counters since it was opened.
type Stats struct {
	Appends        int64 // batches written
	AppendedEvents int64
	Duplicates     int64 // batches recognised as repeated
	Refused        int64 // batches refused: invalid, closed, fenced or out of sequence
	Reads          int64 // reads of a log, by callers and by followers
	ReadEvents     int64
	Followers      int64 // open now
	Trimmed        int64 // events that retention removed
	Deleted        int64 // jobs deleted, by callers and by retention
}

// Health is a store's state for /readyz.
type Health struct {
	Ready    bool              `json:"ready"`
	Store    string            `json:"store"`              // "pebble", "redis"
	Error    string            `json:"error,omitempty"`    // why it is not ready
	Warnings []string          `json:"warnings,omitempty"` // settings that weaken the promises, and what to do
	Details  map[string]string `json:"details,omitempty"`
}

// Validate reports what keeps the batch from being appended to the job, as an
// [*InvalidError], or nil. Stores call it.
func (b *Batch) Validate(jobID string) error {
	if err := ValidateJobID(jobID); err != nil {
		return err
	}
	if len(b.Events) == 0 {
		return &InvalidError{Field: "events", Reason: "empty; an append needs at least one event"}
	}
	field := func(i int, name string) string {
		if len(b.Events) == 1 {
			return name
		}
		return fmt.Sprintf("events[%d].%s", i, name)
	}
	for i := range b.Events {
		e := &b.Events[i]
		if err := e.Validate(); err != nil {
			invalid := err.(*InvalidError)
			return &InvalidError{Field: field(i, invalid.Field), Reason: invalid.Reason}
		}
		if e.JobID != "" && e.JobID != jobID {
			return &InvalidError{Field: field(i, "job_id"), Reason: fmt.Sprintf("%q is not the job appended to, %q", e.JobID, jobID)}
		}
		if i < len(b.Events)-1 && e.Terminal() {
			return &InvalidError{Field: field(i, "event_type"), Reason: e.Type + " ends the job and must be the last of its batch"}
		}
	}
	if b.Producer != nil {
		return b.Producer.validate()
	}
	return nil
}

func (p *Producer) validate() error {
	switch {
	case p.ID == "" || len(p.ID) > MaxProducerIDBytes:
		return &InvalidError{Field: "producer.id", Reason: fmt.Sprintf("must have 1 to %d bytes", MaxProducerIDBytes)}
	case !utf8.ValidString(p.ID) || strings.ContainsFunc(p.ID, unicode.IsControl):
		return &InvalidError{Field: "producer.id", Reason: "must be UTF-8 without control characters"}
	case p.Epoch < 0 || p.Epoch > MaxProducerNumber:
		return &InvalidError{Field: "producer.epoch", Reason: "must be 0 to 2^53-1"}
	case p.Seq < 0 || p.Seq > MaxProducerNumber:
		return &InvalidError{Field: "producer.seq", Reason: "must be 0 to 2^53-1"}
	}
	return nil
}

// ProducerState is what a store remembers of a producer of one job.
type ProducerState struct {
	Epoch int64 `json:"epoch"`
	Seq   int64 `json:"seq"` // the last accepted
}

// Check decides what to do with a batch of p when the store remembers state
// (known false: nothing). Stores that can't run it in their own atomic step, as
// a Redis script, follow the same rules.
func (p Producer) Check(state ProducerState, known bool) (duplicate bool, err error) {
	switch {
	case known && p.Epoch < state.Epoch:
		return false, &FencedError{ProducerID: p.ID, Epoch: p.Epoch, Current: state.Epoch}
	case !known || p.Epoch > state.Epoch:
		if p.Seq != 0 {
			return false, &SequenceError{ProducerID: p.ID, Expected: 0, Received: p.Seq}
		}
		return false, nil
	case p.Seq <= state.Seq:
		return true, nil
	case p.Seq > state.Seq+1:
		return false, &SequenceError{ProducerID: p.ID, Expected: state.Seq + 1, Received: p.Seq}
	}
	return false, nil
}

package tidings

import (
	"errors"
	"fmt"
)

// Errors without detail, to be asked for with [errors.Is].
var (
	// ErrUnknownJob: the store holds no log of that job ID. A follower gets it
	// when the job is deleted under it.
	ErrUnknownJob = errors.New("unknown job")
	// ErrUnavailable: the store can't be reached or can't write at the moment.
	// Whether the operation took effect is not known; repeat it with the same
	// producer sequence.
	ErrUnavailable = errors.New("store unavailable")
	// ErrStoreClosed: Close was called on the store, client or publisher.
	ErrStoreClosed = errors.New("store is closed")
)

// InvalidError says which part of an input can't be accepted, and why. Nothing
// of the input was written.
type InvalidError struct {
	Field  string // "event_type", "job_id", "data", "events[3].data", "cursor" …
	Reason string // what to do, for people
}

func (e *InvalidError) Error() string { return e.Field + ": " + e.Reason }

// TooLargeError says that an input is over a limit. Nothing of it was written.
type TooLargeError struct {
	What  string // "event", "batch", "body", "line" …
	Limit int64  // bytes, or a count where What says so
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%s is over the limit of %d", e.What, e.Limit)
}

// ClosedError refuses an append to a log that a terminal event has closed.
type ClosedError struct {
	JobID  string
	LastID ID // the terminal event
}

func (e *ClosedError) Error() string {
	return fmt.Sprintf("job %q has ended with event %s and takes no more events", e.JobID, e.LastID)
}

// FencedError refuses a producer whose epoch is below the current one: a
// zombie, whose work another has taken over.
type FencedError struct {
	ProducerID string
	Epoch      int64 // of the refused producer
	Current    int64 // the epoch in force
}

func (e *FencedError) Error() string {
	return fmt.Sprintf("producer %q with epoch %d was fenced off: epoch %d has taken over", e.ProducerID, e.Epoch, e.Current)
}

// SequenceError refuses a batch whose producer sequence leaves a gap.
type SequenceError struct {
	ProducerID         string
	Expected, Received int64
}

func (e *SequenceError) Error() string {
	return fmt.Sprintf("producer %q sent sequence %d, but %d is the next", e.ProducerID, e.Received, e.Expected)
}

// GapError tells a reader that events after its cursor were trimmed away by
// retention. Reading on after First.Prev() is exact again.
type GapError struct {
	JobID  string
	Cursor Cursor // what was asked for
	First  ID     // the first event still held; zero if none is
	// Incarnation of the log that First belongs to.
	Incarnation string
}

func (e *GapError) Error() string {
	return fmt.Sprintf("events of job %q after %s were trimmed; the first still held is %s", e.JobID, e.Cursor, e.First)
}

// RewoundError tells a reader that the log it holds a cursor of is not the one
// that is there now: the job was deleted and created again, or a failover lost
// the log's last writes. What is there now starts at the zero cursor.
type RewoundError struct {
	JobID       string
	Cursor      Cursor // what was asked for
	Last        ID     // the last event of the log as it is now
	Incarnation string // of the log as it is now
}

func (e *RewoundError) Error() string {
	return fmt.Sprintf("the log of job %q is not the one of cursor %s: it was created again or lost its last events, and ends at %s", e.JobID, e.Cursor, e.Last)
}

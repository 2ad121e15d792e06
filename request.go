package tidings

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	mathrand "math/rand/v2"
	"time"
)

// JobSpec describes a job to create before anything happens in it.
type JobSpec struct {
	ID       string            `json:"id,omitempty"` // empty: [NewJobID]
	Name     string            `json:"name,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
	Metadata json.RawMessage   `json:"metadata,omitempty"` // a JSON object
}

// createProducer makes creation idempotent: the second creation of a job is a
// duplicate of the first, whoever sends it.
var createProducer = Producer{ID: "tidings.create"}

// Create makes a job known, queued, with a name and labels, by appending a
// first phase_update. So these too follow from the log. Creating a job that was
// created before changes nothing and gives a Receipt with Duplicate set; a job
// that has begun without being created takes over the name and labels. It
// returns the job's ID. Errors: those of [Appender.Append].
func Create(ctx context.Context, to Appender, spec JobSpec) (string, Receipt, error) {
	if spec.ID == "" {
		spec.ID = NewJobID()
	}
	e, err := NewEvent(TypePhaseUpdate, struct {
		Phase    string            `json:"phase"`
		Status   string            `json:"status"`
		Name     string            `json:"name,omitempty"`
		Labels   map[string]string `json:"labels,omitempty"`
		Metadata json.RawMessage   `json:"metadata,omitempty"`
	}{"job", "queued", spec.Name, spec.Labels, spec.Metadata})
	if err != nil {
		return "", Receipt{}, err
	}
	producer := createProducer
	r, err := to.Append(ctx, spec.ID, Batch{Events: []Event{e}, Producer: &producer})
	return spec.ID, r, err
}

// RequestCancel asks the job to stop, by appending cancel_requested. The job's
// handler ends its context; nothing else is stopped. It does not create an
// unknown job, which gives [ErrUnknownJob]. A job that was asked before is
// left as it is. A job that has ended gives [*ClosedError].
func RequestCancel(ctx context.Context, s interface {
	Appender
	Reader
}, jobID, by, reason string) error {
	job, err := s.Job(ctx, jobID)
	if err != nil {
		return err
	}
	if job.Closed {
		return &ClosedError{JobID: jobID, LastID: job.LastID}
	}
	if job.Cancel != nil {
		return nil
	}
	e, err := NewEvent(TypeCancelRequested, struct {
		Reason string `json:"reason,omitempty"`
		By     string `json:"by,omitempty"`
	}{reason, by})
	if err != nil {
		return err
	}
	_, err = s.Append(ctx, jobID, Batch{Events: []Event{e}})
	return err
}

// AwaitCancel waits until the job is asked to stop and returns nil, or until
// the log ends or ctx does, and returns the reason as an error. A job that does
// not exist yet is waited for.
func AwaitCancel(ctx context.Context, r Reader, jobID string) error {
	for {
		err := awaitCancel(ctx, r, jobID)
		if !errors.Is(err, ErrUnknownJob) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(unknownJobPoll):
		}
	}
}

const unknownJobPoll = 250 * time.Millisecond

func awaitCancel(ctx context.Context, r Reader, jobID string) error {
	// The summary says what happened until now; only what comes is followed.
	job, err := r.Job(ctx, jobID)
	if err != nil {
		return err
	}
	if job.Cancel != nil {
		return nil
	}
	f, err := r.Follow(ctx, jobID, Cursor{ID: job.LastID, Incarnation: job.Incarnation})
	if err != nil {
		return err
	}
	defer f.Close() // nothing was written
	for {
		events, err := f.Next(ctx)
		var gap *GapError
		var rewound *RewoundError
		if errors.As(err, &gap) || errors.As(err, &rewound) {
			return awaitCancel(ctx, r, jobID) // the request may lie in what is missing
		}
		if err != nil {
			return err
		}
		for i := range events {
			if events[i].Type == TypeCancelRequested {
				return nil
			}
		}
	}
}

// NewJobID gives a UUID of version 7 (RFC 9562): unique, and ordered by time to
// the millisecond.
func NewJobID() string {
	var u [16]byte
	_, _ = rand.Read(u[6:]) // never fails since Go 1.24
	return formatID(u, time.Now())
}

// newRunID is NewJobID for what need not be hard to guess, at a fraction of the
// time.
func newRunID(now time.Time) string {
	var u [16]byte
	binary.LittleEndian.PutUint16(u[6:], uint16(mathrand.Uint32()))
	binary.LittleEndian.PutUint64(u[8:], mathrand.Uint64())
	return formatID(u, now)
}

// formatID makes a UUID of version 7 of random bytes and a time.
func formatID(u [16]byte, now time.Time) string {
	ms := now.UnixMilli()
	for i := range 6 {
		u[i] = byte(ms >> (8 * (5 - i)))
	}
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	var out [36]byte
	hex.Encode(out[0:8], u[0:4])
	hex.Encode(out[9:13], u[4:6])
	hex.Encode(out[14:18], u[6:8])
	hex.Encode(out[19:23], u[8:10])
	hex.Encode(out[24:36], u[10:16])
	out[8], out[13], out[18], out[23] = '-', '-', '-', '-'
	return string(out[:])
}

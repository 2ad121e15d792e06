package tidings

import (
	"context"
	"errors"
	"io"
)

// ErrCancelRequested is what a [*CancelledError] is, for [errors.Is].
var ErrCancelRequested = errors.New("the job was asked to stop")

// CancelledError is the cause with which a handler's context ends when the job
// is asked to stop.
type CancelledError struct {
	By     string // who asked, if known
	Reason string // why, if known
}

// Error says who asked, and why.
func (e *CancelledError) Error() string {
	text := ErrCancelRequested.Error()
	if e.By != "" {
		text += " by " + e.By
	}
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text
}

// Is makes the error match [ErrCancelRequested] and [context.Canceled].
func (e *CancelledError) Is(target error) bool {
	return target == ErrCancelRequested || target == context.Canceled
}

// canceller is an [Appender] that can wait for the request to stop by itself,
// as a client does without reading the job's events.
type canceller interface {
	AwaitCancel(ctx context.Context, jobID string) error
}

// summariser is an [Appender] that can say who asked the job to stop.
type summariser interface {
	Job(ctx context.Context, jobID string) (Job, error)
}

// watch ends the agent's context when the job is asked to stop.
func (h *Handler) watch(to Appender) {
	defer h.guard("watch")
	r, reads := to.(Reader)
	c, waits := to.(canceller)
	if !reads && !waits || !h.underWay() {
		return
	}
	ctx := h.alive
	var pause backoff
	for {
		var err error
		if waits {
			err = c.AwaitCancel(ctx, h.jobID)
		} else {
			err = AwaitCancel(ctx, r, h.jobID)
		}
		switch {
		case err == nil:
			h.asked(ctx, to)
			return
		case errors.Is(err, io.EOF), ctx.Err() != nil:
			return
		}
		if pause.wait(ctx) != nil {
			return
		}
	}
}

// asked takes note of the request to stop.
func (h *Handler) asked(ctx context.Context, to Appender) {
	reason := &CancelledError{}
	if s, ok := to.(summariser); ok {
		if job, err := s.Job(ctx, h.jobID); err == nil && job.Cancel != nil {
			reason.By, reason.Reason = job.Cancel.By, job.Cancel.Reason
		}
	}
	h.mu.Lock()
	h.tree.asked = reason
	h.mu.Unlock()
	h.cancel(reason)
}

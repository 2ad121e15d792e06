package tidings

import (
	"context"
	"errors"
	"io"
	"time"
)

// keepAlive sends the job's signs of life, from its first stored event until it
// is over.
func (h *Handler) keepAlive(to Appender) {
	if h.opts.HeartbeatEvery < 0 || !h.underWay() {
		return
	}
	tick := time.NewTicker(h.opts.HeartbeatEvery)
	defer tick.Stop()
	for {
		h.beat(to)
		select {
		case <-tick.C:
		case <-h.alive.Done():
			return
		}
	}
}

// underWay waits until the job's first event is stored, and reports false if it
// is over before.
func (h *Handler) underWay() bool {
	select {
	case <-h.acked:
		return true
	case <-h.alive.Done():
		return false
	}
}

// beat sends one sign of life. A lost one is made up for by the next.
func (h *Handler) beat(to Appender) {
	defer h.guard("heartbeat")
	ctx, cancel := context.WithTimeout(h.alive, h.opts.HeartbeatEvery)
	defer cancel()
	p := h.sender.of(0)
	p.Seq = 0
	err := to.Heartbeat(ctx, h.jobID, Lease{TTL: h.opts.LeaseTTL, Producer: &p})
	var fenced *FencedError
	switch {
	case err == nil:
	case errors.As(err, &fenced):
		h.stopped(err)
	default:
		h.log.Debug("a heartbeat was lost", "job", h.jobID, "error", err)
	}
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

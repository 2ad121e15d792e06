package tidings

import (
	"context"
	"errors"
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

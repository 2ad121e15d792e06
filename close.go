package tidings

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// over says that nothing more will be put: heartbeats and the watch for a
// request to stop end, and the sender once the queue is empty.
func (h *Handler) over() {
	h.die(context.Canceled)
	h.q.finish()
}

// stopped is called when the store refuses the handler for good.
func (h *Handler) stopped(err error) {
	h.log.Warn("the store takes no more events of this handler", "job", h.jobID, "error", err)
	h.q.refuse(err)
	h.cancel(err)
	h.die(err)
}

// Flush waits until everything that was published before is stored, or ctx
// ends.
func (h *Handler) Flush(ctx context.Context) error {
	if h == nil {
		return nil
	}
	return h.q.flush(ctx)
}

// Close sends what is queued, until ctx ends, and releases the handler. What
// can't be sent by then goes to the spool if there is one, and is dropped
// otherwise; the error says how many events those are. It does not end the
// job: see [Handler.End]. Give it a context that has not ended: that of a job
// that was asked to stop has.
func (h *Handler) Close(ctx context.Context) error {
	if h == nil {
		return nil
	}
	h.closing.Do(func() { h.closed = h.shut(ctx) })
	return h.closed
}

// closePatience is how long Close waits for an appender that goes on after its
// context has ended.
const closePatience = time.Second

func (h *Handler) shut(ctx context.Context) error {
	defer h.cancel(context.Canceled)
	h.over()
	select {
	case <-h.sent:
	case <-ctx.Done():
	}
	h.abort(context.Cause(ctx))
	select {
	case <-h.ended:
	case <-time.After(closePatience):
		h.log.Error("the appender does not return although its context has ended", "job", h.jobID)
		return h.leave(context.Cause(ctx))
	}
	if err := h.q.refused(); err != nil || h.reason == nil {
		return err
	}
	return h.leave(h.reason)
}

// leave puts what could not be sent into the spool, or drops it.
func (h *Handler) leave(reason error) error {
	kept, lost, err := h.sender.rescue()
	if kept > 0 {
		h.log.Warn("events that could not be sent wait in the spool folder", "job", h.jobID, "events", kept, "dir", h.opts.SpoolDir, "reason", reason)
	}
	if lost == 0 && err == nil {
		return nil
	}
	h.log.Error("events could not be sent and are lost", "job", h.jobID, "events", lost, "reason", reason)
	return errors.Join(fmt.Errorf("%d events could not be sent and are lost: %w", lost, reason), err)
}

// HandlerStats are a handler's counters.
type HandlerStats struct {
	Queued      int64 // events that are not acknowledged yet, in memory or in the spool
	QueuedBytes int64 // of them in memory
	Sent        int64 // events acknowledged
	Dropped     int64 // events lost: the queue was full, or the store refused them
	Spooled     int64 // events that went through the spool file
	Retried     int64 // tries of a batch after the first
	Strays      int64 // events that came after the end
}

// Stats gives the handler's counters.
func (h *Handler) Stats() HandlerStats {
	if h == nil {
		return HandlerStats{}
	}
	h.q.mu.Lock()
	defer h.q.mu.Unlock()
	s := h.q.stats
	s.Queued, s.QueuedBytes = h.q.put-h.q.settled, h.q.bytes
	return s
}

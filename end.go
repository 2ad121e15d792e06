package tidings

import (
	"context"
	"errors"
	"strings"
	"time"
)

// End ends the job: done with output if err is nil, cancelled if err says that
// work was broken off and the job was asked to stop, and a fatal error
// otherwise. With [ErrInterrupted] it leaves the job waiting instead. What comes afterwards is dropped and counted. End does not wait:
// [Handler.Close] does.
func (h *Handler) End(output any, err error) {
	if h == nil {
		return
	}
	defer h.guard("End")
	if isError(err, ErrInterrupted) {
		h.pause()
		return
	}
	f := field{name: "output"}
	if err == nil {
		f = h.field(TypeDone, "output", output)
	}
	h.finish(f, err)
}

// finish queues the terminal event, once.
func (h *Handler) finish(output field, err error) {
	h.mu.Lock()
	if h.tree.over {
		h.mu.Unlock()
		h.q.stray()
		return
	}
	h.tree.over = true
	h.stopTimer()
	asked := h.tree.asked
	h.mu.Unlock()
	defer func() {
		if p := recover(); p != nil { // by a method of err: the job must end all the same
			h.emitTerminal(TypeError, h.sums(newObject(256).str("error", "an error that can't be looked at").str("scope", "job").boolean("fatal", true)).end())
		}
		h.over()
	}()
	switch {
	case err == nil:
		h.emitTerminal(TypeDone, output.close(h.sums(output.add(newObject(output.room()+256).str("status", "completed")))))
	case h.brokenOff(err, asked):
		h.emitTerminal(TypeCancelled, h.sums(h.cancelled(err, asked)).end())
	default:
		f := h.fatal(err)
		o := newObject(f.text.room() + 256)
		o = f.add(o, "kind").str("scope", "job").boolean("fatal", true)
		h.emitTerminal(TypeError, f.close(h.sums(o)))
	}
}

// fatal tells of err with its text in any case: this event is what people look
// at first.
func (h *Handler) fatal(err error) failure {
	f := h.explain(TypeError, err, nil)
	if f.cause != "" {
		f.text = h.field(TypeError, "error", errorText(err))
	}
	return f
}

// brokenOff reports whether err comes of the request to stop.
func (h *Handler) brokenOff(err error, asked *CancelledError) bool {
	if isError(err, ErrCancelRequested) {
		return true
	}
	// Errors that crossed a framework or a network often keep no more than
	// their text.
	return asked != nil && (errorKind(err) == "aborted" || strings.Contains(errorText(err), context.Canceled.Error()))
}

// cancelled begins the data of the cancelled event.
func (h *Handler) cancelled(err error, asked *CancelledError) object {
	o := newObject(256)
	if asked == nil {
		errors.As(err, &asked)
	}
	if asked != nil {
		o = o.text("reason", asked.Reason).text("by", asked.By)
	}
	return o
}

// sums adds what the whole job took.
func (h *Handler) sums(o object) object {
	h.mu.Lock()
	defer h.mu.Unlock()
	o = o.millis("duration_ms", time.Since(h.began))
	if h.tree.used {
		o = h.tree.usage.add(o)
	}
	return addCosts(o, h.tree.costs)
}

// considerEnd reports whether the job should be ended automatically now, or
// sets a timer for when what has to be waited for is over. It is called with
// h.mu held, whenever a run has ended.
func (h *Handler) considerEnd() bool {
	t := &h.tree
	if !h.opts.Automatic || t.over || t.roots > 0 || t.lastRoot == nil || t.suspended {
		return false
	}
	wait := h.opts.Grace
	if t.open > 0 {
		if t.timer != nil {
			return false // it counts from the root's end
		}
		wait = h.opts.StreamWait
	}
	h.stopTimer()
	if wait <= 0 {
		return true
	}
	round := t.round
	t.timer = time.AfterFunc(wait, func() { h.timedOut(round) })
	return false
}

func (h *Handler) stopTimer() {
	if h.tree.timer != nil {
		h.tree.timer.Stop()
		h.tree.timer = nil
	}
	h.tree.round++
}

func (h *Handler) timedOut(round int) {
	h.mu.Lock()
	current := h.tree.round == round
	h.mu.Unlock()
	if current {
		h.automaticEnd()
	}
}

// automaticEnd ends the job as its last root ended.
func (h *Handler) automaticEnd() {
	defer h.guard("automatic end")
	h.mu.Lock()
	root, err := h.tree.lastRoot, h.tree.failure
	var output field
	if root != nil {
		output = root.output
	}
	h.mu.Unlock()
	if root != nil {
		h.finish(output, err)
	}
}

// Run calls fn as the job: it ends the job with what fn returns, as
// [Handler.End] does, also if fn panics, in which case the panic goes on, and waits up to 10 s until
// everything is stored. fn gets a context that ends when the job is asked to
// stop. It returns fn's error, or else that of Close.
func (h *Handler) Run(ctx context.Context, fn func(ctx context.Context) (any, error)) error {
	if h == nil {
		_, err := fn(ctx)
		return err
	}
	ctx, cancel := h.Join(ctx)
	defer cancel()
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		if p == nil {
			h.End(nil, errGoexit)
		} else {
			h.End(nil, &PanicError{Value: p})
		}
		_ = h.closeSoon(ctx) // the panic says more
		if p != nil {
			panic(p)
		}
	}()
	output, err := fn(ctx)
	returned = true
	h.End(output, err)
	return errors.Join(err, h.closeSoon(ctx))
}

// runFlush is how long Run waits until everything is stored.
const runFlush = 10 * time.Second

func (h *Handler) closeSoon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), runFlush)
	defer cancel()
	return h.Close(ctx)
}

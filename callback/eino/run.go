package eino

import (
	"context"
	"errors"
	"time"

	"github.com/cloudwego/eino/adk"

	"tidings"
)

// Run calls fn as the job: it ends the job with what fn returns, once every
// stream was told of, and waits up to 10 s until everything is stored. If fn's
// error is an interrupt, or an agent waits for input, the job stays open for
// another handler to resume. fn gets a context that ends when the job is asked
// to stop; a panic of fn is told and goes on. It returns fn's error, or else
// that of [tidings.Handler.Close].
//
// The handler still has to be attached. A handler without a job calls fn and
// does no more.
func (h *Handler) Run(ctx context.Context, fn func(ctx context.Context) (any, error)) error {
	if h.own == nil {
		_, err := fn(ctx)
		return err
	}
	ctx, cancel := h.own.joined(ctx)
	defer cancel()
	returned := false
	defer func() {
		if !returned {
			h.own.broke(ctx, recover())
		}
	}()
	output, err := fn(ctx)
	returned = true
	last := h.own.settle()
	_, waits := interruption(err)
	if !waits && (err != nil || !last.interrupted) {
		h.own.job.End(readable(output), told(err))
	}
	if closed := h.own.closeSoon(ctx); err == nil {
		return closed
	}
	return err
}

var errGoexit = errors.New("the agent ended its goroutine without returning")

// broke ends the job of a function that panicked, and panics on.
func (s *story) broke(ctx context.Context, p any) {
	if p == nil {
		s.job.End(nil, errGoexit)
		_ = s.closeSoon(ctx)
		return
	}
	s.job.End(nil, &tidings.PanicError{Value: p})
	_ = s.closeSoon(ctx) // the panic says more
	panic(p)
}

// runFlush is how long Run waits until everything is stored.
const runFlush = 10 * time.Second

func (s *story) closeSoon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), runFlush)
	defer cancel()
	return s.job.Close(ctx)
}

// joined is ctx with the job in it; it also ends when the job's context does.
func (s *story) joined(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := s.job.Join(ctx)
	return s.within(ctx), cancel
}

// Observe passes on the events of an ADK run and ends the job as the run ends:
// done with the agent's last words, or with the error, which no callback of the
// framework gets. A run that waits for input leaves the job open. start begins
// the run, with the handler attached and the context that it gets, which ends
// when the job is asked to stop:
//
//	events := eino.Observe(ctx, h, func(ctx context.Context) (*adk.AsyncIterator[*adk.AgentEvent], error) {
//		return runner.Query(ctx, "hello", adk.WithCallbacks(h)), nil
//	})
//
// The job has ended when the events have, whether they are read or not; close
// it then. A handler without a job passes the events on and does no more.
func Observe[M adk.MessageType](ctx context.Context, h *Handler, start func(ctx context.Context) (*adk.AsyncIterator[*adk.TypedAgentEvent[M]], error)) *adk.AsyncIterator[*adk.TypedAgentEvent[M]] {
	out, gen := adk.NewAsyncIteratorPair[*adk.TypedAgentEvent[M]]()
	cancel := context.CancelFunc(func() {})
	if h.own != nil {
		ctx, cancel = h.own.joined(ctx)
	}
	events := started(ctx, cancel, h.own, start)
	go func() {
		defer gen.Close()
		defer cancel()
		r := pass(events, gen)
		if h.own != nil {
			defer h.guard("Observe")
			h.own.endAs(r)
		}
	}()
	return out
}

// started begins the run. A panic is told and goes on.
func started[M adk.MessageType](ctx context.Context, cancel context.CancelFunc, s *story, start func(ctx context.Context) (*adk.AsyncIterator[*adk.TypedAgentEvent[M]], error)) *adk.AsyncIterator[*adk.TypedAgentEvent[M]] {
	defer func() {
		if p := recover(); p != nil {
			cancel()
			if s != nil {
				s.job.End(nil, &tidings.PanicError{Value: p})
			}
			panic(p)
		}
	}()
	events, err := start(ctx)
	if err == nil && events == nil {
		err = errors.New("the agent's run gave no events; return those of Runner.Run or Query")
	}
	if err != nil {
		return failed[M](err)
	}
	return events
}

func failed[M adk.MessageType](err error) *adk.AsyncIterator[*adk.TypedAgentEvent[M]] {
	events, gen := adk.NewAsyncIteratorPair[*adk.TypedAgentEvent[M]]()
	gen.Send(&adk.TypedAgentEvent[M]{Err: err})
	gen.Close()
	return events
}

// pass passes the events on and says how the run ended, but for what was said:
// a stream can be read only once.
func pass[M adk.MessageType](events *adk.AsyncIterator[*adk.TypedAgentEvent[M]], to *adk.AsyncGenerator[*adk.TypedAgentEvent[M]]) result {
	var r result
	for {
		e, ok := events.Next()
		if !ok {
			return r
		}
		if e != nil {
			r.learn(e.Err, e.Action, nil)
		}
		to.Send(e)
	}
}

// endAs ends the job as the agent's run ended.
func (s *story) endAs(r result) {
	last := s.settle()
	if r.err == nil {
		r.err = last.err
	}
	if _, waits := interruption(r.err); waits || r.err == nil && (r.waits || last.interrupted) {
		return
	}
	s.job.End(last.output, told(r.err))
}

package adk

import (
	"context"
	"fmt"
	"iter"

	"google.golang.org/genai"

	"google.golang.org/adk/v2/agent"
	"google.golang.org/adk/v2/runner"
	"google.golang.org/adk/v2/session"

	"tidings"
)

// Run is r.Run as the job: the context that the agent gets ends when the job is
// asked to stop, the runner's [Plugin] finds the job, and the job ends as
// the run does, see [Observe]. A nil job runs unobserved.
func Run(ctx context.Context, job *tidings.Handler, r *runner.Runner, userID, sessionID string, msg *genai.Content, cfg agent.RunConfig, opts ...runner.RunOption) iter.Seq2[*session.Event, error] {
	if job == nil {
		return r.Run(ctx, userID, sessionID, msg, cfg, opts...)
	}
	return func(yield func(*session.Event, error) bool) {
		ctx, cancel := job.Join(ctx)
		defer cancel()
		o := &observation{job: job}
		ctx = context.WithValue(ctx, jobKey{}, o)
		o.watch(r.Run(ctx, userID, sessionID, msg, cfg, opts...), yield, true)
	}
}

// Observe passes the events of a run on and ends the job as the run ends: done
// with the last final answer, or with the error, which no callback of the
// framework gets. A run that waits for input, of a workflow's node, a long-running tool
// or a confirmation, leaves the job open, waiting; the run that answers goes on
// with it. A reader that stops before a final answer breaks the job off.
//
// Give the runner the context of the job, [tidings.Handler.Context], so that it
// can be stopped.
func Observe(job *tidings.Handler, events iter.Seq2[*session.Event, error]) iter.Seq2[*session.Event, error] {
	return observe(job, events, true)
}

// ObserveTurn is [Observe] for one of several runs in a job: it notes the error
// and ends the runs that are left open, but not the job.
func ObserveTurn(job *tidings.Handler, events iter.Seq2[*session.Event, error]) iter.Seq2[*session.Event, error] {
	return observe(job, events, false)
}

func observe(job *tidings.Handler, events iter.Seq2[*session.Event, error], last bool) iter.Seq2[*session.Event, error] {
	if job == nil {
		return events
	}
	return func(yield func(*session.Event, error) bool) {
		o := &observation{job: job}
		running.observe(o)
		defer running.leave(o)
		o.watch(events, yield, last)
	}
}

// observation is what is learnt from the iterator of one run.
type observation struct {
	job *tidings.Handler

	// Under registry.mu.
	begun      bool
	invocation *invocation // nil until the run begins

	// Of who reads the iterator.
	err     error // the first that the iterator gave
	output  any   // the last final answer
	final   bool  // it was the last event
	refused error // why the last event has no answer
}

var errStopped = fmt.Errorf("the reader stopped before the run ended: %w", context.Canceled)

// watch passes the events on and ends the job if that is asked for.
func (o *observation) watch(events iter.Seq2[*session.Event, error], yield func(*session.Event, error) bool, last bool) {
	o.begin()
	returned := false
	defer func() {
		if returned || !last {
			return
		}
		p := recover()
		if p == nil { // runtime.Goexit
			o.job.End(nil, errStopped)
			return
		}
		o.job.End(nil, &tidings.PanicError{Value: p})
		panic(p)
	}()
	broken := o.pass(events, yield)
	returned = true
	if last {
		o.end(broken)
	}
}

func (o *observation) begin() {
	running.mu.Lock()
	defer running.mu.Unlock()
	*o = observation{job: o.job, begun: true}
}

// pass reports whether the reader stopped.
func (o *observation) pass(events iter.Seq2[*session.Event, error], yield func(*session.Event, error) bool) (broken bool) {
	for e, err := range events {
		o.note(e, err)
		if !yield(e, err) {
			o.leave()
			return true
		}
	}
	return false
}

// note learns from what the iterator gives.
func (o *observation) note(e *session.Event, err error) {
	if err != nil {
		if o.err == nil {
			o.err = err
		}
		if v := o.of(); v != nil {
			v.fail(err)
		}
		return
	}
	if e == nil || e.Partial {
		return
	}
	o.refused = refusal(&e.LLMResponse)
	if o.final = e.IsFinalResponse(); !o.final {
		return
	}
	if e.Output != nil {
		o.output = e.Output
	} else if text := contentText(e.Content); text != "" {
		o.output = text
	}
}

// leave says that the reader goes, before the framework is told.
func (o *observation) leave() {
	v := o.of()
	if v == nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	switch {
	case o.final:
		v.final = true
	case o.err == nil:
		v.broken = errStopped
	}
}

func (o *observation) of() *invocation {
	running.mu.Lock()
	defer running.mu.Unlock()
	return o.invocation
}

// end ends the job as the run ended.
func (o *observation) end(broken bool) {
	switch {
	case o.err != nil:
		o.job.End(nil, o.err)
	case o.refused != nil:
		o.job.End(nil, o.refused)
	case o.waits():
	case broken && !o.final:
		o.job.End(nil, errStopped)
	default:
		o.job.End(o.output, nil)
	}
}

func (o *observation) waits() bool {
	v := o.of()
	if v == nil {
		return false
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.interrupted
}

package trpcagent

import (
	"context"

	"trpc.group/trpc-go/trpc-agent-go/agent"
	"trpc.group/trpc-go/trpc-agent-go/event"
	"trpc.group/trpc-go/trpc-agent-go/model"
	"trpc.group/trpc-go/trpc-agent-go/runner"

	"tidings"
)

// Run is r.Run as the job: the runner's [Plugin] finds the job, the context that
// the agent gets ends when the job is asked to stop, and the job ends as the run
// does: done with the answer, or with the root agent's error, or cancelled. A
// run that waits for input leaves the job open, waiting; the run that resumes
// it goes on with it. A nil job runs unobserved.
//
// Read the events to the end, as with the runner, or end ctx.
func Run(ctx context.Context, job *tidings.Handler, r runner.Runner, userID, sessionID string, message model.Message, opts ...agent.RunOption) (<-chan *event.Event, error) {
	if job == nil {
		return r.Run(ctx, userID, sessionID, message, opts...)
	}
	ctx, cancel := job.Join(ctx)
	o := newObservation(job)
	events, err := r.Run(context.WithValue(ctx, observationKey{}, o), userID, sessionID, message, opts...)
	if err != nil {
		o.finish(err)
		cancel()
		job.End(nil, err)
		return nil, err
	}
	out := make(chan *event.Event, cap(events))
	go func() {
		defer cancel()
		defer close(out) // the job has ended by then
		o.pass(ctx, events, out)
		o.finish(nil)
		o.endJob(ctx)
	}()
	return out, nil
}

// pass gives the events to the reader. When ctx has ended the reader may be gone,
// and what still comes is given up, as the runner does.
func (o *observation) pass(ctx context.Context, events <-chan *event.Event, out chan<- *event.Event) {
	for e := range events {
		select {
		case out <- e:
		case <-ctx.Done():
		}
	}
}

// endJob ends the job as the run ended.
func (o *observation) endJob(ctx context.Context) {
	o.mu.Lock()
	err, output, paused := o.err, o.output, o.paused
	o.mu.Unlock()
	if err == nil && output == nil && ctx.Err() != nil { // it broke off without a word
		err = context.Cause(ctx)
	}
	switch {
	case err != nil:
		o.job.End(nil, err)
	case paused: // another run goes on
	default:
		o.job.End(output, nil)
	}
}

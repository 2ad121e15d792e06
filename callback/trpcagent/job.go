package trpcagent

import (
	"context"
	"sync"

	"trpc.group/trpc-go/trpc-agent-go/agent"

	"tidings"
)

type observationKey struct{}

// stateKey is where the root's invocation holds its observation: the context of
// an event's callback is not the one that the agent got.
const stateKey = "tidings.observation"

// WithJob puts the job into the context of one run, where a [Plugin] finds it.
// [Run] does it for you, and ends the job; with WithJob the job ends by
// [tidings.Handler.End], or by itself if it was started with the option Automatic.
func WithJob(ctx context.Context, job *tidings.Handler) context.Context {
	if job == nil {
		return ctx
	}
	return context.WithValue(tidings.WithJob(ctx, job), observationKey{}, newObservation(job))
}

// Job gives the job that the context of an agent, model, tool or node belongs
// to, or nil, so that a tool can tell of its own steps: a nil job takes them
// and does nothing.
func Job(ctx context.Context) *tidings.Handler {
	if o := observationFrom(ctx); o != nil {
		return o.job
	}
	job, _ := tidings.FromContext(ctx)
	return job
}

// observation is one run of a runner as part of a job.
type observation struct {
	job *tidings.Handler

	ends sync.Mutex // held while agents are ended; taken before mu

	mu      sync.Mutex
	root    context.Context      // of the root agent; nil before it starts
	agents  map[string]*agentRun // by invocation; those that have not ended
	started int                  // agents so far
	asked   map[string]askedCall // tool calls that have not begun, by their ID
	err     error                // of the root agent
	output  any                  // of the root agent
	paused  bool                 // a graph waits for input
	over    bool
}

func newObservation(job *tidings.Handler) *observation {
	return &observation{job: job, agents: map[string]*agentRun{}, asked: map[string]askedCall{}}
}

// observationFrom gives what [Run] or [WithJob] put into the context, or nil.
func observationFrom(ctx context.Context) *observation {
	if ctx == nil {
		return nil
	}
	o, _ := ctx.Value(observationKey{}).(*observation)
	if o == nil || o.job == nil {
		return nil
	}
	if job, _ := tidings.FromContext(ctx); job != nil && job != o.job {
		return nil // that of another job around this one
	}
	return o
}

// observationOf is observationFrom for callbacks that get the runner's context.
func observationOf(ctx context.Context, root *agent.Invocation) *observation {
	if o := observationFrom(ctx); o != nil {
		return o
	}
	state, _ := root.GetState(stateKey)
	o, _ := state.(*observation)
	return o
}

// observation gives that of an agent that starts: the root's begins here if the
// context holds none.
func (r *reporter) observation(ctx context.Context, inv *agent.Invocation) *observation {
	if o := observationFrom(ctx); o != nil {
		return o
	}
	job, _ := tidings.FromContext(ctx)
	if job == nil {
		job = r.job
	}
	if job == nil && r.opts.Job != nil {
		job = r.opts.Job(ctx, inv)
	}
	if job == nil {
		return nil
	}
	o := newObservation(job)
	inv.SetState(stateKey, o)
	return o
}

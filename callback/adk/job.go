package adk

import (
	"context"

	"google.golang.org/adk/v2/agent"

	"tidings"
)

type jobKey struct{}

// WithJob puts the job into the context of a run, where a [Plugin] finds it.
// [Run] does it for you. With a nil job it is ctx itself.
func WithJob(ctx context.Context, job *tidings.Handler) context.Context {
	if job == nil {
		return ctx
	}
	return context.WithValue(tidings.WithJob(ctx, job), jobKey{}, &observation{job: job})
}

// observationFrom gives what [Run] or [WithJob] put into the context for the job
// that it belongs to, or nil.
func observationFrom(ctx context.Context) *observation {
	o, _ := ctx.Value(jobKey{}).(*observation)
	if job, _ := tidings.FromContext(ctx); o != nil && job != nil && job != o.job {
		return nil // that of another job around this one
	}
	return o
}

// Context gives the context of the run that an agent's or a tool's code runs
// in, for the methods of [tidings.Handler]: what is started with it appears
// beneath the tool call or the agent. Without a job it is ctx itself.
//
//	func search(ctx agent.Context, in query) (hits, error) {
//		step, run := job.Phase(adk.Context(ctx), "ask the index")
//		defer run.End(nil)
func Context(ctx agent.InvocationContext) context.Context {
	k, name, callID := keyOfRun, "", ""
	if c, ok := ctx.(agent.Context); ok {
		k = func(agent.InvocationContext) key { return keyOf(c) }
		name, callID = c.AgentName(), c.FunctionCallID()
	} else if a := ctx.Agent(); a != nil {
		name = a.Name()
	}
	v := running.find(k(ctx))
	if v == nil {
		return ctx
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if t := v.tools[callID]; t != nil {
		return t.inner
	}
	if a := v.agent(name, ctx.Branch()); a != nil {
		return carry{Context: ctx, run: a.inner}
	}
	return ctx
}

// carry is a context that finds the run of another one.
type carry struct {
	context.Context
	run context.Context
}

// Value gives the run and the job, and everything else from the framework's own context,
// which is the newer one.
func (c carry) Value(key any) any {
	switch v := c.run.Value(key).(type) {
	case *tidings.Run, *tidings.Handler:
		return v
	}
	return c.Context.Value(key)
}

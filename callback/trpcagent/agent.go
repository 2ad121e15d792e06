package trpcagent

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"

	"trpc.group/trpc-go/trpc-agent-go/agent"
	"trpc.group/trpc-go/trpc-agent-go/model"

	"tidings"
)

// agentRun is one agent that runs, or ran, in an invocation.
type agentRun struct {
	run        *tidings.Run
	inner      context.Context
	invocation string
	root       bool
	outer      *agentRun
	number     int // of the agents in the run, by their starts

	// Under observation.mu.
	graph  bool
	models []*modelRun // that have not ended
	tools  []*toolRun
	nodes  map[string]*nodeRun // of a graph, by the invocation of their own; those that ended, too
	half   *ending             // of a graph, until its last event
	last   bool                // that event came
}

// ending is how an agent ended.
type ending struct {
	output any
	err    error
}

type agentKey struct{}

func agentFrom(ctx context.Context) *agentRun {
	a, _ := ctx.Value(agentKey{}).(*agentRun)
	return a
}

func (o *observation) agentStarts(ctx context.Context, inv *agent.Invocation) context.Context {
	outer := agentFrom(ctx)
	a := &agentRun{invocation: inv.InvocationID, outer: outer, root: outer == nil, graph: isGraph(inv.Agent), nodes: map[string]*nodeRun{}}
	info := tidings.RunInfo{Name: inv.AgentName, Kind: "agent"}
	if a.graph {
		info.Kind = "graph"
	}
	if text := inv.Message.Content; a.root && text != "" {
		info.Input = text
	}
	if outer != nil && toolFrom(ctx) == nil {
		info.Parent = o.nodeAround(outer, inv.GetParentInvocation())
	}
	a.inner, a.run = o.job.PhaseWith(ctx, info)
	a.inner = context.WithValue(a.inner, agentKey{}, a)
	a.inner = context.WithValue(context.WithValue(a.inner, modelKey{}, nil), toolKey{}, nil)
	if observationFrom(ctx) == nil {
		a.inner = context.WithValue(a.inner, observationKey{}, o)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.root == nil {
		o.root = ctx
	}
	o.started++
	a.number = o.started
	o.agents[inv.InvocationID] = a
	return a.inner
}

func (o *observation) agentEnds(ctx context.Context, args *agent.AfterAgentArgs) {
	a := o.agentOf(args.Invocation.InvocationID)
	if a == nil {
		return
	}
	e := &ending{err: args.Error}
	if full := args.FullResponseEvent; full != nil && full.Response != nil {
		if full.Response.Error != nil {
			e.err = responseError(full.Response.Error)
		} else if text := answerOf(full.Response); text != "" {
			e.output = text
		}
	}
	if e.err == nil && e.output == nil {
		e.err = context.Cause(ctx) // it broke off without a word
	}
	o.mu.Lock()
	a.half = e
	wait := a.graph && !a.last
	o.mu.Unlock()
	if !wait {
		o.end(a, e)
	}
}

// lastEvent says that all events of a graph's nodes have come: they take
// another way than the agent's end and may come later.
func (o *observation) lastEvent(a *agentRun) {
	o.mu.Lock()
	a.last = true
	e := a.half
	o.mu.Unlock()
	if e != nil {
		o.end(a, e)
	}
}

// errNoAnswer is how a call ends that the framework says nothing more of.
var errNoAnswer = errors.New("the call ended without an answer")

// end ends the agent and what is open beneath. A model call that fails has no
// callback: its agent's error is its own.
func (o *observation) end(a *agentRun, e *ending) {
	o.ends.Lock()
	defer o.ends.Unlock()
	o.endNow(a, e)
}

// endNow is called with o.ends held: the runs within are ended, and told of, when
// it returns.
func (o *observation) endNow(a *agentRun, e *ending) {
	if e.err != nil {
		o.endInner(a, e.err)
	}
	o.mu.Lock()
	models, tools, nodes := a.models, a.tools, a.nodes
	a.models, a.tools, a.nodes = nil, nil, nil
	delete(o.agents, a.invocation)
	if a.root {
		o.err, o.output = e.err, e.output
	}
	o.mu.Unlock()
	for i, m := range models {
		err := errNoAnswer
		if e.err != nil && i == len(models)-1 {
			err = e.err
		}
		m.run.End("", err)
	}
	for _, t := range tools {
		t.run.End(nil, cmp.Or(e.err, errNoAnswer))
	}
	for _, n := range nodes {
		n.run.End(e.err)
	}
	if e.err == nil && e.output != nil {
		a.run.Output(e.output)
	}
	a.run.End(e.err)
}

// endInner ends the agents within one that has failed: it may be told of before
// they are.
func (o *observation) endInner(a *agentRun, err error) {
	for _, inner := range o.open() {
		if inner.within(a) {
			o.endNow(inner, &ending{err: err})
		}
	}
}

// within reports whether the agent runs inside of another.
func (a *agentRun) within(other *agentRun) bool {
	for a = a.outer; a != nil; a = a.outer {
		if a == other {
			return true
		}
	}
	return false
}

// open gives the agents that have not ended, the inner ones first.
func (o *observation) open() []*agentRun {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.SortedFunc(maps.Values(o.agents), func(a, b *agentRun) int { return b.number - a.number })
}

// finish ends what is open when the run is over: after a cancel, agents end
// without a callback. The inner ones go first. A nil cause is found out.
func (o *observation) finish(cause error) {
	o.ends.Lock()
	defer o.ends.Unlock()
	o.mu.Lock()
	if o.over {
		o.mu.Unlock()
		return
	}
	o.over = true
	if cause == nil && o.root != nil {
		cause = context.Cause(o.root)
	}
	cause = cmp.Or(cause, errNoAnswer)
	o.mu.Unlock()
	for _, a := range o.open() {
		o.mu.Lock()
		e := a.half
		o.mu.Unlock()
		if e == nil {
			e = &ending{err: cause}
		}
		o.endNow(a, e)
	}
}

// answerOf gives the text of a whole answer.
func answerOf(r *model.Response) string {
	if r == nil || len(r.Choices) == 0 {
		return ""
	}
	return r.Choices[0].Message.Content
}

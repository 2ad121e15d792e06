package trpcagent

import (
	"context"
	"errors"

	"trpc.group/trpc-go/trpc-agent-go/agent"
	"trpc.group/trpc-go/trpc-agent-go/model"

	"tidings"
)

// agentRun is one agent that runs, or ran, in an invocation.
type agentRun struct {
	run   *tidings.Run
	inner context.Context
	root  bool

	// Under observation.mu.
	models []*modelRun // that have not ended
	tools  []*toolRun
	nodes  map[string]*tidings.Run // of a graph, by node
}

type agentKey struct{}

func agentFrom(ctx context.Context) *agentRun {
	a, _ := ctx.Value(agentKey{}).(*agentRun)
	return a
}

func (o *observation) agentStarts(ctx context.Context, inv *agent.Invocation) context.Context {
	a := &agentRun{root: agentFrom(ctx) == nil, nodes: map[string]*tidings.Run{}}
	info := tidings.RunInfo{Name: inv.AgentName, Kind: "agent"}
	if text := inv.Message.Content; a.root && text != "" {
		info.Input = text
	}
	a.inner, a.run = o.job.PhaseWith(ctx, info)
	a.inner = context.WithValue(context.WithValue(a.inner, agentKey{}, a), modelKey{}, nil)
	if observationFrom(ctx) == nil {
		a.inner = context.WithValue(a.inner, observationKey{}, o)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.root == nil {
		o.root = ctx
	}
	o.agents[inv.InvocationID] = a
	return a.inner
}

func (o *observation) agentEnds(args *agent.AfterAgentArgs) {
	o.mu.Lock()
	a := o.agents[args.Invocation.InvocationID]
	delete(o.agents, args.Invocation.InvocationID)
	o.mu.Unlock()
	if a == nil {
		return
	}
	var output any
	err := args.Error
	if e := args.FullResponseEvent; e != nil && e.Response != nil {
		if e.Response.Error != nil {
			err = responseError(e.Response.Error)
		} else if text := answerOf(e.Response); text != "" {
			output = text
		}
	}
	if a.root {
		o.mu.Lock()
		o.err, o.output = err, output
		o.mu.Unlock()
	}
	if err == nil && output != nil {
		a.run.Output(output)
	}
	o.end(a, err)
}

// errNoAnswer is how a call ends that the framework says nothing more of.
var errNoAnswer = errors.New("the call ended without an answer")

// end ends the agent and what is open beneath. A model call that fails has no
// callback: its agent's error is its own.
func (o *observation) end(a *agentRun, err error) {
	o.mu.Lock()
	models, tools, nodes := a.models, a.tools, a.nodes
	a.models, a.tools, a.nodes = nil, nil, nil
	o.mu.Unlock()
	for i, m := range models {
		if err != nil && i == len(models)-1 {
			m.run.End("", err)
			continue
		}
		m.run.End("", errNoAnswer)
	}
	for _, t := range tools {
		t.run.End(nil, cmpErr(err))
	}
	for _, n := range nodes {
		n.End(err)
	}
	a.run.End(err)
}

func cmpErr(err error) error {
	if err == nil {
		return errNoAnswer
	}
	return err
}

// finish ends what is open when the run is over: after a cancel, agents end
// without a callback.
func (o *observation) finish() {
	o.mu.Lock()
	if o.over {
		o.mu.Unlock()
		return
	}
	o.over = true
	open := o.agents
	o.agents = map[string]*agentRun{}
	var err error
	if o.root != nil && o.root.Err() != nil {
		err = context.Cause(o.root)
	} else if len(open) > 0 {
		err = errNoAnswer
	}
	var roots []*agentRun
	for _, a := range open {
		if a.root {
			roots = append(roots, a)
			o.err = err
		}
	}
	o.mu.Unlock()
	for _, a := range open {
		if !a.root {
			o.end(a, err)
		}
	}
	for _, a := range roots {
		o.end(a, err)
	}
}

// answerOf gives the text of a whole answer.
func answerOf(r *model.Response) string {
	if r == nil || len(r.Choices) == 0 {
		return ""
	}
	return r.Choices[0].Message.Content
}

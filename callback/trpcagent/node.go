package trpcagent

import (
	"context"
	"errors"
	"strings"

	"trpc.group/trpc-go/trpc-agent-go/agent"
	"trpc.group/trpc-go/trpc-agent-go/event"
	"trpc.group/trpc-go/trpc-agent-go/graph"

	"tidings"
)

// nodeRun is one node of a graph. It has no callbacks: its events come through
// the runner, mostly after the first model call in it.
type nodeRun struct {
	name  string
	inner context.Context
	run   *tidings.Run
	ended bool // under observation.mu
}

func isGraph(ag agent.Agent) bool {
	_, ok := ag.(interface{ Executor() *graph.Executor })
	return ok
}

// node gives the node that a model or tool is called in, or nil: each node has
// an invocation of its own.
func (o *observation) node(ctx context.Context) *tidings.Run {
	a := agentFrom(ctx)
	inv, ok := agent.InvocationFromContext(ctx)
	if a == nil || !ok {
		return nil
	}
	return o.nodeAround(a, inv)
}

// nodeAround gives the node of the agent's graph that an invocation is, or nil.
func (o *observation) nodeAround(a *agentRun, inv *agent.Invocation) *tidings.Run {
	if inv == nil || inv.InvocationID == a.invocation || !isGraph(inv.Agent) {
		return nil
	}
	name := inv.Branch[strings.LastIndex(inv.Branch, agent.BranchDelimiter)+1:]
	if n := o.nodeOf(a, inv.InvocationID, graph.NodeExecutionMetadata{NodeID: name}); n != nil {
		return n.run
	}
	return nil
}

// nodeOf gives the node of an invocation, which begins when something is heard
// of it for the first time.
func (o *observation) nodeOf(a *agentRun, invocation string, n graph.NodeExecutionMetadata) *nodeRun {
	o.mu.Lock()
	defer o.mu.Unlock()
	if a.nodes == nil { // the agent has ended
		return nil
	}
	a.graph = true
	if node := a.nodes[invocation]; node != nil {
		return node
	}
	info := tidings.RunInfo{Name: n.NodeID, Kind: "node", Step: int64(n.StepNumber), Attempt: int64(n.Attempt)}
	node := &nodeRun{name: n.NodeID}
	node.inner, node.run = o.job.PhaseWith(a.inner, info)
	a.nodes[invocation] = node
	return node
}

// graphOf gives the open agent whose node has the invocation, or else the one
// whose graph a new node must belong to.
func (o *observation) graphOf(e *event.Event) *agentRun {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, a := range o.agents {
		if a.nodes[e.InvocationID] != nil {
			return a
		}
	}
	return o.agents[e.ParentInvocationID]
}

func (o *observation) nodeEvent(e *event.Event) {
	n, ok := metadata[graph.NodeExecutionMetadata](e, graph.MetadataKeyNode)
	a := o.graphOf(e)
	if !ok || a == nil || byHelper(e) {
		return
	}
	node := o.nodeOf(a, e.InvocationID, n)
	if node == nil || e.Object == graph.ObjectTypeGraphNodeStart {
		return
	}
	var err error
	if e.Object == graph.ObjectTypeGraphNodeError {
		err = errors.New(n.Error)
	}
	if n.Retrying {
		o.job.Error(node.inner, err, "chain")
		return
	}
	o.endNode(node, err)
}

func (o *observation) endNode(n *nodeRun, err error) {
	o.mu.Lock()
	n.ended = true
	o.mu.Unlock()
	n.run.End(err)
}

// byHelper reports whether the event is the second of its kind, which nodes that
// are agents have.
func byHelper(e *event.Event) bool {
	return graph.NodeEventEmitterFromStateDelta(e.StateDelta) == graph.NodeEventEmitterAgentHelper
}

// nodeSays passes on what a node's code tells by the framework's own means.
// These events have the invocation of the graph.
func (o *observation) nodeSays(e *event.Event) {
	c, ok := metadata[graph.NodeCustomEventMetadata](e, graph.MetadataKeyNodeCustom)
	a := o.agentOf(e.InvocationID)
	if !ok || a == nil {
		return
	}
	run := a.run
	if node := o.named(a, c.NodeID); node != nil {
		run = node.run
	}
	switch {
	case c.Category == graph.NodeCustomEventCategoryProgress:
		run.Progress(c.Progress/100, c.Message)
	case c.Payload == nil:
		run.Custom(c.EventType, c.Message)
	default:
		run.Custom(c.EventType, c.Payload)
	}
}

// named gives the graph's node of the name that runs, or nil.
func (o *observation) named(a *agentRun, name string) *nodeRun {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, n := range a.nodes {
		if n.name == name && !n.ended {
			return n
		}
	}
	return nil
}

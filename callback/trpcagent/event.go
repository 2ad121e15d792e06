package trpcagent

import (
	"encoding/json"

	"trpc.group/trpc-go/trpc-agent-go/event"
	"trpc.group/trpc-go/trpc-agent-go/graph"
	"trpc.group/trpc-go/trpc-agent-go/model"
)

// event learns from the runner's stream what no callback tells: the nodes of
// graphs, interrupts, and tools that don't exist.
func (o *observation) event(e *event.Event) {
	if e.Response == nil || e.IsPartial {
		return
	}
	switch e.Object {
	case model.ObjectTypeToolResponse:
		o.toolResponse(e)
	case graph.ObjectTypeGraphNodeStart, graph.ObjectTypeGraphNodeComplete, graph.ObjectTypeGraphNodeError:
		o.nodeEvent(e)
	case graph.ObjectTypeGraphNodeCustom:
		o.nodeSays(e)
	case graph.ObjectTypeGraphExecution:
		if a := o.agentOf(e.InvocationID); a != nil {
			o.lastEvent(a)
		}
	case graph.ObjectTypeGraphPregelStep:
		o.step(e)
	}
}

// agentOf gives the open agent of an invocation, or nil.
func (o *observation) agentOf(invocation string) *agentRun {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.agents[invocation]
}

func metadata[T any](e *event.Event, key string) (v T, ok bool) {
	text, ok := e.StateDelta[key]
	return v, ok && json.Unmarshal(text, &v) == nil
}

// step is a step of a graph; the one that fails or is interrupted is its last.
func (o *observation) step(e *event.Event) {
	a := o.agentOf(e.InvocationID)
	step, ok := metadata[graph.PregelStepMetadata](e, graph.MetadataKeyPregel)
	switch {
	case a == nil || !ok:
	case step.InterruptValue != nil || step.InterruptKey != "":
		o.interrupt(a, step)
		o.lastEvent(a)
	case step.Error != "" || e.Response.Error != nil:
		o.lastEvent(a)
	}
}

func (o *observation) interrupt(a *agentRun, step graph.PregelStepMetadata) {
	o.mu.Lock()
	o.paused = true
	o.mu.Unlock()
	node := o.named(a, step.NodeID)
	if node == nil {
		a.run.Interrupt(step.InterruptValue)
		return
	}
	node.run.Interrupt(step.InterruptValue)
	o.endNode(node, nil)
}

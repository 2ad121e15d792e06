package trpcagent

import (
	"encoding/json"
	"errors"

	"trpc.group/trpc-go/trpc-agent-go/event"
	"trpc.group/trpc-go/trpc-agent-go/graph"
	"trpc.group/trpc-go/trpc-agent-go/model"

	"tidings"
)

// event learns from the runner's stream what no callback tells: the nodes of
// graphs, interrupts, and tools that don't exist.
func (o *observation) event(e *event.Event) {
	if e.Response == nil || e.IsPartial {
		return
	}
	a := o.agentOf(e.InvocationID)
	if a == nil {
		return
	}
	switch e.Object {
	case model.ObjectTypeToolResponse:
		o.toolResponse(a, e)
	case graph.ObjectTypeGraphNodeStart, graph.ObjectTypeGraphNodeComplete, graph.ObjectTypeGraphNodeError:
		if node, ok := metadata[graph.NodeExecutionMetadata](e, graph.MetadataKeyNode); ok {
			o.node(a, e.Object, node)
		}
	case graph.ObjectTypeGraphNodeCustom:
		if custom, ok := metadata[graph.NodeCustomEventMetadata](e, graph.MetadataKeyNodeCustom); ok {
			o.custom(a, custom)
		}
	case graph.ObjectTypeGraphPregelStep, graph.ObjectTypeGraphPregelExecution, graph.ObjectTypeGraphCheckpointInterrupt:
		if step, ok := metadata[graph.PregelStepMetadata](e, graph.MetadataKeyPregel); ok && step.InterruptValue != nil {
			o.interrupt(a, step)
		}
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

func (o *observation) node(a *agentRun, object string, n graph.NodeExecutionMetadata) {
	if object == graph.ObjectTypeGraphNodeStart {
		_, run := o.job.PhaseWith(a.inner, tidings.RunInfo{
			Name: n.NodeID, Kind: "node", Step: int64(n.StepNumber), Attempt: int64(n.Attempt),
		})
		o.mu.Lock()
		defer o.mu.Unlock()
		if a.nodes != nil {
			a.nodes[n.NodeID] = run
		}
		return
	}
	o.mu.Lock()
	run := a.nodes[n.NodeID]
	delete(a.nodes, n.NodeID)
	o.mu.Unlock()
	if object == graph.ObjectTypeGraphNodeError {
		run.End(errors.New(n.Error))
		return
	}
	run.End(nil)
}

func (o *observation) custom(a *agentRun, c graph.NodeCustomEventMetadata) {
	o.mu.Lock()
	run := a.nodes[c.NodeID]
	o.mu.Unlock()
	if run == nil {
		run = a.run
	}
	if c.Category == graph.NodeCustomEventCategoryProgress {
		run.Progress(c.Progress/100, c.Message)
		return
	}
	value := c.Payload
	if value == nil {
		value = c.Message
	}
	run.Custom(c.EventType, value)
}

func (o *observation) interrupt(a *agentRun, step graph.PregelStepMetadata) {
	o.mu.Lock()
	run := a.nodes[step.NodeID]
	delete(a.nodes, step.NodeID)
	o.paused = true
	o.mu.Unlock()
	if run == nil {
		run = a.run
	}
	run.Interrupt(step.InterruptValue)
	if run != a.run {
		run.End(nil)
	}
}

package adk

import (
	"maps"
	"path"
	"slices"
	"strings"

	"google.golang.org/adk/v2/session"

	"tidings"
)

// event tells what only the framework's events say. Contents of model calls and
// tools are told by their callbacks.
func (v *invocation) event(e *session.Event) {
	if e.Partial { // the agent does not wait for these: it is writing into their maps
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	a := v.agent(e.Author, e.Branch)
	run := v.node(e, a)
	if run == nil && a != nil {
		run = a.run
	}
	v.actions(e, run)
	if in := e.RequestedInput; in != nil {
		v.interrupted = true
		v.ask(run, map[string]any{"id": in.InterruptID, "message": in.Message, "payload": in.Payload})
	}
	if a != nil {
		a.answered(e)
	}
}

func (v *invocation) actions(e *session.Event, run *tidings.Run) {
	if len(e.Actions.StateDelta) > 0 {
		v.patch(run, statePatch(e.Actions.StateDelta))
	}
	if to := e.Actions.TransferToAgent; to != "" {
		run.Progress(-1, "transfer to "+to)
	}
	if e.Actions.Escalate {
		run.Progress(-1, "escalate")
	}
}

func (v *invocation) patch(run *tidings.Run, patch any) {
	if run == nil {
		v.job.StatePatch(patch)
		return
	}
	run.StatePatch(patch)
}

func (v *invocation) ask(run *tidings.Run, value any) {
	if run == nil {
		v.job.Interrupt(value)
		return
	}
	run.Interrupt(value)
}

// operation is one of a JSON Patch.
type operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// statePatch writes a state delta as a JSON Patch (RFC 6902).
func statePatch(delta map[string]any) []operation {
	var patch []operation
	for _, k := range slices.Sorted(maps.Keys(delta)) {
		patch = append(patch, operation{Op: "add", Path: "/" + pointer.Replace(k), Value: delta[k]})
	}
	return patch
}

var pointer = strings.NewReplacer("~", "~0", "/", "~1")

// answered tells what an agent said that has no model, or that a callback said
// in its model's place.
func (a *agentRun) answered(e *session.Event) {
	text := contentText(e.Content)
	switch {
	case a.model != nil && text != "":
		a.model.run.End(text, nil)
		a.model = nil
	case a.models > 0:
	case e.Output != nil:
		a.run.Output(e.Output)
	case text != "":
		a.run.Output(text)
	}
}

// node gives the run of the workflow's node that the event comes from, or nil if it
// comes from an agent, which has a run of its own. Nodes have no callbacks:
// their first event begins the run, their output ends it. v.mu is held.
func (v *invocation) node(e *session.Event, author *agentRun) *tidings.Run {
	if e.NodeInfo == nil || e.NodeInfo.Path == "" {
		return nil
	}
	at := e.NodeInfo.Path
	name, _, _ := strings.Cut(path.Base(at), "@")
	if author == nil || author.name == name || v.agent(name, e.Branch) != nil || author.models > 0 {
		return nil
	}
	run := v.nodes[at]
	if run == nil {
		_, run = v.job.PhaseWith(author.inner, tidings.RunInfo{Name: name, Kind: "node", Namespace: strings.Split(at, "/"), Parent: author.run})
		v.nodes[at] = run
	}
	if e.Output != nil {
		run.Output(e.Output)
		run.End(nil)
		delete(v.nodes, at)
	}
	return run
}

package tidingsgenkit

import (
	"github.com/firebase/genkit/go/ai"

	"tidings"
)

// interrupt tells that a tool waits for input. Its run stays open until the
// answer comes or the run around all ends.
func (t *tracked) interrupt(run *tidings.ToolRun, root *tidings.Run, req *ai.ToolRequest, metadata map[string]any) {
	defer guard("interrupt")
	ask := map[string]any{"tool": req.Name, "call_id": req.Ref}
	if metadata != nil {
		ask["metadata"] = metadata
	}
	run.Run().Interrupt(ask)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending[req.Ref] = &waiting{tool: run, root: root}
}

// resume ends the calls that the caller answers, or runs again, by what it gives
// to a generation.
func (t *tracked) resume(r *ai.GenerateActionResume) {
	if r == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.waits = false
	for _, p := range r.Respond {
		if p != nil && p.ToolResponse != nil {
			t.answered(p.ToolResponse.Ref, p.ToolResponse.Output)
		}
	}
	for _, p := range r.Restart {
		if p != nil && p.ToolRequest != nil {
			t.answered(p.ToolRequest.Ref, p.Metadata["resumed"])
		}
	}
}

// answered ends a call that waits in this process. t.mu is held.
func (t *tracked) answered(ref string, answer any) {
	w := t.pending[ref]
	if w == nil {
		return
	}
	delete(t.pending, ref)
	w.tool.Run().Resume(answer)
	w.tool.End(answer, nil)
}

// rootEnds gives up waiting in this process for what was asked beneath a run
// that is over: a later one, here or elsewhere, brings the answer.
func (t *tracked) rootEnds(root *tidings.Run) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ref, w := range t.pending {
		if w.root == root {
			t.waits = true
			delete(t.pending, ref)
			w.tool.End(nil, nil)
		}
	}
}

package tidingsgenkit

import (
	"context"

	"github.com/firebase/genkit/go/ai"

	"tidings"
)

// interrupt tells that a tool waits for input. Its run stays open until the
// answer comes or the run around all ends.
func (t *tracked) interrupt(run *tidings.ToolRun, held context.Context, root *tidings.Run, req *ai.ToolRequest, metadata map[string]any) {
	defer guard("interrupt")
	ask := map[string]any{"tool": req.Name, "call_id": req.Ref}
	if metadata != nil {
		ask["metadata"] = metadata
	}
	run.Run().Interrupt(ask)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pending[req.Ref] = &waiting{tool: run, held: held, root: root}
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
			t.restart(p.ToolRequest.Ref, p.Metadata["resumed"])
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

// restart lets a call that waits in this process go on when it is run again. t.mu
// is held.
func (t *tracked) restart(ref string, resumed any) {
	w := t.pending[ref]
	if w == nil {
		return
	}
	delete(t.pending, ref)
	w.tool.Run().Resume(resumed)
	t.restarted[ref] = w
}

// goesOn gives the call that is run again, once.
func (t *tracked) goesOn(ref string) *waiting {
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.restarted[ref]
	delete(t.restarted, ref)
	return w
}

// rootEnds is giveUp for what was asked beneath an outermost run, unless Run
// knows better when all is over.
func (t *tracked) rootEnds(root *tidings.Run) {
	if !t.whole {
		t.giveUp(root)
	}
}

// giveUp stops waiting in this process for what was asked beneath a run that is
// over, or beneath any: a later one, here or elsewhere, brings the answer. It
// reports whether anything is waited for.
func (t *tracked) giveUp(root *tidings.Run) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for ref, w := range t.pending {
		if root == nil || w.root == root {
			t.waits = true
			delete(t.pending, ref)
			w.tool.End(nil, nil)
		}
	}
	return t.waits
}

package eino

import (
	"strings"

	"tidings"
)

// result is how a run ended.
type result struct {
	output any    // of a graph, node, agent or tool
	answer answer // of a model
	err    error
	waits  bool // for input, although there is no error that says so
	input  any  // that is waited for
}

// end ends the run, now if no stream beneath it is open, and as soon as those
// have ended otherwise.
func (n *node) end(output any, err error) {
	r := result{err: err}
	if err == nil {
		r.output, r.answer = n.snapshot(output)
	}
	streams := n.streams()
	if streams == nil || n.tool != nil && err == nil { // the model's next call must not come before a result
		n.finish(r)
		return
	}
	n.endLater(r, streams)
}

func (n *node) endLater(r result, streams <-chan struct{}) {
	go func() {
		defer n.failSafe()
		await(streams)
		n.finish(r)
	}()
}

// drain reads what the run gives, in a goroutine that ends with it, and ends
// the run.
func (n *node) drain(h *Handler, read func() result) {
	go func() {
		defer h.guard("drain")
		defer n.failSafe()
		r := read()
		await(n.streams())
		n.finish(r)
	}()
}

// failSafe ends a run whose end panicked: nobody else would, and all would wait
// for it. Defer it directly.
func (n *node) failSafe() {
	if p := recover(); p != nil {
		n.finish(result{err: &tidings.PanicError{Value: p}})
	}
}

// snapshot takes what End will publish out of Eino's value, which others may
// change until then.
func (n *node) snapshot(output any) (any, answer) {
	switch {
	case n.class == aModel:
		return nil, answerOf(output)
	case n.class == aTool:
		return toolOutput(output), answer{}
	case n.shown:
		if v := valueOf(n.component, output); v != nil {
			n.phase.Output(v) // takes one itself
		}
	}
	return nil, answer{}
}

// finish tells the job of the end, once.
func (n *node) finish(r result) {
	n.s.mu.Lock()
	gone := n.gone
	n.gone = true
	if n.handed != nil {
		r.output = n.handed
	}
	n.s.mu.Unlock()
	if gone {
		return
	}
	if value, ok := interruption(r.err); ok {
		r.err, r.waits, r.input = nil, true, value
	}
	defer n.s.leave(n, outcome{output: r.output, err: r.err, interrupted: r.waits})
	if r.waits {
		n.run().Interrupt(r.input)
	}
	if r.err != nil {
		n.blame(r.err)
	}
	n.tell(r)
}

func (n *node) tell(r result) {
	err := told(r.err)
	switch {
	case n.model != nil:
		r.answer.tell(n.model, err)
	case n.tool != nil:
		n.tool.End(r.output, err)
	default:
		if n.shown && r.output != nil {
			n.phase.Output(r.output)
		}
		n.phase.End(err)
	}
}

// blame ends the runs that failed without a word: a panic of a node or a tool
// is reported by the graph around it only, and that of an agent by its events.
func (n *node) blame(err error) {
	open := n.open()
	if len(open) == 0 || !n.isAgent() && !panicked(err) {
		return
	}
	first, _, _ := strings.Cut(nodePath(err), ", ")
	for _, c := range open {
		if n.isAgent() || len(open) == 1 || c.key == first {
			c.fail(err)
		}
	}
}

// fail ends the run and what is open in it, the innermost first.
func (n *node) fail(err error) {
	for _, c := range n.open() {
		c.fail(err)
	}
	n.s.mu.Lock()
	ok := n.claim()
	n.s.mu.Unlock()
	if ok {
		n.finish(result{err: err})
	}
}

package eino

import (
	"context"
	"slices"

	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/compose"

	"tidings"
)

// node is one run of a graph, node, agent, model or tool.
type node struct {
	s      *story
	info   *callbacks.RunInfo // compared, never changed; may be nil
	parent *node
	place

	phase *tidings.Run // one of these three
	model *tidings.ModelRun
	tool  *tidings.ToolRun
	shown bool // publishes values

	takesOver bool // an agent that its parent has handed over to

	// Under story.mu.
	claimed  bool // its end was reported; a stream may go on
	gone     bool
	handed   any           // what an agent said that this one handed over to
	children []*node       // that have not ended
	draining int           // of them claimed
	quiet    chan struct{} // closed when draining falls to zero; nil: nobody waits
}

// start begins the run and gives the context of what belongs to it.
func (s *story) start(ctx context.Context, info *callbacks.RunInfo, input any, o *Options) context.Context {
	parent := s.nodeFrom(ctx)
	if parent != nil && info != nil && parent.info == info {
		return ctx // the handler is attached twice
	}
	n := &node{s: s, info: info, parent: parent, place: placeOf(ctx, info, input, parent)}
	if n.agent != nil && n.parent == nil {
		n.parent = s.agentAt(n.agent.above)
		n.takesOver = n.parent != nil
	}
	n.shown = !o.NoValues
	inner := n.begin(ctx, input, o)
	s.enter(n)
	if parent == nil && storyFrom(inner) != s {
		inner = s.within(inner)
	}
	return context.WithValue(inner, nodeKey{s}, n)
}

// begin tells the job of the run.
func (n *node) begin(ctx context.Context, input any, o *Options) context.Context {
	job, info := n.s.job, tidings.RunInfo{Name: n.name, Kind: n.kind, Namespace: n.namespace, Hidden: n.plumbing && !o.Plumbing}
	if n.takesOver {
		info.Parent = n.parent.run() // the context does not hold it
	}
	var inner context.Context
	switch n.class {
	case aModel:
		if o.ModelInput {
			info.Input = readable(input)
		}
		inner, n.model = job.ModelWith(ctx, info, modelName(n.info, input), "")
	case aTool:
		info.Input = toolInput(input)
		inner, n.tool = job.ToolWith(ctx, info, n.name, compose.GetToolCallID(ctx))
	default:
		n.shown = n.shown && !info.Hidden
		if n.shown {
			info.Input = valueOf(n.component, input)
		}
		inner, n.phase = job.PhaseWith(ctx, info)
	}
	return inner
}

// run is the node's place in the job's tree.
func (n *node) run() *tidings.Run {
	switch {
	case n == nil:
		return nil
	case n.model != nil:
		return n.model.Run()
	case n.tool != nil:
		return n.tool.Run()
	}
	return n.phase
}

// claim reports whether this is the first word of the run's end. Under story.mu.
func (n *node) claim() bool {
	if n.claimed {
		return false
	}
	n.claimed = true
	n.s.draining++
	if n.parent != nil {
		n.parent.draining++
	}
	return true
}

// left takes the run from the one around it. Under story.mu.
func (n *node) left() {
	n.gone = true
	p := n.parent
	if p == nil {
		return
	}
	p.children = slices.DeleteFunc(p.children, func(c *node) bool { return c == n })
	p.draining--
	if p.draining == 0 && p.quiet != nil {
		close(p.quiet)
		p.quiet = nil
	}
}

// streams gives what is closed once the streams beneath have ended; nil if none
// is open.
func (n *node) streams() <-chan struct{} {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	if n.draining > 0 && n.quiet == nil {
		n.quiet = make(chan struct{})
	}
	return n.quiet
}

// open gives the runs beneath whose end nobody has reported.
func (n *node) open() []*node {
	n.s.mu.Lock()
	defer n.s.mu.Unlock()
	var open []*node
	for _, c := range n.children {
		if !c.claimed {
			open = append(open, c)
		}
	}
	return open
}

package adk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"google.golang.org/adk/v2/agent"

	"tidings"
)

// key names one invocation of a runner in this process.
type key struct{ app, user, session, invocation string }

// identified is what keys are made of.
type identified interface {
	AppName() string
	UserID() string
	SessionID() string
	InvocationID() string
}

func keyOf(ctx identified) key {
	return key{ctx.AppName(), ctx.UserID(), ctx.SessionID(), ctx.InvocationID()}
}

// keyOfRun is keyOf for the context of a whole run.
func keyOfRun(ctx agent.InvocationContext) key {
	k := key{invocation: ctx.InvocationID()}
	if s := ctx.Session(); s != nil {
		k.app, k.user, k.session = s.AppName(), s.UserID(), s.ID()
	}
	return k
}

// running holds the invocations that are under way in this process: callbacks
// give no context on, so a callback finds by name what an earlier one began.
var running = registry{invocations: map[key]*invocation{}, observed: map[*tidings.Handler][]*observation{}}

type registry struct {
	mu          sync.Mutex
	invocations map[key]*invocation
	observed    map[*tidings.Handler][]*observation // by Observe, which has no context
}

func (r *registry) find(k key) *invocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.invocations[k]
}

func (r *registry) add(k key, v *invocation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.invocations[k] = v
}

func (r *registry) remove(k key) *invocation {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := r.invocations[k]
	delete(r.invocations, k)
	return v
}

// observe remembers that the job's iterator is read by o.
func (r *registry) observe(o *observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.observed[o.job] = append(r.observed[o.job], o)
}

func (r *registry) leave(o *observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rest := slices.DeleteFunc(r.observed[o.job], func(other *observation) bool { return other == o })
	if len(rest) == 0 {
		delete(r.observed, o.job)
		return
	}
	r.observed[o.job] = rest
}

// attach ties the invocation to whom reads its iterator, if anyone does: the
// observation in the context, or the job's first that has no invocation yet.
func (r *registry) attach(v *invocation, o *observation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if o != nil && o.begun && o.invocation == nil {
		o.invocation = v
		return
	}
	for _, o := range r.observed[v.job] {
		if o.invocation == nil {
			o.invocation = v
			return
		}
	}
}

// invocation is what is known of one run of a runner.
type invocation struct {
	job  *tidings.Handler
	root agent.Agent // nil if it is not known

	mu          sync.Mutex
	agents      []*agentRun // that run, in the order of their start
	tools       map[string]*toolRun
	nodes       map[string]*tidings.Run // of a workflow, by their path
	failed      bool                    // the iterator gave an error
	broken      error                   // why the reader left the iterator
	final       bool                    // the reader left after a final answer
	interrupted bool
}

func newInvocation(job *tidings.Handler, root agent.Agent) *invocation {
	return &invocation{job: job, root: root, tools: map[string]*toolRun{}, nodes: map[string]*tidings.Run{}}
}

// agentRun is one run of an agent.
type agentRun struct {
	name, branch string
	parent       *agentRun
	run          *tidings.Run
	inner        context.Context
	model        *modelRun
	modelName    string
	models       int // calls so far
	pending      []any
	err          error // why it failed, if it is known
	modelErr     error // of its last model call
}

// agent gives the run of the agent that began last. v.mu is held.
func (v *invocation) agent(name, branch string) *agentRun {
	var same *agentRun
	for _, a := range slices.Backward(v.agents) {
		if a.name != name {
			continue
		}
		if a.branch == branch {
			return a
		}
		if same == nil {
			same = a
		}
	}
	return same
}

// parentOf finds the run around a new one: the nearest by branch, and there the
// agent that has it as a sub-agent, or else the one that began last. The framework
// does not tell. v.mu is held.
func (v *invocation) parentOf(name, branch string) *agentRun {
	var best *agentRun
	for _, a := range slices.Backward(v.agents) {
		if !encloses(a.branch, branch) {
			continue
		}
		switch {
		case best == nil, len(a.branch) > len(best.branch),
			len(a.branch) == len(best.branch) && !v.has(best.name, name) && v.has(a.name, name):
			best = a
		}
	}
	return best
}

// encloses reports whether a branch is another one or lies around it.
func encloses(outer, inner string) bool {
	return outer == "" || outer == inner || strings.HasPrefix(inner, outer+".")
}

// has reports whether the agent has another one as its sub-agent.
func (v *invocation) has(name, sub string) bool {
	if v.root == nil {
		return false
	}
	a := v.root.FindAgent(name)
	return a != nil && slices.ContainsFunc(a.SubAgents(), func(s agent.Agent) bool { return s.Name() == sub })
}

// remove takes the run out of those that run. v.mu is held.
func (v *invocation) remove(a *agentRun) {
	v.agents = slices.DeleteFunc(v.agents, func(other *agentRun) bool { return other == a })
}

// fail notes an error that the iterator gave, at the agent that it most likely
// came from, and those around it.
func (v *invocation) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failed = true
	for a := v.source(err); a != nil; a = a.parent {
		a.err = err
	}
}

// source guesses whose error it is: of the agent whose model failed, else of one
// that the error names, else of the one that began last. v.mu is held.
func (v *invocation) source(err error) *agentRun {
	var named *agentRun
	for _, a := range slices.Backward(v.agents) {
		if a.modelErr != nil && errors.Is(err, a.modelErr) {
			return a
		}
		if named == nil && strings.Contains(errorText(err), "agent "+strconv.Quote(a.name)) {
			named = a
		}
	}
	if named == nil && len(v.agents) > 0 {
		named = v.agents[len(v.agents)-1]
	}
	return named
}

// errorText is the text of an error whose method may panic.
func errorText(err error) (text string) {
	defer func() { _ = recover() }()
	return err.Error()
}

var errLeftOpen = errors.New("the run ended without the end of this agent")

// finish ends what is still open when the run is over: after a model's error or
// an early break the framework does not tell of the agents' ends.
func (v *invocation) finish() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, a := range v.agents {
		for at := a; a.modelErr != nil && at != nil; at = at.parent {
			if at.err == nil {
				at.err = a.modelErr
			}
		}
	}
	for id, t := range v.tools {
		t.run.End(nil, v.cause(t.err))
		delete(v.tools, id)
	}
	for path, n := range v.nodes {
		n.End(v.cause(nil))
		delete(v.nodes, path)
	}
	for _, a := range slices.Backward(v.agents) {
		v.end(a, v.cause(a.err))
	}
	v.agents = nil
}

// cause is why something that was left open ended. v.mu is held.
func (v *invocation) cause(own error) error {
	switch {
	case own != nil:
		return own
	case v.broken != nil:
		return v.broken
	case v.interrupted, v.final:
		return nil
	case v.failed, slices.ContainsFunc(v.agents, func(a *agentRun) bool { return a.err != nil }):
		return fmt.Errorf("broken off when another agent failed: %w", context.Canceled)
	}
	return errLeftOpen
}

// end ends the agent's run. v.mu is held.
func (v *invocation) end(a *agentRun, err error) {
	if a.model != nil {
		a.model.end(nil, err)
		a.model = nil
	}
	if err == nil && len(a.pending) > 0 {
		v.interrupted = true
		a.run.Interrupt(oneOrAll(a.pending))
	}
	a.run.End(err)
}

func oneOrAll(values []any) any {
	if len(values) == 1 {
		return values[0]
	}
	return values
}

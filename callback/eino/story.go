package eino

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/cloudwego/eino/callbacks"

	"tidings"
)

// story is what is known of the runs of one job.
type story struct {
	job *tidings.Handler

	mu       sync.Mutex
	draining int           // runs that have ended but for a stream, or for the runs in them
	idle     chan struct{} // closed when none is; nil: nobody waits
	agents   map[string][]*node
	last     outcome // of the root that ended last, unless one has begun since
}

// outcome is how a root ended.
type outcome struct {
	output      any
	err         error
	interrupted bool
}

// newStory gives nil for a nil job.
func newStory(job *tidings.Handler) *story {
	if job == nil {
		return nil
	}
	return &story{job: job, agents: map[string][]*node{}}
}

type storyKey struct{}

// WithJob puts the job into the context of graphs and agents, for a handler
// that was made without one. [Handler.Run] and [Observe] do it for you. Where a
// context holds a job without it, see [tidings.FromContext], each graph that is
// called with it is told of by itself.
func WithJob(ctx context.Context, job *tidings.Handler) context.Context {
	if s := storyFrom(ctx); job == nil || s != nil && s.job == job {
		return ctx
	}
	return newStory(job).within(tidings.WithJob(ctx, job))
}

func (s *story) within(ctx context.Context) context.Context {
	return context.WithValue(ctx, storyKey{}, s)
}

// storyFrom gives the story of the context's job, or nil if it has none yet.
func storyFrom(ctx context.Context) *story {
	if ctx == nil {
		return nil
	}
	s, _ := ctx.Value(storyKey{}).(*story)
	if s == nil {
		return nil
	}
	if job, _ := tidings.FromContext(ctx); job != nil && job != s.job {
		return nil // that of another job around this one
	}
	return s
}

// story is that of the handler's job, or of the context's; nil if there is none.
// That of the context goes first, so that several handlers of one job tell
// everything once.
func (h *Handler) story(ctx context.Context) *story {
	s := storyFrom(ctx)
	if h.own != nil && (s == nil || s.job != h.own.job) {
		return h.own
	}
	return s
}

// beginning is story for a run that begins, which may be the first of its job.
func (h *Handler) beginning(ctx context.Context) *story {
	if s := h.story(ctx); s != nil {
		return s
	}
	job, _ := tidings.FromContext(ctx)
	return newStory(job)
}

type nodeKey struct{ s *story }

// nodeFrom gives the run of this job that the context holds, or nil.
func (s *story) nodeFrom(ctx context.Context) *node {
	if ctx == nil {
		return nil
	}
	n, _ := ctx.Value(nodeKey{s}).(*node)
	return n
}

// claim gives the run that a callback about an end is for, once. A component
// that reports an end without a start has the context of the run around it.
func (s *story) claim(ctx context.Context, info *callbacks.RunInfo) *node {
	if s == nil {
		return nil
	}
	n := s.nodeFrom(ctx)
	if n == nil || n.info != info {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !n.claim() {
		return nil
	}
	return n
}

// enter notes that a run has begun.
func (s *story) enter(n *node) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.parent == nil {
		s.last = outcome{}
	} else {
		n.parent.children = append(n.parent.children, n)
	}
	if a := n.agent; a != nil {
		s.agents[a.address] = append(s.agents[a.address], n)
	}
}

// leave notes that a run has ended in every respect.
func (s *story) leave(n *node, o outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n.left()
	s.draining--
	if s.draining == 0 && s.idle != nil {
		close(s.idle)
		s.idle = nil
	}
	switch {
	case n.parent == nil:
		s.last = o
	case n.takesOver:
		n.parent.handed = o.output
	}
	if a := n.agent; a != nil {
		s.agents[a.address] = slices.DeleteFunc(s.agents[a.address], func(other *node) bool { return other == n })
		if len(s.agents[a.address]) == 0 {
			delete(s.agents, a.address)
		}
	}
}

// agentAt gives the open agent of an address, or nil if there are several: the
// address does not say which of two runs of one agent is meant.
func (s *story) agentAt(address string) *node {
	s.mu.Lock()
	defer s.mu.Unlock()
	if open := s.agents[address]; len(open) == 1 {
		return open[0]
	}
	return nil
}

// settleWait bounds how long an end waits for streams beneath it.
const settleWait = 10 * time.Second

// settle waits until every stream was read and told of, for up to 10 s, and
// gives how the last root ended.
func (s *story) settle() outcome {
	s.mu.Lock()
	if s.draining > 0 && s.idle == nil {
		s.idle = make(chan struct{})
	}
	idle := s.idle
	s.mu.Unlock()
	await(idle)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// await waits until c is closed, for up to 10 s; not at all for nil.
func await(c <-chan struct{}) {
	if c == nil {
		return
	}
	timer := time.NewTimer(settleWait)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
	}
}

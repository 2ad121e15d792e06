package langchaingo

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"

	"github.com/tmc/langchaingo/llms"

	"tidings"
)

// story is what is known of one job's calls that were told by callbacks. These
// have no IDs: a call and its end belong together because their context is the
// same and they nest. It is safe for concurrent use.
type story struct {
	job *tidings.Handler

	mu     sync.Mutex
	scopes map[context.Context]*scope
	order  []context.Context // of the scopes, the oldest first
	asks   []llms.ToolCall   // of wrapped models, whose tools have not run yet
}

// scope is what was told with one context, the innermost chain last.
type scope struct{ levels []*level }

// level is what is open within one chain, or within no chain at the base.
type level struct {
	ctx       context.Context // for what begins in it
	chain     *tidings.Run    // nil at the base
	model     *tidings.ModelRun
	retriever *tidings.Run
	actions   []*action // tools whose results are not known yet
	ownTool   bool      // it is that of a wrapped tool
}

// action is a call of a tool that was begun by a callback.
type action struct {
	ctx  context.Context
	tool string
	id   string
	run  *tidings.ToolRun
	// claimed says that the tool itself tells of the call, too.
	claimed bool
}

// maxScopes bounds what is remembered of contexts whose calls never end, such as
// those of models that fail without a callback.
const maxScopes = 128

func newStory(job *tidings.Handler) *story {
	return &story{job: job, scopes: map[context.Context]*scope{}}
}

// scope gives what was told with the context, or nil. A context that can't be
// compared has none. Called with s.mu held.
func (s *story) scope(ctx context.Context) *scope {
	if !hashable(ctx) {
		return nil
	}
	return s.scopes[ctx]
}

func hashable(ctx context.Context) bool { return ctx == nil || reflect.ValueOf(ctx).Comparable() }

// level gives the innermost level of the context's scope. Called with s.mu held.
func (s *story) level(ctx context.Context) *level {
	sc := s.scope(ctx)
	if sc == nil {
		sc = &scope{levels: []*level{{ctx: ctx}}}
		if !hashable(ctx) {
			return sc.levels[0]
		}
		s.scopes[ctx] = sc
		s.order = append(s.order, ctx)
		if len(s.order) > maxScopes {
			s.forget(s.order[0], nil)
		}
	}
	return sc.levels[len(sc.levels)-1]
}

// peek is level, but nil if nothing was told with the context.
func (s *story) peek(ctx context.Context) *level {
	if sc := s.scope(ctx); sc != nil {
		return sc.levels[len(sc.levels)-1]
	}
	return nil
}

// forget ends what is open in the context's scope. Called with s.mu held.
func (s *story) forget(ctx context.Context, err error) {
	sc := s.scope(ctx)
	if sc == nil {
		return
	}
	for i := len(sc.levels) - 1; i >= 0; i-- {
		l := sc.levels[i]
		l.settle(err)
		l.chain.End(err)
	}
	delete(s.scopes, ctx)
	for i, one := range s.order {
		if one == ctx {
			s.order = append(s.order[:i], s.order[i+1:]...)
			break
		}
	}
}

// tidy drops a scope in which nothing is open. Called with s.mu held.
func (s *story) tidy(ctx context.Context) {
	if sc := s.scope(ctx); sc != nil && len(sc.levels) == 1 && sc.levels[0].idle() {
		s.forget(ctx, nil)
	}
}

func (l *level) idle() bool {
	return l.model == nil && l.retriever == nil && len(l.actions) == 0 && !l.ownTool
}

// settle ends what is open in the level: nothing in it can go on.
func (l *level) settle(err error) {
	l.endModel(err)
	l.retriever.End(err)
	l.retriever = nil
	for _, a := range l.actions {
		a.run.End(nil, err)
	}
	l.actions = nil
}

func (l *level) endModel(err error) {
	l.model.End("", err)
	l.model = nil
}

// inner is the context for what begins in the level: within the tool that was
// called last, if one is open.
func (l *level) inner() context.Context {
	if n := len(l.actions); n > 0 {
		return l.actions[n-1].ctx
	}
	return l.ctx
}

// around is ctx with the run that callbacks have opened in it.
func (s *story) around(ctx context.Context) (inner context.Context) {
	inner = ctx
	defer guard("around")
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.peek(ctx); l != nil {
		l.endModel(nil) // it was over, or nothing else would begin
		inner = l.inner()
	}
	return
}

// leave ends what callbacks have opened within a wrapped call and not ended.
func (s *story) leave(ctx context.Context, err error) {
	defer guard("leave")
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(ctx, err)
}

// ownTool says that ctx is that of a wrapped tool: its callbacks are told
// already.
func (s *story) ownTool(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.level(ctx).ownTool = true
}

// adopt gives the open call of the tool that the executor's callback has begun,
// for its wrapper to go on with, or nil.
func (s *story) adopt(ctx context.Context, tool string) (c toolCall) {
	defer guard("adopt")
	s.mu.Lock()
	defer s.mu.Unlock()
	at, l := s.asked(ctx, tool)
	if l == nil {
		return c
	}
	a := l.actions[len(l.actions)-1]
	l.actions = l.actions[:len(l.actions)-1]
	s.tidy(at)
	if at == ctx {
		return toolCall{ctx: a.ctx, run: a.run}
	}
	// Something between the executor and the wrapper made a context of its own,
	// which counts: with a time limit, for example.
	c.ctx, c.bridge = s.job.PhaseWith(ctx, tidings.RunInfo{Hidden: true, Parent: a.run.Run()})
	c.run = a.run
	return c
}

// asked finds where the tool was asked for: in ctx or, as contexts don't tell
// from which they were made, in the only one there is. Called with s.mu held.
func (s *story) asked(ctx context.Context, tool string) (at context.Context, l *level) {
	if l := s.peek(ctx); l != nil {
		if l.asks(tool) {
			return ctx, l
		}
		return nil, nil
	}
	for other, sc := range s.scopes {
		candidate := sc.levels[len(sc.levels)-1]
		if !candidate.asks(tool) {
			continue
		}
		if l != nil {
			return nil, nil
		}
		at, l = other, candidate
	}
	return at, l
}

// asks reports whether the tool was asked for last and has not begun; the
// executor looks tools up without regard to case.
func (l *level) asks(tool string) bool {
	n := len(l.actions)
	return n > 0 && !l.actions[n-1].claimed && strings.EqualFold(l.actions[n-1].tool, tool)
}

// results ends the tools whose results the next question to the model holds,
// and those that must be over by now.
func (l *level) results(messages []llms.MessageContent) {
	if len(l.actions) == 0 {
		return
	}
	outputs := map[string]string{}
	for _, m := range messages {
		for _, part := range m.Parts {
			if r, ok := part.(llms.ToolCallResponse); ok {
				outputs[r.ToolCallID] = r.Content
			}
		}
	}
	for _, a := range l.actions {
		output, known := outputs[a.id]
		a.result(output, known && a.id != "")
	}
	l.actions = nil
}

func (a *action) result(output string, known bool) {
	switch {
	case !known:
		a.run.End(nil, nil)
	case output == a.tool+" is not a valid tool, try another one": // the executor's words
		a.run.End(nil, errors.New(output))
	default:
		a.run.End(output, nil)
	}
}

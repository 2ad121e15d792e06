package langchaingo

import (
	"context"

	"github.com/tmc/langchaingo/callbacks"
	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/schema"

	"tidings"
)

// Handler is a callbacks.Handler that tells a job what langchaingo's components
// say of themselves. They pass no IDs, no names and no context, and some never
// say that a call has ended: it is a best effort, and what happens at the same time
// in one context is told apart by [WrapModel], [WrapTool] and [WrapChain] only.
// What these tell, the handler does not tell again.
//
// Its methods recover from panics, never block, and are safe for concurrent use.
type Handler struct{ own *story }

var _ callbacks.Handler = (*Handler)(nil)

// New gives a handler for the job. A nil job means that of the context, so that
// a model or chain can be built once for many jobs: see [WithJob].
func New(job *tidings.Handler) *Handler { return &Handler{own: newStory(job)} }

// story gives where to tell what happens in the context, or nil.
func (h *Handler) story(ctx context.Context) *story {
	if h == nil {
		return nil
	}
	if s := storyFrom(ctx); s != nil && (h.own.job == nil || h.own.job == s.job) {
		return s
	}
	if h.own.job == nil {
		return nil
	}
	return h.own
}

// with calls tell with the innermost level of the context's scope.
func (h *Handler) with(ctx context.Context, callback string, tell func(s *story, l *level)) {
	defer guard(callback)
	s := h.story(ctx)
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.tidy(ctx)
	tell(s, s.level(ctx))
}

// HandleText is called by components of your own: langchaingo's never do.
func (h *Handler) HandleText(ctx context.Context, text string) {
	h.with(ctx, "HandleText", func(s *story, _ *level) { s.job.Custom("text", text) })
}

// HandleLLMStart is called by components of your own: langchaingo's never do.
func (h *Handler) HandleLLMStart(ctx context.Context, _ []string) {
	h.modelStarts(ctx, "HandleLLMStart", nil)
}

// HandleLLMGenerateContentStart begins a call of the model.
func (h *Handler) HandleLLMGenerateContentStart(ctx context.Context, ms []llms.MessageContent) {
	h.modelStarts(ctx, "HandleLLMGenerateContentStart", ms)
}

func (h *Handler) modelStarts(ctx context.Context, callback string, messages []llms.MessageContent) {
	if inModel(ctx) {
		return
	}
	h.with(ctx, callback, func(s *story, l *level) {
		l.endModel(nil)
		l.results(messages)
		_, l.model = s.job.ModelWith(l.ctx, tidings.RunInfo{Name: "llm"}, "", "")
	})
}

// HandleLLMGenerateContentEnd ends the call. A nil response, as Mistral's model
// reports before the true one, is none.
func (h *Handler) HandleLLMGenerateContentEnd(ctx context.Context, res *llms.ContentResponse) {
	if inModel(ctx) || res == nil {
		return
	}
	h.with(ctx, "HandleLLMGenerateContentEnd", func(_ *story, l *level) {
		endModel(l.model, res, false)
		l.model = nil
	})
}

// HandleLLMError ends the call.
func (h *Handler) HandleLLMError(ctx context.Context, err error) {
	if inModel(ctx) || err == nil {
		return
	}
	h.with(ctx, "HandleLLMError", func(s *story, l *level) {
		if l.model == nil { // some fail before they say that they start
			s.job.Error(l.ctx, err, "llm")
			return
		}
		l.endModel(err)
	})
}

// HandleStreamingFunc is a piece of the model's answer. Its context is often
// not that of the call's start, and then it belongs to the only call there is.
func (h *Handler) HandleStreamingFunc(ctx context.Context, chunk []byte) {
	if inModel(ctx) || len(chunk) == 0 {
		return
	}
	defer guard("HandleStreamingFunc")
	s := h.story(ctx)
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.streaming(ctx); m != nil && !isToolCall(chunk) {
		m.Delta("", string(chunk))
	}
}

// streaming gives the call that a piece belongs to. Called with s.mu held.
func (s *story) streaming(ctx context.Context) *tidings.ModelRun {
	if l := s.peek(ctx); l != nil && l.model != nil {
		return l.model
	}
	var only *tidings.ModelRun
	for _, sc := range s.scopes {
		m := sc.levels[len(sc.levels)-1].model
		if m != nil && only != nil {
			return nil // better no piece than one in the wrong place: the end has the whole
		}
		if m != nil {
			only = m
		}
	}
	return only
}

// HandleRetrieverStart begins a retrieval.
func (h *Handler) HandleRetrieverStart(ctx context.Context, query string) {
	h.with(ctx, "HandleRetrieverStart", func(s *story, l *level) {
		l.retriever.End(nil)
		_, l.retriever = s.job.PhaseWith(l.inner(), tidings.RunInfo{Name: "retriever", Kind: "retriever", Input: query})
	})
}

// HandleRetrieverEnd ends it. One that fails never gets here.
func (h *Handler) HandleRetrieverEnd(ctx context.Context, _ string, documents []schema.Document) {
	h.with(ctx, "HandleRetrieverEnd", func(_ *story, l *level) {
		l.retriever.Output(documents)
		l.retriever.End(nil)
		l.retriever = nil
	})
}

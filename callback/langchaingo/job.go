package langchaingo

import (
	"context"
	"log/slog"
	"runtime/debug"

	"tidings"
)

type storyKey struct{}

// WithJob puts the job into the context of what runs in it, where the wrappers
// and a [Handler] without a job of its own find it. [Call] does it for you.
func WithJob(ctx context.Context, job *tidings.Handler) context.Context {
	if s := storyFrom(ctx); job == nil || s != nil && s.job == job {
		return ctx
	}
	return newStory(job).within(tidings.WithJob(ctx, job))
}

func (s *story) within(ctx context.Context) context.Context {
	return context.WithValue(ctx, storyKey{}, s)
}

// Job gives the job that the context holds, or nil, so that a tool can tell of
// its own steps: a nil job takes them and does nothing.
func Job(ctx context.Context) *tidings.Handler {
	if s := storyFrom(ctx); s != nil {
		return s.job
	}
	job, _ := tidings.FromContext(ctx)
	return job
}

// storyFrom gives the story of the job in the context, or nil.
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

// storyOf gives the story of the job in the context, which may be told of here
// for the first time, and the context with it; nil if there is no job.
func storyOf(ctx context.Context) (*story, context.Context) {
	if s := storyFrom(ctx); s != nil {
		return s, ctx
	}
	job, _ := tidings.FromContext(ctx)
	if job == nil {
		return nil, ctx
	}
	s := newStory(job)
	return s, s.within(ctx)
}

// guard keeps a panic of ours away from the agent. Defer it directly.
func guard(callback string) {
	if p := recover(); p != nil {
		slog.Error("a callback panicked; what it saw is not published", "callback", callback, "panic", p, "stack", string(debug.Stack()))
	}
}

type modelKey struct{}

// within marks the context of a wrapped model: what the model's own callbacks
// say is told already.
func within(ctx context.Context, model bool) context.Context {
	return context.WithValue(ctx, modelKey{}, model)
}

// inModel reports whether the context is that of a wrapped model's call.
func inModel(ctx context.Context) bool {
	if ctx == nil {
		return false
	}
	in, _ := ctx.Value(modelKey{}).(bool)
	return in
}

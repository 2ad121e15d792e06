package langchaingo

import (
	"context"
	"log/slog"

	"tidings"
)

type storyKey struct{}

// WithJob puts the job into the context of what runs in it, where the wrappers
// and a [Handler] without a job of its own find it. [Call] does it for you.
func WithJob(ctx context.Context, job *tidings.Handler) context.Context {
	if s := storyFrom(ctx); s != nil && s.job == job {
		return ctx
	}
	return context.WithValue(ctx, storyKey{}, newStory(job))
}

// Job gives the job that the context holds, or nil, so that a tool can tell of
// its own steps: a nil job takes them and does nothing.
func Job(ctx context.Context) *tidings.Handler {
	if s := storyFrom(ctx); s != nil {
		return s.job
	}
	return nil
}

// storyFrom gives the story of the job in the context, or nil.
func storyFrom(ctx context.Context) *story {
	if ctx == nil {
		return nil
	}
	s, _ := ctx.Value(storyKey{}).(*story)
	if s == nil || s.job == nil {
		return nil
	}
	return s
}

// joined is ctx that also ends when the job's context does.
func joined(ctx context.Context, job *tidings.Handler) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(job.Context(), func() { cancel(context.Cause(job.Context())) })
	return ctx, func() { stop(); cancel(context.Canceled) }
}

// guard keeps a panic of ours away from the agent. Defer it directly.
func guard(callback string) {
	if p := recover(); p != nil {
		slog.Default().Warn("tidings: a callback of a langchaingo agent panicked", "callback", callback, "panic", p)
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

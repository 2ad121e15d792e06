package tidings

import "context"

// jobKey is the key of the *Handler whose work was begun last with a context.
type jobKey struct{}

// FromContext gives the job that the context belongs to, as [Handler.Run],
// [Handler.Context], [Handler.Join], [WithJob] and every run of a job put it
// there, and the innermost run. Both may be nil, and their methods do nothing
// then: so code deep inside an agent can tell what it does without being handed
// the job.
func FromContext(ctx context.Context) (*Handler, *Run) {
	if ctx == nil {
		return nil, nil
	}
	h, _ := ctx.Value(jobKey{}).(*Handler)
	return h, h.runFrom(ctx)
}

// WithJob gives a context that belongs to the job: [FromContext] finds it there,
// and so do the adapters of frameworks. It does not end when the job is asked to
// stop: see [Handler.Join]. With a nil job it is ctx itself.
func WithJob(ctx context.Context, job *Handler) context.Context {
	if job == nil {
		return ctx
	}
	return context.WithValue(ctx, jobKey{}, job)
}

// Join gives a context that belongs to the job, see [FromContext], and ends with
// ctx and when that of [Handler.Context] does, with the same cause: for work
// whose context comes from elsewhere, a request or a framework. Call the function
// that it returns when the work is over. [Handler.Run] does all this. A nil
// Handler only adds that function.
func (h *Handler) Join(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if h == nil {
		return ctx, func() { cancel(context.Canceled) }
	}
	stop := context.AfterFunc(h.ctx, func() { cancel(context.Cause(h.ctx)) })
	return WithJob(ctx, h), func() { stop(); cancel(context.Canceled) }
}

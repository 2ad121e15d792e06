package tidings

import "context"

// Do calls fn as a run of the job, beneath the run that ctx holds, and ends the
// run with what fn returns, also if fn panics, in which case the panic goes on.
// It is [Handler.PhaseWith] for work that is a function: a turn of an agent, a
// retrieval, an agent within an agent. The output is published; one of type
// struct{} or nil is not.
//
//	docs, err := tidings.Do(ctx, job, tidings.RunInfo{Name: "docs", Kind: "retriever", Input: query},
//		func(ctx context.Context) ([]Doc, error) { return index.Search(ctx, query) })
func Do[T any](ctx context.Context, h *Handler, info RunInfo, fn func(ctx context.Context) (T, error)) (output T, err error) {
	ctx, run := h.PhaseWith(ctx, info)
	returned := false
	defer func() {
		if !returned {
			run.endUnreturned(recover())
		}
	}()
	output, err = fn(ctx)
	returned = true
	if _, none := any(output).(struct{}); err == nil && !none {
		run.Output(output)
	}
	run.End(err)
	return output, err
}

// endUnreturned ends a run whose function did not return, and lets the panic
// that was recovered go on.
func (r *Run) endUnreturned(panicked any) {
	if panicked == nil {
		r.End(errGoexit)
		return
	}
	r.End(&PanicError{Value: panicked})
	panic(panicked)
}

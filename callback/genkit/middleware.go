package tidingsgenkit

import (
	"context"
	"errors"

	"github.com/firebase/genkit/go/ai"

	"tidings"
)

// Middleware gives the hooks for ai.WithUse: they tell of each generation, its
// calls of the model and of tools. Put it first, outside of other middleware.
func Middleware() ai.Middleware {
	return ai.MiddlewareFunc(func(ctx context.Context) (*ai.Hooks, error) {
		t := trackedFrom(ctx)
		if t == nil {
			return &ai.Hooks{}, nil
		}
		return &ai.Hooks{WrapGenerate: t.generate, WrapModel: t.model, WrapTool: t.tool}, nil
	})
}

// generate tells of a generation. Its iterations are nested in one another;
// they are one run.
func (t *tracked) generate(ctx context.Context, params *ai.GenerateParams, next ai.GenerateNext) (*ai.ModelResponse, error) {
	if params == nil || params.Iteration > 0 {
		return next(ctx, params)
	}
	inner, end := t.generateStarts(ctx, params)
	var resp *ai.ModelResponse
	err := errNotReturned
	defer func() { end(err, recover()) }()
	resp, err = next(inner, params)
	return resp, err
}

func (t *tracked) generateStarts(ctx context.Context, params *ai.GenerateParams) (inner context.Context, end func(error, any)) {
	inner, end = ctx, goOn
	defer guard("WrapGenerate")
	name := ""
	if params.Options != nil {
		t.resume(params.Options.Resume)
		name = params.Options.Model
	}
	base, root := around(ctx)
	held, run := t.job.PhaseWith(base, tidings.RunInfo{Name: "generate", Kind: "chain"})
	inner = within(ctx, held, &frame{run: run, root: root, kind: coversGenerate, model: name})
	inner, release := t.joined(inner)
	return inner, func(err error, panicked any) {
		run.End(outcome(err, panicked))
		if root == nil {
			t.rootEnds(run)
		}
		release()
		goOn(err, panicked)
	}
}

// joined is ctx that ends when the job is asked to stop, or taken over, if
// nothing else could end it: a durable stream cuts its flow off from every
// context around. It is not ended when the generation is over, as tools may have
// left something running.
func (t *tracked) joined(ctx context.Context) (joined context.Context, release func() bool) {
	if ctx.Done() != nil {
		return ctx, func() bool { return true }
	}
	ctx, cancel := context.WithCancelCause(ctx)
	return ctx, context.AfterFunc(t.job.Context(), func() {
		var fenced *tidings.FencedError
		if cause := context.Cause(t.job.Context()); errors.Is(cause, tidings.ErrCancelRequested) || errors.As(cause, &fenced) {
			cancel(cause)
		}
	})
}

func (t *tracked) model(ctx context.Context, params *ai.ModelParams, next ai.ModelNext) (*ai.ModelResponse, error) {
	if params == nil {
		return next(ctx, params)
	}
	inner, call := t.modelStarts(ctx)
	if call == nil {
		return next(inner, params)
	}
	observed := *params // the framework's own is left as it is
	observed.Callback = call.observe(params.Callback)
	var resp *ai.ModelResponse
	err := errNotReturned
	defer func() {
		p := recover()
		call.end(resp, outcome(err, p))
		goOn(err, p)
	}()
	resp, err = next(inner, &observed)
	return resp, err
}

func (t *tracked) modelStarts(ctx context.Context) (inner context.Context, call *modelCall) {
	inner = ctx
	defer guard("WrapModel")
	name := ""
	if f := frameFrom(ctx); f != nil {
		name = f.model
	}
	base, root := around(ctx)
	held, run := t.job.ModelWith(base, tidings.RunInfo{Name: name}, name, "")
	return within(ctx, held, &frame{run: run.Run(), root: root, kind: coversModel, model: name}), &modelCall{run: run}
}

func (t *tracked) tool(ctx context.Context, params *ai.ToolParams, next ai.ToolNext) (*ai.MultipartToolResponse, error) {
	if params == nil || params.Request == nil {
		return next(ctx, params)
	}
	inner, end := t.toolStarts(ctx, params.Request)
	var resp *ai.MultipartToolResponse
	err := errNotReturned
	defer func() { end(resp, err, recover()) }()
	resp, err = next(inner, params)
	return resp, err
}

func (t *tracked) toolStarts(ctx context.Context, req *ai.ToolRequest) (inner context.Context, end func(*ai.MultipartToolResponse, error, any)) {
	inner, end = ctx, func(_ *ai.MultipartToolResponse, err error, p any) { goOn(err, p) }
	defer guard("WrapTool")
	base, root := around(ctx)
	var held context.Context
	var run *tidings.ToolRun
	if w := t.goesOn(req.Ref); w != nil {
		held, run = w.held, w.tool
	} else {
		held, run = t.job.ToolWith(base, tidings.RunInfo{Input: req.Input}, req.Name, req.Ref)
	}
	f := &frame{run: run.Run(), root: root, kind: coversTool, covers: req.Name}
	return within(ctx, held, f), func(resp *ai.MultipartToolResponse, err error, panicked any) {
		if interrupted, metadata := ai.IsToolInterruptError(err); interrupted {
			t.interrupt(run, held, f.root, req, metadata)
			return
		}
		run.End(result(resp), outcome(err, panicked))
		goOn(err, panicked)
	}
}

// result is what a tool gave.
func result(resp *ai.MultipartToolResponse) any {
	switch {
	case resp == nil:
		return nil
	case len(resp.Content) > 0:
		return map[string]any{"output": resp.Output, "content": resp.Content}
	}
	return resp.Output
}

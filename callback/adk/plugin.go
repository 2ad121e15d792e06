package adk

import (
	"log/slog"
	"maps"
	"runtime/debug"

	"google.golang.org/genai"

	"google.golang.org/adk/v2/agent"
	"google.golang.org/adk/v2/model"
	"google.golang.org/adk/v2/plugin"
	"google.golang.org/adk/v2/session"
	"google.golang.org/adk/v2/tool"

	"tidings"
)

// Options are the settings of a [Plugin]. The zero value works.
type Options struct {
	// Job finds the job of a run whose context holds none, if the plugin has
	// no job of its own: by the run's session or invocation, for example. Nil, or
	// a nil job: the run is not observed.
	Job func(run agent.InvocationContext) *tidings.Handler
	// Name of the plugin in its runner. Empty: "tidings".
	Name string
	// Logger takes panics of callbacks. Nil: slog.Default().
	Logger *slog.Logger
}

// Plugin gives a plugin for the runners of any number of jobs. A run belongs to
// the job in its context, see [Run] and [WithJob], else to job if that is
// not nil, else to the one that [Options].Job finds. Nil opts are the defaults.
//
// Put it before other plugins: the first that answers a callback hides it from
// those behind.
func Plugin(job *tidings.Handler, opts *Options) *plugin.Plugin {
	o := Options{}
	if opts != nil {
		o = *opts
	}
	if o.Name == "" {
		o.Name = "tidings"
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	r := &reporter{job: job, opts: o}
	// plugin.New has no error to give; a nil plugin is refused by the runner.
	p, err := plugin.New(plugin.Config{
		Name:                 o.Name,
		BeforeRunCallback:    r.beforeRun,
		AfterRunCallback:     r.afterRun,
		OnEventCallback:      r.onEvent,
		BeforeAgentCallback:  r.beforeAgent,
		AfterAgentCallback:   r.afterAgent,
		BeforeModelCallback:  r.beforeModel,
		AfterModelCallback:   r.afterModel,
		OnModelErrorCallback: r.onModelError,
		BeforeToolCallback:   r.beforeTool,
		AfterToolCallback:    r.afterTool,
		OnToolErrorCallback:  r.onToolError,
	})
	if err != nil {
		return nil
	}
	return p
}

// reporter is a plugin's callbacks. None of them returns anything: what a
// callback returns changes what the agent does.
type reporter struct {
	job  *tidings.Handler
	opts Options
}

// guard keeps a panic away from the agent.
func (r *reporter) guard(callback string) {
	if p := recover(); p != nil {
		r.opts.Logger.Error("a callback panicked; what it saw is not published", "callback", callback, "panic", p, "stack", string(debug.Stack()))
	}
}

func (r *reporter) beforeRun(ctx agent.InvocationContext) (*genai.Content, error) {
	defer r.guard("BeforeRun")
	o := observationFrom(ctx)
	job := r.jobOf(ctx, o)
	if job == nil {
		return nil, nil
	}
	v := newInvocation(job, ctx.Agent())
	running.add(keyOfRun(ctx), v)
	running.attach(v, o)
	if s := ctx.Session(); s != nil {
		if state := maps.Collect(s.State().All()); len(state) > 0 {
			job.State(state)
		}
	}
	return nil, nil
}

func (r *reporter) jobOf(ctx agent.InvocationContext, o *observation) *tidings.Handler {
	job, _ := tidings.FromContext(ctx)
	switch {
	case o != nil:
		return o.job
	case job != nil:
		return job
	case r.job != nil:
		return r.job
	case r.opts.Job != nil:
		return r.opts.Job(ctx)
	}
	return nil
}

func (r *reporter) afterRun(ctx agent.InvocationContext) {
	defer r.guard("AfterRun")
	if v := running.remove(keyOfRun(ctx)); v != nil {
		v.finish()
	}
}

func (r *reporter) beforeAgent(ctx agent.Context) (*genai.Content, error) {
	defer r.guard("BeforeAgent")
	if v := running.find(keyOf(ctx)); v != nil {
		v.agentStarts(ctx)
	}
	return nil, nil
}

func (r *reporter) afterAgent(ctx agent.Context) (*genai.Content, error) {
	defer r.guard("AfterAgent")
	if v := running.find(keyOf(ctx)); v != nil {
		v.agentEnds(ctx)
	}
	return nil, nil
}

func (r *reporter) beforeModel(ctx agent.Context, req *model.LLMRequest) (*model.LLMResponse, error) {
	defer r.guard("BeforeModel")
	if v := running.find(keyOf(ctx)); v != nil {
		v.modelStarts(ctx, req)
	}
	return nil, nil
}

func (r *reporter) afterModel(ctx agent.Context, resp *model.LLMResponse, err error) (*model.LLMResponse, error) {
	defer r.guard("AfterModel")
	if v := running.find(keyOf(ctx)); v != nil {
		v.modelAnswers(ctx, resp, err)
	}
	return nil, nil
}

func (r *reporter) onModelError(ctx agent.Context, _ *model.LLMRequest, err error) (*model.LLMResponse, error) {
	defer r.guard("OnModelError")
	if v := running.find(keyOf(ctx)); v != nil {
		v.modelFails(ctx, err)
	}
	return nil, nil
}

func (r *reporter) beforeTool(ctx agent.Context, t tool.Tool, args map[string]any) (map[string]any, error) {
	defer r.guard("BeforeTool")
	if v := running.find(keyOf(ctx)); v != nil {
		v.toolStarts(ctx, t, args)
	}
	return nil, nil
}

func (r *reporter) afterTool(ctx agent.Context, t tool.Tool, args, result map[string]any, err error) (map[string]any, error) {
	defer r.guard("AfterTool")
	if v := running.find(keyOf(ctx)); v != nil {
		v.toolEnds(ctx, t, args, result, err)
	}
	return nil, nil
}

func (r *reporter) onToolError(ctx agent.Context, t tool.Tool, args map[string]any, err error) (map[string]any, error) {
	defer r.guard("OnToolError")
	if v := running.find(keyOf(ctx)); v != nil {
		v.toolFails(ctx, t, args, err)
	}
	return nil, nil
}

func (r *reporter) onEvent(ctx agent.InvocationContext, e *session.Event) (*session.Event, error) {
	defer r.guard("OnEvent")
	if v := running.find(keyOfRun(ctx)); v != nil && e != nil {
		v.event(e)
	}
	return nil, nil
}

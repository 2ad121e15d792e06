package trpcagent

import (
	"context"
	"log/slog"
	"runtime/debug"

	"trpc.group/trpc-go/trpc-agent-go/agent"
	"trpc.group/trpc-go/trpc-agent-go/event"
	"trpc.group/trpc-go/trpc-agent-go/model"
	"trpc.group/trpc-go/trpc-agent-go/plugin"
	"trpc.group/trpc-go/trpc-agent-go/tool"

	"tidings"
)

// Options are the settings of a [Plugin]. The zero value works.
type Options struct {
	// Job finds the job of a run whose context holds none, if the plugin has
	// no job of its own: by the run's session, for example. Nil, or a nil job:
	// the run is not observed.
	Job func(ctx context.Context, root *agent.Invocation) *tidings.Handler
	// Name of the plugin in its runner. Empty: "tidings".
	Name string
	// Logger takes panics of callbacks. Nil: slog.Default().
	Logger *slog.Logger
}

// Plugin gives a plugin for the runners of any number of jobs. A run belongs to
// the job in its context, see [Run] and [WithJob], else to job if that is not
// nil, else to the one that [Options].Job finds. Nil opts are the defaults.
//
// Put it before other plugins: the first that answers a callback hides it from
// those behind.
func Plugin(job *tidings.Handler, opts *Options) plugin.Plugin {
	r := &reporter{job: job}
	if opts != nil {
		r.opts = *opts
	}
	if r.opts.Name == "" {
		r.opts.Name = "tidings"
	}
	if r.opts.Logger == nil {
		r.opts.Logger = slog.Default()
	}
	return r
}

// reporter is the plugin. Its callbacks return a context at most: anything else
// would change what the agent does.
type reporter struct {
	job  *tidings.Handler
	opts Options
}

// Name implements plugin.Plugin.
func (r *reporter) Name() string { return r.opts.Name }

// Register implements plugin.Plugin.
func (r *reporter) Register(to *plugin.Registry) {
	to.BeforeAgent(r.beforeAgent)
	to.AfterAgent(r.afterAgent)
	to.BeforeModel(r.beforeModel)
	to.AfterModel(r.afterModel)
	to.BeforeTool(r.beforeTool)
	to.AfterTool(r.afterTool)
	to.OnEvent(r.onEvent)
	to.AfterRun(r.afterRun)
}

// guard keeps a panic away from the agent. Defer it directly.
func (r *reporter) guard(callback string) {
	if p := recover(); p != nil {
		r.opts.Logger.Error("a callback panicked; what it saw is not published", "callback", callback, "panic", p, "stack", string(debug.Stack()))
	}
}

func (r *reporter) beforeAgent(ctx context.Context, args *agent.BeforeAgentArgs) (res *agent.BeforeAgentResult, err error) {
	defer r.guard("BeforeAgent")
	if args == nil || args.Invocation == nil {
		return
	}
	o := r.observation(ctx, args.Invocation)
	if o == nil {
		return
	}
	return &agent.BeforeAgentResult{Context: o.agentStarts(ctx, args.Invocation)}, nil
}

func (r *reporter) afterAgent(ctx context.Context, args *agent.AfterAgentArgs) (res *agent.AfterAgentResult, err error) {
	defer r.guard("AfterAgent")
	if args != nil && args.Invocation != nil {
		if o := observationFrom(ctx); o != nil {
			o.agentEnds(ctx, args)
		}
	}
	return
}

func (r *reporter) beforeModel(ctx context.Context, _ *model.BeforeModelArgs) (res *model.BeforeModelResult, err error) {
	defer r.guard("BeforeModel")
	if o := observationFrom(ctx); o != nil {
		return &model.BeforeModelResult{Context: o.modelStarts(ctx)}, nil
	}
	return
}

func (r *reporter) afterModel(ctx context.Context, args *model.AfterModelArgs) (res *model.AfterModelResult, err error) {
	defer r.guard("AfterModel")
	if o := observationFrom(ctx); o != nil && args != nil {
		o.modelAnswers(ctx, args)
	}
	return
}

func (r *reporter) beforeTool(ctx context.Context, args *tool.BeforeToolArgs) (res *tool.BeforeToolResult, err error) {
	defer r.guard("BeforeTool")
	if o := observationFrom(ctx); o != nil && args != nil {
		return &tool.BeforeToolResult{Context: o.toolStarts(ctx, args)}, nil
	}
	return
}

func (r *reporter) afterTool(ctx context.Context, args *tool.AfterToolArgs) (res *tool.AfterToolResult, err error) {
	defer r.guard("AfterTool")
	if o := observationFrom(ctx); o != nil && args != nil {
		o.toolEnds(ctx, args)
	}
	return
}

func (r *reporter) onEvent(ctx context.Context, inv *agent.Invocation, e *event.Event) (*event.Event, error) {
	defer r.guard("OnEvent")
	if o := observationOf(ctx, inv); o != nil && e != nil {
		o.event(e)
	}
	return nil, nil // the event as it is
}

func (r *reporter) afterRun(ctx context.Context, args *plugin.AfterRunArgs) error {
	defer r.guard("AfterRun")
	if args != nil {
		if o := observationOf(ctx, args.Invocation); o != nil {
			o.finish(nil)
		}
	}
	return nil
}

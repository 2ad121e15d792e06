// Package adk tells Tidings what happens in an agent of Google's Agent
// Development Kit for Go (google.golang.org/adk/v2).
//
// [Plugin] is a plugin of a runner: it sees agents, model calls, tool calls,
// state and transfers. [Run] runs the agent and ends the job as the run ended,
// since an agent's error reaches the iterator only; it is runner.Run with the
// job in front:
//
//	job := tidings.Start(ctx, "job-42", store, nil)
//	defer job.Close(context.WithoutCancel(ctx))
//	r, err := runner.New(runner.Config{…, PluginConfig: runner.PluginConfig{
//		Plugins: []*plugin.Plugin{adk.Plugin(nil, nil)},
//	}})
//	for event, err := range adk.Run(ctx, job, r, user, session, message, agent.RunConfig{}) { … }
//
// One plugin serves any number of jobs: it finds a run's job by the context, or
// asks [Options].Job. [Observe] is for an iterator that is there already,
// [ObserveTurn] for one of several runs in a job. [AgentTool] is an agent as a
// tool that can be seen into. [Context] lets a tool tell of its own steps.
//
// No callback ever returns anything to the framework, fails, panics or blocks.
// The README says what is mapped to what, and what can't be had.
package adk

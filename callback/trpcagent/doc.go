// Package trpcagent tells Tidings what happens in agents of trpc-agent-go
// (trpc.group/trpc-go/trpc-agent-go).
//
// [Plugin] is a plugin of a runner: it sees agents, model calls, tool calls and
// the nodes of graphs. [Run] is the runner's Run with the job in front: it ends
// the job as the run ends.
//
//	r := runner.NewRunner("app", agent, runner.WithPlugins(trpcagent.Plugin(nil, nil)))
//
//	job := tidings.Start(ctx, "job-42", store, nil)
//	defer job.Close(context.WithoutCancel(ctx))
//	events, err := trpcagent.Run(ctx, job, r, user, session, model.NewUserMessage("hi"))
//	for event := range events { … }
//
// One plugin serves any number of jobs: it finds a run's job by the context.
// What a tool starts with its context appears beneath its call.
//
// No callback ever changes what an agent does, fails, panics or blocks. The
// README says what is mapped to what, and what can't be had.
package trpcagent

// Package langchaingo tells Tidings what happens in chains and agents of
// langchaingo (github.com/tmc/langchaingo).
//
// Wrap the model and the tools once, and call the chain as the job:
//
//	model := langchaingo.WrapModel(llm, nil)
//	tools := langchaingo.WrapTools(search{}, weather{})
//	agent := agents.NewExecutor(agents.NewOpenAIFunctionsAgent(model, tools))
//
//	job := tidings.Start(ctx, "job-42", store, nil)
//	err := job.Run(ctx, func(ctx context.Context) (any, error) {
//		return langchaingo.Call(ctx, job, agent, map[string]any{"input": question})
//	})
//
// The wrappers find the job by the context, so one model and one set of tools
// serve any number of jobs at a time; without a job they only pass calls on.
//
// [Handler] is for what can't be wrapped: langchaingo's own callbacks, which carry
// no IDs, no names and no context, and leave out much. Where both are attached,
// each call is told once.
//
// Nothing here changes what an agent does, fails, or panics. The README says
// what is mapped to what, and what can't be had.
package langchaingo

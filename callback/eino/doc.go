// Package eino tells Tidings what happens in graphs, chains, workflows and
// agents of Eino (https://github.com/cloudwego/eino, v0.9.13). Attach a
// [Handler] and run as before:
//
//	job := tidings.Start(ctx, "job-42", store, nil)
//	h := eino.NewHandler(job, nil)
//	err := h.Run(ctx, func(ctx context.Context) (any, error) {
//		return graph.Invoke(ctx, input, compose.WithCallbacks(h))
//	})
//
// The handler may be attached in each way that Eino knows: by
// compose.WithCallbacks, callbacks.InitCallbacks, adk.WithCallbacks, or once
// for the process by callbacks.AppendGlobalHandlers with a handler that has no
// job and takes it from the context, see [WithJob]. Attached twice, it tells
// everything once.
//
// # Promises
//
//  1. The agent comes first. A callback recovers from its panics, which Eino
//     would make the agent's error, takes a snapshot and returns. Nothing that
//     Eino shares is changed or kept. (TestAPanicInACallbackIsNotTheAgentsError,
//     TestInputsAreSnapshots)
//  2. Each copy of a stream is read to its end and closed, so that no pipeline
//     leaks, and told of once: only a model's chunks are tokens, although
//     graphs stream them again. (TestTokensAreToldOnceAlthoughGraphsStreamThemAgain,
//     TestNoGoroutineIsLeft)
//  3. A run ends after those in it whose streams it waits for, so an error is
//     told where it happened. (TestAStreamThatBreaksMidwayIsAnErrorAlthoughEinoCallsNoOnError)
//  4. An interrupt is not an error: the run waits for input and the job stays
//     open. (TestInterruptInANodeAndResumeByThePublishedID)
package eino

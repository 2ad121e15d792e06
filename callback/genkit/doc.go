// Package tidingsgenkit tells Tidings what happens in flows of Genkit for Go
// (github.com/firebase/genkit/go), and keeps Genkit's durable streams in a
// Tidings store.
//
//	tidingsgenkit.Install() // once a process: flows and steps, by their spans
//
//	resp, err := genkit.Generate(ctx, g, ai.WithPrompt("…"), ai.WithUse(tidingsgenkit.Middleware()))
//
//	job := tidings.Start(ctx, "job-42", store, nil)
//	defer job.Close(context.WithoutCancel(ctx))
//	out, err := tidingsgenkit.Run(ctx, job, func(ctx context.Context) (string, error) {
//		return flow.Run(ctx, "hello")
//	})
//
// [Install] and [Middleware] serve any number of jobs: they find one by the
// context, where [Run], [WithJob] and [Serve] put it. Where there is none they
// do nothing.
//
// [NewStreamManager] is for genkit.WithStreamManager: whoever comes back to a
// stream, to whichever process, gets all of it.
//
// No hook fails, blocks or changes what the flow does. The README says what is
// mapped to what, and what can't be had.
package tidingsgenkit

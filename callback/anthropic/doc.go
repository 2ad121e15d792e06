// Package anthropic tells Tidings what Claude thinks, through Anthropic's SDK
// (github.com/anthropics/anthropic-sdk-go), for agents without a framework.
//
// Give one more option to the calls that an agent makes:
//
//	stream := client.Messages.NewStreaming(ctx, params, anthropic.Tell(job))
//
// Streams and whole messages, of Messages and Beta.Messages, are told alike: a
// thought started when the request is sent, a delta for each piece of text and
// thinking, and completed with the tokens that it took, why the model stopped
// and which tools it asks for. A request that fails, also midway, becomes an
// error of scope llm. [Tools] runs the tools, [Runner] makes one of the SDK's
// tool runners that tells of all it does.
//
// Requests and answers are not changed. Prompts are not published.
package anthropic

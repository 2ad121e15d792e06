// Package openai tells Tidings what models of the OpenAI API think, through
// openai-go (github.com/openai/openai-go/v3), for agents without a framework.
//
// Give one more option to the calls that an agent makes:
//
//	stream := client.Chat.Completions.NewStreaming(ctx, params, openai.Tell(job))
//	response, err := client.Responses.New(ctx, params, openai.Tell(job))
//
// Streams and whole answers, of Chat Completions and Responses, are told alike:
// a thought started when the request is sent, a delta for each piece of text,
// reasoning and refusal, and completed with the tokens that it took, why the
// model stopped and which tools it asks for. A request that fails, also midway,
// becomes an error of scope llm. [Tools] runs the tools.
//
// Requests and answers are not changed. Prompts are not published.
package openai

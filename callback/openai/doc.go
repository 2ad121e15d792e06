// Package openai tells Tidings what models of the OpenAI API think, through
// openai-go (github.com/openai/openai-go/v3), for agents without a framework.
//
// Hand the client's method to one of four functions instead of calling it, and
// go on as before:
//
//	stream := openai.ChatStream(ctx, job, client.Chat.Completions.NewStreaming, params)
//	completion, err := openai.Chat(ctx, job, client.Chat.Completions.New, params)
//	stream := openai.ResponseStream(ctx, job, client.Responses.NewStreaming, params)
//	response, err := openai.Response(ctx, job, client.Responses.New, params)
//
// Each call is a thought of the job: started when it is made, a delta for each
// piece of text, reasoning and refusal, and completed with the tokens that it
// took, why the model stopped and which tools it asks for. A call that fails,
// also midway, becomes an error of scope llm. [Tools] runs the tools.
//
// The calls do what the client does, and return what it returns. Prompts are
// not published. With a nil job nothing is.
package openai

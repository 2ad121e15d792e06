package openai_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http/httptest"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"tidings"
	"tidings/callback/openai"
	"tidings/internal/memlog"
)

// An agent without a framework: ask, run the tools, ask again.
func Example() {
	api := httptest.NewServer(&fakeAPI{scripts: []script{asksForTools, sunny}}) // instead of the provider's
	defer api.Close()
	client := sdk.NewClient(option.WithBaseURL(api.URL), option.WithAPIKey("none"))
	store := memlog.New() // instead of a store, or a client of a Tidings server

	tools := openai.Tools{
		"weather": func(_ context.Context, arguments json.RawMessage) (any, error) { return "sunny", nil },
	}
	job := tidings.Start(context.Background(), "job-42", store, nil)
	err := job.Run(context.Background(), func(ctx context.Context) (any, error) {
		params := question
		for {
			var answer sdk.ChatCompletionAccumulator
			stream := client.Chat.Completions.NewStreaming(ctx, params, openai.Tell(job))
			for stream.Next() {
				answer.AddChunk(stream.Current())
			}
			if err := stream.Err(); err != nil {
				return nil, err
			}
			message := answer.Choices[0].Message
			if len(message.ToolCalls) == 0 {
				return message.Content, nil
			}
			params.Messages = append(params.Messages, message.ToParam())
			params.Messages = append(params.Messages, tools.RunChat(ctx, job, message.ToolCalls)...)
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(memlog.Outline(store.Events("job-42")))
	// Output:
	// phase_update started job
	// thought started llm gpt-5 model=gpt-5
	// thought completed llm gpt-5 model=gpt-5 usage={"input_tokens":20,"output_tokens":9,"cached_input_tokens":16,"cache_write_tokens":2,"reasoning_tokens":3}
	// tool_call tool tool=weather call=call_1 input={"city":"Oslo"}
	// tool_result tool tool=weather call=call_1 output="sunny"
	// tool_call tool tool=nope call=call_2 input={}
	// tool_result tool tool=nope call=call_2 error="there is no tool \"nope\""
	// thought started llm gpt-5 model=gpt-5
	// thought delta channel=reasoning "Oslo is north."
	// thought delta "It is sunny."
	// thought completed llm gpt-5 model=gpt-5 content="It is sunny." usage={"input_tokens":20,"output_tokens":9,"cached_input_tokens":16,"cache_write_tokens":2,"reasoning_tokens":3}
	// done completed output="It is sunny." usage={"input_tokens":40,"output_tokens":18,"cached_input_tokens":32,"cache_write_tokens":4,"reasoning_tokens":6}
}

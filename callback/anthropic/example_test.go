package anthropic_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http/httptest"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"

	"tidings"
	"tidings/callback/anthropic"
	"tidings/internal/memlog"
)

// An agent without a framework: ask, run the tools, ask again.
func Example() {
	api := httptest.NewServer(&fakeAPI{scripts: []script{asksForTools, sunny}}) // instead of the provider's
	defer api.Close()
	client := sdk.NewClient(option.WithBaseURL(api.URL), option.WithAPIKey("none"))
	store := memlog.New() // instead of a store, or a client of a Tidings server

	tools := anthropic.Tools{
		"weather": func(_ context.Context, arguments json.RawMessage) (any, error) { return "sunny", nil },
	}
	job := tidings.Start(context.Background(), "job-42", store, nil)
	err := job.Run(context.Background(), func(ctx context.Context) (any, error) {
		params := question
		for {
			var answer sdk.Message
			stream := client.Messages.NewStreaming(ctx, params, anthropic.Tell(job))
			for stream.Next() {
				if err := answer.Accumulate(stream.Current()); err != nil {
					return nil, err
				}
			}
			if err := stream.Err(); err != nil {
				return nil, err
			}
			results := tools.Run(ctx, job, answer.Content)
			if len(results) == 0 {
				return answer.Content[len(answer.Content)-1].Text, nil
			}
			params.Messages = append(params.Messages, answer.ToParam(), sdk.NewUserMessage(results...))
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(memlog.Outline(store.Events("job-42")))
	// Output:
	// phase_update started job
	// thought started llm claude-opus model=claude-opus
	// thought delta channel=reasoning "Oslo is north."
	// thought delta "It is sunny."
	// thought completed llm claude-opus model=claude-opus content="It is sunny." usage={"input_tokens":20,"output_tokens":9,"cached_input_tokens":15,"cache_write_tokens":2,"reasoning_tokens":3}
	// tool_call tool tool=weather call=toolu_1 input={"city":"Oslo"}
	// tool_result tool tool=weather call=toolu_1 output="sunny"
	// tool_call tool tool=nope call=toolu_2 input={}
	// tool_result tool tool=nope call=toolu_2 error="there is no tool \"nope\""
	// thought started llm claude-opus model=claude-opus
	// thought delta channel=reasoning "Oslo is north."
	// thought delta "It is sunny."
	// thought completed llm claude-opus model=claude-opus content="It is sunny." usage={"input_tokens":20,"output_tokens":9,"cached_input_tokens":15,"cache_write_tokens":2,"reasoning_tokens":3}
	// done completed output="It is sunny." usage={"input_tokens":40,"output_tokens":18,"cached_input_tokens":30,"cache_write_tokens":4,"reasoning_tokens":6}
}

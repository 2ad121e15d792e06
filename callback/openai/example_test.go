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
	for _, e := range store.Events("job-42") {
		fmt.Println(e.Type)
	}
	// Output:
	// phase_update
	// thought
	// thought
	// tool_call
	// tool_result
	// tool_call
	// tool_result
	// thought
	// thought
	// thought
	// thought
	// done
}

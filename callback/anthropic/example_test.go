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
	for _, e := range store.Events("job-42") {
		fmt.Println(e.Type)
	}
	// Output:
	// phase_update
	// thought
	// thought
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

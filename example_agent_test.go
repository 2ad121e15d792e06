package tidings_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"tidings"
	"tidings/internal/memlog"
)

// told prints the log of the job as an indented text.
func told(store *memlog.Log) { fmt.Print(memlog.Outline(store.Events("job-42"))) }

// reply is what a model says, as the SDK of a provider gives it.
type reply struct {
	text  string
	calls []struct {
		id, tool  string
		arguments json.RawMessage
	}
}

// ask is a model: it wants to know the weather, and then says it.
func ask(_ context.Context, talk []string, piece func(string)) (r reply, err error) {
	if len(talk) == 1 {
		r.calls = append(r.calls, struct {
			id, tool  string
			arguments json.RawMessage
		}{"call_1", "weather", json.RawMessage(`{"city":"Oslo"}`)})
		return r, nil
	}
	r.text = "It is " + talk[len(talk)-1] + "."
	piece(r.text)
	return r, nil
}

// How do I tell of an agent that is a loop: ask the model, call the tools that it
// asks for, ask again?
func Example_agentLoop() {
	store := memlog.New() // or a store, or the client of a server
	job := tidings.Start(context.Background(), "job-42", store, nil)
	tools := map[string]func(context.Context, json.RawMessage) (any, error){
		"weather": func(context.Context, json.RawMessage) (any, error) { return "sunny", nil },
	}

	_ = job.Run(context.Background(), func(ctx context.Context) (any, error) { // ends the job
		talk := []string{"How is the weather in Oslo?"}
		for {
			model := job.Model(ctx, "my-model")
			reply, err := ask(ctx, talk, func(piece string) { model.Delta(tidings.ChannelText, piece) })
			for _, c := range reply.calls {
				model.ToolCall(c.id, c.tool, c.arguments)
			}
			model.Usage(tidings.Usage{InputTokens: 12, OutputTokens: 4, CachedInputTokens: 8})
			model.End("", err) // the text is what the deltas add up to
			if err != nil || len(reply.calls) == 0 {
				return reply.text, err
			}
			for _, c := range reply.calls {
				output, err := job.Tool(ctx, c.tool, c.id, c.arguments, func(ctx context.Context) (any, error) {
					return tools[c.tool](ctx, c.arguments)
				})
				if err != nil {
					output = "error: " + err.Error() // for the model to read
				}
				talk = append(talk, fmt.Sprint(output))
			}
		}
	})
	told(store)
	// Output:
	// phase_update started job
	// thought started llm my-model model=my-model
	// thought completed llm my-model model=my-model usage={"input_tokens":12,"output_tokens":4,"cached_input_tokens":8}
	// tool_call tool tool=weather call=call_1 input={"city":"Oslo"}
	// tool_result tool tool=weather call=call_1 output="sunny"
	// thought started llm my-model model=my-model
	// thought delta "It is sunny."
	// thought completed llm my-model model=my-model content="It is sunny." usage={"input_tokens":12,"output_tokens":4,"cached_input_tokens":8}
	// done completed output="It is sunny." usage={"input_tokens":24,"output_tokens":8,"cached_input_tokens":16}
}

// How do I tell of parts with an input and an output: a retrieval, an agent
// within an agent?
func ExampleDo() {
	store := memlog.New()
	job := tidings.Start(context.Background(), "job-42", store, nil)
	search := func(context.Context, string) ([]string, error) { return []string{"Tides come of the Moon."}, nil }

	_ = job.Run(context.Background(), func(ctx context.Context) (any, error) {
		return tidings.Do(ctx, job, tidings.RunInfo{Name: "expert", Kind: "agent"}, func(ctx context.Context) (string, error) {
			query := "tides"
			info := tidings.RunInfo{Name: "docs", Kind: "retriever", Input: query}
			docs, err := tidings.Do(ctx, job, info, func(ctx context.Context) ([]string, error) { return search(ctx, query) })
			if err != nil {
				return "", err
			}
			return docs[0], nil
		})
	})
	told(store)
	// Output:
	// phase_update started job
	// phase_update started agent expert
	//   phase_update started retriever docs input="tides"
	//   phase_update completed retriever docs output=["Tides come of the Moon."]
	// phase_update completed agent expert output="Tides come of the Moon."
	// done completed output="Tides come of the Moon."
}

// How do I tell of a model call that is tried again?
func ExampleHandler_ModelWith_retries() {
	store := memlog.New()
	job := tidings.Start(context.Background(), "job-42", store, nil)
	call := func(attempt int) error {
		if attempt == 1 {
			return errors.New("overloaded")
		}
		return nil
	}

	_ = job.Run(context.Background(), func(ctx context.Context) (any, error) {
		var err error
		for attempt := 1; attempt <= 3; attempt++ {
			_, model := job.ModelWith(ctx, tidings.RunInfo{Name: "my-model", Attempt: int64(attempt)}, "my-model", "")
			err = call(attempt)
			model.End("Hello.", err)
			if err == nil {
				return "Hello.", nil
			}
		}
		return nil, err
	})
	told(store)
	// Output:
	// phase_update started job
	// thought started llm my-model model=my-model
	// error error="overloaded" scope=llm
	// thought started llm my-model model=my-model
	// thought completed llm my-model model=my-model content="Hello."
	// done completed output="Hello."
}

// How does a tool tell of its progress, if it was not handed the job?
func ExampleFromContext() {
	store := memlog.New()
	job := tidings.Start(context.Background(), "job-42", store, nil)
	download := func(ctx context.Context) (any, error) {
		_, run := tidings.FromContext(ctx) // nil outside of a job, which does nothing
		run.Progress(0.5, "half of it is here")
		return "42 MB", nil
	}

	_ = job.Run(context.Background(), func(ctx context.Context) (any, error) {
		return job.Tool(ctx, "download", "call_1", nil, download)
	})
	told(store)
	// Output:
	// phase_update started job
	// tool_call tool tool=download call=call_1
	// phase_update progress tool download
	// tool_result tool tool=download call=call_1 output="42 MB"
	// done completed output="42 MB"
}

// How does a job wait for a person whose answer may come in another process?
func ExampleErrInterrupted() {
	store := memlog.New()
	pay := func(answer string) {
		job := tidings.Start(context.Background(), "job-42", store, nil)
		err := job.Run(context.Background(), func(ctx context.Context) (any, error) {
			ctx, run := job.Phase(ctx, "pay")
			if answer == "" {
				run.Interrupt(map[string]any{"question": "Pay 100?"})
				run.End(tidings.ErrInterrupted)
				return nil, tidings.ErrInterrupted
			}
			_, err := job.Tool(ctx, "transfer", "call_1", 100, func(context.Context) (any, error) { return "paid", nil })
			run.End(err)
			return "paid", err
		})
		fmt.Println(store.Summary("job-42").Status, err)
	}

	pay("")    // the first process asks
	pay("yes") // a later one has the answer
	told(store)
	// Output:
	// waiting the job waits for input
	// completed <nil>
	// phase_update started job
	// phase_update started chain pay
	// phase_update interrupted chain pay
	// phase_update started job
	// phase_update started chain pay
	//   tool_call tool tool=transfer call=call_1 input=100
	//   tool_result tool tool=transfer call=call_1 output="paid"
	// phase_update completed chain pay
	// done completed output="paid"
}

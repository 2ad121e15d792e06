package adk_test

import (
	"context"
	"fmt"
	"log"

	"google.golang.org/genai"

	"google.golang.org/adk/v2/agent"
	"google.golang.org/adk/v2/agent/llmagent"
	"google.golang.org/adk/v2/plugin"
	"google.golang.org/adk/v2/runner"
	"google.golang.org/adk/v2/session"
	"google.golang.org/adk/v2/tool"
	"google.golang.org/adk/v2/tool/functiontool"

	"tidings"
	"tidings/callback/adk"
	"tidings/internal/memlog"
)

// An agent with a tool, told as it runs.
func Example() {
	ctx := context.Background()
	store := memlog.New() // or a store, or a client of a server

	weather, err := functiontool.New(functiontool.Config{Name: "weather", Description: "The weather of a city."},
		func(_ agent.Context, in struct{ City string }) (map[string]string, error) {
			return map[string]string{"weather": "sunny in " + in.City}, nil
		})
	if err != nil {
		log.Fatal(err)
	}
	guide, err := llmagent.New(llmagent.Config{
		Name: "guide", Tools: []tool.Tool{weather},
		Model: newModel(calls("c1", "weather", map[string]any{"City": "Oslo"}), says("It is ", "sunny.")), // or gemini
	})
	if err != nil {
		log.Fatal(err)
	}
	r, err := runner.New(runner.Config{
		AppName: "app", Agent: guide, SessionService: session.InMemoryService(), AutoCreateSession: true,
		PluginConfig: runner.PluginConfig{Plugins: []*plugin.Plugin{adk.Plugin(nil, nil)}},
	})
	if err != nil {
		log.Fatal(err)
	}

	job := tidings.Start(ctx, "job-42", store, &tidings.HandlerOptions{Name: "weather"})
	question := genai.NewContentFromText("How is Oslo?", genai.RoleUser)
	for event, err := range adk.Run(ctx, job, r, "ada", "session-1", question, agent.RunConfig{StreamingMode: agent.StreamingModeSSE}) {
		if err != nil {
			log.Fatal(err)
		}
		_ = event // what the caller did before, it goes on doing
	}
	if err := job.Close(ctx); err != nil {
		log.Fatal(err)
	}

	fmt.Print(memlog.Outline(store.Events("job-42")))
	// Output:
	// phase_update started weather
	// phase_update started agent guide input="How is Oslo?"
	//   thought started llm fake-model model=fake-model
	//   thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
	//   tool_call tool tool=weather call=c1 input={"City":"Oslo"}
	//   tool_result tool tool=weather call=c1 output={"weather":"sunny in Oslo"}
	//   thought started llm fake-model model=fake-model
	//   thought delta "It is sunny."
	//   thought completed llm fake-model model=fake-model content="It is sunny." usage={"input_tokens":11,"output_tokens":3}
	// phase_update completed agent guide
	// done completed output="It is sunny." usage={"input_tokens":22,"output_tokens":6}
}

package tidingsgenkit_test

import (
	"context"
	"fmt"
	"log"
	"net/http"

	"github.com/firebase/genkit/go/ai"
	"github.com/firebase/genkit/go/genkit"

	"tidings"
	tidingsgenkit "tidings/callback/genkit"
	"tidings/internal/memlog"
	"tidings/pebblelog"
)

// A flow with a tool, told as it runs.
func Example() {
	ctx := context.Background()
	store := memlog.New()   // or a store, or a client of a server
	tidingsgenkit.Install() // once a process

	g := genkit.Init(ctx, genkit.WithDefaultModel("fake/m"))
	model := &script{turns: []turn{asks("c1", "weather", city{"Oslo"}), says("It is ", "sunny.")}} // or a real one
	genkit.DefineModel(g, "fake/m", &ai.ModelOptions{Supports: &ai.ModelSupports{Tools: true, Multiturn: true}}, model.generate)
	weather := genkit.DefineTool(g, "weather", "The weather of a city.", func(_ *ai.ToolContext, in city) (string, error) {
		return "sunny in " + in.City, nil
	})
	flow := genkit.DefineFlow(g, "guide", func(ctx context.Context, question string) (string, error) {
		return genkit.GenerateText(ctx, g, ai.WithPrompt("%s", question), ai.WithTools(weather), ai.WithUse(tidingsgenkit.Middleware()))
	})

	job := tidings.Start(ctx, "job-42", store, &tidings.HandlerOptions{Name: "weather"})
	answer, err := tidingsgenkit.Run(ctx, job, func(ctx context.Context) (string, error) {
		return flow.Run(ctx, "How is Oslo?")
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := job.Close(ctx); err != nil {
		log.Fatal(err)
	}

	fmt.Println(answer)
	fmt.Print(memlog.Outline(store.Events("job-42")))
	// Output:
	// It is sunny.
	// phase_update started weather
	// phase_update started flow guide
	//   phase_update started chain generate
	//     thought started llm fake/m model=fake/m
	//     thought completed llm fake/m model=fake/m usage={"input_tokens":11,"output_tokens":3}
	//     tool_call tool tool=weather call=c1 input={"city":"Oslo"}
	//     tool_result tool tool=weather call=c1 output="sunny in Oslo"
	//     thought started llm fake/m model=fake/m
	//     thought completed llm fake/m model=fake/m content="It is sunny." usage={"input_tokens":11,"output_tokens":3}
	//   phase_update completed chain generate
	// phase_update completed flow guide output="It is sunny."
	// done completed output="It is sunny." usage={"input_tokens":22,"output_tokens":6}
}

// Flows whose streams outlive the process that serves them.
func ExampleNewStreamManager() {
	store, err := pebblelog.Open("tidings-data", nil) // or a client of a server
	if err != nil {
		log.Fatal(err)
	}
	g := genkit.Init(context.Background())
	flow := genkit.DefineStreamingFlow(g, "count", func(ctx context.Context, n int, stream func(context.Context, int) error) (int, error) {
		for i := range n {
			if err := stream(ctx, i); err != nil {
				return i, err
			}
		}
		return n, nil
	})
	http.Handle("POST /count", genkit.Handler(flow, genkit.WithStreamManager(tidingsgenkit.NewStreamManager(store, nil))))
}

package trpcagent_test

import (
	"context"
	"fmt"
	"log"

	"trpc.group/trpc-go/trpc-agent-go/agent/llmagent"
	"trpc.group/trpc-go/trpc-agent-go/model"
	"trpc.group/trpc-go/trpc-agent-go/runner"
	"trpc.group/trpc-go/trpc-agent-go/tool"

	"tidings"
	"tidings/callback/trpcagent"
	"tidings/internal/memlog"
)

// How do I watch an agent of trpc-agent-go?
func Example() {
	ctx := context.Background()
	store := memlog.New() // or a store, or a client of a server

	// Once, for all jobs. A true model has its own package below model.
	scripted := newModel(answer{calls: []string{`{"city":"Oslo"}`}}, answer{text: "It is sunny in Oslo."})
	ag := llmagent.New("weather", llmagent.WithModel(scripted), llmagent.WithTools([]tool.Tool{newTool(weather)}))
	r := runner.NewRunner("app", ag, runner.WithPlugins(trpcagent.Plugin(nil, nil)))
	defer r.Close()

	job := tidings.Start(ctx, "job-42", store, nil)
	events, err := trpcagent.Run(ctx, job, r, "ada", "session-1", model.NewUserMessage("Oslo?"))
	if err != nil {
		log.Fatal(err)
	}
	for range events {
	}
	if err := job.Close(ctx); err != nil {
		log.Fatal(err)
	}
	for _, e := range store.Events("job-42") {
		fmt.Println(e.Type)
	}
	// Output:
	// phase_update
	// phase_update
	// thought
	// thought
	// tool_call
	// tool_result
	// thought
	// thought
	// phase_update
	// done
}

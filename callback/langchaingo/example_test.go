package langchaingo_test

import (
	"context"
	"fmt"
	"log"

	"github.com/tmc/langchaingo/agents"
	"github.com/tmc/langchaingo/llms/fake"
	"github.com/tmc/langchaingo/tools"

	"tidings"
	"tidings/callback/langchaingo"
	"tidings/internal/memlog"
)

// How do I watch an agent of langchaingo?
func Example() {
	ctx := context.Background()
	store := memlog.New() // or a store, or a client of a server

	// Once, for all jobs. A true model has its own package below llms.
	model := langchaingo.WrapModel(fake.NewFakeLLM([]string{
		"Thought: I should calculate\nAction: calculator\nAction Input: 6*7",
		"Thought: I now know\nFinal Answer: 42",
	}), &langchaingo.ModelOptions{Name: "scripted"})
	toolbox := langchaingo.WrapTools(tools.Calculator{})
	agent := agents.NewExecutor(agents.NewOneShotAgent(model, toolbox))

	job := tidings.Start(ctx, "job-42", store, nil)
	err := job.Run(ctx, func(ctx context.Context) (any, error) {
		return langchaingo.Call(ctx, job, agent, map[string]any{"input": "What is six times seven?"})
	})
	if err != nil {
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

package eino_test

import (
	"context"
	"fmt"
	"log"

	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"

	"tidings"
	"tidings/callback/eino"
	"tidings/internal/memlog"
)

// How do I watch a graph of Eino?
func Example() {
	ctx := context.Background()
	store := memlog.New() // or a store, or a client of a server

	chain := compose.NewChain[[]*schema.Message, *schema.Message]()
	chain.AppendChatModel(scripted(says("It ", "is ", "sunny")), compose.WithNodeName("model"))
	graph, err := chain.Compile(ctx, compose.WithGraphName("weather"))
	if err != nil {
		log.Fatal(err)
	}

	job := tidings.Start(ctx, "job-42", store, nil)
	h := eino.NewHandler(job, nil)
	err = h.Run(ctx, func(ctx context.Context) (any, error) {
		return graph.Invoke(ctx, []*schema.Message{schema.UserMessage("How is the weather?")}, compose.WithCallbacks(h))
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Print(memlog.Outline(store.Events("job-42")))
	// Output:
	// phase_update started job
	// phase_update started chain weather input="How is the weather?"
	//   thought started llm model model=Scripted
	//   thought completed llm model model=Scripted content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
	// phase_update completed chain weather output="It is sunny"
	// done completed output="It is sunny" usage={"input_tokens":11,"output_tokens":3}
}

// How do I watch an agent of Eino's ADK?
func ExampleObserve() {
	ctx := context.Background()
	store := memlog.New()
	poet, err := adk.NewChatModelAgent(ctx, &adk.ChatModelAgentConfig{Name: "poet", Description: "writes", Model: scripted(says("It is sunny"))})
	if err != nil {
		log.Fatal(err)
	}
	runner := adk.NewRunner(ctx, adk.RunnerConfig{Agent: poet})

	job := tidings.Start(ctx, "job-42", store, nil)
	defer job.Close(ctx)
	h := eino.NewHandler(job, nil)
	events := eino.Observe(ctx, h, func(ctx context.Context) (*adk.AsyncIterator[*adk.AgentEvent], error) {
		return runner.Query(ctx, "How is the weather?", adk.WithCallbacks(h)), nil
	})
	for {
		e, ok := events.Next()
		if !ok {
			break
		}
		fmt.Println(e.AgentName, "says:", e.Output.MessageOutput.Message.Content)
	}
	// Output:
	// poet says: It is sunny
}

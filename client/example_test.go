package client_test

import (
	"context"

	"tidings"
	"tidings/client"
)

// An agent publishes to a server what it does, as the README shows it.
func Example() {
	err := research(context.Background(), "What moves the tides?")
	if err != nil {
		panic(err)
	}
}

func research(ctx context.Context, query string) error {
	to, err := client.New("http://127.0.0.1:8080", nil) // or a store: pebblelog, redislog
	if err != nil {
		return err
	}
	job := tidings.Start(ctx, "job-42", to, &tidings.HandlerOptions{Name: "research"})
	defer job.Close(context.Background())

	ctx = job.Context() // ends when somebody asks the job to stop
	ctx, plan := job.Phase(ctx, "plan")
	hits, err := job.Tool(ctx, "search", "c1", query, func(ctx context.Context) (any, error) {
		return search(ctx, query)
	})
	plan.End(err)
	job.End(hits, err)
	return err
}

func search(_ context.Context, query string) ([]string, error) {
	return []string{"about " + query}, nil
}

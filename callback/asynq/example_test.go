package asynq_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	hibiken "github.com/hibiken/asynq"

	"tidings"
	"tidings/callback/asynq"
	"tidings/redislog"
)

// How do I run jobs on asynq and watch them? It wants a Redis on this machine;
// TestExample brings one.
func Example() {
	if err := report(context.Background(), "127.0.0.1:6379", os.Stdout); err != nil {
		log.Fatal(err)
	}
}

// report makes a report in a worker and prints what happens.
func report(ctx context.Context, redis string, out io.Writer) error {
	opt := hibiken.RedisClientOpt{Addr: redis}
	store, err := redislog.Open(ctx, redislog.Options{URL: "redis://" + redis}) // or a client of a server
	if err != nil {
		return err
	}
	defer store.Close()

	// The worker.
	mux := hibiken.NewServeMux()
	mux.Use(asynq.Middleware(store, nil))
	mux.HandleFunc("report:make", func(ctx context.Context, task *hibiken.Task) error {
		_, pages := asynq.Job(ctx).Phase(ctx, "print")
		pages.Progress(1, "7 of 7 pages")
		pages.End(nil)
		asynq.SetOutput(ctx, "7 pages")
		return nil
	})
	server := hibiken.NewServer(opt, hibiken.Config{LogLevel: hibiken.ErrorLevel})
	if err := server.Start(mux); err != nil {
		return err
	}
	defer server.Shutdown()

	// Who wants it done.
	queue := hibiken.NewClient(opt)
	defer queue.Close()
	client := asynq.NewClient(queue, store)
	info, err := client.Enqueue(ctx, tidings.JobSpec{Name: "monthly report"}, hibiken.NewTask("report:make", nil))
	if err != nil {
		return err
	}

	// Who watches it.
	follower, err := store.Follow(ctx, info.ID, tidings.Cursor{})
	if err != nil {
		return err
	}
	defer follower.Close()
	for {
		events, err := follower.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range events {
			fmt.Fprintln(out, e.Type)
		}
	}
}

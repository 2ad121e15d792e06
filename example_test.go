package tidings_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"

	"tidings"
	"tidings/pebblelog"
)

// exampleStore opens a store in a folder that goes away again.
func exampleStore() (*pebblelog.Store, func()) {
	dir, err := os.MkdirTemp("", "tidings-example-")
	if err != nil {
		log.Fatal(err)
	}
	store, err := pebblelog.Open(dir, &pebblelog.Options{Logger: quiet()})
	if err != nil {
		log.Fatal(err)
	}
	return store, func() {
		_ = store.Close()
		_ = os.RemoveAll(dir)
	}
}

// printLog prints the job's events from the start to the end.
func printLog(ctx context.Context, store tidings.Reader, jobID string) {
	follower, err := store.Follow(ctx, jobID, tidings.Cursor{})
	if err != nil {
		log.Fatal(err)
	}
	defer follower.Close()
	for {
		events, err := follower.Next(ctx)
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			log.Fatal(err)
		}
		for _, e := range events {
			fmt.Println(e.Type)
		}
	}
}

// How do I tell of an agent without a framework?
func ExampleStart() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	job := tidings.Start(ctx, "job-42", store, &tidings.HandlerOptions{Name: "weather"})

	ctx, plan := job.Phase(ctx, "answer")
	model := job.Model(ctx, "my-model")
	model.Delta(tidings.ChannelText, "Let me look.")
	model.Usage(tidings.Usage{InputTokens: 12, OutputTokens: 4})
	model.End("Let me look.", nil)

	sky, err := job.Tool(ctx, "weather", "call-1", map[string]string{"city": "Oslo"},
		func(context.Context) (any, error) { return "sunny", nil })
	plan.End(err)
	job.End(sky, err)

	if err := job.Close(context.Background()); err != nil { // waits until all is stored
		log.Fatal(err)
	}
	printLog(context.Background(), store, "job-42")
	// Output:
	// phase_update
	// phase_update
	// thought
	// thought
	// thought
	// tool_call
	// tool_result
	// phase_update
	// done
}

// How does a job stop when somebody asks it to?
func ExampleHandler_Run() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	job := tidings.Start(ctx, "job-42", store, nil)
	_ = job.Flush(ctx) // so that there is a job to stop
	if err := tidings.RequestCancel(ctx, store, "job-42", "ann", "enough"); err != nil {
		log.Fatal(err)
	}

	err := job.Run(ctx, func(ctx context.Context) (any, error) {
		<-ctx.Done() // an agent's work goes on until its context ends
		return nil, context.Cause(ctx)
	})
	fmt.Println(err)

	summary, _ := store.Job(ctx, "job-42")
	fmt.Println(summary.Status)
	// Output:
	// the job was asked to stop by ann: enough
	// cancelled
}

// How do I publish single events and wait until they are durable?
func ExamplePublisher() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()

	publisher := tidings.NewPublisher(store, nil)
	event, err := tidings.NewEvent("order.shipped", map[string]any{"parcels": 2})
	if err != nil {
		log.Fatal(err)
	}
	if _, err := publisher.Publish(ctx, "order-7", event); err != nil {
		log.Fatal(err)
	}

	page, _ := store.Read(ctx, "order-7", tidings.Query{})
	for _, e := range page.Events {
		fmt.Println(e.Type, string(e.Data))
	}
	// Output: order.shipped {"parcels":2}
}

// What becomes of events when the store is away and the worker has to go?
func ExampleResumeSpool() {
	ctx := context.Background()
	store, done := exampleStore()
	defer done()
	dir, err := os.MkdirTemp("", "tidings-spool-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	away := &nullAway{}
	job := tidings.Start(ctx, "job-42", away, &tidings.HandlerOptions{SpoolDir: dir, Logger: quiet()})
	job.Custom("note", "written while the store is away")
	job.End("done all the same", nil)
	hurry, cancel := context.WithCancel(ctx)
	cancel()
	if err := job.Close(hurry); err != nil { // nothing is lost
		log.Fatal(err)
	}

	report, err := tidings.ResumeSpool(ctx, dir, store) // when the service starts again
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(report.Events, "events")
	printLog(ctx, store, "job-42")
	// Output:
	// 3 events
	// phase_update
	// custom
	// done
}

// nullAway is a store that can't be reached.
type nullAway struct{}

func (*nullAway) Append(context.Context, string, tidings.Batch) (tidings.Receipt, error) {
	return tidings.Receipt{}, tidings.ErrUnavailable
}

func (*nullAway) Heartbeat(context.Context, string, tidings.Lease) error {
	return tidings.ErrUnavailable
}

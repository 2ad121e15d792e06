// Command eino-graph runs a graph of Eino three times, as three jobs that can be
// watched while they run: one that answers, one whose tool fails, and one whose
// model breaks off. See README.md.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"

	"tidings"
	"tidings/callback/eino"
	"tidings/client"
)

func main() {
	pace := flag.Duration("pace", 80*time.Millisecond, "pause between two tokens of the model")
	id := flag.String("id", fmt.Sprintf("weather-%d", time.Now().Unix()), "what the jobs' IDs begin with")
	flag.Usage = usage
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, os.Getenv("TIDINGS_URL"), *id, *pace, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "eino-graph:", err)
		stop()
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprint(flag.CommandLine.Output(), "Usage: go run . [-id ID] [-pace 80ms] [question …]\n\nPublishes to the server at TIDINGS_URL, or to one that it starts.\n\n")
	flag.PrintDefaults()
}

// The questions that are asked if none is given.
var questions = []string{
	"How is the weather in Oslo and Rome?",
	"How is the weather in Atlantis?", // the tool fails; the graph has a branch for that
	"Please break off.",               // the model's stream fails; so does the job
}

// run asks the questions, each in a job of its own.
func run(ctx context.Context, out io.Writer, url, prefix string, pace time.Duration, asked []string) error {
	watch := url == ""
	if watch {
		server, err := embedded(ctx)
		if err != nil {
			return err
		}
		defer server.close()
		url = server.url
	}
	store, err := client.New(url, nil)
	if err != nil {
		return err
	}
	graph, err := newGraph(ctx, pace)
	if err != nil {
		return err
	}
	if len(asked) == 0 {
		asked = questions
	}
	for i, question := range asked {
		id, _, err := tidings.Create(ctx, store, tidings.JobSpec{ID: fmt.Sprintf("%s-%d", prefix, i+1), Name: "eino-graph"})
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "\n%s\n  watch it: tidings tail --url %s %s\n", question, url, id)
		watched := make(chan error, 1)
		go func() {
			if !watch {
				watched <- nil
				return
			}
			watched <- show(ctx, out, store, id)
		}()
		answer, err := ask(ctx, store, graph, id, question)
		if shown := <-watched; shown != nil {
			return errors.Join(err, shown)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			fmt.Fprintf(out, "  failed: %v\n", err)
			continue
		}
		fmt.Fprintf(out, "  answer: %s\n", answer)
	}
	return nil
}

// ask runs the graph as the job, and reads its answer as it streams. All that
// Tidings needs is the handler that it is given.
func ask(ctx context.Context, store tidings.Appender, graph compose.Runnable[[]*schema.Message, *schema.Message], id, question string) (string, error) {
	job := tidings.Start(ctx, id, store, nil)
	h := eino.NewHandler(job, nil)
	var answer string
	err := h.Run(ctx, func(ctx context.Context) (any, error) {
		stream, err := graph.Stream(ctx, []*schema.Message{schema.UserMessage(question)}, compose.WithCallbacks(h))
		if err != nil {
			return nil, err
		}
		m, err := schema.ConcatMessageStream(stream)
		if err != nil {
			return nil, err
		}
		answer = m.Content
		return answer, nil
	})
	return answer, err
}

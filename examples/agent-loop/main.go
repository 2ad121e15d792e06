// Command agent-loop runs an agent that is a loop and no framework, three times,
// as three jobs that can be watched while they run: one that answers, one whose
// tool fails, and one whose model breaks off. See README.md.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"tidings"
	"tidings/app"
	"tidings/client"
)

// The questions that are asked if none is given.
var questions = []string{
	"How is the weather in Oslo and Rome?",
	"How is the weather in Atlantis?", // the tool fails; the model is told
	"Please break off.",               // the model fails, and so does the job
}

func main() {
	pace := flag.Duration("pace", 80*time.Millisecond, "pause between two words of the model")
	id := flag.String("id", fmt.Sprintf("loop-%d", time.Now().Unix()), "what the jobs' IDs begin with")
	flag.Usage = usage
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if text := strings.Join(flag.Args(), " "); text != "" {
		questions = []string{text}
	}
	if err := run(ctx, os.Stdout, os.Getenv("TIDINGS_URL"), *id, *pace); err != nil {
		fmt.Fprintln(os.Stderr, "agent-loop:", err)
		stop()
		os.Exit(1)
	}
}

func usage() {
	fmt.Fprint(flag.CommandLine.Output(), "Usage: go run ./examples/agent-loop [-id ID] [-pace 80ms] [question]\n\nPublishes to the server at TIDINGS_URL, or to one that it starts.\n\n")
	flag.PrintDefaults()
}

// log is where the jobs' events go and come from: a store, or the client of a
// server.
type log interface {
	tidings.Appender
	tidings.Reader
}

// run asks the questions, each in a job of its own, of the server at url or of
// one of its own.
func run(ctx context.Context, out io.Writer, url, prefix string, pace time.Duration) error {
	if url != "" {
		to, err := client.New(url, nil)
		if err != nil {
			return err
		}
		return askAll(ctx, out, to, url, prefix, pace, false)
	}
	folder, err := os.MkdirTemp("", "agent-loop-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	server, err := app.Start(ctx, app.Config{Addr: "127.0.0.1:0", DataDir: folder, LogLevel: "error"})
	if err != nil {
		return err
	}
	defer server.Stop(context.WithoutCancel(ctx))
	return askAll(ctx, out, server.Store(), server.URL(), prefix, pace, true)
}

func askAll(ctx context.Context, out io.Writer, to log, url, prefix string, pace time.Duration, show bool) error {
	for i, question := range questions {
		id := fmt.Sprintf("%s-%d", prefix, i+1)
		fmt.Fprintf(out, "%s\n  watch it: tidings tail --url %s %s\n", question, url, id)
		told := make(chan error, 1)
		go func() { told <- watch(ctx, out, to, id, show) }()
		ask(ctx, to, id, question, scripted{pace})
		if err := <-told; err != nil {
			return err
		}
	}
	return nil
}

// ask runs the agent as a job. What becomes of it is in the job's log.
func ask(ctx context.Context, to tidings.Appender, id, question string, m model) {
	job := tidings.Start(ctx, id, to, &tidings.HandlerOptions{Name: "agent-loop", Labels: map[string]string{"model": m.name()}})
	_ = job.Run(ctx, func(ctx context.Context) (any, error) {
		return answer(ctx, job, m, question)
	})
}

// watch follows the job to its end, and prints its events if show is set, as
// "tidings tail" does more nicely.
func watch(ctx context.Context, out io.Writer, from tidings.Reader, id string, show bool) error {
	follower, err := from.Follow(ctx, id, tidings.Cursor{})
	for errors.Is(err, tidings.ErrUnknownJob) { // it begins in a moment
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		follower, err = from.Follow(ctx, id, tidings.Cursor{})
	}
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
			if show || e.Terminal() {
				fmt.Fprintf(out, "  %s %-12s %s\n", e.Time.Format("15:04:05.000"), e.Type, brief(e.Data))
			}
		}
	}
}

// brief is what people look at first.
func brief(data json.RawMessage) string {
	var d struct {
		Status, Name, Tool, Delta, Message, Error string
		Input, Output                             json.RawMessage
	}
	_ = json.Unmarshal(data, &d) // of another form: nothing is shown
	words := []string{d.Status, cmp.Or(d.Tool, d.Name), d.Delta, d.Message, d.Error, string(d.Input), string(d.Output)}
	return strings.Join(slices.DeleteFunc(words, func(w string) bool { return w == "" }), " ")
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"tidings"
	"tidings/wire"
)

type publishCmd struct {
	Job      string        `arg:"" help:"Job to publish to. A new one is created."`
	Type     *string       `arg:"" optional:"" help:"Event type, such as phase_update. Without it, events are read from standard input."`
	Data     string        `arg:"" optional:"" help:"Data as JSON. Default: {}."`
	Quiet    bool          `short:"q" help:"Print no event IDs."`
	RetryFor time.Duration `help:"How long to go on trying when the server is lost on the way." default:"30s"`
}

func (publishCmd) Help() string {
	return `Prints the ID of each event once it is stored. Without a type, standard input is read: one event a line, as JSON with event_type and, if wanted, data and timestamp. If the connection breaks, batches are sent again without giving duplicates.

Examples:

    tidings publish job-42 phase_update '{"phase":"plan","status":"started"}'
    tidings publish job-42 done
    my-agent --events-as-json | tidings publish job-42`
}

const (
	maxLineBytes  = 16 << 20
	maxBatchCount = 256
	maxBatchBytes = 512 << 10
)

// Run publishes the events.
func (p *publishCmd) Run(ctx context.Context, e *env) error {
	if p.Type != nil && *p.Type == "" {
		return &tidings.InvalidError{Field: "event_type", Reason: "is empty; give a type, such as phase_update, or leave it out to read events from standard input"}
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	if p.Type == nil && isTerminal(e.in) {
		fmt.Fprintln(e.err, "tidings: reading events from the keyboard, one JSON object a line; Ctrl-D ends")
	}
	ctx, to := withPatience(ctx, c, p.RetryFor, e.err)
	defer to.release()
	out := bufio.NewWriter(e.out)
	s := &sender{
		jobID:     p.Job,
		publisher: tidings.NewPublisher(to, &tidings.PublisherOptions{ProducerID: "cli-" + tidings.NewJobID()}),
	}
	if !p.Quiet {
		s.sent = func(r tidings.Receipt) error { return printIDs(out, r.IDs) }
	}
	if p.Type != nil {
		return p.one(ctx, s)
	}
	return s.stream(ctx, e.in)
}

func printIDs(out *bufio.Writer, ids []tidings.ID) error {
	for _, id := range ids {
		fmt.Fprintln(out, id) // the flush tells what went wrong
	}
	return out.Flush()
}

// one publishes the event on the command line.
func (p *publishCmd) one(ctx context.Context, s *sender) error {
	data := json.RawMessage(p.Data)
	if p.Data == "" {
		data = json.RawMessage("{}")
	}
	if !json.Valid(data) {
		return &tidings.InvalidError{Field: "data", Reason: fmt.Sprintf("%.64q is not JSON; a text needs double quotes inside single ones, as in '\"text\"'", p.Data)}
	}
	event, err := tidings.NewEvent(*p.Type, data)
	if err != nil {
		return err
	}
	return s.send(ctx, []tidings.Event{event})
}

// sender publishes batches to one job and counts.
type sender struct {
	jobID     string
	publisher *tidings.Publisher
	sent      func(tidings.Receipt) error // nil: nobody wants to know
	events    int                         // stored
}

func (s *sender) send(ctx context.Context, batch []tidings.Event) error {
	r, err := s.publisher.Publish(ctx, s.jobID, batch...)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause // why the publisher was stopped
		}
		return err
	}
	s.events += len(batch)
	if s.sent == nil {
		return nil
	}
	return s.sent(r)
}

// stream publishes the lines of r: those that are there together as one batch,
// so that an event that comes alone is not kept waiting.
func (s *sender) stream(ctx context.Context, r io.Reader) error {
	lines := make(chan parsed)
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go parseLines(ctx, wire.NewEventReader(r, maxLineBytes), lines)
	for {
		batch, err := gather(ctx, lines)
		if len(batch) > 0 {
			if err := s.send(ctx, batch); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && ctx.Err() == nil: // a line that is no event
			return fmt.Errorf("%w (the %d events before it were published)", err, s.events)
		case err != nil:
			return err
		}
	}
}

// parsed is a line of input, or why there are no more.
type parsed struct {
	event tidings.Event
	err   error
}

// parseLines reads ahead of the publishing. A read that blocks ends with its
// input or with the process.
func parseLines(ctx context.Context, r *wire.EventReader, lines chan<- parsed) {
	for {
		e, err := r.Next()
		select {
		case lines <- parsed{e, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// gather takes the next event and those that come right behind it. A terminal
// event must be the last of its batch.
func gather(ctx context.Context, lines <-chan parsed) (batch []tidings.Event, err error) {
	size := 0
	for len(batch) < maxBatchCount && size < maxBatchBytes {
		line, ok := nextLine(ctx, lines, len(batch) == 0)
		switch {
		case !ok:
			return batch, context.Cause(ctx)
		case line.err != nil:
			return batch, line.err
		}
		batch = append(batch, line.event)
		size += len(line.event.Data)
		if line.event.Terminal() {
			break
		}
	}
	return batch, nil
}

// nextLine takes a line, waiting for it for as long as it takes or only a
// moment. False: there is none.
func nextLine(ctx context.Context, lines <-chan parsed, wait bool) (parsed, bool) {
	if wait {
		select {
		case line := <-lines:
			return line, true
		case <-ctx.Done():
			return parsed{}, false
		}
	}
	select {
	case line := <-lines:
		return line, true
	case <-time.After(gatherFor):
		return parsed{}, false
	}
}

// gatherFor is how long a batch waits for another line: a reader that is at
// work takes less.
const gatherFor = time.Millisecond

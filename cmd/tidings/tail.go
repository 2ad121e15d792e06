package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"tidings"
	"tidings/client"
	"tidings/wire"
)

type tailCmd struct {
	Job      string `arg:"" help:"Job to show."`
	JSON     bool   `name:"json" help:"Print each event as one line of JSON."`
	After    string `help:"Show what comes after this event ID or cursor." placeholder:"CURSOR"`
	NoFollow bool   `help:"Stop at the newest event instead of waiting for more."`
	Type     string `help:"Show only events of these types, separated by commas." placeholder:"TYPES"`
}

func (tailCmd) Help() string {
	return `Shows the history and then what happens, until the job ends. A job that does not exist yet is waited for. If the connection breaks, it goes on where it was.

Exit code: 0 if the job is done, 1 if it failed, 3 if it was cancelled, 2 for any other error, 130 when interrupted.

Examples:

    tidings tail job-42
    tidings tail job-42 --json | jq -r 'select(.event_type=="error")'
    tidings tail job-42 --no-follow --after 1795512001234-0`
}

// Run shows the job's events.
func (t *tailCmd) Run(ctx context.Context, e *env) error {
	after, err := tidings.ParseCursor(t.After)
	if err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(e.out, 32<<10)
	defer out.Flush() // what can't be printed is reported by the flushes before
	view := t.view(e, out)
	if t.NoFollow {
		err = t.history(ctx, c, after, view)
	} else {
		err = t.follow(ctx, e, c, after, view)
	}
	if err == nil {
		err = t.outcome(ctx, c, view)
	}
	return aboutJob(t.Job, err)
}

// view shows events.
type view struct {
	out   *bufio.Writer
	event func(*tidings.Event) error
	note  func(format string, args ...any) // what is not an event, on stderr
	types map[string]bool                  // empty: all
	last  tidings.Event                    // terminal event, if there was one
	away  bool                             // the connection is lost
}

func (t *tailCmd) view(e *env, out *bufio.Writer) *view {
	v := &view{out: out, types: set(t.Type)}
	if t.JSON {
		v.event = jsonPrinter(out)
		v.note = func(format string, args ...any) { fmt.Fprintf(e.err, "tidings: "+format+"\n", args...) }
		return v
	}
	p := newPrinter(out, e.palette(e.out), e.width())
	v.event = p.event
	v.note = func(format string, args ...any) {
		p.breakLine()
		_ = out.Flush() // told by the next flush
		fmt.Fprintf(e.err, "%s\n", e.palette(e.err).paint(yellow, "· "+fmt.Sprintf(format, args...)))
	}
	return v
}

func jsonPrinter(out io.Writer) func(*tidings.Event) error {
	var line []byte
	return func(e *tidings.Event) error {
		line = append(wire.AppendEvent(line[:0], e), '\n')
		_, err := out.Write(line)
		return err
	}
}

// show prints events, all at once.
func (v *view) show(events []tidings.Event) error {
	for i := range events {
		e := &events[i]
		if e.Terminal() {
			v.last = *e
		}
		if len(v.types) > 0 && !v.types[e.Type] {
			continue
		}
		if err := v.event(e); err != nil {
			return err
		}
	}
	return v.out.Flush()
}

// history prints what is there now.
func (t *tailCmd) history(ctx context.Context, c *client.Client, after tidings.Cursor, v *view) error {
	for {
		page, err := c.Read(ctx, t.Job, tidings.Query{After: after})
		if next, ok := v.lost(err); ok {
			after = next
			continue
		}
		if err != nil {
			return err
		}
		if err := v.show(page.Events); err != nil {
			return err
		}
		if !page.More || len(page.Events) == 0 {
			return nil
		}
		after = tidings.Cursor{ID: page.Events[len(page.Events)-1].ID, Incarnation: page.Incarnation}
	}
}

// lost notes that events are missing or are others now, and gives the cursor
// to go on from.
func (v *view) lost(err error) (next tidings.Cursor, ok bool) {
	if gap, is := errors.AsType[*tidings.GapError](err); is {
		v.note("earlier events were trimmed by the server; going on with %s", gap.First)
		return tidings.Cursor{ID: gap.First.Prev(), Incarnation: gap.Incarnation}, !gap.First.IsZero()
	}
	if rewound, is := errors.AsType[*tidings.RewoundError](err); is {
		v.note("the job was created again or lost its last events; showing it from its start")
		return tidings.Cursor{Incarnation: rewound.Incarnation}, true
	}
	return tidings.Cursor{}, false
}

// follow prints what is there and what comes.
func (t *tailCmd) follow(ctx context.Context, e *env, c *client.Client, after tidings.Cursor, v *view) error {
	notices := make(chan client.Notice, 16)
	o := client.FollowOptions{After: after, Notify: func(n client.Notice) {
		select {
		case notices <- n:
		default: // many at once: the oldest tell enough
		}
	}}
	f, err := c.FollowWith(ctx, t.Job, o)
	if errors.Is(err, tidings.ErrUnknownJob) && after == (tidings.Cursor{}) {
		v.note("job %q does not exist yet; waiting for it (Ctrl-C to stop)", t.Job)
		o.WaitForJob = true
		f, err = c.FollowWith(ctx, t.Job, o)
	}
	if err != nil {
		return err
	}
	defer f.Close() // always nil
	return v.take(ctx, f, notices)
}

// take shows what the follower gives, and what it notices meanwhile.
func (v *view) take(ctx context.Context, f *client.Follower, notices <-chan client.Notice) error {
	type result struct {
		events []tidings.Event
		err    error
	}
	results := make(chan result)
	ctx, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	defer func() { stop(); <-done }()
	go func() {
		defer close(done)
		for {
			events, err := f.Next(ctx)
			select {
			case results <- result{events, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case <-ctx.Done(): // then the goroutine may have nothing to say any more
			return context.Cause(ctx)
		case n := <-notices:
			v.notice(n)
		case r := <-results:
			_, told := v.lost(r.err)
			switch {
			case errors.Is(r.err, io.EOF):
				return nil
			case r.err != nil && !told:
				return r.err
			}
			if err := v.show(r.events); err != nil {
				return err
			}
		}
	}
}

func (v *view) notice(n client.Notice) {
	switch n.Kind {
	case client.Disconnected:
		if !v.away { // once, however long it takes
			v.note("connection lost (%v); trying again", n.Err)
		}
		v.away = true
	case client.Connected:
		if v.away {
			v.note("connected again")
		}
		v.away = false
	case client.Stalled:
		v.note("the job gives no sign of life")
	case client.Resumed:
		v.note("the job gives signs of life again")
	}
}

// outcome turns how the job ended into an exit code.
func (t *tailCmd) outcome(ctx context.Context, c *client.Client, v *view) error {
	switch v.last.Type {
	case tidings.TypeDone:
		return nil
	case tidings.TypeCancelled:
		return &codeError{code: exitCancelled}
	case tidings.TypeError:
		return &codeError{code: exitFailed}
	}
	job, err := c.Job(ctx, t.Job)
	if err != nil {
		return err
	}
	switch job.Status {
	case tidings.StatusFailed:
		return &codeError{code: exitFailed}
	case tidings.StatusCancelled:
		return &codeError{code: exitCancelled}
	}
	return nil
}

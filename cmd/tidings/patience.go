package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"tidings"
	"tidings/client"
)

// patience is an appender for commands whose publisher tries again for ever: it
// says once that the server is away, and gives up, by ending the context, when
// it was never there, or has been away for too long.
type patience struct {
	tidings.Appender
	giveUp context.CancelCauseFunc
	after  time.Duration
	notes  io.Writer

	mu      sync.Mutex
	reached bool      // an answer came, ever
	away    time.Time // since when there is none; zero: it is there
}

// withPatience gives an appender over to, and the context that publishing with
// it must run under.
func withPatience(ctx context.Context, to tidings.Appender, after time.Duration, notes io.Writer) (context.Context, *patience) {
	ctx, giveUp := context.WithCancelCause(ctx)
	return ctx, &patience{Appender: to, giveUp: giveUp, after: after, notes: notes}
}

// Append implements [tidings.Appender].
func (p *patience) Append(ctx context.Context, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	r, err := p.Appender.Append(ctx, jobID, b)
	p.judge(err)
	return r, err
}

func (p *patience) judge(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case hopeless(err):
		p.giveUp(err)
	case !errors.Is(err, tidings.ErrUnavailable):
		p.reached = true
		if !p.away.IsZero() {
			fmt.Fprintln(p.notes, "tidings: the server is back")
		}
		p.away = time.Time{}
	case !p.reached:
		p.giveUp(err)
	case p.away.IsZero():
		p.away = time.Now()
		fmt.Fprintf(p.notes, "tidings: %v; trying again for %s\n", err, p.after)
	case time.Since(p.away) > p.after:
		p.giveUp(err)
	}
}

// hopeless reports whether err is of a kind that a publisher tries again, but
// that no later try mends.
func hopeless(err error) bool {
	_, refused := errors.AsType[*client.AuthError](err)
	_, odd := errors.AsType[*client.Problem](err)
	return refused || odd
}

// release frees what the context holds.
func (p *patience) release() { p.giveUp(nil) }

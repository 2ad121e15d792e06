package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// errOutputGone: whoever read the output has gone away, as head does.
var errOutputGone = errors.New("nobody reads the output any more")

// whileRead is for a command that has to clean up behind itself: where SIGPIPE
// would end the process on the spot, the context that it gives ends with
// [errOutputGone]. release gives the signal back.
func (e *env) whileRead(ctx context.Context) (_ context.Context, _ *env, release func()) {
	ctx, stop := context.WithCancelCause(ctx)
	asked := make(chan os.Signal, 1) // sockets raise it too: the write's error tells which it was
	signal.Notify(asked, syscall.SIGPIPE)
	reader := *e
	if !isTerminal(e.out) { // which would no longer be known for one
		reader.out = &watchedWriter{e.out, func() { stop(errOutputGone) }}
	}
	return ctx, &reader, func() { signal.Stop(asked); stop(nil) }
}

// watchedWriter tells when a write finds no reader.
type watchedWriter struct {
	to   io.Writer
	gone func()
}

// Write implements [io.Writer].
func (w *watchedWriter) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		w.gone()
	}
	return n, err
}

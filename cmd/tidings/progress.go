package main

import (
	"context"
	"fmt"
	"time"
)

// showProgress rewrites one line on standard error, if that is a terminal,
// until the function that it returns is called.
func showProgress(ctx context.Context, e *env, text func() string) (stop func()) {
	if !isTerminal(e.err) {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		defer fmt.Fprint(e.err, "\r\x1b[K")
		ticker := time.NewTicker(100 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				fmt.Fprintf(e.err, "\r\x1b[K%s", text())
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() { cancel(); <-gone }
}

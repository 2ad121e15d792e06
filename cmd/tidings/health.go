package main

import (
	"context"
	"fmt"
)

type healthCmd struct{}

func (healthCmd) Help() string {
	return `Asks the server whether its store can take events now, and shows what it warns of. Exit code: 0 if it can, 1 if not, 2 if the server can't be reached.

Example:

    tidings health --url https://tidings.example.com`
}

// Run asks the server.
func (healthCmd) Run(ctx context.Context, e *env) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	h, err := c.Health(ctx)
	if err != nil {
		return err
	}
	for _, warning := range h.Warnings {
		fmt.Fprintln(e.out, "warning:", oneLine(warning, 1000))
	}
	if !h.Ready {
		return &codeError{code: exitFailed, err: fmt.Errorf("%s is up, but its store (%s) is not ready: %s", e.globals.URL, h.Store, h.Error)}
	}
	_, err = fmt.Fprintf(e.out, "%s is ready (%s)\n", e.globals.URL, h.Store)
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"

	"tidings"
)

// Exit codes. A job's outcome is told by the first, third and fourth, an error
// of the command itself by the second.
const (
	exitDone        = 0
	exitFailed      = 1
	exitError       = 2
	exitCancelled   = 3
	exitInterrupted = 130 // as shells show SIGINT
	exitBrokenPipe  = 141 // as shells show SIGPIPE
)

// codeError ends the program with a code, and with a message if err is set.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

func isCancelled(err error) bool { return errors.Is(err, context.Canceled) }

// reportUsage explains a command line that can't be understood.
func reportUsage(w io.Writer, err error) int {
	if config, ok := errors.AsType[*configError](err); ok {
		fmt.Fprintf(w, "tidings: %v\n", config) // without the flag: it was not given on the command line
		return exitError
	}
	fmt.Fprintf(w, "tidings: %v\n", err)
	var parse *kong.ParseError
	command := "tidings"
	if errors.As(err, &parse) && parse.Context != nil {
		if node := parse.Context.Selected(); node != nil {
			command = node.FullPath()
		}
	}
	fmt.Fprintf(w, "%q tells how to use it.\n", command+" --help")
	return exitError
}

// report prints what a command failed with, and what can be done about it, and
// gives the exit code.
func report(w io.Writer, err error, url string) int {
	code := exitError
	var coded *codeError
	if errors.As(err, &coded) {
		code, err = coded.code, coded.err
	}
	if err == nil {
		if coded == nil {
			return exitDone
		}
		return code
	}
	fmt.Fprintf(w, "tidings: %s\n", strings.TrimSpace(err.Error()))
	if advice := advise(err, url); advice != "" {
		fmt.Fprintln(w, advice)
	}
	return code
}

// advise says what to do about an error that does not say so itself.
func advise(err error, url string) string {
	switch {
	case errors.Is(err, tidings.ErrUnavailable) && strings.Contains(err.Error(), "can't reach"):
		return "Start a server with \"tidings serve\", or name the one to use with --url or TIDINGS_URL (now " + url + ")."
	case errors.Is(err, tidings.ErrUnknownJob):
		return "\"tidings jobs\" lists the jobs of " + url + "."
	}
	return ""
}

// aboutJob puts the job's ID into errors that don't name it.
func aboutJob(jobID string, err error) error {
	if errors.Is(err, tidings.ErrUnknownJob) {
		return fmt.Errorf("job %q: %w", jobID, err)
	}
	return err
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"tidings"
	"tidings/runner"
)

type runCmd struct {
	Command []string          `arg:"" passthrough:"partial" help:"Program to run, and its arguments."`
	Job     string            `help:"Job to report to. Default: a new one." placeholder:"ID"`
	Name    string            `help:"Name of the job. Default: the program's." placeholder:"TEXT"`
	Label   map[string]string `help:"Label of the job; may be repeated." placeholder:"KEY=VALUE"`
	Grace   time.Duration     `help:"Time between asking the program to stop (SIGTERM) and ending it (SIGKILL)." default:"10s"`
	Flush   time.Duration     `help:"How long to wait at the end until the last events are stored." default:"10s"`
	Spool   string            `help:"Folder that keeps events while the server is away longer than memory holds them; a later run of the same job sends them." type:"path" placeholder:"DIR"`
	Quiet   bool              `short:"q" help:"Don't say which job it is."`
}

func (runCmd) Help() string {
	return `Runs a program as a job: its lines of output become events, its exit code the end. Output and exit code stay as they are. A line that is an event as JSON, with an event_type, is published as that event; after one that ends the job, such as done, the log takes no more. If the server is away, the program runs all the same, and its events are sent when the server is back.

"tidings cancel" stops the program. It finds TIDINGS_URL, TIDINGS_JOB_ID and TIDINGS_TOKEN in its environment, to publish events of its own.

Exit code: that of the program; 127 if it is not found, 126 if it can't be run.

Examples:

    tidings run -- make test
    tidings run --job nightly-1124 --label kind=backup -- ./backup.sh --full`
}

// Exit codes of env(1) and its kin.
const (
	exitCantRun  = 126
	exitNotFound = 127
)

// Run runs the program.
func (r *runCmd) Run(ctx context.Context, e *env) error {
	if r.Command[0] == "--" {
		r.Command = r.Command[1:]
	}
	if len(r.Command) == 0 {
		return errors.New("the program to run is missing; put it behind --, as in: tidings run -- make test")
	}
	path, err := findProgram(r.Command[0])
	if err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	if r.Job == "" {
		r.Job = tidings.NewJobID()
	}
	if err := tidings.ValidateJobID(r.Job); err != nil {
		return err
	}
	// Signals go to the program, and the job ends when it has.
	ctx = context.WithoutCancel(ctx)
	h := tidings.Start(ctx, r.Job, c, r.options(e.err))
	if !r.Quiet {
		fmt.Fprintf(e.err, "tidings: this is job %s; \"tidings tail %s\" shows it\n", r.Job, r.Job)
	}
	p := &runner.Program{
		Command: append([]string{path}, r.Command...), Env: r.environment(e.globals),
		Stdin: e.in, Stdout: e.out, Stderr: e.err, Grace: r.Grace, Signals: true,
	}
	outcome := p.Run(h)
	r.close(ctx, h, e.err)
	if outcome.Lost != "" {
		fmt.Fprintf(e.err, "tidings: job %s: %s\n", r.Job, outcome.Lost)
	}
	return exit(&outcome)
}

func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path, nil
	case errors.Is(err, fs.ErrPermission):
		return "", &codeError{code: exitCantRun, err: fmt.Errorf("can't run %s: %w", name, err)}
	}
	return "", &codeError{code: exitNotFound, err: fmt.Errorf("can't find %s: %w", name, err)}
}

func (r *runCmd) options(log io.Writer) *tidings.HandlerOptions {
	name := r.Name
	if name == "" {
		name = filepath.Base(r.Command[0])
	}
	return &tidings.HandlerOptions{
		Name: name, Labels: r.Label, SpoolDir: r.Spool,
		// A program that writes faster than its output is stored may wait a
		// moment, as it would for a terminal.
		BlockFor: 250 * time.Millisecond,
		Logger:   slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
}

func (r *runCmd) environment(g *globals) []string {
	env := append(os.Environ(), "TIDINGS_URL="+g.URL, "TIDINGS_JOB_ID="+r.Job)
	if g.Token != "" {
		env = append(env, "TIDINGS_TOKEN="+g.Token)
	}
	return env
}

// close waits until what is queued is stored.
func (r *runCmd) close(ctx context.Context, h *tidings.Handler, notes io.Writer) {
	ctx, cancel := context.WithTimeoutCause(ctx, r.Flush, errors.New("the server was away"))
	defer cancel()
	if err := h.Close(ctx); err != nil {
		fmt.Fprintf(notes, "tidings: job %s: %v\n", r.Job, err)
	}
}

// exit passes the program's code on.
func exit(o *runner.Outcome) error {
	if o.StartErr != nil {
		return &codeError{code: exitCantRun, err: o.StartErr}
	}
	if o.Code == 0 {
		return nil
	}
	return &codeError{code: o.Code}
}

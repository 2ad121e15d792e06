package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"tidings"
)

// program is a child process under supervision.
type program struct {
	command  []string // path, then the arguments beginning with the name
	env      []string
	stdin    io.Reader
	out, err *lineWriter
	grace    time.Duration
}

// pipeWait is how long the output is read on after the program has ended: a
// process that it left behind may hold it open.
const pipeWait = 2 * time.Second

// run starts the program and waits for its end. When ctx ends because the job
// was asked to stop, or has been taken over by another handler, the program is
// stopped. Signals are passed on to it.
func (p *program) run(ctx context.Context) outcome {
	cmd := exec.Command(p.command[0])
	cmd.Args = p.command[1:]
	cmd.Env = p.env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.stdin, p.out, p.err
	cmd.WaitDelay = pipeWait
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passedOn...)
	defer signal.Stop(signals)
	// Whoever read our output may go away, as head does; whoever is asked about
	// SIGPIPE is not ended by it.
	broken := make(chan os.Signal, 1)
	signal.Notify(broken, syscall.SIGPIPE)
	defer signal.Stop(broken)
	giveBack := inGroupOfItsOwn(cmd)
	defer giveBack()

	began := time.Now()
	if err := cmd.Start(); err != nil {
		return outcome{startErr: fmt.Errorf("can't run %s: %w", p.command[0], err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	asked := p.supervise(ctx, cmd, signals, ended)
	p.out.flush()
	p.err.flush()
	o := outcome{asked: asked, took: time.Since(began)}
	o.code, o.text = exitCode(cmd.ProcessState), cmd.ProcessState.String()
	if o.code == exitInterrupted && o.asked == nil { // Ctrl-C reaches a program at the terminal directly
		o.asked = &tidings.CancelledError{By: "signal", Reason: os.Interrupt.String()}
	}
	return o
}

// supervise waits for the end of the program, and returns why it was asked to
// stop, if it was.
func (p *program) supervise(ctx context.Context, cmd *exec.Cmd, signals <-chan os.Signal, ended <-chan error) (asked error) {
	stop := ctx.Done()
	var kill <-chan time.Time
	for {
		select {
		case <-ended:
			return asked
		case s := <-signals:
			signalGroup(cmd, s)
			if kill == nil {
				asked = &tidings.CancelledError{By: "signal", Reason: s.String()}
				kill = time.After(p.grace)
			}
		case <-stop:
			stop = nil
			cause := context.Cause(ctx)
			if _, closed := errors.AsType[*tidings.ClosedError](cause); closed {
				continue // the story has an end already, but the work goes on
			}
			asked = cause
			signalGroup(cmd, terminate)
			kill = time.After(p.grace)
		case <-kill:
			kill = nil
			signalGroup(cmd, os.Kill)
		}
	}
}

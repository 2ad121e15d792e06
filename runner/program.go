// Package runner runs programs as jobs: one that is given to it, and, as a task
// queue of a single machine, those of an allow-list.
package runner

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

// Program is a program to run as a job: its lines of output become events, its
// exit code the end. A line that is an event as JSON is published as that event.
type Program struct {
	Command []string // path, then the arguments beginning with the name
	Dir     string   // where it runs; empty: here
	Env     []string
	Stdin   io.Reader
	// Stdout and Stderr get what it writes, as it is. Nil: nothing does.
	Stdout, Stderr io.Writer
	// Grace is how long it may take to end when it is asked to; then it is killed.
	Grace time.Duration
	// Signals says that the signals that this process gets are the program's
	// business.
	Signals bool
}

// OutputName is the name of the custom events with the program's lines.
const OutputName = "output"

// pipeWait is how long the output is read on after the program has ended: a
// process that it left behind may hold it open.
const pipeWait = 2 * time.Second

// Run starts the program, waits for its end, and ends the handler's job as it
// ended. When the handler's context ends because the job was asked to stop, or
// has been taken over by another handler, the program is stopped, with all
// that it started. The handler is not closed.
func (p *Program) Run(h *tidings.Handler) Outcome {
	var own ownEnd
	out := &lineWriter{through: p.Stdout, line: publishLine(h, &own, "stdout")}
	errs := &lineWriter{through: p.Stderr, line: publishLine(h, &own, "stderr")}
	o := p.run(h.Context(), out, errs)
	o.tell(h)
	o.Lost = own.lost(&o)
	return o
}

// publishLine makes events of lines.
func publishLine(h *tidings.Handler, own *ownEnd, stream string) func([]byte) {
	return func(line []byte) {
		if e, ok := asEvent(line); ok && (e.JobID == "" || e.JobID == h.JobID()) {
			ends := ""
			if e.Terminal() {
				ends = e.Type
			}
			own.saw(ends)
			h.Emit(e)
			return
		}
		own.saw("")
		h.Custom(OutputName, map[string]string{"stream": stream, "line": string(line)})
	}
}

func (p *Program) run(ctx context.Context, out, errs *lineWriter) Outcome {
	cmd := exec.Command(p.Command[0])
	cmd.Args = p.Command[1:]
	cmd.Dir, cmd.Env = p.Dir, p.Env
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.Stdin, out, errs
	cmd.WaitDelay = pipeWait
	signals := make(chan os.Signal, 8)
	if p.Signals {
		signal.Notify(signals, passedOn...)
		defer signal.Stop(signals)
		// Whoever read our output may go away, as head does; whoever is asked about
		// SIGPIPE is not ended by it.
		broken := make(chan os.Signal, 1)
		signal.Notify(broken, syscall.SIGPIPE)
		defer signal.Stop(broken)
	}
	giveBack := inGroupOfItsOwn(cmd)
	defer giveBack()

	began := time.Now()
	if err := cmd.Start(); err != nil {
		return Outcome{StartErr: fmt.Errorf("can't run %s: %w", p.Command[0], err)}
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	asked := p.supervise(ctx, cmd, signals, ended)
	out.flush()
	errs.flush()
	o := Outcome{Asked: asked, Took: time.Since(began)}
	o.Code, o.Text = exitCode(cmd.ProcessState), cmd.ProcessState.String()
	if o.Code == exitInterrupted && o.Asked == nil { // Ctrl-C reaches a program at the terminal directly
		o.Asked = &tidings.CancelledError{By: "signal", Reason: os.Interrupt.String()}
	}
	return o
}

// exitInterrupted is how shells show SIGINT.
const exitInterrupted = 130

// supervise waits for the end of the program, and returns why it was asked to
// stop, if it was.
func (p *Program) supervise(ctx context.Context, cmd *exec.Cmd, signals <-chan os.Signal, ended <-chan error) (asked error) {
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
				kill = time.After(p.Grace)
			}
		case <-stop:
			stop = nil
			cause := context.Cause(ctx)
			if _, closed := errors.AsType[*tidings.ClosedError](cause); closed {
				continue // the story has an end already, but the work goes on
			}
			asked = cause
			signalGroup(cmd, terminate)
			kill = time.After(p.Grace)
		case <-kill:
			kill = nil
			signalGroup(cmd, os.Kill)
		}
	}
}

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"tidings"
)

type submitCmd struct {
	Task string   `arg:"" help:"Name of the task, as the workers know it, such as app.generate."`
	Args []string `arg:"" optional:"" help:"Its positional arguments, each a JSON value; what is not JSON is taken for a string."`

	Kwargs    map[string]string `name:"arg" short:"a" help:"Keyword argument; may be repeated. The value as a positional one." placeholder:"NAME=VALUE"`
	Job       string            `help:"ID of the job, which is the task's too. Default: a new one." placeholder:"ID"`
	Name      string            `help:"Name of the job. Default: the task's." placeholder:"TEXT"`
	Label     map[string]string `help:"Label of the job; may be repeated." placeholder:"KEY=VALUE"`
	Type      string            `help:"Which of the server's task queues; may be left out if there is one." placeholder:"TYPE"`
	Queue     string            `help:"Queue to put it on. Default: the task queue's own." placeholder:"NAME"`
	Countdown time.Duration     `help:"Don't begin before so long from now."`
	Expires   time.Duration     `help:"Don't begin after so long from now."`
	Priority  int               `help:"From 0 to 9."`
	Tail      bool              `help:"Show its events until it ends, as tidings tail does."`
}

func (submitCmd) Help() string {
	return `Puts a job on a task queue of the server and prints the job's ID.

Examples:

    tidings submit app.add 2 3
    tidings submit app.generate -a prompt="the tides" -a n=3 --tail
    tidings submit app.report --queue slow --countdown 10m`
}

// Run submits the job.
func (s *submitCmd) Run(ctx context.Context, e *env) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	task, err := s.task()
	if err != nil {
		return err
	}
	job, err := c.Submit(ctx, tidings.JobSpec{ID: s.Job, Name: s.Name, Labels: s.Label}, task)
	if err != nil {
		return err
	}
	if !s.Tail {
		_, err = fmt.Fprintln(e.out, job.ID)
		return err
	}
	fmt.Fprintf(e.err, "tidings: this is job %s\n", job.ID)
	return (&tailCmd{Job: job.ID}).Run(ctx, e)
}

func (s *submitCmd) task() (json.RawMessage, error) {
	if s.Countdown < 0 || s.Expires < 0 {
		return nil, errors.New("--countdown and --expires must not be negative")
	}
	t := map[string]any{"task": s.Task}
	if len(s.Args) > 0 {
		args := make([]json.RawMessage, len(s.Args))
		for i, value := range s.Args {
			args[i] = asJSON(value)
		}
		t["args"] = args
	}
	if len(s.Kwargs) > 0 {
		kwargs := map[string]json.RawMessage{}
		for name, value := range s.Kwargs {
			kwargs[name] = asJSON(value)
		}
		t["kwargs"] = kwargs
	}
	for name, value := range map[string]string{"type": s.Type, "queue": s.Queue} {
		if value != "" {
			t[name] = value
		}
	}
	if s.Countdown > 0 {
		t["countdown"] = s.Countdown.Seconds()
	}
	if s.Expires > 0 {
		t["expires"] = s.Expires.Seconds()
	}
	if s.Priority != 0 {
		t["priority"] = s.Priority
	}
	return json.Marshal(t)
}

// asJSON takes what is not JSON for a string.
func asJSON(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	quoted, _ := json.Marshal(text) // a string always can be
	return quoted
}

type workersCmd struct {
	JSON bool `help:"Print JSON, one object a line: the workers, then the queues."`
}

func (workersCmd) Help() string {
	return `Shows the workers of the server's task queues, and how much waits in each queue.`
}

// Run lists the workers.
func (w *workersCmd) Run(ctx context.Context, e *env) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	workers, err := c.Workers(ctx)
	if err != nil {
		return err
	}
	depths, err := c.Depths(ctx)
	if err != nil {
		return err
	}
	if w.JSON {
		enc := json.NewEncoder(e.out)
		for i := range workers {
			err = errors.Join(err, enc.Encode(&workers[i]))
		}
		for i := range depths {
			err = errors.Join(err, enc.Encode(&depths[i]))
		}
		return err
	}
	return printWorkers(e.out, workers, depths, time.Now())
}

func printWorkers(out io.Writer, workers []tidings.Worker, depths []tidings.QueueDepth, now time.Time) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "WORKER\tTYPE\tSTATE\tACTIVE\tPROCESSED\tLOAD\tSEEN\tSOFTWARE")
	for i := range workers {
		w := &workers[i]
		state := "alive"
		if !w.Alive {
			state = "lost"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\n", oneLine(w.Name, 60), w.Type, state, w.Active, w.Processed, loads(w.Load), ago(now.Sub(w.SeenAt)), oneLine(w.Software, 40))
	}
	if len(depths) > 0 {
		fmt.Fprintln(table, "\nQUEUE\tTYPE\tWAITING\tUNACKED")
	}
	for i := range depths {
		d := &depths[i]
		fmt.Fprintf(table, "%s\t%s\t%d\t%d\n", oneLine(d.Name, 60), d.Type, d.Waiting, d.Unacked)
	}
	return table.Flush()
}

func loads(load []float64) string {
	parts := make([]string, len(load))
	for i, l := range load {
		parts[i] = fmt.Sprintf("%.2f", l)
	}
	return strings.Join(parts, " ")
}

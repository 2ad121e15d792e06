package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"
	"time"

	"tidings"
	"tidings/app"
	"tidings/wire"
)

type rulesCmd struct {
	Check rulesCheckCmd `cmd:"" help:"Say what is wrong with a file of alert rules."`
	Test  rulesTestCmd  `cmd:"" help:"Say what would have fired on recorded runs."`
}

type rulesCheckCmd struct {
	Files []string `arg:"" name:"file" help:"Files of alert rules." type:"path"`
}

// Run checks each file.
func (r *rulesCheckCmd) Run(e *env) error {
	failed := false
	for _, file := range r.Files {
		summary, err := app.CheckRules(file)
		if err != nil {
			failed = true
			fmt.Fprintln(e.err, err)
			continue
		}
		fmt.Fprintf(e.out, "%s: %d rules, %d off, %d receivers\n", file, summary.Rules, summary.Off, summary.Receivers)
	}
	if failed {
		return &codeError{code: exitFailed}
	}
	return nil
}

type rulesTestCmd struct {
	File   string   `arg:"" help:"File of alert rules." type:"path"`
	Replay []string `required:"" sep:"none" help:"Files of events, one as JSON a line, or folders of such; may be repeated, and more may follow." placeholder:"RUNS"`
	More   []string `arg:"" optional:"" name:"runs" help:"More of them."`
	JSON   bool     `name:"json" help:"Print each alert as one line of JSON."`
}

func (rulesTestCmd) Help() string {
	return `Plays recorded runs to the rules, on a clock that follows the recording, and lists what would have fired. "tidings tail --json" records a job; recordings without timestamps take a second an event. Leases, queues and the store's health are not in a recording.

Examples:

    tidings rules test rules.yaml --replay recorded-runs/
    tidings tail job-42 --json --no-follow > run.jsonl; tidings rules test rules.yaml --replay run.jsonl`
}

// Run plays the runs.
func (r *rulesTestCmd) Run(e *env) error {
	files, err := expand(append(r.Replay, r.More...))
	if err != nil {
		return err
	}
	var events []tidings.Event
	for _, file := range files {
		if events, err = appendRecording(events, file, e.in); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	found, err := app.TestRules(r.File, events)
	if err != nil {
		return err
	}
	if r.JSON {
		enc := json.NewEncoder(e.out)
		enc.SetEscapeHTML(false)
		for i := range found {
			err = errors.Join(err, enc.Encode(&found[i]))
		}
		return err
	}
	return printFound(e.out, found, len(files), len(events))
}

func appendRecording(events []tidings.Event, path string, stdin io.Reader) ([]tidings.Event, error) {
	in, job, err := (&replayer{in: stdin}).open(path)
	if err != nil {
		return nil, err
	}
	defer in.Close() // it was only read from
	lines := wire.NewEventReader(in, maxLineBytes)
	for {
		e, err := lines.Next()
		if errors.Is(err, io.EOF) {
			return events, nil
		}
		if err != nil {
			return nil, err
		}
		e.JobID = first2(e.JobID, job)
		events = append(events, e)
	}
}

func printFound(out io.Writer, found []app.Found, files, events int) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	counts := map[string]int{}
	for i := range found {
		f := &found[i]
		counts[f.Rule]++
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", f.At.Format(time.DateTime), f.Severity, f.Rule, oneLine(f.Summary, 200))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(out, "%d alerts on %d events of %d files", len(found), events, files)
	for _, rule := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(out, "; %s %d", rule, counts[rule])
	}
	_, err := fmt.Fprintln(out)
	return err
}

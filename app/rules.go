package app

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"tidings"
	"tidings/alert"
)

// RulesSummary says what a rules file holds.
type RulesSummary struct {
	Rules     int // that are on, the built-in ones too
	Off       int
	Receivers int
}

// CheckRules reads a rules file as a server would. The error has a line for each
// thing that is wrong, as FILE:LINE:COLUMN: what.
func CheckRules(path string) (RulesSummary, error) {
	_, summary, err := readRules(path)
	return summary, err
}

func readRules(path string) (*alert.Config, RulesSummary, error) {
	var summary RulesSummary
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, summary, fmt.Errorf("can't read the rules: %w", err)
	}
	config, err := alert.ParseConfig(path, text)
	if err != nil {
		return nil, summary, err
	}
	var errs []error
	for i := range config.Receivers {
		r := &config.Receivers[i]
		if _, err := makeNotifier(r, config); err != nil {
			errs = append(errs, &alert.FileError{Path: path, Line: r.Line, Column: 1, Reason: fmt.Sprintf("receiver %q: %v", r.Name, err)})
		}
	}
	for _, r := range config.Rules {
		if r.Disabled {
			summary.Off++
		} else {
			summary.Rules++
		}
	}
	summary.Receivers = len(config.Receivers)
	return config, summary, errors.Join(errs...)
}

// Found is an alert that would have fired on recorded runs.
type Found struct {
	At       time.Time `json:"at"`
	Rule     string    `json:"rule"`
	Severity string    `json:"severity"`
	JobID    string    `json:"job_id,omitempty"`
	Summary  string    `json:"summary"`
}

// untimedStep is the time between two events of a recording that has no times.
const untimedStep = time.Second

// TestRules tells what would have fired on the events of recorded runs, by their
// timestamps. Events of a job that have none come a second after each other, and
// such jobs one after the other.
func TestRules(path string, events []tidings.Event) ([]Found, error) {
	config, _, err := readRules(path)
	if err != nil {
		return nil, err
	}
	replay := alert.NewReplay(config)
	found := []Found{}
	note := func(changes []alert.Transition) {
		for i := range changes {
			if a := &changes[i].Alert; a.State == alert.Firing {
				found = append(found, Found{At: changes[i].At, Rule: a.Rule, Severity: a.Severity, JobID: a.JobID, Summary: a.Summary})
			}
		}
	}
	for _, c := range timed(events) {
		note(replay.Apply(&c))
	}
	note(replay.Wait(30 * time.Minute)) // what never ended is stuck
	return found, nil
}

// timed orders the events by time and gives them IDs.
func timed(events []tidings.Event) []tidings.Change {
	clock := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	changes := make([]tidings.Change, len(events))
	for i := range events {
		e := events[i]
		if e.Time.IsZero() {
			clock = clock.Add(untimedStep)
			e.Time = clock
		}
		changes[i] = tidings.Change{Event: e}
	}
	slices.SortStableFunc(changes, func(a, b tidings.Change) int { return cmp.Or(a.Event.Time.Compare(b.Event.Time)) })
	for i := range changes {
		e := &changes[i].Event
		e.ID = tidings.ID{Ms: uint64(max(e.Time.UnixMilli(), 0)), Seq: uint64(i)}
	}
	return changes
}

package main

import (
	"encoding/json"
	"fmt"

	"tidings"
)

// describe gives an event's line, without time and indentation, and its
// colour. An empty line is not shown.
func (p *printer) describe(e *tidings.Event, d *shown) (code, text string) {
	switch e.Type {
	case tidings.TypePhaseUpdate:
		return p.describePhase(e, d)
	case tidings.TypeToolCall:
		p.began["tool:"+d.CallID+d.RunID] = e.Time
		return cyan, joinNonEmpty("  ", "→ "+d.Tool, raw(first(d.Input, d.Arguments)))
	case tidings.TypeToolResult:
		return p.describeToolResult(e, d)
	case tidings.TypeThought:
		return p.describeThought(e, d)
	case tidings.TypeError:
		return red, joinNonEmpty(" ", "✗", d.Scope, "error:", raw(d.Error))
	case tidings.TypeDone:
		return bold + ";" + green, "■ done" + aside(p.took(e, d, "job"), tokens(d.Usage))
	case tidings.TypeCancelled:
		return bold + ";" + yellow, joinNonEmpty(": ", "■ cancelled", d.Reason)
	case tidings.TypeCancelRequested:
		text := "! asked to stop"
		if d.By != "" {
			text += " by " + d.By
		}
		return yellow, joinNonEmpty(": ", text, d.Reason)
	case tidings.TypeCustom:
		return "", describeCustom(e, d)
	case tidings.TypeTaskQueued, tidings.TypeTaskStarted, tidings.TypeTaskProgress,
		tidings.TypeTaskRetried, tidings.TypeTaskCompleted, tidings.TypeTaskFailed:
		return p.describeTask(e, d)
	}
	return "", "· " + e.Type + "  " + string(e.Data)
}

// describeTask is a task queue's view of the job.
func (p *printer) describeTask(e *tidings.Event, d *shown) (code, text string) {
	name := joinNonEmpty(" ", "task", d.Task)
	var on, attempt string
	if d.Worker != "" {
		on = "on " + d.Worker
	}
	if d.Attempt > 1 {
		attempt = fmt.Sprintf("attempt %d", d.Attempt)
	}
	key := "task:" + d.TaskID
	switch e.Type {
	case tidings.TypeTaskQueued:
		return dim, "○ " + joinNonEmpty(" ", name, first2(statusWord(d.Status), "queued"), on) + aside(attempt)
	case tidings.TypeTaskStarted:
		p.began[key] = e.Time
		return bold, "▸ " + joinNonEmpty(" ", name, on) + aside(attempt)
	case tidings.TypeTaskRetried:
		return yellow, joinNonEmpty(": ", "↻ "+name+" is tried again"+aside(attempt), first2(raw(d.Error), d.Reason))
	case tidings.TypeTaskCompleted:
		return green, joinNonEmpty("  ", "✓ "+name+aside(p.took(e, d, key)), raw(d.Result))
	case tidings.TypeTaskFailed:
		return red, joinNonEmpty(": ", "✗ "+name+aside(p.took(e, d, key)), raw(d.Error))
	}
	progress := ""
	if d.Progress != nil {
		progress = fmt.Sprintf("%.0f %%", *d.Progress*100)
	}
	return "", joinNonEmpty("  ", "· "+first2(d.Name, name), progress, first2(d.Message, string(d.Value)))
}

// raw is a JSON string's content, or another value as it stands.
func raw(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) == nil {
		return s
	}
	return string(value)
}

func first(values ...json.RawMessage) json.RawMessage {
	for _, v := range values {
		if len(v) > 0 {
			return v
		}
	}
	return nil
}

// aside puts what there is into brackets.
func aside(parts ...string) string {
	if text := joinNonEmpty(" · ", parts...); text != "" {
		return "  (" + text + ")"
	}
	return ""
}

func (p *printer) describePhase(e *tidings.Event, d *shown) (code, text string) {
	name := joinNonEmpty(" ", d.Phase, quotedName(d))
	key := "phase:" + d.RunID + "\x00" + d.Phase
	switch d.Status {
	case "started", "resumed":
		p.began[key] = e.Time
		return bold, joinNonEmpty(": ", "▸ "+name+suffix(d.Status == "resumed", " (resumed)"), d.Message)
	case "completed":
		return green, "✓ " + name + aside(p.took(e, d, key))
	case "failed":
		return red, joinNonEmpty(": ", "✗ "+name+aside(p.took(e, d, key)), first2(raw(d.Error), d.Message))
	case "interrupted":
		return yellow, joinNonEmpty(": ", "‖ "+name+" waits for input", d.Message)
	case "queued":
		return dim, "○ queued" + suffix(d.Name != "", " "+d.Name)
	}
	progress := ""
	if d.Progress != nil {
		progress = fmt.Sprintf("%.0f %%", *d.Progress*100)
	}
	return "", "· " + joinNonEmpty("  ", joinNonEmpty(" ", name, statusWord(d.Status)), progress, first2(d.Message, d.Content))
}

// quotedName is the run's name where the phase does not say it.
func quotedName(d *shown) string {
	if d.Name == d.Phase {
		return ""
	}
	return d.Name
}

func statusWord(status string) string {
	if status == "progress" {
		return ""
	}
	return status
}

func suffix(when bool, text string) string {
	if when {
		return text
	}
	return ""
}

func first2(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

func (p *printer) describeToolResult(e *tidings.Event, d *shown) (code, text string) {
	name := d.Tool + aside(p.took(e, d, "tool:"+d.CallID+d.RunID))
	if len(d.Error) > 0 && string(d.Error) != "null" {
		return red, joinNonEmpty("  ", "✗ "+name, raw(d.Error))
	}
	return "", joinNonEmpty("  ", "← "+name, raw(d.Output))
}

// describeThought takes note of a model's turn that begins, and shows one that
// has no text.
func (p *printer) describeThought(e *tidings.Event, d *shown) (code, text string) {
	if d.Status == "started" {
		p.began["thought:"+streamKey(d)] = e.Time
		if d.Model != "" {
			p.model[streamKey(d)] = d.Model
		}
		return "", ""
	}
	return dim, "» no text" + p.turn(e, d)
}

// describeCustom shows what an agent said by name and value.
func describeCustom(e *tidings.Event, d *shown) string {
	if d.Name == "" {
		return "· custom  " + string(e.Data)
	}
	return "· " + joinNonEmpty("  ", d.Name, raw(d.Value))
}

// outputLine is a line of a program that "tidings run" wraps, marked by where
// it was written. False: the event is no such line.
func outputLine(d *shown) (text string, ok bool) {
	var line struct {
		Stream string  `json:"stream"`
		Line   *string `json:"line"`
	}
	if d.Name != outputName || json.Unmarshal(d.Value, &line) != nil || line.Line == nil {
		return "", false
	}
	if line.Stream == "stderr" {
		return "2| " + *line.Line, true
	}
	return " | " + *line.Line, true
}

// outputName is the name of the custom event that "tidings run" makes of a
// line of output.
const outputName = "output"

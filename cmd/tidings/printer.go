package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tidings"
)

// printer shows events to people: one line each, indented as the runs of the
// job are nested, and the model's tokens as running text.
type printer struct {
	out   *bufio.Writer
	color palette
	width int

	depth   map[string]int       // of a run, by its ID
	began   map[string]time.Time // of a run, a tool call or a model's turn, by its key
	model   map[string]string    // of a turn that has begun
	stream  string               // message whose text is being written; "": none
	channel string               // of that text
	breaks  int                  // line ends of it that are not written yet: those at its end never are
	open    bool                 // the last line has no end yet
}

func newPrinter(out *bufio.Writer, color palette, width int) *printer {
	return &printer{out: out, color: color, width: width, depth: map[string]int{}, began: map[string]time.Time{}, model: map[string]string{}}
}

// shown is what the printer looks at in an event's data.
type shown struct {
	Phase       string          `json:"phase"`
	Status      string          `json:"status"`
	Name        string          `json:"name"`
	Progress    *float64        `json:"progress"`
	Message     string          `json:"message"`
	Tool        string          `json:"tool"`
	CallID      string          `json:"call_id"`
	Input       json.RawMessage `json:"input"`
	Arguments   json.RawMessage `json:"arguments"` // of existing publishers
	Output      json.RawMessage `json:"output"`
	Error       json.RawMessage `json:"error"`
	DurationMs  *float64        `json:"duration_ms"`
	Channel     string          `json:"channel"`
	MessageID   string          `json:"message_id"`
	Content     string          `json:"content"`
	Delta       string          `json:"delta"`
	Model       string          `json:"model"`
	Usage       *tidings.Usage  `json:"usage"`
	Scope       string          `json:"scope"`
	Fatal       bool            `json:"fatal"`
	Reason      string          `json:"reason"`
	By          string          `json:"by"`
	Value       json.RawMessage `json:"value"`
	Task        string          `json:"task"`
	Queue       string          `json:"queue"`
	Attempt     int64           `json:"attempt"`
	TaskID      string          `json:"task_id"`
	Worker      string          `json:"worker"`
	Result      json.RawMessage `json:"result"`
	RunID       string          `json:"run_id"`
	ParentRunID string          `json:"parent_run_id"`
}

// parseShown reads each member by itself: one of an unexpected type must not
// hide the others.
func parseShown(data json.RawMessage) shown {
	var d shown
	if json.Unmarshal(data, &d) == nil {
		return d
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(data, &members) != nil {
		return shown{}
	}
	d = shown{}
	for name, value := range members {
		one, err := json.Marshal(map[string]json.RawMessage{name: value})
		if err == nil {
			_ = json.Unmarshal(one, &d) // a member of another type stays zero
		}
	}
	return d
}

// event prints one event.
func (p *printer) event(e *tidings.Event) error {
	d := parseShown(e.Data)
	p.place(&d)
	if e.Type == tidings.TypeThought && d.Status == "delta" {
		return p.delta(e, &d)
	}
	if e.Type == tidings.TypeThought && d.Status == "completed" && p.stream != "" && p.stream == streamKey(&d) {
		return p.endStream(e, &d)
	}
	p.breakLine()
	if e.Type == tidings.TypeThought && d.Content != "" && d.Status != "started" {
		return p.paragraph(e, &d)
	}
	if text, ok := outputLine(&d); ok && e.Type == tidings.TypeCustom {
		_, err := fmt.Fprintf(p.out, "%s  %s%s\n", p.stamp(e), p.indent(&d), harmless(text)) // its white space counts
		return err
	}
	code, text := p.describe(e, &d)
	if text == "" {
		return nil
	}
	return p.line(e, &d, code, text)
}

// place learns where in the tree the event's run is.
func (p *printer) place(d *shown) {
	if d.RunID == "" {
		return
	}
	if _, known := p.depth[d.RunID]; known {
		return
	}
	if parent, known := p.depth[d.ParentRunID]; known {
		p.depth[d.RunID] = parent + 1
	} else {
		p.depth[d.RunID] = 0
	}
}

const maxIndent = 12 // levels; deeper runs are not moved further to the right

func (p *printer) indent(d *shown) string {
	depth, known := p.depth[d.RunID]
	if !known {
		if depth, known = p.depth[d.ParentRunID]; known {
			depth++
		}
	}
	return strings.Repeat("  ", min(depth, maxIndent))
}

func (p *printer) stamp(e *tidings.Event) string {
	return p.color.paint(dim, e.Time.Local().Format("15:04:05.000"))
}

func (p *printer) line(e *tidings.Event, d *shown, code, text string) error {
	indent := p.indent(d)
	room := max(20, p.width-len("15:04:05.000  ")-len(indent))
	_, err := fmt.Fprintf(p.out, "%s  %s%s\n", p.stamp(e), indent, p.color.paint(code, oneLine(text, room)))
	return err
}

// paragraph shows a text of the model that was not streamed, whole.
func (p *printer) paragraph(e *tidings.Event, d *shown) error {
	text := strings.TrimRight(harmless(d.Content), "\n")
	below := "\n" + p.margin(d)
	note := p.turn(e, d)
	_, err := fmt.Fprintf(p.out, "%s  %s%s %s%s\n", p.stamp(e), p.indent(d), p.color.paint(dim, "»"),
		strings.ReplaceAll(text, "\n", below), p.color.paint(dim, note))
	return err
}

// breakLine ends a line of running text.
func (p *printer) breakLine() {
	if p.open {
		_ = p.out.WriteByte('\n') // a bufio.Writer keeps its error for the flush
	}
	p.open, p.stream, p.breaks = false, "", 0
}

func streamKey(d *shown) string { return d.MessageID + "\x00" + d.RunID }

// delta writes on the text of a message, or begins it.
func (p *printer) delta(e *tidings.Event, d *shown) error {
	if key := streamKey(d); key != p.stream || d.Channel != p.channel {
		p.breakLine()
		p.stream, p.channel = key, d.Channel
		mark := "» "
		if d.Channel == "reasoning" {
			mark = "~ "
		}
		if _, err := fmt.Fprintf(p.out, "%s  %s%s", p.stamp(e), p.indent(d), p.color.paint(dim, mark)); err != nil {
			return err
		}
		p.open = true
	}
	return p.runningText(d, harmless(d.Delta))
}

// runningText writes on, each line below the one before it.
func (p *printer) runningText(d *shown, text string) error {
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			p.breaks++
		}
		if line == "" {
			continue
		}
		below := strings.Repeat("\n"+p.margin(d), p.breaks)
		p.breaks = 0
		if d.Channel == "reasoning" {
			line = p.color.paint(dim, line)
		}
		if _, err := p.out.WriteString(below + line); err != nil {
			return err
		}
	}
	return nil
}

// margin is what stands before the second line of a text, and those after it.
func (p *printer) margin(d *shown) string {
	return strings.Repeat(" ", len("15:04:05.000  ")) + p.indent(d) + "  "
}

// endStream ends the text that was written token by token: its content is
// there already.
func (p *printer) endStream(e *tidings.Event, d *shown) error {
	_, err := p.out.WriteString(p.color.paint(dim, p.turn(e, d)))
	p.breakLine()
	return err
}

// turn is what is known of the model's turn that ends: who, how long, how much.
func (p *printer) turn(e *tidings.Event, d *shown) string {
	model := first2(d.Model, p.model[streamKey(d)])
	delete(p.model, streamKey(d))
	return aside(model, p.took(e, d, "thought:"+streamKey(d)), tokens(d.Usage))
}

// took is how long what the key names has lasted, as the event says it or as
// the time since its start.
func (p *printer) took(e *tidings.Event, d *shown, key string) string {
	if d.DurationMs != nil {
		return short(time.Duration(*d.DurationMs * float64(time.Millisecond)))
	}
	if began, ok := p.began[key]; ok {
		delete(p.began, key)
		return short(e.Time.Sub(began))
	}
	return ""
}

// short is a duration with the digits that matter; nothing if there is none.
func short(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return ""
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}

func tokens(u *tidings.Usage) string {
	if u == nil || u.InputTokens+u.OutputTokens == 0 {
		return ""
	}
	return fmt.Sprintf("%d in, %d out tokens", u.InputTokens, u.OutputTokens)
}

func joinNonEmpty(sep string, parts ...string) string {
	kept := parts[:0:0]
	for _, part := range parts {
		if part != "" {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, sep)
}

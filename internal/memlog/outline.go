package memlog

import (
	"encoding/json"
	"fmt"
	"strings"

	"tidings"
)

// Outline writes a log as an indented text for people and golden files: one
// line an event, each run beneath the one around it, without IDs and times. The
// deltas of a stream that follow each other are one line, as the number of events that
// they become is a matter of time.
func Outline(events []tidings.Event) string {
	o := outline{depth: map[string]int{}}
	for _, e := range events {
		o.event(e)
	}
	return o.text.String()
}

type outline struct {
	text  strings.Builder
	depth map[string]int // of each run
	delta string         // the run and channel whose deltas the last line holds
}

// line is what of an event's data an outline shows.
type line struct {
	RunID       string          `json:"run_id"`
	ParentRunID string          `json:"parent_run_id"`
	Kind        string          `json:"kind"`
	Name        string          `json:"name"`
	Status      string          `json:"status"`
	Phase       string          `json:"phase"`
	Tool        string          `json:"tool"`
	CallID      string          `json:"call_id"`
	Channel     string          `json:"channel"`
	Delta       string          `json:"delta"`
	Model       string          `json:"model"`
	Content     json.RawMessage `json:"content"`
	Input       json.RawMessage `json:"input"`
	Output      json.RawMessage `json:"output"`
	Error       json.RawMessage `json:"error"`
	Value       json.RawMessage `json:"value"`
	Usage       json.RawMessage `json:"usage"`
	Scope       string          `json:"scope"`
	Fatal       bool            `json:"fatal"`
	CauseRunID  string          `json:"cause_run_id"`
	Reason      string          `json:"reason"`
}

func (o *outline) event(e tidings.Event) {
	var d line
	if err := json.Unmarshal(e.Data, &d); err != nil {
		fmt.Fprintf(&o.text, "%s %s\n", e.Type, e.Data)
		return
	}
	if stream := d.RunID + "\x00" + d.Channel; d.Status == "delta" {
		if o.delta == stream {
			text := strings.TrimSuffix(o.text.String(), "\"\n")
			o.text.Reset()
			o.text.WriteString(text + inner(d.Delta) + "\"\n")
			return
		}
		o.delta = stream
	} else {
		o.delta = ""
	}
	depth := o.place(d)
	fmt.Fprintf(&o.text, "%s%s%s\n", strings.Repeat("  ", depth), e.Type, d.words())
}

// place gives how deep the run lies, 0 for what is of no run.
func (o *outline) place(d line) int {
	if d.RunID == "" {
		return 0
	}
	depth, known := o.depth[d.RunID]
	if !known {
		if parent, has := o.depth[d.ParentRunID]; has {
			depth = parent + 1
		}
		o.depth[d.RunID] = depth
	}
	return depth
}

func (d line) words() string {
	var b strings.Builder
	word := func(name, value string) {
		if value != "" {
			fmt.Fprintf(&b, " %s%s", name, value)
		}
	}
	word("", d.Status)
	word("", d.Kind)
	name := d.Name
	if name == "" {
		name = d.Phase
	}
	if name != d.Tool {
		word("", name)
	}
	word("tool=", d.Tool)
	word("call=", d.CallID)
	word("model=", d.Model)
	if d.Channel != "text" {
		word("channel=", d.Channel)
	}
	if d.Delta != "" {
		word("", "\""+inner(d.Delta)+"\"")
	}
	for _, field := range []struct {
		name  string
		value json.RawMessage
	}{
		{"input=", d.Input}, {"output=", d.Output}, {"content=", d.Content}, {"value=", d.Value}, {"error=", d.Error}, {"usage=", d.Usage},
	} {
		word(field.name, string(field.value))
	}
	word("scope=", d.Scope)
	word("reason=", d.Reason)
	if d.CauseRunID != "" {
		b.WriteString(" caused-below")
	}
	if d.Fatal {
		b.WriteString(" fatal")
	}
	return b.String()
}

// inner is a JSON string without its quotes.
func inner(s string) string {
	text, _ := json.Marshal(s)
	return string(text[1 : len(text)-1])
}

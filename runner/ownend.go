package runner

import (
	"fmt"
	"strings"
	"sync"
)

// ownEnd notes that a program has ended its job by an event of its own, and
// what it printed after that: the log takes it no more.
type ownEnd struct {
	mu        sync.Mutex
	eventType string // of the end; empty: there was none
	lines     int    // after it
}

// saw notes a line that is to be published; terminal is its type if it ends the
// job.
func (o *ownEnd) saw(terminal string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.eventType != "" {
		o.lines++
		return
	}
	o.eventType = terminal
}

// lost says what of the program's end is not in the log; empty: nothing.
func (o *ownEnd) lost(end *Outcome) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var what []string
	verb := "are"
	if o.lines > 0 {
		what = append(what, counted(o.lines, "later line")+" of output")
	}
	if end.Code != 0 {
		what = append(what, "its failure ("+end.Text+")")
	}
	if o.eventType == "" || len(what) == 0 {
		return ""
	}
	if len(what) == 1 && o.lines <= 1 {
		verb = "is"
	}
	return fmt.Sprintf("the program ended the job itself, by an event %q; %s %s not in the log", o.eventType, strings.Join(what, " and "), verb)
}

func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

package main

import (
	"io"
	"os"
	"strings"
	"unicode"

	"golang.org/x/term"
)

// isTerminal reports whether w is a terminal.
func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// palette colours text, or leaves it as it is.
type palette struct{ on bool }

// palette gives the colours for what is written to w.
func (e *env) palette(w io.Writer) palette {
	switch e.globals.Color {
	case "always":
		return palette{true}
	case "never":
		return palette{false}
	}
	noColor := os.Getenv("NO_COLOR") != "" // https://no-color.org
	return palette{isTerminal(w) && !noColor && os.Getenv("TERM") != "dumb"}
}

// The SGR codes in use.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	cyan   = "36"
)

func (p palette) paint(code, text string) string {
	if !p.on || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// harmless drops control characters, with which the data of an event could
// otherwise move the cursor, retitle the window or worse. Line feeds and tabs
// stay.
func harmless(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' {
			return r
		}
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return -1
		}
		return r
	}, text)
}

// oneLine is harmless text with each run of white space as one space, cut to
// about width runes.
func oneLine(text string, width int) string {
	text = strings.Join(strings.Fields(harmless(text)), " ")
	if runes := []rune(text); len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return text
}

// pipeWidth is how long lines are that no terminal shows.
const pipeWidth = 400

// width is how many columns a line of output may have.
func (e *env) width() int {
	if f, ok := e.out.(*os.File); ok {
		if columns, _, err := term.GetSize(int(f.Fd())); err == nil && columns > 0 {
			return columns
		}
	}
	return pipeWidth
}

// set is the set of the parts of a list separated by commas.
func set(list string) map[string]bool {
	parts := map[string]bool{}
	for part := range strings.SplitSeq(list, ",") {
		if part = strings.TrimSpace(part); part != "" {
			parts[part] = true
		}
	}
	return parts
}

package eino

import (
	"errors"
	"strings"

	"github.com/cloudwego/eino/adk"
)

// told is err as it is published.
func told(err error) error {
	switch {
	case err == nil:
		return nil
	case panicked(err):
		return &kindError{error: err, kind: "panic", text: withoutStack(err.Error())}
	case cancelled(err):
		return &kindError{error: err, kind: "aborted", text: err.Error()}
	}
	return err
}

// cancelled reports whether the ADK was told to break the agent off.
func cancelled(err error) bool {
	_, agent := errors.AsType[*adk.CancelError](err)
	_, stream := errors.AsType[*adk.StreamCanceledError](err)
	return agent || stream
}

// kindError is an error with a kind for readers.
type kindError struct {
	error
	kind, text string
}

func (e *kindError) Error() string     { return e.text }
func (e *kindError) ErrorKind() string { return e.kind }
func (e *kindError) Unwrap() error     { return e.error }

// Eino tells of panics by text alone.
const (
	panicMark = "panic error: "
	stackMark = ", \nstack: "
	pathMark  = "\n------------------------\nnode path: ["
)

func panicked(err error) bool {
	text := err.Error()
	return strings.Contains(text, panicMark) && strings.Contains(text, stackMark)
}

// withoutStack is the text of a panic without the stack, which is for the
// agent's log and not for viewers.
func withoutStack(text string) string {
	before, rest, found := strings.Cut(text, stackMark)
	if !found {
		return text
	}
	if at := strings.LastIndex(rest, pathMark); at >= 0 {
		return before + rest[at:]
	}
	return before
}

// nodePath is the path of nodes to where a graph failed, joined by ", ".
func nodePath(err error) string {
	text := err.Error()
	at := strings.LastIndex(text, pathMark)
	if at < 0 {
		return ""
	}
	return strings.TrimSuffix(text[at+len(pathMark):], "]")
}

package runner

import (
	"encoding/json"
	"errors"
	"time"

	"tidings"
)

// Outcome is how a program ended.
type Outcome struct {
	Code     int    // as a shell shows it: 128 and more for a signal
	Text     string // "exit status 3", "signal: killed"
	StartErr error  // it did not even start
	Asked    error  // why it was asked to stop, if it was
	Took     time.Duration
	// Lost says what of its end is not in the log, as it ended the job itself by
	// an event before; empty: nothing.
	Lost string
}

// tell ends the job as the program has ended.
func (o *Outcome) tell(h *tidings.Handler) {
	switch {
	case o.StartErr != nil:
		h.End(nil, o.StartErr)
	case errors.Is(o.Asked, tidings.ErrCancelRequested):
		h.End(nil, o.Asked)
	case o.Code == 0:
		emit(h, tidings.TypeDone, map[string]any{"status": "completed", "exit_code": 0, "duration_ms": o.Took.Milliseconds()})
	case o.Asked != nil:
		kind := "aborted"
		if _, late := errors.AsType[*timeoutError](o.Asked); late {
			kind = "timeout"
		}
		emit(h, tidings.TypeError, map[string]any{
			"error": o.Asked.Error(), "kind": kind, "scope": "job", "fatal": true,
			"exit_code": o.Code, "duration_ms": o.Took.Milliseconds(),
		})
	default:
		emit(h, tidings.TypeError, map[string]any{
			"error": o.Text, "kind": "exit", "scope": "job", "fatal": true,
			"exit_code": o.Code, "duration_ms": o.Took.Milliseconds(),
		})
	}
}

func emit(h *tidings.Handler, eventType string, data map[string]any) {
	text, err := json.Marshal(data)
	if err != nil { // strings and numbers
		return
	}
	h.Emit(tidings.Event{Type: eventType, Data: text})
}

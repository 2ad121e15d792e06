package tidings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"
)

// The event types that have a meaning. Any other non-empty string of at most
// [MaxEventTypeBytes] is allowed and carried as it is. docs/events.md says what
// the data of each holds.
const (
	TypePhaseUpdate     = "phase_update"     // a chain, graph or node starts, moves on or ends
	TypeToolCall        = "tool_call"        // a tool call starts
	TypeToolResult      = "tool_result"      // a tool call ends
	TypeThought         = "thought"          // the model thinks: start, text, deltas, end
	TypeError           = "error"            // something failed; terminal if fatal
	TypeDone            = "done"             // the whole job completed; terminal
	TypeState           = "state"            // a state snapshot or an RFC 6902 patch
	TypeCustom          = "custom"           // anything an agent wants to say
	TypeCancelRequested = "cancel_requested" // someone asked the job to stop
	TypeCancelled       = "cancelled"        // the job stopped because it was asked to; terminal
	TypeTaskQueued      = "task_queued"      // a task queue's view of the job
	TypeTaskStarted     = "task_started"
	TypeTaskProgress    = "task_progress"
	TypeTaskRetried     = "task_retried"
	TypeTaskCompleted   = "task_completed"
	TypeTaskFailed      = "task_failed"
)

// Limits that hold in every store.
const (
	MaxJobIDBytes      = 255
	MaxEventTypeBytes  = 64
	MaxProducerIDBytes = 255
	// MaxProducerNumber bounds epoch and sequence to what a JSON number holds
	// exactly everywhere (2^53 - 1).
	MaxProducerNumber = 1<<53 - 1
	// MinProducers is how many producers of one job a store remembers at least,
	// those that wrote last. It may take one that was silent for longer for new.
	MinProducers = 256
	// MaxDataDepth is how deep the data of an event may nest: what wraps it on
	// its way has to stay below the 10,000 levels that encoding/json reads.
	MaxDataDepth = 9_900
)

// Event is one thing that happened in a job. On every wire it is JSON:
//
//	{"id":"1795512001234-0","job_id":"job-42","event_type":"tool_call",
//	 "timestamp":"2026-11-24T09:20:01.234567Z","data":{…}}
//
// An Event handed to a store must not be changed afterwards; one that a store
// handed out may be shared with other readers and must not be changed at all.
type Event struct {
	ID    ID     `json:"id"`     // given by the store; ignored on append
	JobID string `json:"job_id"` // on append: empty, or the job appended to
	Type  string `json:"event_type"`
	// Time is when it happened by the publisher's clock, kept to the
	// microsecond. Zero on append means now.
	Time time.Time `json:"timestamp"`
	// Data is any JSON value, by convention an object, kept as it was written
	// but for insignificant white space. Empty on append means {}.
	Data json.RawMessage `json:"data"`
}

// NewEvent makes an event that happened now, with data as encoding/json writes
// it; a [json.RawMessage] is taken as it is. The error is an [*InvalidError].
func NewEvent(eventType string, data any) (Event, error) {
	e := Event{Type: eventType, Time: time.Now()}
	switch d := data.(type) {
	case nil:
		e.Data = json.RawMessage("{}")
	case json.RawMessage:
		e.Data = d
	default:
		raw, err := json.Marshal(data)
		if err != nil {
			return Event{}, &InvalidError{Field: "data", Reason: err.Error()}
		}
		e.Data = raw
	}
	return e, e.Validate()
}

// Validate reports what keeps the event from being appended, as an
// [*InvalidError], or nil.
func (e *Event) Validate() error {
	switch {
	case e.Type == "":
		return &InvalidError{Field: "event_type", Reason: "missing; give a non-empty string such as \"phase_update\""}
	case len(e.Type) > MaxEventTypeBytes:
		return &InvalidError{Field: "event_type", Reason: fmt.Sprintf("%d bytes long; at most %d are allowed", len(e.Type), MaxEventTypeBytes)}
	case !utf8.ValidString(e.Type):
		return &InvalidError{Field: "event_type", Reason: "not valid UTF-8"}
	case !e.Time.IsZero() && (e.Time.UTC().Year() < 0 || e.Time.UTC().Year() > 9999):
		// RFC 3339, which JSON writes times in, has four digits for the year.
		return &InvalidError{Field: "timestamp", Reason: "its year must lie between 0 and 9999"}
	case len(e.Data) > 0 && !json.Valid(e.Data):
		return &InvalidError{Field: "data", Reason: "not valid JSON"}
	case !utf8.Valid(e.Data):
		return &InvalidError{Field: "data", Reason: "not valid UTF-8"}
	case nesting(e.Data) > MaxDataDepth:
		return &InvalidError{Field: "data", Reason: fmt.Sprintf("nests over %d levels deep", MaxDataDepth)}
	}
	if y := e.Time.UTC().Year(); y < 0 || y > 9999 {
		return &InvalidError{Field: "timestamp", Reason: fmt.Sprintf("year %d can't be written; 0 to 9999 can", y)}
	}
	return nil
}

// nesting is how deep valid JSON nests. The exact count is made only where
// there are brackets enough.
func nesting(data []byte) int {
	if n := bytes.Count(data, []byte("[")) + bytes.Count(data, []byte("{")); n <= MaxDataDepth {
		return n
	}
	depth, deepest, quoted := 0, 0, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			depth++
			deepest = max(deepest, depth)
		case c == ']' || c == '}':
			depth--
		}
	}
	return deepest
}

// Terminal reports whether the event ends its job: done, cancelled, or an
// error whose data says "fatal": true.
func (e *Event) Terminal() bool {
	switch e.Type {
	case TypeDone, TypeCancelled:
		return true
	case TypeError:
		// A map, not a struct: that would take "Fatal" for "fatal", which readers
		// in other languages do not.
		var d map[string]json.RawMessage
		_ = json.Unmarshal(e.Data, &d) // data of another shape is not fatal
		return string(d["fatal"]) == "true"
	}
	return false
}

// ValidateJobID reports why id can't name a job, as an [*InvalidError], or nil.
// A brace would put a job's Redis keys into different cluster slots.
func ValidateJobID(id string) error {
	reason := ""
	switch {
	case id == "":
		reason = "missing"
	case len(id) > MaxJobIDBytes:
		reason = fmt.Sprintf("%d bytes long; at most %d are allowed", len(id), MaxJobIDBytes)
	case !utf8.ValidString(id):
		reason = "not valid UTF-8"
	case id == "." || id == ".." || id == "/":
		reason = "\".\", \"..\" and \"/\" can't stand in a URL path"
	default:
		for _, r := range id {
			if r == '{' || r == '}' || r < 0x20 || (r >= 0x7f && r < 0xa0) {
				reason = fmt.Sprintf("contains %q; braces and control characters are not allowed", r)
				break
			}
		}
	}
	if reason == "" {
		return nil
	}
	return &InvalidError{Field: "job_id", Reason: reason}
}

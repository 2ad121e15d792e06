package monitor

import (
	"bytes"
	"encoding/json"
	"strings"

	"tidings"
)

// Facts are what the fold reads in an event's data; docs/events.md says what
// each means. What is missing, or of another shape, is zero. Token deltas are
// not looked into: theirs have a Status only.
type Facts struct {
	RunID       string `json:"run_id"`
	ParentRunID string `json:"parent_run_id"`
	CauseRunID  string `json:"cause_run_id"`
	Name        string `json:"name"`
	RunKind     string `json:"-"` // "kind" of all but errors: agent, tool, llm …
	ErrorKind   string `json:"-"` // "kind" of an error, "error_kind" of others
	Phase       string `json:"phase"`
	Status      string `json:"status"`
	Tool        string `json:"tool"`
	CallID      string `json:"call_id"`
	Model       string `json:"model"`
	MessageID   string `json:"message_id"`
	Content     string `json:"content"`
	Scope       string `json:"scope"`
	Fatal       bool   `json:"fatal"`
	Fingerprint string `json:"fingerprint"` // an error's own; see [Fingerprint]
	DurationMS  *int64 `json:"duration_ms"`
	TTFTMS      *int64 `json:"ttft_ms"`

	Input  json.RawMessage `json:"input"`
	Output json.RawMessage `json:"output"`
	Error  string          `json:"-"` // its text, or the JSON of another value

	Usage tidings.Usage `json:"usage"`
	Cost  []Cost        `json:"-"`

	Dropped int64 `json:"-"` // of the custom event tidings.dropped
}

// Cost is an amount of money.
type Cost struct {
	Amount   float64 `json:"amount"`
	Currency string  `json:"currency"`
}

// rawFacts are the members that need a second look.
type rawFacts struct {
	Facts
	Kind      string          `json:"kind"`
	ErrorKind string          `json:"error_kind"`
	Error     json.RawMessage `json:"error"`
	Cost      json.RawMessage `json:"cost"`
	Value     json.RawMessage `json:"value"`
}

// deltaMark stands in the data of a token delta, which stores keep compact, and
// in no string, where the quotes would be escaped.
var deltaMark = []byte(`"status":"delta"`)

func factsOf(e *tidings.Event) Facts {
	if e.Type == tidings.TypeThought && bytes.Contains(e.Data, deltaMark) {
		return Facts{Status: "delta"}
	}
	if e.Type == tidings.TypeState {
		return Facts{}
	}
	var raw rawFacts
	_ = json.Unmarshal(e.Data, &raw) // a member of another shape counts as absent
	f := raw.Facts
	f.Error = errorText(raw.Error)
	if e.Type == tidings.TypeError {
		f.ErrorKind = raw.Kind
	} else {
		f.RunKind, f.ErrorKind = raw.Kind, raw.ErrorKind
	}
	if present(raw.Cost) {
		f.Cost = costsOf(raw.Cost)
	}
	sane(&f.Usage)
	if e.Type == tidings.TypeCustom && f.Name == "tidings.dropped" {
		var lost struct {
			Events int64 `json:"events"`
		}
		_ = json.Unmarshal(raw.Value, &lost)
		f.Dropped = max(lost.Events, 0)
	}
	return f
}

// What one event may add to a sum: so much money or milliseconds, and so many tokens or
// events, of which ten thousand million events would be needed to overflow a sum.
const (
	maxNumber = 1e12
	maxCount  = 1e9
)

func sane(u *tidings.Usage) {
	for _, n := range []*int64{&u.InputTokens, &u.OutputTokens, &u.CachedInputTokens, &u.CacheWriteTokens, &u.ReasoningTokens} {
		*n = min(max(*n, 0), maxCount)
	}
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// errorText is an error's text. Of one that is an object, as many APIs give, it is
// the member that is for people, or the object as it stands.
func errorText(raw json.RawMessage) string {
	if !present(raw) || raw[0] != '{' {
		return textOf(raw)
	}
	var of struct {
		Message json.RawMessage `json:"message"`
		Error   json.RawMessage `json:"error"`
		Detail  json.RawMessage `json:"detail"`
	}
	_ = json.Unmarshal(raw, &of)
	for _, member := range []json.RawMessage{of.Message, of.Error, of.Detail} {
		if text := errorText(member); text != "" {
			return text
		}
	}
	return string(raw)
}

// textOf is a string's content, or another value as it stands.
func textOf(raw json.RawMessage) string {
	if !present(raw) {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

func costsOf(raw json.RawMessage) []Cost {
	var list []Cost
	if raw[0] != '[' {
		list = make([]Cost, 1)
		_ = json.Unmarshal(raw, &list[0])
	} else {
		_ = json.Unmarshal(raw, &list)
	}
	out := list[:0]
	for _, c := range list {
		if c.Amount > 0 && c.Amount <= maxNumber {
			c.Currency = clip(strings.ToUpper(c.Currency), 8)
			out = append(out, c)
		}
	}
	return out
}

// clip cuts a string that comes from an event to a length that can be kept.
func clip(s string, size int) string {
	if len(s) <= size {
		return s
	}
	return strings.ToValidUTF8(s[:size-3], "") + "…"
}

package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"tidings"
)

// AppendEvent appends the event's JSON, on one line, to dst.
func AppendEvent(dst []byte, e *tidings.Event) []byte {
	dst = append(dst, `{"id":"`...)
	dst = e.ID.Append(dst)
	dst = append(dst, `","job_id":`...)
	dst = AppendString(dst, e.JobID)
	dst = append(dst, `,"event_type":`...)
	dst = AppendString(dst, e.Type)
	dst = append(dst, `,"timestamp":"`...)
	dst = AppendTime(dst, e.Time)
	dst = append(dst, `","data":`...)
	dst = appendData(dst, e.Data)
	return append(dst, '}')
}

// appendData appends data as it is, but on one line: in valid JSON a line end can
// only be white space between tokens, and would end the SSE field or the line.
func appendData(dst []byte, data json.RawMessage) []byte {
	switch {
	case len(data) == 0:
		return append(dst, "{}"...)
	case bytes.IndexByte(data, '\n') >= 0 || bytes.IndexByte(data, '\r') >= 0:
		return append(dst, compact(data)...)
	}
	return append(dst, data...)
}

// incoming is an event as a publisher may send it. The ID is given by the store
// and taken only so that what was read can be sent again as it is.
type incoming struct {
	ID        *string         `json:"id"`
	JobID     *string         `json:"job_id"`
	Type      *string         `json:"event_type"`
	Timestamp json.RawMessage `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
}

// ParseEvent reads one event as a publisher sends it. Unknown fields are
// refused, so that a misspelt one is not lost in silence. A missing timestamp is
// the zero time and missing data is {}. The ID is kept if there is one: a store
// ignores it, a reader needs it. The error is a [*tidings.InvalidError].
func ParseEvent(text []byte) (tidings.Event, error) {
	var in incoming
	if !utf8.Valid(text) { // encoding/json would replace it in silence
		return tidings.Event{}, &tidings.InvalidError{Field: "body", Reason: "not valid UTF-8"}
	}
	if err := decodeStrict(text, &in); err != nil {
		return tidings.Event{}, err
	}
	return in.event()
}

// ReadEvent reads one event as a server gives it. Fields that it does not know
// are of a newer server, and of no harm.
func ReadEvent(text []byte) (tidings.Event, error) {
	var in incoming
	if err := json.Unmarshal(text, &in); err != nil {
		return tidings.Event{}, syntaxError(err)
	}
	return in.event()
}

func (in *incoming) event() (tidings.Event, error) {
	e := tidings.Event{}
	if in.Type != nil {
		e.Type = *in.Type
	}
	if in.JobID != nil {
		e.JobID = *in.JobID
	}
	if in.ID != nil && *in.ID != "" {
		id, err := tidings.ParseID(*in.ID)
		if err != nil {
			return tidings.Event{}, err
		}
		e.ID = id
	}
	if present(in.Timestamp) {
		t, err := parseJSONTime(in.Timestamp)
		if err != nil {
			return tidings.Event{}, err
		}
		e.Time = t
	}
	e.Data = compact(in.Data)
	if err := e.Validate(); err != nil {
		return tidings.Event{}, err
	}
	return e, nil
}

// ParseEvents reads what a body of application/json may hold: one event or an
// array of them. An error names the place in the array.
func ParseEvents(text []byte) ([]tidings.Event, error) {
	text = bytes.TrimLeft(text, " \t\r\n")
	if len(text) == 0 || text[0] != '[' {
		e, err := ParseEvent(text)
		if err != nil {
			return nil, err
		}
		return []tidings.Event{e}, nil
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		return nil, syntaxError(err)
	}
	events := make([]tidings.Event, len(parts))
	for i, part := range parts {
		e, err := ParseEvent(part)
		if err != nil {
			var invalid *tidings.InvalidError
			if errors.As(err, &invalid) {
				err = &tidings.InvalidError{Field: fmt.Sprintf("events[%d].%s", i, invalid.Field), Reason: invalid.Reason}
			}
			return nil, err
		}
		events[i] = e
	}
	return events, nil
}

func decodeStrict(text []byte, into any) error {
	if trimmed := bytes.TrimLeft(text, " \t\r\n"); len(trimmed) == 0 || trimmed[0] != '{' {
		return &tidings.InvalidError{Field: "body", Reason: `an event is a JSON object such as {"event_type":"custom","data":{}}`}
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return syntaxError(err)
	}
	if rest := bytes.TrimSpace(text[dec.InputOffset():]); len(rest) > 0 {
		return &tidings.InvalidError{Field: "body", Reason: "more than one JSON value; send several events as an array, or as lines with Content-Type application/x-ndjson"}
	}
	return nil
}

func syntaxError(err error) error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		field := wrongType.Field
		if field == "" {
			field = "body"
		}
		return &tidings.InvalidError{Field: field, Reason: fmt.Sprintf("is a JSON %s, but must be a %s", wrongType.Value, kindName(wrongType.Type.Kind().String()))}
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return &tidings.InvalidError{Field: "body", Reason: fmt.Sprintf("not valid JSON at byte %d", syntax.Offset)}
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok { // wording only; any other text serves as well
		return &tidings.InvalidError{Field: "body", Reason: "unknown field " + name + "; an event has event_type, data, timestamp and job_id"}
	}
	return &tidings.InvalidError{Field: "body", Reason: "not valid JSON: " + strings.TrimPrefix(err.Error(), "json: ")}
}

func kindName(kind string) string {
	switch kind {
	case "ptr":
		return "string"
	case "struct":
		return "object"
	}
	return kind
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// compact drops the white space between the tokens of valid JSON. Data that
// was given as null stays null; data that was not given is {}.
func compact(raw json.RawMessage) json.RawMessage {
	if len(raw) == 0 {
		return json.RawMessage("{}")
	}
	var out bytes.Buffer
	out.Grow(len(raw))
	if err := json.Compact(&out, raw); err != nil {
		return raw // Validate will say so
	}
	return out.Bytes()
}

// AppendString appends s as a JSON string. Invalid UTF-8 becomes U+FFFD.
func AppendString(dst []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			plain = false
			break
		}
	}
	if plain {
		dst = append(dst, '"')
		dst = append(dst, s...)
		return append(dst, '"')
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(s) // a string can't fail
	return append(dst, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...)
}

const timeLayout = "2006-01-02T15:04:05.000000Z"

// AppendTime appends t in UTC with microseconds, as every timestamp of an event
// is written. A time that this form can't hold is written as the Unix epoch.
func AppendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 {
		t = time.Unix(0, 0).UTC()
	}
	return t.AppendFormat(dst, timeLayout)
}

// timeLayouts are the forms in which publishers in the field write timestamps:
// RFC 3339, and ISO 8601 as Python's isoformat and str give it. One without an
// offset is UTC. Go accepts fractional seconds behind any of them.
var timeLayouts = []string{
	time.RFC3339,
	"2006-01-02T15:04:05",
	"2006-01-02 15:04:05Z07:00",
	"2006-01-02 15:04:05",
	"2006-01-02T15:04:05Z0700",
}

// ParseTime reads a timestamp: RFC 3339, ISO 8601 without an offset (UTC), or
// seconds since the Unix epoch as a decimal number. The result is in UTC, to the
// microsecond. The error is a [*tidings.InvalidError].
func ParseTime(s string) (time.Time, error) {
	s = strings.TrimSpace(s)
	for _, layout := range timeLayouts {
		t, err := time.Parse(layout, s)
		if t = t.UTC(); err == nil && t.Year() >= 0 && t.Year() <= 9999 {
			return t.Truncate(time.Microsecond), nil
		}
	}
	if t, ok := parseEpoch(s); ok {
		return t, nil
	}
	return time.Time{}, &tidings.InvalidError{Field: "timestamp", Reason: fmt.Sprintf("%.64q is not RFC 3339, such as 2026-11-24T09:20:01.234567Z, nor seconds since 1970", s)}
}

// parseEpoch reads digits, a dot and digits without going through a float,
// which would lose the microseconds.
func parseEpoch(s string) (time.Time, bool) {
	whole, fraction, _ := strings.Cut(s, ".")
	if whole == "" || len(whole) > 11 || len(fraction) > 18 {
		return time.Time{}, false
	}
	var seconds, micros int64
	for _, c := range []byte(whole) {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
		seconds = seconds*10 + int64(c-'0')
	}
	scale := int64(100_000)
	for _, c := range []byte(fraction) {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
		micros += int64(c-'0') * scale
		scale /= 10
	}
	return time.Unix(seconds, micros*1000).UTC(), true
}

func parseJSONTime(raw json.RawMessage) (time.Time, error) {
	if raw[0] == '"' {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return time.Time{}, syntaxError(err)
		}
		return ParseTime(s)
	}
	return ParseTime(string(raw))
}

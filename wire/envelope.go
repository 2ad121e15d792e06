package wire

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"tidings"
)

// The fields of a Redis Stream entry. They are a public contract: see
// docs/redis.md.
const (
	FieldEventType = "event_type"
	FieldTimestamp = "timestamp"
	FieldData      = "data"
)

// AppendEnvelope appends the JSON that stands in the data field of a Redis
// Stream entry: {"event_type","data","timestamp","job_id"}.
func AppendEnvelope(dst []byte, e *tidings.Event) []byte {
	return appendFields(append(dst, `{"event_type":`...), e)
}

// AppendMessage appends the event in the Pub/Sub format before streams:
// {"event","data","timestamp","job_id"}.
func AppendMessage(dst []byte, e *tidings.Event) []byte {
	return appendFields(append(dst, `{"event":`...), e)
}

func appendFields(dst []byte, e *tidings.Event) []byte {
	dst = AppendString(dst, e.Type)
	dst = append(dst, `,"data":`...)
	dst = appendData(dst, e.Data)
	dst = append(dst, `,"timestamp":"`...)
	dst = AppendTime(dst, e.Time)
	dst = append(dst, `","job_id":`...)
	dst = AppendString(dst, e.JobID)
	return append(dst, '}')
}

type envelope struct {
	EventType *string         `json:"event_type"`
	Event     *string         `json:"event"` // the Pub/Sub format before streams
	Data      json.RawMessage `json:"data"`
	Timestamp json.RawMessage `json:"timestamp"`
	JobID     *string         `json:"job_id"`
}

func (v *envelope) eventType() (string, bool) {
	switch {
	case v.EventType != nil:
		return *v.EventType, true
	case v.Event != nil:
		return *v.Event, true
	}
	return "", false
}

// ParseEntry reads the entry id of the stream of jobID, given its fields as
// alternating names and values. Publishers who know nothing of Tidings write
// entries too, so it never fails: an entry without an envelope in data is taken
// with data as it is, data that is not JSON as a string, an entry without a
// data field with its other fields as an object, one without a type as
// "custom", and one without a readable time as having happened at its ID.
func ParseEntry(jobID string, id tidings.ID, fields []string) tidings.Event {
	var eventType, timestamp, data string
	hasData := false
	for i := 0; i+1 < len(fields); i += 2 {
		switch fields[i] {
		case FieldEventType:
			eventType = fields[i+1]
		case FieldTimestamp:
			timestamp = fields[i+1]
		case FieldData:
			data, hasData = fields[i+1], true
		}
	}
	e := tidings.Event{ID: id, JobID: jobID, Type: eventType}
	switch v, ok := openEnvelope([]byte(data), eventType); {
	case !hasData:
		e.Data = otherFields(fields)
	case ok:
		e.Data = v.Data
		if e.Type == "" {
			e.Type, _ = v.eventType()
		}
		if timestamp == "" {
			timestamp = timeText(v.Timestamp)
		}
	default:
		e.Data = json.RawMessage(data)
	}
	return repair(e, timestamp)
}

// ParseMessage reads a message of the Pub/Sub format before streams,
// {"event","data","timestamp","job_id"}, or an envelope with "event_type", that
// was published for jobID. It is as lenient as [ParseEntry]. The ID is zero.
func ParseMessage(jobID string, text []byte) tidings.Event {
	e := tidings.Event{JobID: jobID, Data: text}
	timestamp := ""
	if v, ok := openEnvelope(text, ""); ok {
		e.Type, _ = v.eventType()
		e.Data = v.Data
		timestamp = timeText(v.Timestamp)
	}
	return repair(e, timestamp)
}

// openEnvelope reports whether data is an envelope rather than an event's own
// data: an object with a type, which is the entry's if that names one, and
// data.
func openEnvelope(data []byte, eventType string) (*envelope, bool) {
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return nil, false
	}
	var v envelope
	if json.Unmarshal(data, &v) != nil || v.Data == nil {
		return nil, false
	}
	inner, ok := v.eventType()
	if !ok || (eventType != "" && inner != eventType) {
		return nil, false
	}
	return &v, true
}

func timeText(raw json.RawMessage) string {
	if !present(raw) {
		return ""
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s
	}
	return string(raw)
}

func otherFields(fields []string) json.RawMessage {
	out := []byte{'{'}
	for i := 0; i+1 < len(fields); i += 2 {
		if fields[i] == FieldEventType || fields[i] == FieldTimestamp {
			continue
		}
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = AppendString(out, fields[i])
		out = append(out, ':')
		out = AppendString(out, fields[i+1])
	}
	return append(out, '}')
}

// repair makes an event of a foreign publisher one that every reader can take.
func repair(e tidings.Event, timestamp string) tidings.Event {
	e.Type = strings.ToValidUTF8(e.Type, "\uFFFD")
	if len(e.Type) > tidings.MaxEventTypeBytes {
		cut := e.Type[:tidings.MaxEventTypeBytes]
		for !utf8.ValidString(cut) {
			cut = cut[:len(cut)-1]
		}
		e.Type = cut
	}
	if e.Type == "" {
		e.Type = tidings.TypeCustom
	}
	switch {
	case !json.Valid(e.Data):
		e.Data = AppendString(nil, string(e.Data))
	case !utf8.Valid(e.Data):
		e.Data = compact(bytes.ToValidUTF8(e.Data, []byte("\uFFFD")))
	default:
		e.Data = compact(e.Data)
	}
	if bytes.Count(e.Data, []byte("["))+bytes.Count(e.Data, []byte("{")) > tidings.MaxDataDepth && e.Validate() != nil {
		e.Data = AppendString(nil, string(e.Data)) // nests too deep
	}
	t, err := ParseTime(timestamp)
	if err != nil {
		t = time.UnixMilli(int64(min(e.ID.Ms, 1<<47))).UTC()
		if e.ID.IsZero() {
			t = time.Now().UTC().Truncate(time.Microsecond)
		}
	}
	e.Time = t
	return e
}

package redislog

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"github.com/redis/rueidis"

	"tidings"
	"tidings/wire"
)

// parseEntries reads the reply of XRANGE and the like.
func parseEntries(jobID string, reply rueidis.RedisResult) ([]tidings.Event, error) {
	items, err := reply.ToArray()
	if err != nil {
		return nil, err
	}
	events := make([]tidings.Event, len(items))
	var fields []string
	for i := range items {
		var id string
		if id, fields, err = splitEntry(&items[i], fields[:0]); err != nil {
			return nil, err
		}
		if events[i], err = parseEntry(jobID, id, fields); err != nil {
			return nil, err
		}
	}
	return events, nil
}

// splitEntry gives an entry's ID and appends its alternating names and values
// to fields.
func splitEntry(item *rueidis.RedisMessage, fields []string) (string, []string, error) {
	parts, err := item.ToArray()
	if err != nil {
		return "", nil, err
	}
	if len(parts) != 2 {
		return "", nil, fmt.Errorf("redis gave a stream entry of %d parts; want 2", len(parts))
	}
	id, err := parts[0].ToString()
	if err != nil {
		return "", nil, err
	}
	values, err := parts[1].ToArray()
	if err != nil {
		return "", nil, err
	}
	for i := range values {
		text, err := values[i].ToString()
		if err != nil {
			return "", nil, err
		}
		fields = append(fields, text)
	}
	return id, fields, nil
}

func parseEntry(jobID, idText string, fields []string) (tidings.Event, error) {
	id, err := tidings.ParseID(idText)
	if err != nil {
		return tidings.Event{}, fmt.Errorf("redis gave a malformed entry ID: %w", err)
	}
	if e, ok := ownEntry(jobID, id, fields); ok {
		return e, nil
	}
	return wire.ParseEntry(jobID, id, fields), nil
}

// ownEntry reads an entry whose envelope is, byte for byte, the one that this
// package writes, without parsing it as JSON several times. It gives what
// wire.ParseEntry gives for it, or false for any other entry.
func ownEntry(jobID string, id tidings.ID, fields []string) (tidings.Event, bool) {
	if len(fields) != 6 || fields[0] != wire.FieldEventType || fields[2] != wire.FieldTimestamp || fields[4] != wire.FieldData {
		return tidings.Event{}, false
	}
	e := tidings.Event{ID: id, JobID: jobID, Type: fields[1]}
	if e.Type == "" || len(e.Type) > tidings.MaxEventTypeBytes || !utf8.ValidString(e.Type) {
		return tidings.Event{}, false
	}
	t, err := wire.ParseTime(fields[3])
	if err != nil {
		return tidings.Event{}, false
	}
	e.Time = t
	data, ok := openOwnEnvelope(&e, fields[5])
	if !ok || !json.Valid(data) || !utf8.Valid(data) {
		return tidings.Event{}, false
	}
	e.Data = compacted(data)
	return e, true
}

// compacted is valid JSON without white space between its tokens; none is {}.
func compacted(data json.RawMessage) json.RawMessage {
	if len(data) == 0 {
		return json.RawMessage("{}")
	}
	if isCompact(data) {
		return data
	}
	var out bytes.Buffer
	if err := json.Compact(&out, data); err != nil {
		return data // can't be: it is valid
	}
	return out.Bytes()
}

// envelopeOf is what stands before and behind an event's data.
func envelopeOf(dst []byte, e *tidings.Event) (head, tail []byte) {
	const mark = "0" // data as short as can be
	frame := *e
	frame.Data = json.RawMessage(mark)
	dst = wire.AppendEnvelope(dst, &frame)
	at := len(`{"event_type":`) + len(wire.AppendString(nil, e.Type)) + len(`,"data":`)
	return dst[:at], dst[at+len(mark):]
}

func openOwnEnvelope(e *tidings.Event, text string) (json.RawMessage, bool) {
	var buffer [512]byte
	head, tail := envelopeOf(buffer[:0], e)
	if len(text) <= len(head)+len(tail) || text[:len(head)] != string(head) || text[len(text)-len(tail):] != string(tail) {
		return nil, false
	}
	return json.RawMessage(text[len(head) : len(text)-len(tail)]), true
}

// isCompact reports whether valid JSON has no white space between its tokens.
func isCompact(data []byte) bool {
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case ' ', '\n', '\t', '\r':
			return false
		case '"':
			i = endOfString(data, i+1)
		}
	}
	return true
}

// endOfString is where the quote stands that ends the string which begins at i.
func endOfString(data []byte, i int) int {
	for {
		quote := bytes.IndexByte(data[i:], '"')
		if quote < 0 {
			return len(data)
		}
		i += quote
		escapes := 0
		for i-escapes > 0 && data[i-escapes-1] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
		i++
	}
}

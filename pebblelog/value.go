package pebblelog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"time"

	"tidings"
)

// An event is kept under its key as
//
//	type code; if 0: uvarint length and the type itself
//	varint    time in microseconds since the Unix epoch
//	rest      data, as it was given
//
// Pebble guards every block and every log record by a checksum.

// typeCodes are part of the format: entries may only be added at the end.
var typeCodes = [...]string{
	1:  tidings.TypePhaseUpdate,
	2:  tidings.TypeToolCall,
	3:  tidings.TypeToolResult,
	4:  tidings.TypeThought,
	5:  tidings.TypeError,
	6:  tidings.TypeDone,
	7:  tidings.TypeState,
	8:  tidings.TypeCustom,
	9:  tidings.TypeCancelRequested,
	10: tidings.TypeCancelled,
	11: tidings.TypeTaskQueued,
	12: tidings.TypeTaskStarted,
	13: tidings.TypeTaskProgress,
	14: tidings.TypeTaskRetried,
	15: tidings.TypeTaskCompleted,
	16: tidings.TypeTaskFailed,
}

var codeOfType = func() map[string]byte {
	m := make(map[string]byte, len(typeCodes))
	for code, name := range typeCodes {
		if code > 0 {
			m[name] = byte(code)
		}
	}
	return m
}()

func appendValue(dst []byte, e *tidings.Event) []byte {
	code := codeOfType[e.Type]
	dst = append(dst, code)
	if code == 0 {
		dst = binary.AppendUvarint(dst, uint64(len(e.Type)))
		dst = append(dst, e.Type...)
	}
	dst = binary.AppendVarint(dst, e.Time.UnixMicro())
	return append(dst, e.Data...)
}

var errEventValue = errors.New("malformed event")

// parseValue reads what appendValue wrote. data is part of value. last is the
// type of the event before: most often the same, and then not allocated again.
func parseValue(value []byte, last string) (eventType string, at time.Time, data []byte, err error) {
	if len(value) == 0 || int(value[0]) >= len(typeCodes) {
		return "", time.Time{}, nil, errEventValue
	}
	eventType = typeCodes[value[0]]
	rest := value[1:]
	if value[0] == 0 {
		n, w := binary.Uvarint(rest)
		if w <= 0 || n > uint64(len(rest)-w) {
			return "", time.Time{}, nil, errEventValue
		}
		name := rest[w : w+int(n)]
		if string(name) == last {
			eventType = last
		} else {
			eventType = string(name)
		}
		rest = rest[w+int(n):]
	}
	micros, w := binary.Varint(rest)
	if w <= 0 {
		return "", time.Time{}, nil, errEventValue
	}
	return eventType, time.UnixMicro(micros).UTC(), rest[w:], nil
}

// dataLen is the length of the data in a value, without more decoding than
// that needs.
func dataLen(value []byte) (int, error) {
	_, _, data, err := parseValue(value, "")
	return len(data), err
}

// normalize brings an event that is to be appended into the form in which a
// reader gets it: so the fold sees the same event now and when the log is read.
func normalize(e *tidings.Event, jobID string, now time.Time) {
	e.JobID = jobID
	if e.Time.IsZero() {
		e.Time = now
	}
	e.Time = time.UnixMicro(e.Time.UnixMicro()).UTC()
	switch {
	case len(e.Data) == 0:
		e.Data = json.RawMessage("{}")
	case bytes.ContainsAny(e.Data, "\n\r"):
		// An event is one line on the wires that know lines.
		var out bytes.Buffer
		if json.Compact(&out, e.Data) == nil {
			e.Data = out.Bytes()
		}
	}
}

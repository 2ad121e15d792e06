package tidings

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// field is one value of the agent, ready to be published: a snapshot, redacted,
// and truncated if it was too large.
type field struct {
	name   string
	json   []byte // empty: leave the field out, unless it is a text
	text   string // of a text, which is written as JSON where it is added
	isText bool
	full   int // bytes before it was truncated; 0 if it was not
}

// add adds the field to the data, unless it is empty.
func (f field) add(o object) object {
	if f.isText {
		return o.str(f.name, f.text)
	}
	return o.raw(f.name, f.json)
}

// room is about how many bytes the field takes, its name aside.
func (f field) room() int { return len(f.json) + len(f.text) + len(f.text)/16 }

// close ends the data, with what was truncated in it.
func (f field) close(o object) []byte { return closeAll(o, f) }

// closeAll ends data that holds several fields.
func closeAll(o object, fields ...field) []byte {
	open := false
	for _, f := range fields {
		if f.full == 0 {
			continue
		}
		if !open {
			o, open = append(o.key("truncated"), '{'), true
		}
		o = o.integer(f.name, int64(f.full))
	}
	if open {
		o = append(o, '}')
	}
	return o.end()
}

// field takes a snapshot of v for the field of an event. Nil is left out.
func (h *Handler) field(eventType, name string, v any) field {
	if v == nil {
		return field{name: name}
	}
	if s, ok := v.(string); ok && h.opts.Redact == nil {
		return h.plainText(name, s)
	}
	return h.limited(name, h.redacted(eventType, name, encodeValue(v)))
}

// textField is field for a text, of which an empty one is left out.
func (h *Handler) textField(eventType, name, s string) field {
	if s == "" {
		return field{name: name}
	}
	return h.field(eventType, name, s)
}

func (h *Handler) plainText(name, s string) field {
	f := field{name: name, text: s, isText: true}
	if limit := h.opts.MaxFieldBytes; limit > 0 && len(s) > limit {
		f.full = len(s)
		f.text = cutText(s, limit)
	}
	return f
}

// limited truncates JSON that is too large. A string stays a string; any other
// value becomes one that holds the beginning of its JSON.
func (h *Handler) limited(name string, raw []byte) field {
	limit := h.opts.MaxFieldBytes
	if limit <= 0 || len(raw) <= limit {
		return field{name: name, json: raw}
	}
	text := string(raw)
	if raw[0] == '"' {
		_ = json.Unmarshal(raw, &text) // valid JSON as it is
		if len(text) <= limit {
			return field{name: name, json: raw}
		}
	}
	return h.plainText(name, text)
}

// cutText gives the first limit bytes of s, without the half of a character.
func cutText(s string, limit int) string {
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// redacted gives what the hook makes of the value. A value that the hook could
// not look at is not published.
func (h *Handler) redacted(eventType, name string, raw []byte) (out []byte) {
	if h.opts.Redact == nil {
		return raw
	}
	defer func() {
		if p := recover(); p != nil {
			h.log.Error("the redaction hook panicked; the value is left out", "event_type", eventType, "field", name, "panic", fmt.Sprint(p))
			out = []byte(`"[left out: the redaction hook panicked]"`)
		}
	}()
	out = h.opts.Redact(eventType, name, raw)
	switch {
	case len(out) == 0:
		return []byte("null")
	case !json.Valid(out) || !utf8.Valid(out):
		return appendString(nil, string(out))
	}
	return out
}

// encodeValue gives v as compact JSON. It never fails: what can't be encoded in
// it becomes a string that says why. An error becomes its text.
func encodeValue(v any) (out []byte) {
	defer func() {
		if p := recover(); p != nil {
			out = appendString(nil, fmt.Sprintf("[a %T that can't be encoded: panic: %v]", v, p))
		}
	}()
	switch v := v.(type) {
	case string:
		return appendString(make([]byte, 0, len(v)+2), v)
	case json.RawMessage:
		return compactRaw(v)
	case bool:
		return strconv.AppendBool(nil, v)
	case int:
		return strconv.AppendInt(nil, int64(v), 10)
	case error:
		if _, ok := v.(json.Marshaler); !ok {
			return appendString(nil, v.Error())
		}
	}
	if out, ok := encodePlain(v); ok {
		return out
	}
	return readableJSON(v)
}

// encodePlain gives v as encoding/json writes it, if it does.
func encodePlain(v any) (out []byte, ok bool) {
	defer func() {
		if recover() != nil { // of a method of the value: it is told where it stands
			out, ok = nil, false
		}
	}()
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, false
	}
	out = validText(bytes.TrimSuffix(buf.Bytes(), []byte("\n")))
	return out, !tooDeep(out)
}

// maxDepth is how deep encoding/json reads.
const maxDepth = 10_000

// tooDeep reports whether nobody could read the JSON again.
func tooDeep(raw []byte) bool {
	return len(raw) > 2*maxDepth && bytes.Count(raw, []byte("["))+bytes.Count(raw, []byte("{")) > maxDepth && !json.Valid(raw)
}

// compactRaw copies JSON without white space between its tokens; what is not
// JSON becomes a string.
func compactRaw(raw json.RawMessage) []byte {
	var buf bytes.Buffer
	buf.Grow(len(raw))
	if err := json.Compact(&buf, raw); err != nil {
		return appendString(nil, string(raw))
	}
	return validText(buf.Bytes())
}

// validText makes JSON valid UTF-8, which encoding/json does not look at in
// what a MarshalJSON or a RawMessage gives.
func validText(raw []byte) []byte {
	if utf8.Valid(raw) {
		return raw
	}
	return bytes.ToValidUTF8(raw, []byte("\uFFFD"))
}

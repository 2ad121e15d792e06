package tidings_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"tidings"
)

// event is one with data as it stands.
func event(eventType, data string) tidings.Event {
	return tidings.Event{Type: eventType, Data: json.RawMessage(data)}
}

func TestEventValidate(t *testing.T) {
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, e := range []tidings.Event{
		{Type: "custom"},
		event(strings.Repeat("x", tidings.MaxEventTypeBytes), `{}`),
		event("with space, ünïcode and \n", `null`),
		event("custom", deep(tidings.MaxDataDepth)),
		event("custom", `"`+strings.Repeat(`[\"`, tidings.MaxDataDepth)+`"`),             // brackets that nest nothing
		event("custom", "["+strings.Repeat("[],", tidings.MaxDataDepth)+"[]]"),           // many, side by side
		event("custom", `{"a":"\\","b":[`+strings.Repeat(`"[",`, 20_000)+`"\"{"]}`),      // quotes and escapes
		event("custom", `{"n":1e999,"n":-0.00,"s":"\ud800"}`),                            // what encoding/json would not keep
		{Type: "custom", Time: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)}, // the last that can be written
	} {
		if err := e.Validate(); err != nil {
			t.Errorf("%.40s %.40s: %v", e.Type, e.Data, err)
		}
	}
	for _, c := range []struct {
		field string
		e     tidings.Event
	}{
		{"event_type", tidings.Event{}},
		{"event_type", event(strings.Repeat("x", tidings.MaxEventTypeBytes+1), `{}`)},
		{"event_type", event("\xff", `{}`)},
		{"data", event("custom", `{`)},
		{"data", event("custom", ` `)},
		{"data", event("custom", `{}{}`)},
		{"data", event("custom", `{"a":NaN}`)},
		{"data", event("custom", "\"\xff\"")},
		{"data", event("custom", "\"\x00\"")},
		{"data", event("custom", deep(tidings.MaxDataDepth+1))},
		{"data", event("custom", `"[`+strings.Repeat("[", 10_000)+`"`+"\xff")},
		{"timestamp", tidings.Event{Type: "custom", Time: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{"timestamp", tidings.Event{Type: "custom", Time: time.Date(-1, 1, 1, 0, 0, 0, 0, time.UTC)}},
		{"timestamp", tidings.Event{Type: "custom", Time: time.Date(9999, 12, 31, 23, 0, 0, 0, time.FixedZone("", -3600))}},
	} {
		invalid, ok := errors.AsType[*tidings.InvalidError](c.e.Validate())
		if !ok || invalid.Field != c.field || invalid.Reason == "" {
			t.Errorf("%.40q %.40q %s: %v; want %s refused", c.e.Type, c.e.Data, c.e.Time, invalid, c.field)
		}
	}
}

func TestTerminal(t *testing.T) {
	for _, e := range []tidings.Event{
		{Type: "done"}, {Type: "cancelled"}, event("done", `[]`), event("error", `{"fatal":true}`),
		event("error", `{"scope":"job","error":{"fatal":false},"fatal":true}`), event("error", `{"fatal":false,"fatal":true}`),
	} {
		if !e.Terminal() {
			t.Errorf("%s %s does not end its job", e.Type, e.Data)
		}
	}
	for _, e := range []tidings.Event{
		{Type: "error"}, event("error", `{}`), event("error", `{"fatal":false}`), event("error", `{"fatal":null}`), event("error", `{"Fatal":true}`),
		event("error", `{"fatal":"true"}`), event("error", `{"fatal":1}`), event("error", `"fatal"`), event("error", `[{"fatal":true}]`),
		event("error", `{"error":{"fatal":true}}`), event("custom", `{"fatal":true}`), event("task_failed", `{"fatal":true}`),
		event("task_completed", `{}`), event("Done", `{}`), event("cancel_requested", `{}`),
	} {
		if e.Terminal() {
			t.Errorf("%s %s ends its job", e.Type, e.Data)
		}
	}
}

func TestNewEvent(t *testing.T) {
	e, err := tidings.NewEvent("tool_call", map[string]any{"tool": "search"})
	if err != nil || e.Type != "tool_call" || string(e.Data) != `{"tool":"search"}` || e.Time.IsZero() || !e.ID.IsZero() {
		t.Errorf("made %+v, %v", e, err)
	}
	if e, err = tidings.NewEvent("custom", nil); err != nil || string(e.Data) != `{}` {
		t.Errorf("without data: %+v, %v", e, err)
	}
	if e, err = tidings.NewEvent("custom", json.RawMessage(`{"n":1e400}`)); err != nil || string(e.Data) != `{"n":1e400}` {
		t.Errorf("raw data: %+v, %v", e, err)
	}
	for name, data := range map[string]any{"channel": make(chan int), "raw": json.RawMessage(`{`)} {
		_, err := tidings.NewEvent("custom", data)
		if invalid, ok := errors.AsType[*tidings.InvalidError](err); !ok || invalid.Field != "data" {
			t.Errorf("%s: error is %v; want data refused", name, err)
		}
	}
}

func TestValidateJobID(t *testing.T) {
	for _, id := range []string{"job-42", "a", "...", "with space/and slash", "ü作业", "a:b*c?d[e]", "\u2028", strings.Repeat("x", tidings.MaxJobIDBytes)} {
		if err := tidings.ValidateJobID(id); err != nil {
			t.Errorf("%q: %v", id, err)
		}
	}
	for _, id := range []string{"", ".", "..", "a{b", "}", "a\nb", "\x00", "\x7f", "\u009f", "\xff", strings.Repeat("x", tidings.MaxJobIDBytes+1)} {
		if invalid, ok := errors.AsType[*tidings.InvalidError](tidings.ValidateJobID(id)); !ok || invalid.Field != "job_id" {
			t.Errorf("%.20q: want it refused", id)
		}
	}
}

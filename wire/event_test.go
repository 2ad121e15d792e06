package wire_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"tidings"
	"tidings/logtest"
	"tidings/wire"
)

// Whatever an event holds, its JSON is one line and reads as the same event.
func TestEventRoundTrip(t *testing.T) {
	for _, e := range samples() {
		text := wire.AppendEvent(nil, &e)
		if bytes.ContainsAny(text, "\r\n") {
			t.Errorf("more than one line: %q", text)
		}
		got, err := wire.ParseEvent(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		e.Time = e.Time.Truncate(time.Microsecond)
		if err := logtest.Same([]tidings.Event{got}, []tidings.Event{e}); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if got.Type != e.Type {
			t.Errorf("type %q became %q", e.Type, got.Type)
		}
	}
}

// The same for the entry of a Redis Stream.
func TestEntryRoundTrip(t *testing.T) {
	for _, e := range samples() {
		got := wire.ParseEntry(e.JobID, e.ID, []string{
			wire.FieldEventType, e.Type,
			wire.FieldTimestamp, string(wire.AppendTime(nil, e.Time)),
			wire.FieldData, string(wire.AppendEnvelope(nil, &e)),
		})
		e.Time = e.Time.Truncate(time.Microsecond)
		if err := logtest.Same([]tidings.Event{got}, []tidings.Event{e}); err != nil {
			t.Error(err)
		}
	}
}

// The deepest data that is allowed comes through everything that wraps it.
func TestDeepestData(t *testing.T) {
	deep := strings.Repeat("[", tidings.MaxDataDepth) + strings.Repeat("]", tidings.MaxDataDepth)
	e := tidings.Event{JobID: "job", Type: "custom", Data: []byte(deep)}
	entry := wire.ParseEntry("job", e.ID, []string{wire.FieldData, string(wire.AppendEnvelope(nil, &e))})
	if string(entry.Data) != deep {
		t.Errorf("entry: data became %.40s…", entry.Data)
	}
	deeper := "[" + deep + "]"
	entry = wire.ParseEntry("job", e.ID, []string{wire.FieldData, deeper})
	if err := entry.Validate(); err != nil || string(entry.Data) != `"`+deeper+`"` {
		t.Errorf("one level deeper: %v, data %.40s…", err, entry.Data)
	}
	events, err := wire.ParseEvents(append(wire.AppendEvent([]byte("["), &e), ']'))
	if err != nil || string(events[0].Data) != deep {
		t.Errorf("array: %v", err)
	}
}

// Recorded runs of an agent come through all forms, digit for digit.
func TestRecordedRuns(t *testing.T) {
	files, _ := filepath.Glob("../../shared/data/agent-runs/*.jsonl")
	if len(files) == 0 {
		t.Skip("no recorded runs beside the repository")
	}
	total := 0
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(raw), []byte("\n"))
		r := wire.NewEventReader(bytes.NewReader(raw), 1<<20)
		for _, line := range lines {
			e, err := r.Next()
			if err != nil {
				t.Fatalf("%s: line %d: %v", file, r.Line(), err)
			}
			_, data, _ := bytes.Cut(line, []byte(`"data": `))
			want := tidings.Event{JobID: e.JobID, Type: e.Type, Data: bytes.TrimSuffix(data, []byte("}"))}
			entry := wire.ParseEntry(e.JobID, e.ID, []string{wire.FieldData, string(wire.AppendEnvelope(nil, &e))})
			entry.Time = e.Time
			if err := logtest.Same([]tidings.Event{e, entry}, []tidings.Event{want, want}); err != nil {
				t.Fatalf("%s: line %d: %v", file, r.Line(), err)
			}
			total++
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: after the last line: %v", file, err)
		}
	}
	if total == 0 {
		t.Error("the files hold no events")
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"2026-11-24T09:20:01Z":                "2026-11-24T09:20:01.000000Z",
		"2026-11-24T09:20:01.234567Z":         "2026-11-24T09:20:01.234567Z",
		"2026-11-24T09:20:01.2345678901Z":     "2026-11-24T09:20:01.234567Z",
		"2026-11-24T10:20:01.5+01:00":         "2026-11-24T09:20:01.500000Z",
		"2026-11-24T10:20:01+0100":            "2026-11-24T09:20:01.000000Z",
		"2026-11-24T09:20:01.234567":          "2026-11-24T09:20:01.234567Z", // datetime.utcnow().isoformat()
		"2026-11-24 09:20:01.234567":          "2026-11-24T09:20:01.234567Z", // str(datetime)
		"2026-11-24 10:20:01.234567+01:00":    "2026-11-24T09:20:01.234567Z",
		"1795512001":                          "2026-11-24T09:20:01.000000Z",
		"1795512001.234567":                   "2026-11-24T09:20:01.234567Z", // time.time()
		"1795512001.2":                        "2026-11-24T09:20:01.200000Z",
		"1795512001.2345679":                  "2026-11-24T09:20:01.234567Z",
		"0":                                   "1970-01-01T00:00:00.000000Z",
		" 2026-11-24T09:20:01Z ":              "2026-11-24T09:20:01.000000Z",
		"9999-12-31T23:59:59.999999999-00:00": "9999-12-31T23:59:59.999999Z",
	} {
		got, err := wire.ParseTime(text)
		if formatted := string(wire.AppendTime(nil, got)); err != nil || formatted != want {
			t.Errorf("%q is %s, %v; want %s", text, formatted, err, want)
		}
	}
	for _, text := range []string{"", "now", "-5", "1e9", "1.2.3", "1.x", "2026-11-24", "2026-13-01T00:00:00Z", "1795512001234",
		"0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00", "12:00", "1,5"} {
		if got, err := wire.ParseTime(text); err == nil {
			t.Errorf("%q was read as %s", text, got)
		}
	}
}

func TestEventReader(t *testing.T) {
	input := "\n{\"event_type\":\"a\"}\r\n  \n\t{\"event_type\":\"b\",\"data\":\"" + strings.Repeat("x", 100_000) + "\"}\n{\"event_type\":\"c\"}"
	for name, in := range map[string]io.Reader{
		"whole":        strings.NewReader(input),
		"byte by byte": iotest.OneByteReader(strings.NewReader(input)),
	} {
		r := wire.NewEventReader(in, 200_000)
		for _, want := range []struct {
			eventType string
			line      int
		}{{"a", 2}, {"b", 4}, {"c", 5}} {
			e, err := r.Next()
			if err != nil || e.Type != want.eventType || r.Line() != want.line {
				t.Errorf("%s: %s at line %d, %v; want %s at %d", name, e.Type, r.Line(), err, want.eventType, want.line)
			}
		}
		if _, err := r.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: at the end: %v", name, err)
		}
	}
}

func TestEventReaderRefuses(t *testing.T) {
	r := wire.NewEventReader(strings.NewReader("{\"event_type\":\"a\"}\n{\"event_type\":\"\"}\n"), 100)
	_, err := r.Next()
	if err == nil {
		_, err = r.Next()
	}
	if invalid, ok := errors.AsType[*tidings.InvalidError](err); !ok || invalid.Field != "line 2: event_type" {
		t.Errorf("bad line: %v; want its number", err)
	}

	long := `{"event_type":"` + strings.Repeat("x", 50_000) + `"}`
	for _, input := range []string{long, long + "\n", "\n" + long[:200] + "\n"} {
		r = wire.NewEventReader(strings.NewReader(input), 100)
		if _, err := r.Next(); !isTooLarge(err) {
			t.Errorf("%d bytes in a line of at most 100: %v", len(input), err)
		}
	}

	broken := errors.New("connection reset")
	r = wire.NewEventReader(io.MultiReader(strings.NewReader(`{"event_type":"a"}`), iotest.ErrReader(broken)), 100)
	if e, err := r.Next(); !errors.Is(err, broken) {
		t.Errorf("a line cut off by an error: %+v, %v; want the error", e, err)
	}
}

func isTooLarge(err error) bool {
	_, ok := errors.AsType[*tidings.TooLargeError](err)
	return ok
}

func TestEventReaderReady(t *testing.T) {
	first, second := `{"event_type":"a"}`+"\n", `{"event_type":"b"}`+"\n"
	for rest, want := range map[string]bool{
		"": false, second: true, second[:5]: false, "\n \n" + second: true, "\n \n": false,
	} {
		r := wire.NewEventReader(strings.NewReader(first+rest), 100)
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
		if r.Ready() != want {
			t.Errorf("with %q ahead: Ready is %t", rest, !want)
		}
	}
}

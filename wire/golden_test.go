package wire_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/wire"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// golden compares with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v; run the test with -update to write it", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
}

// samples are events whose bytes are worth pinning.
func samples() []tidings.Event {
	at := time.Date(2026, 11, 24, 9, 20, 1, 234567000, time.UTC)
	make := func(seq uint64, job, eventType, data string, t time.Time) tidings.Event {
		return tidings.Event{ID: tidings.ID{Ms: 1795512001234, Seq: seq}, JobID: job, Type: eventType, Time: t, Data: json.RawMessage(data)}
	}
	return []tidings.Event{
		make(0, "job-42", "tool_call", `{"tool":"search","call_id":"c1","input":{"q":"x"}}`, at),
		make(1, "job-42", "done", `{"output":null,"cost":0.10,"usage":{"input_tokens":12345678901234567890}}`, at),
		make(2, "job-42", "custom", ``, at),
		make(3, "job-42", "custom", "{\n  \"white\": [\n    1,\r\n    2\n  ],\n  \"text\": \"a\\nb\"\n}", at),
		make(4, "ünï/作业 \"q\" \\ <&>", "mood 😀", `{"b":1,"a":2,"b":3,"lone":"\ud800","nul":"\u0000","html":"<&>"}`, at),
		make(5, "separators \u2028\u2029", "line\nend\r\x00", "\"\u2028\u2029\u0085\"", at),
		make(6, "job-42", "custom", `[1E400,-0,1.0,[[[]]],"",true,null]`, time.Date(1969, 7, 20, 22, 17, 40, 999, time.FixedZone("", 7200))),
		make(7, "job-42", "custom", `"text"`, time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)),
	}
}

func TestGoldenEvents(t *testing.T) {
	var events, envelopes, messages, frames, feed []byte
	for i, e := range samples() {
		events = append(wire.AppendEvent(events, &e), '\n')
		envelopes = append(wire.AppendEnvelope(envelopes, &e), '\n')
		messages = append(wire.AppendMessage(messages, &e), '\n')
		frames = wire.AppendFrame(frames, &e, []string{"k3f9", ""}[i%2])
		feed = wire.AppendFeedFrame(feed, &tidings.Change{Cursor: fmt.Sprintf("0.%d", i), Event: e})
	}
	feed = wire.AppendFeedFrame(feed, &tidings.Change{Cursor: "0.99", Event: tidings.Event{JobID: "job \"42\""}, Deleted: true})
	golden(t, "events.ndjson", string(events))
	golden(t, "envelopes.ndjson", string(envelopes))
	golden(t, "messages.ndjson", string(messages))
	golden(t, "frames.sse", string(frames))
	golden(t, "feed.sse", string(feed))
}

func TestGoldenControl(t *testing.T) {
	out := wire.AppendRetry(nil, 2500*time.Millisecond)
	for _, name := range []string{wire.ControlGap, wire.ControlRewound, wire.ControlStalled, wire.ControlResumed, wire.ControlDeleted, wire.ControlEnd} {
		out = wire.AppendControl(out, name, []byte(`{"job_id":"job-42"}`))
	}
	out = append(out, wire.Heartbeat...)
	golden(t, "control.sse", string(out))
}

// What publishers in the field send, and what is made of it.
func TestGoldenParse(t *testing.T) {
	var out strings.Builder
	for _, body := range []string{
		`{"event_type":"custom"}`,
		`{"event_type":"custom","data":null}`,
		` { "event_type" : "custom" , "data" : { "b" : 1 , "a" : [ 1 , 2 ] , "b" : 1e400 } } `,
		`{"event_type":"custom","data":"\ud800\u2028","job_id":"job-42","id":"12-3","timestamp":"2026-11-24T10:20:01.2345678+01:00"}`,
		`{"event_type":"custom","timestamp":1795512001.234567}`,
		`{"event_type":"custom","timestamp":"1795512001"}`,
		`{"event_type":"custom","timestamp":"2026-11-24T09:20:01.5"}`,
		`{"event_type":"custom","timestamp":null,"id":"","job_id":""}`,
		`[{"event_type":"a"},{"event_type":"b","data":[]}]`,
		`[]`,
		// Refused:
		``, ` `, `null`, `"text"`, `{`, `{}`, `{"event_type":""}`, `{"event_type":5}`, `{"event_type":"a","job_id":{}}`,
		`{"event_type":"a","dat":{}}`, `{"event_type":"a"}{"event_type":"b"}`, `{"event_type":"a","data":}`, `{"event_type":"a","data":01}`,
		`{"event_type":"a","id":"x"}`, `{"event_type":"a","timestamp":"yesterday"}`, `{"event_type":"a","timestamp":{}}`,
		`{"event_type":"a","timestamp":1795512001234567}`, `{"event_type":"a","timestamp":"0000-01-01T00:00:00+01:00"}`,
		"{\"event_type\":\"\xff\"}", "{\"event_type\":\"a\",\"data\":\"\xff\"}", "{\"event_type\":\"a\",\"data\":\"\x00\"}",
		`{"event_type":"` + strings.Repeat("x", 65) + `"}`, `[{"event_type":"a"},{}]`, `[{"event_type":"a"},5]`, `[{"event_type":"a"}`, `[[{"event_type":"a"}]]`,
	} {
		fmt.Fprintf(&out, "%q\n", body)
		events, err := wire.ParseEvents([]byte(body))
		for i := range events {
			fmt.Fprintf(&out, "  %s\n", wire.AppendEvent(nil, &events[i]))
		}
		if err != nil {
			fmt.Fprintf(&out, "  refused: %v\n", err)
		}
	}
	golden(t, "parse.txt", out.String())
}

func TestGoldenEntries(t *testing.T) {
	var out strings.Builder
	id := tidings.ID{Ms: 1795512001234}
	for _, fields := range [][]string{
		{"event_type", "tool_call", "timestamp", "2026-11-24T09:20:01.234567Z", "data", `{"event_type":"tool_call","data":{"tool":"search"},"timestamp":"2026-11-24T09:20:01.234567Z","job_id":"job-42"}`},
		{"event_type", "tool_call", "data", `{"event_type":"tool_call","data":{"n":1e400},"timestamp":"2026-11-24 09:20:01.5"}`}, // only the envelope's time
		{"data", `{"event_type":"thought","data":"x","timestamp":1795512001.25,"job_id":"job-42"}`},                              // only the envelope's type
		{"data", `{"event":"thought","data":{},"job_id":"job-42"}`},                                                              // the envelope before streams
		{"event_type", "tool_call", "data", `{"tool":"search"}`},                                                                 // no envelope
		{"event_type", "tool_call", "data", `{"event_type":"other","data":{}}`},                                                  // data that looks like one
		{"event_type", "custom", "data", `not JSON`},
		{"event_type", "custom", "data", ""},
		{"event_type", "custom", "data", "\"\xff\""},
		{"event_type", "custom", "data", "\xff"},
		{"event_type", "progress", "step", "3", "of", "5"}, // no data field
		{"message", "hello"},
		{"event_type", strings.Repeat("é", 40), "timestamp", "yesterday", "data", "{}"},
		{"event_type", "done", "timestamp", "1795512001.5", "data", `{"event_type":"done","data":null}`},
		{"event_type"},
		{},
	} {
		fmt.Fprintf(&out, "%q\n", fields)
		e := wire.ParseEntry("job-42", id, fields)
		fmt.Fprintf(&out, "  %s\n", wire.AppendEvent(nil, &e))
	}
	for _, text := range []string{
		`{"event":"tool_call","data":{"tool":"search"},"timestamp":"2026-11-24T09:20:01.234567","job_id":"job-42"}`,
		`{"event_type":"tool_call","data":[],"timestamp":"2026-11-24T09:20:01Z"}`,
	} {
		fmt.Fprintf(&out, "message %q\n", text)
		e := wire.ParseMessage("job-42", []byte(text))
		fmt.Fprintf(&out, "  %s\n", wire.AppendEvent(nil, &e))
	}
	golden(t, "entries.txt", out.String())
}

package wire_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"tidings"
	"tidings/logtest"
	"tidings/wire"

	"github.com/google/go-cmp/cmp"
)

// message is a [wire.Message] to compare.
type message struct{ ID, Event, Data string }

func readSSE(t *testing.T, in io.Reader) ([]message, *wire.SSEReader) {
	t.Helper()
	r := wire.NewSSEReader(in, 1<<20)
	var all []message
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, r
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, message{m.ID, m.Event, string(m.Data)})
	}
}

// The examples and rules of WHATWG HTML, section 9.2.6.
func TestSSEReader(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want []message
	}{
		"three forms":           {"data: YHOO\ndata: +2\ndata: 10\n\n", []message{{Data: "YHOO\n+2\n10"}}},
		"comments and ids":      {": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n", []message{{ID: "1", Data: "first event"}, {Data: "second event"}, {Data: " third event"}}},
		"empty data":            {"data\n\ndata\ndata\n\ndata:", []message{{Data: ""}, {Data: "\n"}}},
		"space is dropped once": {"data:test\n\ndata: test\n\ndata:  test\n\n", []message{{Data: "test"}, {Data: "test"}, {Data: " test"}}},
		"CRLF":                  {"id: 1\r\ndata: a\r\n\r\ndata: b\r\n\r\n", []message{{ID: "1", Data: "a"}, {Data: "b"}}},
		"CR":                    {"id: 1\rdata: a\r\rdata: b\r\r", []message{{ID: "1", Data: "a"}, {Data: "b"}}},
		"mixed ends":            {"data: a\r\ndata: b\rdata: c\n\r\n", []message{{Data: "a\nb\nc"}}},
		"byte order mark":       {"\ufeffdata: a\n\n\ufeffdata: b\n\n", []message{{Data: "a"}}},
		"event without data":    {"event: a\nid: 1\n\ndata: b\n\n", []message{{Data: "b"}}},
		"last type wins":        {"event: a\nevent: b\ndata: c\n\n", []message{{Event: "b", Data: "c"}}},
		"unknown fields":        {"foo: a\nData: b\ndata: c\n data: d\n\n", []message{{Data: "c"}}},
		"id with NUL":           {"id: 1\nid: a\x00b\ndata: c\n\n", []message{{ID: "1", Data: "c"}}},
		"unfinished":            {"data: a\n\ndata: b\n", []message{{Data: "a"}}},
		"nothing":               {"", nil},
	} {
		for how, in := range map[string]io.Reader{
			"whole":        strings.NewReader(c.in),
			"byte by byte": iotest.OneByteReader(strings.NewReader(c.in)),
		} {
			got, _ := readSSE(t, in)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s, %s (-want +got):\n%s", name, how, diff)
			}
		}
	}
}

func TestSSERetry(t *testing.T) {
	for in, want := range map[string]time.Duration{
		"": -1, "retry: 2500\n\n": 2500 * time.Millisecond, "retry: 1\nretry: x\nretry:\nretry: -5\nretry: +7\nretry: 1.5\n": time.Millisecond,
		string(wire.AppendRetry(nil, 3*time.Second)): 3 * time.Second,
	} {
		if _, r := readSSE(t, strings.NewReader(in)); r.Retry() != want {
			t.Errorf("%q: delay %s; want %s", in, r.Retry(), want)
		}
	}
}

func TestSSELimit(t *testing.T) {
	for name, in := range map[string]string{
		"one line":   "data: " + strings.Repeat("x", 100_000) + "\n\n",
		"many lines": strings.Repeat("data: "+strings.Repeat("x", 400)+"\n", 5) + "\n",
		"no end":     strings.Repeat("x", 100_000),
	} {
		r := wire.NewSSEReader(strings.NewReader(in), 1000)
		if m, err := r.Next(); !isTooLarge(err) {
			t.Errorf("%s: %d bytes of data, %v; want it refused", name, len(m.Data), err)
		}
	}
	r := wire.NewSSEReader(strings.NewReader("data: "+strings.Repeat("x", 1000)+"\n\n"), 1000)
	if m, err := r.Next(); err != nil || len(m.Data) != 1000 {
		t.Errorf("just the limit: %d bytes, %v", len(m.Data), err)
	}
}

// What a server writes a client reads as the same events, under their cursors.
func TestFrameRoundTrip(t *testing.T) {
	stream := wire.AppendRetry(nil, time.Second)
	for _, e := range samples() {
		stream = append(wire.AppendFrame(stream, &e, "k3f9"), wire.Heartbeat...)
	}
	stream = wire.AppendControl(stream, wire.ControlEnd, []byte(`{}`))
	got, _ := readSSE(t, strings.NewReader(string(stream)))
	if len(got) != len(samples())+1 {
		t.Fatalf("%d messages; want %d", len(got), len(samples())+1)
	}
	for i, want := range samples() {
		cursor, err := tidings.ParseCursor(got[i].ID)
		if err != nil || cursor != (tidings.Cursor{ID: want.ID, Incarnation: "k3f9"}) {
			t.Errorf("id line %q: %v", got[i].ID, err)
		}
		e, err := wire.ParseEvent([]byte(got[i].Data))
		if err != nil {
			t.Fatal(err)
		}
		want.Time = want.Time.Truncate(time.Microsecond)
		if err := logtest.Same([]tidings.Event{e}, []tidings.Event{want}); err != nil {
			t.Error(err)
		}
	}
	if last := got[len(got)-1]; last != (message{Event: "end", Data: "{}"}) {
		t.Errorf("control frame: %+v", last)
	}
}

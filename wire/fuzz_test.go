package wire_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"tidings"
	"tidings/logtest"
	"tidings/wire"
)

// An event that is accepted is valid, and its JSON reads as the same event.
func FuzzParseEvent(f *testing.F) {
	for _, e := range samples() {
		f.Add(wire.AppendEvent(nil, &e))
	}
	f.Add([]byte(`{"event_type":"a","timestamp":"0000-01-01T00:00:00+01:00"}`))
	f.Add([]byte(`{"event_type":"a","timestamp":1795512001.234567,"data":[1e400]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		e, err := wire.ParseEvent(text)
		if err != nil {
			if _, ok := errors.AsType[*tidings.InvalidError](err); !ok || err.Error() == "" {
				t.Fatalf("error is %v; want an *InvalidError", err)
			}
			return
		}
		checkEvent(t, e)
	})
}

// checkEvent holds that every form of the event is valid and reads as it.
func checkEvent(t *testing.T, e tidings.Event) {
	t.Helper()
	if err := e.Validate(); err != nil {
		t.Fatal(err)
	}
	same := func(form string, got tidings.Event) {
		t.Helper()
		if err := logtest.Same([]tidings.Event{got}, []tidings.Event{e}); err != nil {
			t.Fatalf("%s: %v", form, err)
		}
	}
	text := wire.AppendEvent(nil, &e)
	if !json.Valid(text) || bytes.ContainsAny(text, "\r\n") {
		t.Fatalf("not one line of JSON: %q", text)
	}
	again, err := wire.ParseEvent(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	same("event", again)

	entry := wire.ParseEntry(e.JobID, e.ID, []string{wire.FieldEventType, e.Type, wire.FieldTimestamp, string(wire.AppendTime(nil, e.Time)), wire.FieldData, string(wire.AppendEnvelope(nil, &e))})
	same("entry", entry)
	pubsub := wire.ParseMessage(e.JobID, wire.AppendMessage(nil, &e))
	pubsub.ID = e.ID // a message has none
	same("message", pubsub)

	m, err := wire.NewSSEReader(bytes.NewReader(wire.AppendFrame(nil, &e, "k3f9")), 1<<20).Next()
	if err != nil || m.ID != e.ID.String()+"~k3f9" || !bytes.Equal(m.Data, text) {
		t.Fatalf("frame reads as %q %q, %v", m.ID, m.Data, err)
	}
}

// An entry that anyone wrote into a stream is an event that anyone can read.
func FuzzParseEntry(f *testing.F) {
	for _, e := range samples() {
		f.Add("job", uint64(1795512001234), wire.FieldEventType, e.Type, string(wire.AppendEnvelope(nil, &e)), "2026-11-24T09:20:01Z")
	}
	f.Add("job", uint64(0), "message", "hello", "{", "")
	f.Add("job", uint64(1<<63), wire.FieldEventType, "\xff", "\"\xff\"", "x")
	f.Fuzz(func(t *testing.T, job string, ms uint64, name, value, data, timestamp string) {
		if tidings.ValidateJobID(job) != nil {
			return
		}
		id := tidings.ID{Ms: ms}
		if ms == 0 {
			id.Seq = 1
		}
		for _, fields := range [][]string{
			{name, value, wire.FieldData, data, wire.FieldTimestamp, timestamp},
			{name, value, wire.FieldTimestamp, timestamp},
			{name, value, data},
		} {
			checkEvent(t, wire.ParseEntry(job, id, fields))
		}
		e := wire.ParseMessage(job, []byte(data))
		e.ID = id
		checkEvent(t, e)
	})
}

// Lines read the same in one piece and byte by byte, and no error is silent.
func FuzzEventReader(f *testing.F) {
	f.Add("{\"event_type\":\"a\"}\n\n{\"event_type\":\"b\",\"data\":[1]}\r\n{\"event_type\":\"\"}")
	f.Add("\n{\"event_type\":\"a\"}")
	f.Add(strings.Repeat("x", 300) + "\n")
	f.Fuzz(func(t *testing.T, input string) {
		whole, wholeErr := readEvents(strings.NewReader(input))
		bytewise, bytewiseErr := readEvents(iotest.OneByteReader(strings.NewReader(input)))
		if err := logtest.Same(bytewise, whole); err != nil {
			t.Fatal(err)
		}
		if (wholeErr == nil) != (bytewiseErr == nil) || (wholeErr != nil && wholeErr.Error() != bytewiseErr.Error()) {
			t.Fatalf("in one piece: %v; byte by byte: %v", wholeErr, bytewiseErr)
		}
		for i := range whole {
			checkEvent(t, whole[i])
		}
	})
}

// readEvents reads to the end, which gives no error.
func readEvents(in io.Reader) ([]tidings.Event, error) {
	r := wire.NewEventReader(in, 200)
	var all []tidings.Event
	for {
		e, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
}

// A stream reads the same however it is cut into packets.
func FuzzSSEReader(f *testing.F) {
	for _, e := range samples() {
		f.Add(string(wire.AppendFrame(nil, &e, "k3f9")))
	}
	f.Add("\ufeffid: 1\r\nevent: a\rdata: b\n\n: c\n\nretry: 10\n\ndata\n\n")
	f.Fuzz(func(t *testing.T, input string) {
		whole, wholeErr := readMessages(strings.NewReader(input))
		bytewise, bytewiseErr := readMessages(iotest.OneByteReader(strings.NewReader(input)))
		if wholeErr != nil || bytewiseErr != nil {
			if !isTooLarge(wholeErr) && !isTooLarge(bytewiseErr) {
				t.Fatalf("%v; %v", wholeErr, bytewiseErr)
			}
			return // where exactly a line is too long may depend on the packets
		}
		if len(whole) != len(bytewise) {
			t.Fatalf("%d messages in one piece, %d byte by byte", len(whole), len(bytewise))
		}
		for i := range whole {
			if whole[i] != bytewise[i] {
				t.Fatalf("message %d: %+v in one piece, %+v byte by byte", i, whole[i], bytewise[i])
			}
			if strings.ContainsRune(whole[i].Data, '\r') || strings.ContainsAny(whole[i].ID+whole[i].Event, "\r\n") {
				t.Fatalf("message %d holds a line end: %+v", i, whole[i])
			}
		}
	})
}

func readMessages(in io.Reader) ([]message, error) {
	r := wire.NewSSEReader(in, 300)
	var all []message
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, message{m.ID, m.Event, string(m.Data)})
	}
}

// Any text that is read as a time is written as one that reads the same.
func FuzzParseTime(f *testing.F) {
	for _, text := range []string{"2026-11-24T09:20:01.234567Z", "2026-11-24 09:20:01", "1795512001.25", "0", "9999-12-31T23:59:59.999999999Z"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := wire.ParseTime(text)
		if err != nil {
			return
		}
		again, err := wire.ParseTime(string(wire.AppendTime(nil, got)))
		if err != nil || !again.Equal(got) {
			t.Fatalf("%q is %s, written and read again %s, %v", text, got, again, err)
		}
	})
}

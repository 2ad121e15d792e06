package redislog

import (
	"encoding/json"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/internal/redistest"
)

// The form of an entry is a public contract: any Redis client reads it.
func TestEntryIsTheEnvelopeAsDocumented(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL())
	e := tidings.Event{
		Type: "tool_call", Time: time.Date(2026, 11, 24, 9, 20, 1, 234567000, time.UTC),
		Data: json.RawMessage(`{"tool":"grep","n":12345678901234567890.10,"text":"Grüße \u0000"}`),
	}
	receipt := mustAppend(t, s, "job-42", e)

	reply, err := r.Dial().Do("XRANGE", "job_events:job-42", "-", "+")
	if err != nil {
		t.Fatal(err)
	}
	want := []any{[]any{receipt.LastID.String(), []any{
		"event_type", "tool_call",
		"timestamp", "2026-11-24T09:20:01.234567Z",
		"data", `{"event_type":"tool_call","data":{"tool":"grep","n":12345678901234567890.10,"text":"Grüße \u0000"},"timestamp":"2026-11-24T09:20:01.234567Z","job_id":"job-42"}`,
	}}}
	if diff := cmp.Diff(want, reply); diff != "" {
		t.Errorf("stream (-want +got):\n%s", diff)
	}

	page, err := s.Read(within(t), "job-42", tidings.Query{})
	if err != nil {
		t.Fatal(err)
	}
	e.ID, e.JobID = receipt.LastID, "job-42"
	if diff := cmp.Diff([]tidings.Event{e}, page.Events); diff != "" {
		t.Errorf("read back (-want +got):\n%s", diff)
	}
}

func TestFollowerIsToldByAnnouncements(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	// Without looks of its own, it hears of events only by announcements.
	s := open(t, r.URL(), func(o *Options) { o.pollEvery = time.Hour })
	other := open(t, r.URL())
	mustAppend(t, s, "job", note(0))
	f := mustFollow(t, s, "job", tidings.Cursor{})
	take(t, f, 1)
	for n := 1; n < 50; n++ {
		mustAppend(t, other, "job", note(n))
		if got := number(&take(t, f, 1)[0]); got != n {
			t.Fatalf("event %d; want %d", got, n)
		}
	}
	mustAppend(t, other, "job", done())
	take(t, f, 1)
	if _, err := f.Next(within(t)); err != io.EOF {
		t.Errorf("after the terminal event: %v; want io.EOF", err)
	}
}

func TestBareXADDIsSeenLive(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL())
	c := r.Dial()
	xadd(t, c, "foreign", "phase_update", `{"phase":"plan","status":"started"}`)
	f := mustFollow(t, s, "foreign", tidings.Cursor{})
	take(t, f, 1)
	for range 5 {
		begun := time.Now()
		id := xadd(t, c, "foreign", "thought", `{"status":"delta","delta":"Grüße"}`)
		if e := take(t, f, 1)[0]; e.ID.String() != id || e.Type != "thought" {
			t.Errorf("event %+v; want the one at %s", e, id)
		}
		t.Logf("seen after %v", time.Since(begun))
	}
	xadd(t, c, "foreign", "done", `{}`)
	xadd(t, c, "foreign", "custom", `{"behind":"the end"}`)
	take(t, f, 1)
	if _, err := f.Next(within(t)); err != io.EOF {
		t.Errorf("after the terminal event: %v; want io.EOF", err)
	}
	page, err := s.Read(within(t), "foreign", tidings.Query{})
	if err != nil || !page.Closed || len(page.Events) != 7 || page.Events[6].Type != "done" {
		t.Errorf("page %+v, %v; want 7 events up to done, closed", page, err)
	}
	if _, err := s.Append(within(t), "foreign", tidings.Batch{Events: []tidings.Event{note(0)}}); err == nil {
		t.Error("an append behind a foreign terminal event succeeded")
	}
}

// IDs that do not count on from the first, as behind an entry of the last
// sequence of its millisecond, are given one by one.
func TestIDsOfABatchAreThoseOfTheStream(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL())
	far := "99999999999999" // ms ahead of the clock, so that IDs count on from it
	r.CLI("XADD", "job_events:job", far+"-18446744073709551613", "event_type", "custom", "data", "{}")
	receipt := mustAppend(t, s, "job", note(0), note(1), note(2), note(3))
	page, err := s.Read(within(t), "job", tidings.Query{})
	if err != nil {
		t.Fatal(err)
	}
	var held []tidings.ID
	for _, e := range page.Events[1:] {
		held = append(held, e.ID)
	}
	if diff := cmp.Diff(held, receipt.IDs); diff != "" {
		t.Errorf("IDs (-stream +receipt):\n%s", diff)
	}
	if many := mustAppend(t, s, "many", manyNotes()...); len(many.IDs) != 20_000 || many.IDs[19_999] != many.LastID {
		t.Errorf("%d IDs up to %s", len(many.IDs), many.LastID)
	}
}

func manyNotes() []tidings.Event {
	events := make([]tidings.Event, 20_000)
	for i := range events {
		events[i] = note(i)
	}
	return events
}

package httpapi

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/pebblelog"
)

// pageBody is a page as a client reads it.
type pageBody struct {
	Events []struct {
		ID   string `json:"id"`
		Type string `json:"event_type"`
	} `json:"events"`
	LastID    string `json:"last_id"`
	FirstID   string `json:"first_id"`
	LogLastID string `json:"log_last_id"`
	HasMore   bool   `json:"has_more"`
	Closed    bool   `json:"closed"`
}

func (p *pageBody) types() (types []string) {
	for _, e := range p.Events {
		types = append(types, e.Type)
	}
	return types
}

func (a *api) page(path string) *pageBody {
	a.t.Helper()
	got := a.do("GET", path, "")
	wantStatus(a.t, got, http.StatusOK)
	p := &pageBody{}
	if err := json.Unmarshal([]byte(got.body), p); err != nil {
		a.t.Fatalf("%v\n%s", err, got.body)
	}
	return p
}

// Passing last_id on as after gives every event once.
func TestPagesJoinUp(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	want := []string{"a", "b", "c", "d", "e", "f", "done"}
	a.publish("j", want...)
	for _, limit := range []int{1, 2, 3, 7, 100} {
		var got []string
		after := ""
		for {
			p := a.page(fmt.Sprintf("/v1/jobs/j/events?limit=%d&after=%s", limit, after))
			got = append(got, p.types()...)
			after = p.LastID
			if !p.HasMore {
				if !p.Closed || p.LastID != p.LogLastID {
					t.Errorf("limit %d: the last page is %+v", limit, p)
				}
				break
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("limit %d:\n%s", limit, diff)
		}
	}
}

func TestPagesBackwards(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	a.publish("j", "a", "b", "c", "d", "e")
	newest := a.page("/v1/jobs/j/events?order=desc&limit=2")
	if diff := cmp.Diff([]string{"e", "d"}, newest.types()); diff != "" || !newest.HasMore {
		t.Errorf("has_more %v\n%s", newest.HasMore, diff)
	}
	next := a.page("/v1/jobs/j/events?order=desc&limit=3&before=" + newest.LastID)
	if diff := cmp.Diff([]string{"c", "b", "a"}, next.types()); diff != "" || next.HasMore {
		t.Errorf("has_more %v\n%s", next.HasMore, diff)
	}
	before := a.page("/v1/jobs/j/events?before=" + newest.LastID)
	if diff := cmp.Diff([]string{"a", "b", "c"}, before.types()); diff != "" {
		t.Error(diff)
	}
}

// A filter looks on until the page is full: a page is never empty while more
// events would pass.
func TestPagesOfSomeTypes(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	var events []tidings.Event
	for i := range 5000 {
		eventType := "noise"
		if i%1500 == 1499 {
			eventType = fmt.Sprintf("rare%d", i/1500%2)
		}
		events = append(events, tidings.Event{Type: eventType})
	}
	if _, err := a.store.Append(t.Context(), "j", tidings.Batch{Events: events}); err != nil {
		t.Fatal(err)
	}
	first := a.page("/v1/jobs/j/events?type=rare0,rare1&limit=2")
	if diff := cmp.Diff([]string{"rare0", "rare1"}, first.types()); diff != "" || !first.HasMore {
		t.Errorf("has_more %v\n%s", first.HasMore, diff)
	}
	second := a.page("/v1/jobs/j/events?type=rare0&type=rare1&limit=2&after=" + first.LastID)
	if diff := cmp.Diff([]string{"rare0"}, second.types()); diff != "" || second.HasMore || second.LastID != second.LogLastID {
		t.Errorf("%+v\n%s", second, diff)
	}
	back := a.page("/v1/jobs/j/events?type=rare0&order=desc&limit=1")
	if diff := cmp.Diff([]string{"rare0"}, back.types()); diff != "" || !back.HasMore {
		t.Errorf("has_more %v\n%s", back.HasMore, diff)
	}
	none := a.page("/v1/jobs/j/events?type=nothing")
	if len(none.Events) != 0 || none.HasMore || none.LastID != none.LogLastID {
		t.Errorf("%+v", none)
	}
}

func TestPageEndsAtItsBytes(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	for range 4 {
		wantStatus(t, a.do("POST", "/v1/jobs/j/events", `{"event_type":"a","data":"`+strings.Repeat("x", 1000)+`"}`), http.StatusCreated)
	}
	p := a.page("/v1/jobs/j/events?max_bytes=1500")
	if len(p.Events) != 2 || !p.HasMore {
		t.Errorf("%d events, has_more %v; want 2 and more", len(p.Events), p.HasMore)
	}
}

func TestHistoryAsLines(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	var events []tidings.Event
	for i := range 25_000 { // several pages of the store
		events = append(events, tidings.Event{Type: fmt.Sprintf("t%d", i%3), Data: json.RawMessage(fmt.Sprint(i))})
	}
	if _, err := a.store.Append(t.Context(), "j", tidings.Batch{Events: events}); err != nil {
		t.Fatal(err)
	}
	read := func(query string) []int {
		got := a.do("GET", "/v1/jobs/j/events"+query, "", "Accept", lines)
		wantStatus(t, got, http.StatusOK)
		if kind := got.header.Get("Content-Type"); kind != lines {
			t.Errorf("Content-Type %q", kind)
		}
		var numbers []int
		scanner := bufio.NewScanner(strings.NewReader(got.body))
		for scanner.Scan() {
			var e struct{ Data int }
			if err := json.Unmarshal(scanner.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			numbers = append(numbers, e.Data)
		}
		return numbers
	}
	for query, want := range map[string]struct{ count, step int }{
		"":                    {25_000, 1},
		"?limit=12000":        {12_000, 1},
		"?type=t0":            {8334, 3},
		"?type=t0&limit=5000": {5000, 3},
	} {
		got := read(query)
		if len(got) != want.count {
			t.Errorf("%q: %d lines, want %d", query, len(got), want.count)
			continue
		}
		for i, n := range got {
			if n != i*want.step {
				t.Errorf("%q: line %d holds event %d, want %d", query, i, n, i*want.step)
				break
			}
		}
	}
}

// A reader of a trimmed log is told so, in JSON and lines alike, and told how to
// read on.
func TestTrimmedHistory(t *testing.T) {
	t.Parallel()
	store, err := pebblelog.Open(t.TempDir(), &pebblelog.Options{
		Retention: tidings.Retention{EventsPerJob: 3}, RetentionInterval: -1, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	a := serveStore(t, store, store, nil)
	a.publish("j", strings.Fields(strings.Repeat("a ", 100))...)
	if err := store.Retain(context.WithoutCancel(t.Context())); err != nil {
		t.Fatal(err)
	}
	for _, accept := range []string{"application/json", lines} {
		m := wantProblem(t, a.do("GET", "/v1/jobs/j/events", "", "Accept", accept), http.StatusGone, "gap")
		resume, ok := m["resume_after"].(string)
		if !ok || m["first_id"] == nil {
			t.Fatalf("it does not say how to read on: %v", m)
		}
		wantStatus(t, a.do("GET", "/v1/jobs/j/events?after="+resume, "", "Accept", accept), http.StatusOK)
	}
	if p := a.page("/v1/jobs/j/events?order=desc"); len(p.Events) == 0 || p.FirstID != p.Events[len(p.Events)-1].ID {
		t.Errorf("backwards everything that is held is there: %+v", p)
	}
}

func TestHeadHasNoBody(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	a.publish("j", "a")
	for _, accept := range []string{"application/json", lines, "text/event-stream"} {
		got := a.do("HEAD", "/v1/jobs/j/events", "", "Accept", accept)
		wantStatus(t, got, http.StatusOK)
		if !strings.HasPrefix(got.header.Get("Content-Type"), accept) {
			t.Errorf("Content-Type %q, want %q", got.header.Get("Content-Type"), accept)
		}
	}
}

func TestAcceptWeights(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]bool{
		"application/x-ndjson":                  true,
		"text/html, application/x-ndjson;q=0.5": true,
		"application/x-ndjson;q=0":              false,
		"application/x-ndjson;q=0.000, */*":     false,
		"*/*":                                   false,
		"":                                      false,
		"application/json; charset=\"application/x": false,
	} {
		r, _ := http.NewRequest("GET", "/", nil)
		r.Header.Set("Accept", header)
		if got := accepts(r, lines); got != want {
			t.Errorf("Accept %q: %v, want %v", header, got, want)
		}
	}
}

func BenchmarkHistoryAsLines(b *testing.B) {
	a := serve(b, nil)
	data := json.RawMessage(`{"text":"` + strings.Repeat("x", 280) + `"}`)
	for range 10 {
		events := make([]tidings.Event, 10_000)
		for i := range events {
			events[i] = tidings.Event{Type: "thought", Data: data}
		}
		if _, err := a.store.Append(b.Context(), "j", tidings.Batch{Events: events}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		got := a.do("GET", "/v1/jobs/j/events", "", "Accept", lines)
		b.SetBytes(int64(len(got.body)))
	}
}

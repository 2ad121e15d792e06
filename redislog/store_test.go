package redislog

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
)

// patience bounds what a test waits for; nothing is expected to take so long.
const patience = 30 * time.Second

// open opens a store that is closed with the test.
func open(t testing.TB, url string, change ...func(*Options)) *Store {
	t.Helper()
	opts := Options{URL: url, Logger: slog.New(slog.DiscardHandler)}
	if testing.Verbose() {
		opts.Logger = slog.New(slog.NewTextHandler(t.Output(), nil))
	}
	for _, c := range change {
		c(&opts)
	}
	s, err := Open(context.Background(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// within gives a context that ends with the test's patience.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func note(n int) tidings.Event {
	return tidings.Event{Type: tidings.TypeCustom, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))}
}

func number(e *tidings.Event) int {
	d := struct{ N int }{-1}
	_ = json.Unmarshal(e.Data, &d)
	return d.N
}

func done() tidings.Event {
	return tidings.Event{Type: tidings.TypeDone, Data: json.RawMessage(`{"status":"completed"}`)}
}

func mustAppend(t testing.TB, s *Store, job string, events ...tidings.Event) tidings.Receipt {
	t.Helper()
	r, err := s.Append(within(t), job, tidings.Batch{Events: events})
	if err != nil {
		t.Fatalf("append to %s: %v", job, err)
	}
	return r
}

func mustFollow(t testing.TB, s *Store, job string, after tidings.Cursor) tidings.Follower {
	t.Helper()
	f, err := s.Follow(within(t), job, after)
	if err != nil {
		t.Fatalf("follow of %s: %v", job, err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// take reads n events of a follower.
func take(t testing.TB, f tidings.Follower, n int) []tidings.Event {
	t.Helper()
	var got []tidings.Event
	for len(got) < n {
		events, err := f.Next(within(t))
		if err != nil {
			t.Fatalf("next after %d of %d events: %v", len(got), n, err)
		}
		got = append(got, events...)
	}
	if len(got) > n {
		t.Fatalf("%d events; want %d", len(got), n)
	}
	return got
}

// eventually asks again until ok.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ctx := within(t)
	for !ok() {
		if !wait(ctx, nil, 5*time.Millisecond) {
			t.Fatalf("still not so: %s", what)
		}
	}
}

// xadd publishes as a program does that knows nothing of Tidings.
func xadd(t testing.TB, c *redistest.Conn, job, eventType, data string) string {
	t.Helper()
	ts := time.Now().UTC().Format("2006-01-02T15:04:05.000000")
	envelope := fmt.Sprintf(`{"event_type": %q, "data": %s, "timestamp": %q, "job_id": %q}`, eventType, data, ts, job)
	reply, err := c.Do("XADD", "job_events:"+job, "*", "event_type", eventType, "timestamp", ts, "data", envelope)
	if err != nil {
		t.Fatal(err)
	}
	return reply.(string)
}

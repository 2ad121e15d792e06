package httpapi

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings/pebblelog"
)

// An append that is under way when the server goes down is finished and
// acknowledged; what comes later is told to try again.
func TestShutdownFinishesAppends(t *testing.T) {
	t.Parallel()
	store, err := pebblelog.Open(t.TempDir(), &pebblelog.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	gate := &gatedStore{Store: store, entered: make(chan struct{}), open: make(chan struct{})}
	a := serveStore(t, gate, store, nil)
	open := sync.OnceFunc(func() { close(gate.open) })
	t.Cleanup(open) // before the server is waited for

	answered := make(chan *answer, 1)
	go func() { answered <- a.do("POST", "/v1/jobs/j/events", `{"event_type":"a"}`) }()
	<-gate.entered
	down := make(chan error, 1)
	go func() { down <- a.server.Shutdown(t.Context()) }()
	eventually(t, "the server is not ready", func() bool { return a.do("GET", "/readyz", "").status == http.StatusServiceUnavailable })
	wantStatus(t, a.do("GET", "/healthz", ""), http.StatusOK)
	for _, path := range []string{"/v1/jobs/j/events", "/v1/events"} {
		// An EventSource takes a 503 for final.
		got := a.do("GET", path, "", "Accept", "text/event-stream")
		if got.status != http.StatusOK || !strings.Contains(got.body, "\nretry: ") {
			t.Errorf("a new viewer of %s gets %d %q", path, got.status, got.body)
		}
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned %v with an append under way", err)
	default:
	}
	open()
	wantStatus(t, <-answered, http.StatusCreated)
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if diff := cmp.Diff([]string{"a"}, a.types("j")); diff != "" {
		t.Error(diff)
	}
}

func TestShutdownTellsTheFeedToComeBack(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	a.publish("j", "a")
	f := a.feed(t, "")
	f.take(1)
	if err := a.server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := f.events.Next(); err != io.EOF {
		t.Errorf("the feed goes on: %v", err)
	}
	if retry := f.events.Retry(); retry < goodbyeMin || retry > goodbyeMin+goodbyeSpan {
		t.Errorf("retry %v, want %v to %v", retry, goodbyeMin, goodbyeMin+goodbyeSpan)
	}
}

func TestShutdownGivesUpInTime(t *testing.T) {
	t.Parallel()
	store, err := pebblelog.Open(t.TempDir(), &pebblelog.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	gate := &gatedStore{Store: store, entered: make(chan struct{}), open: make(chan struct{})}
	a := serveStore(t, gate, store, nil)
	answered := make(chan *answer, 1)
	go func() { answered <- a.do("POST", "/v1/jobs/j/events", `{"event_type":"a"}`) }()
	<-gate.entered
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := a.server.Shutdown(ctx); err == nil {
		t.Error("Shutdown has not waited")
	}
	close(gate.open)
	<-answered
}

// A client that sends its body too slowly is told so, and does not hold a
// connection for ever.
func TestSlowBody(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Limits: Limits{BodyTimeout: 50 * time.Millisecond}})
	body, input := io.Pipe()
	defer input.Close()
	go func() { _, _ = io.WriteString(input, `{"event_type"`) }() // and nothing more
	wantProblem(t, a.send(a.request("POST", "/v1/jobs/j/events", body)), http.StatusRequestTimeout, "timeout")
	if got := a.types("j"); got != nil {
		t.Errorf("half a body has written %v", got)
	}
}

// A refusal does not wait for the rest of a body that goes on.
func TestRefusalDoesNotWaitForTheBody(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Auth: testAuth(t)})
	for name, c := range map[string]struct {
		headers []string
		status  int
	}{
		"no token":   {nil, http.StatusUnauthorized},
		"wrong type": {[]string{"Authorization", "Bearer " + adminKey, "Content-Type", "text/plain"}, http.StatusUnsupportedMediaType},
	} {
		body, input := io.Pipe()
		go func() { _, _ = io.Copy(input, strings.NewReader("some bytes")) }()
		got := a.send(a.request("POST", "/v1/jobs/j/events", body, c.headers...))
		if got.status != c.status {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
		_ = input.Close()
	}
}

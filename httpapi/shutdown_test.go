package httpapi

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/hub"
	"tidings/pebblelog"
	"tidings/wire"
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

// A reader who stands still is let go, and one who is merely slow gets everything
// over one connection.
func TestReaderWhoStandsStill(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Limits: Limits{WriteTimeout: 2 * time.Second}})
	data := json.RawMessage(`"` + strings.Repeat("x", 500<<10) + `"`)
	for range 40 {
		if _, err := a.store.Append(t.Context(), "j", tidings.Batch{Events: []tidings.Event{{Type: "a", Data: data}}}); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET /v1/jobs/j/events HTTP/1.1\r\nHost: localhost\r\nAccept: "+lines+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the request has ended", func() bool { return strings.Contains(a.log.String(), `"path":"/v1/jobs/j/events"`) })
	for range 2 { // the deadline of the first answer is not that of the second
		if got := a.do("GET", "/v1/jobs/j/events", "", "Accept", lines); strings.Count(got.body, "\n") != 40 {
			t.Errorf("%d lines, want 40", strings.Count(got.body, "\n"))
		}
	}
}

func TestTooManyViewers(t *testing.T) {
	t.Parallel()
	store, err := pebblelog.Open(t.TempDir(), &pebblelog.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	a := serveStore(t, store, store, &Options{Hub: hub.New(store, wire.AppendFrame, &hub.Options{MaxViewers: 2, MaxViewersPerJob: 1})})
	watch := func(jobID string) *http.Response {
		resp, err := http.DefaultClient.Do(a.request("GET", "/v1/jobs/"+jobID+"/events", nil, "Accept", wire.ContentTypeSSE))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp
	}
	for _, c := range []struct {
		jobID  string
		status int
	}{{"j1", 200}, {"j1", 429}, {"j2", 200}, {"j3", 503}} {
		if c.status != 429 {
			a.publish(c.jobID, "a")
		}
		resp := watch(c.jobID)
		if resp.StatusCode != c.status || c.status != 200 && (resp.Header.Get("Retry-After") == "" || resp.Header.Get("Content-Type") != contentTypeProblem) {
			t.Errorf("%s: %s %v, want %d", c.jobID, resp.Status, resp.Header, c.status)
		}
	}
}

// Readers who stand still don't keep a node from going down.
func TestShutdownDoesNotWaitForReadersWhoStandStill(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	data := json.RawMessage(`"` + strings.Repeat("x", 500<<10) + `"`)
	for range 40 {
		if _, err := a.store.Append(t.Context(), "j", tidings.Batch{Events: []tidings.Event{{Type: "a", Data: data}}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, request := range []string{"/v1/jobs/j/events HTTP/1.1\r\nAccept: " + wire.ContentTypeSSE, "/v1/jobs/j/events HTTP/1.1\r\nAccept: " + lines, "/v1/events HTTP/1.1"} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET "+request+"\r\nHost: localhost\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Read(make([]byte, 10)); err != nil { // it has begun
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second) // far below the write timeout
	defer cancel()
	if err := a.server.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

// A write that begins while the node goes down does not take its hurry back.
func TestAWriteThatBeginsAtShutdownIsHurried(t *testing.T) {
	t.Parallel()
	drain, goDown := context.WithCancel(t.Context())
	goDown()
	var deadline time.Time
	set := func(at time.Time) error { deadline = at; return nil }
	if err := writeBy(drain, time.Now().Add(time.Hour), set); err != nil || time.Until(deadline) > hurryTime {
		t.Errorf("the deadline is %v away, %v; want at most %v", time.Until(deadline), err, hurryTime)
	}
	if err := writeBy(t.Context(), time.Now().Add(time.Hour), set); err != nil || time.Until(deadline) < time.Minute {
		t.Errorf("before, the deadline is %v away, %v; want about an hour", time.Until(deadline), err)
	}
}

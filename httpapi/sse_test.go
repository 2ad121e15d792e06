package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/httpapi"
	"tidings/hub"
	"tidings/pebblelog"
	"tidings/wire"
)

// sseAPI is the API under test and the hub behind it.
type sseAPI struct {
	*httpapi.Server
	hub *hub.Hub
}

// sseServer is a server over an embedded store; http2 makes it speak that.
func sseServer(t *testing.T, http2 bool, opts hub.Options) (*httptest.Server, *pebblelog.Store, *sseAPI) {
	t.Helper()
	store, err := pebblelog.Open(t.TempDir(), &pebblelog.Options{Retention: tidings.Retention{EventsPerJob: 10}})
	if err != nil {
		t.Fatal(err)
	}
	quiet := slog.New(slog.DiscardHandler)
	opts.Logger = quiet
	h := hub.New(store, wire.AppendFrame, &opts)
	api := &sseAPI{httpapi.New(store, &httpapi.Options{Logger: quiet, Hub: h}), h}
	srv := httptest.NewUnstartedServer(api)
	if http2 {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := api.Shutdown(ctx); err != nil {
			t.Error("shutting down:", err)
		}
		srv.Close()
		store.Close()
	})
	return srv, store, api
}

func put(t *testing.T, store tidings.Appender, jobID string, types ...string) []tidings.ID {
	t.Helper()
	var b tidings.Batch
	for _, name := range types {
		e, err := tidings.NewEvent(name, json.RawMessage(`{"n":1.50}`))
		if err != nil {
			t.Fatal(err)
		}
		b.Events = append(b.Events, e)
	}
	r, err := store.Append(t.Context(), jobID, b)
	if err != nil {
		t.Fatal(err)
	}
	return r.IDs
}

// stream is an open SSE response.
type stream struct {
	*wire.SSEReader
	resp *http.Response
}

func open(t *testing.T, srv *httptest.Server, path, lastID string) *stream {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", wire.ContentTypeSSE)
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return &stream{wire.NewSSEReader(resp.Body, 1<<20), resp}
}

// rest reads to the end and gives the types of the messages.
func (s *stream) rest(t *testing.T) []string {
	t.Helper()
	var types []string
	for {
		m, err := s.Next()
		if errors.Is(err, io.EOF) {
			return types
		}
		if err != nil {
			t.Fatal(err)
		}
		types = append(types, m.Event)
	}
}

func (s *stream) next(t *testing.T, want string) wire.Message {
	t.Helper()
	m, err := s.Next()
	if err != nil {
		t.Fatal(err)
	}
	if m.Event != want {
		t.Fatalf("got %q %s, want %q", m.Event, m.Data, want)
	}
	return m
}

func equal(t *testing.T, got []string, want string) {
	t.Helper()
	if strings.Join(got, " ") != want {
		t.Errorf("got %q, want %q", strings.Join(got, " "), want)
	}
}

func onBothProtocols(t *testing.T, test func(t *testing.T, http2 bool)) {
	for name, http2 := range map[string]bool{"HTTP/1.1": false, "HTTP/2": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, http2)
		})
	}
}

func TestStreamIsHistoryThenLiveThenEnd(t *testing.T) {
	t.Parallel()
	onBothProtocols(t, func(t *testing.T, http2 bool) {
		srv, store, _ := sseServer(t, http2, hub.Options{})
		ids := put(t, store, "job", "phase_update", "thought")
		s := open(t, srv, "/v1/jobs/job/events", "")
		if got := s.resp.Header.Get("Content-Type"); got != "text/event-stream" || s.resp.ProtoMajor == 2 != http2 {
			t.Fatalf("%s with Content-Type %q", s.resp.Proto, got)
		}
		m := s.next(t, "phase_update")
		job, _ := store.Job(t.Context(), "job")
		if want := ids[0].String() + "~" + job.Incarnation; m.ID != want {
			t.Errorf("the id line is %q, want %q", m.ID, want)
		}
		var e tidings.Event
		if err := json.Unmarshal(m.Data, &e); err != nil || e.ID != ids[0] || e.JobID != "job" || string(e.Data) != `{"n":1.50}` {
			t.Errorf("the data line is %s: %v", m.Data, err)
		}
		s.next(t, "thought")
		put(t, store, "job", "done")
		s.next(t, "done")
		end := s.next(t, "end")
		if end.ID != "" || !strings.Contains(string(end.Data), `"status":"completed"`) {
			t.Errorf("the end is %q %s", end.ID, end.Data)
		}
		equal(t, s.rest(t), "")
	})
}

func TestStreamResumes(t *testing.T) {
	t.Parallel()
	srv, store, _ := sseServer(t, false, hub.Options{})
	ids := put(t, store, "job", "a", "b", "c", "done")
	job, _ := store.Job(t.Context(), "job")
	const path = "/v1/jobs/job/events"
	for _, c := range []struct{ name, path, lastID, want string }{
		{"from the start", path, "", "a b c done end"},
		{"after a bare ID", path, ids[1].String(), "c done end"},
		{"after a cursor", path, ids[1].String() + "~" + job.Incarnation, "c done end"},
		{"by the after parameter", path + "?after=" + ids[0].String(), "", "b c done end"},
		{"Last-Event-ID before after, as a reconnect has both", path + "?after=" + ids[0].String(), ids[1].String(), "c done end"},
		{"another incarnation", path, ids[1].String() + "~0ther", "rewound a b c done end"},
		{"beyond the last", path, "99999999999999-0", "rewound a b c done end"},
		{"some types", path + "?type=b,done", "", "b done end"},
	} {
		t.Run(c.name, func(t *testing.T) { equal(t, open(t, srv, c.path, c.lastID).rest(t), c.want) })
	}
	t.Run("after the end", func(t *testing.T) {
		if s := open(t, srv, path, ids[3].String()); s.resp.StatusCode != http.StatusNoContent {
			t.Errorf("status %d, want 204, which stops an EventSource", s.resp.StatusCode)
		}
	})
}

func TestStreamTellsAGap(t *testing.T) {
	t.Parallel()
	srv, store, _ := sseServer(t, false, hub.Options{})
	ids := put(t, store, "job", strings.Fields(strings.Repeat("x ", 40)+"done")...)
	if err := store.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	s := open(t, srv, "/v1/jobs/job/events", ids[2].String())
	var gap struct {
		FirstID tidings.ID `json:"first_id"`
	}
	if err := json.Unmarshal(s.next(t, "gap").Data, &gap); err != nil {
		t.Fatal(err)
	}
	first := s.next(t, "x")
	if !strings.HasPrefix(first.ID, gap.FirstID.String()+"~") {
		t.Errorf("the gap names %s as the first, %s follows", gap.FirstID, first.ID)
	}
	if got := s.rest(t); got[len(got)-1] != "end" {
		t.Errorf("then came %v", got)
	}
}

func TestStreamOfAnUnknownJob(t *testing.T) {
	t.Parallel()
	srv, store, _ := sseServer(t, false, hub.Options{})
	if s := open(t, srv, "/v1/jobs/later/events", ""); s.resp.StatusCode != http.StatusNotFound {
		t.Errorf("status %d, want 404", s.resp.StatusCode)
	}
	came := make(chan *stream, 1)
	go func() { came <- open(t, srv, "/v1/jobs/later/events?wait=15", "") }()
	put(t, store, "later", "a", "done")
	equal(t, (<-came).rest(t), "a done end")
}

func TestStreamOfADeletedJob(t *testing.T) {
	t.Parallel()
	onBothProtocols(t, func(t *testing.T, http2 bool) {
		srv, store, _ := sseServer(t, http2, hub.Options{})
		put(t, store, "job", "a")
		s := open(t, srv, "/v1/jobs/job/events", "")
		s.next(t, "a")
		if err := store.Delete(t.Context(), "job"); err != nil {
			t.Fatal(err)
		}
		equal(t, s.rest(t), "deleted")
	})
}

// A quiet stream carries comments, which proxies see and EventSource doesn't.
func TestQuietStreamHasHeartbeats(t *testing.T) {
	t.Parallel()
	onBothProtocols(t, func(t *testing.T, http2 bool) {
		srv, store, _ := sseServer(t, http2, hub.Options{Heartbeat: 200 * time.Millisecond})
		put(t, store, "job", "a")
		s := open(t, srv, "/v1/jobs/job/events", "")
		lines := bufio.NewScanner(s.resp.Body)
		for lines.Scan() {
			if strings.HasPrefix(lines.Text(), ":") {
				return
			}
		}
		t.Errorf("no comment came: %v", lines.Err())
	})
}

// A viewer that hangs up while nothing happens is noticed.
func TestViewerThatLeavesIsCountedOut(t *testing.T) {
	t.Parallel()
	onBothProtocols(t, func(t *testing.T, http2 bool) {
		srv, store, api := sseServer(t, http2, hub.Options{Heartbeat: 100 * time.Millisecond})
		put(t, store, "job", "a")
		s := open(t, srv, "/v1/jobs/job/events", "")
		s.next(t, "a")
		if got := api.hub.Stats().Viewers; got != 1 {
			t.Fatalf("%d viewers, want 1", got)
		}
		s.resp.Body.Close()
		srv.Client().CloseIdleConnections()
		deadline := time.After(10 * time.Second)
		for api.hub.Stats().Viewers != 0 {
			select {
			case <-deadline:
				t.Fatal("the viewer is still counted")
			case <-time.After(10 * time.Millisecond):
			}
		}
	})
}

func TestShutdownTellsViewersToComeBack(t *testing.T) {
	t.Parallel()
	onBothProtocols(t, func(t *testing.T, http2 bool) {
		srv, store, api := sseServer(t, http2, hub.Options{})
		put(t, store, "job", "a")
		s := open(t, srv, "/v1/jobs/job/events", "")
		s.next(t, "a")
		before := s.Retry()
		done := make(chan error, 1)
		go func() { done <- api.Shutdown(t.Context()) }()
		equal(t, s.rest(t), "")
		if err := <-done; err != nil {
			t.Error(err)
		}
		if s.Retry() == before || s.Retry() <= 0 {
			t.Errorf("the delay told is %s, before %s", s.Retry(), before)
		}
		// An EventSource that is answered with an error never comes again.
		again := open(t, srv, "/v1/jobs/job/events", "")
		if equal(t, again.rest(t), ""); again.resp.StatusCode != http.StatusOK || again.Retry() <= 0 {
			t.Errorf("a new viewer gets %d and the delay %s", again.resp.StatusCode, again.Retry())
		}
	})
}

func TestHeadOfAStream(t *testing.T) {
	t.Parallel()
	srv, store, api := sseServer(t, false, hub.Options{})
	put(t, store, "job", "a")
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodHead, srv.URL+"/v1/jobs/job/events", nil)
	req.Header.Set("Accept", wire.ContentTypeSSE)
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != wire.ContentTypeSSE || api.hub.Stats().Viewers != 0 {
		t.Errorf("%s, %q, %d viewers", resp.Status, resp.Header.Get("Content-Type"), api.hub.Stats().Viewers)
	}
}

// An event type that would break out of its SSE line does not.
func TestEventTypeCanNotForgeFrames(t *testing.T) {
	t.Parallel()
	srv, store, _ := sseServer(t, false, hub.Options{})
	put(t, store, "job", "x\nevent: end", "x\r\rdata: {}", "done")
	got := open(t, srv, "/v1/jobs/job/events", "").rest(t)
	if len(got) != 4 || got[0] != "x event: end" || got[3] != "end" {
		t.Errorf("got %q", got)
	}
}

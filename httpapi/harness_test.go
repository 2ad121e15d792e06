package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/pebblelog"
)

// api is a server over a real store, with a client.
type api struct {
	t      testing.TB
	store  *pebblelog.Store
	server *Server
	web    *httptest.Server
	url    string
	log    *lockedBuffer
}

// serve starts a server with opts; nil works.
func serve(t testing.TB, opts *Options) *api {
	t.Helper()
	store, err := pebblelog.Open(t.TempDir(), &pebblelog.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return serveStore(t, store, store, opts)
}

// serveStore is serve with a store that stands before the real one.
func serveStore(t testing.TB, front tidings.Store, store *pebblelog.Store, opts *Options) *api {
	t.Helper()
	if opts == nil {
		opts = &Options{}
	}
	a := &api{t: t, store: store, log: &lockedBuffer{}}
	o := *opts
	o.Logger = slog.New(slog.NewJSONHandler(a.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	a.server = New(front, &o)
	a.web = httptest.NewUnstartedServer(a.server)
	a.web.Config.Protocols = new(http.Protocols)
	a.web.Config.Protocols.SetHTTP1(true)
	a.web.Config.Protocols.SetUnencryptedHTTP2(true)
	a.web.Start()
	a.url = a.web.URL
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := a.server.Shutdown(ctx); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		a.web.Close()
	})
	return a
}

// answer is a response that was read to its end.
type answer struct {
	status int
	header http.Header
	body   string
}

// members are the answer's JSON object.
func (a *answer) members(t testing.TB) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal([]byte(a.body), &m); err != nil {
		t.Fatalf("not a JSON object: %v\n%s", err, a.body)
	}
	return m
}

// do sends a request; headers are names and values in turn.
func (a *api) do(method, path, body string, headers ...string) *answer {
	a.t.Helper()
	return a.send(a.request(method, path, strings.NewReader(body), headers...))
}

func (a *api) request(method, path string, body io.Reader, headers ...string) *http.Request {
	a.t.Helper()
	r, err := http.NewRequestWithContext(a.t.Context(), method, a.url+path, body)
	if err != nil {
		a.t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func (a *api) send(r *http.Request) *answer {
	a.t.Helper()
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.Do(r)
	if err != nil {
		a.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return &answer{resp.StatusCode, resp.Header, string(body)}
}

// publish appends events of the types to the job through the API.
func (a *api) publish(jobID string, types ...string) *answer {
	a.t.Helper()
	var lines strings.Builder
	for _, eventType := range types {
		lines.WriteString(`{"event_type":"` + eventType + `","data":{}}` + "\n")
	}
	got := a.do("POST", "/v1/jobs/"+jobID+"/events", lines.String(), "Content-Type", "application/x-ndjson")
	if got.status != http.StatusCreated {
		a.t.Fatalf("publish: %d %s", got.status, got.body)
	}
	return got
}

// types are the types of the job's events, as the store has them.
func (a *api) types(jobID string) []string {
	a.t.Helper()
	page, err := a.store.Read(a.t.Context(), jobID, tidings.Query{})
	if err != nil {
		return nil
	}
	var types []string
	for i := range page.Events {
		types = append(types, page.Events[i].Type)
	}
	return types
}

// wantStatus fails the test unless the answer has the status.
func wantStatus(t testing.TB, got *answer, status int) {
	t.Helper()
	if got.status != status {
		t.Fatalf("status %d, want %d\n%s", got.status, status, got.body)
	}
}

// wantProblem fails the test unless the answer is this problem, complete and with
// advice.
func wantProblem(t testing.TB, got *answer, status int, name string) map[string]any {
	t.Helper()
	wantStatus(t, got, status)
	if kind := got.header.Get("Content-Type"); kind != contentTypeProblem {
		t.Fatalf("Content-Type %q, want %q\n%s", kind, contentTypeProblem, got.body)
	}
	m := got.members(t)
	if m["type"] != "/problems/"+name || m["status"] != float64(status) || m["title"] == "" || m["detail"] == "" {
		t.Fatalf("want the problem %q with title and detail, got %s", name, got.body)
	}
	return m
}

// eventually polls until ok or a deadline that only a broken program reaches.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// lockedBuffer takes a log from many goroutines.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

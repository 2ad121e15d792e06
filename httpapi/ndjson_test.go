package httpapi

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings"
)

const lines = "application/x-ndjson"

// stream opens an append whose body goes on until it is closed.
func (a *api) stream(client *http.Client, path string, headers ...string) (*io.PipeWriter, <-chan *answer) {
	body, input := io.Pipe()
	r := a.request("POST", path, body, append(headers, "Content-Type", lines)...)
	done := make(chan *answer, 1)
	go func() {
		defer close(done)
		resp, err := client.Do(r)
		if err != nil {
			a.t.Errorf("stream: %v", err)
			return
		}
		defer resp.Body.Close()
		text, _ := io.ReadAll(resp.Body) // a test sees what is missing
		_ = body.Close()
		done <- &answer{resp.StatusCode, resp.Header, string(text)}
	}()
	a.t.Cleanup(func() { _ = input.CloseWithError(io.ErrClosedPipe) })
	return input, done
}

func http2Client() *http.Client {
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Client{Transport: &http.Transport{Protocols: protocols}}
}

// What a worker has written is visible while its stream goes on, also when half
// of the next line has come with it.
func TestStreamIsVisibleBeforeItEnds(t *testing.T) {
	t.Parallel()
	for name, client := range map[string]*http.Client{"HTTP/1.1": {}, "HTTP/2": http2Client()} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, nil)
			input, done := a.stream(client, "/v1/jobs/j/events")
			fmt.Fprintf(input, `{"event_type":"a"}`+"\n"+`{"event_type":"b"}`+"\n\n"+`{"event_`)
			eventually(t, "the first lines are visible", func() bool { return cmp.Equal(a.types("j"), []string{"a", "b"}) })
			fmt.Fprint(input, `type":"c"}`+"\n")
			eventually(t, "the next line is visible", func() bool { return len(a.types("j")) == 3 })
			fmt.Fprint(input, `{"event_type":"done"}`) // the last line may lack its end
			_ = input.Close()
			got := <-done
			wantStatus(t, got, http.StatusCreated)
			m := got.members(t)
			if m["accepted"] != 4.0 || len(m["ids"].([]any)) != 4 || got.header.Get("Stream-Closed") != "true" {
				t.Errorf("answer %s, Stream-Closed %q", got.body, got.header.Get("Stream-Closed"))
			}
			client.CloseIdleConnections()
		})
	}
}

// The lines before a bad one are kept, those after it are not, however the
// network cuts the body; the answer says where to go on.
func TestStreamStopsAtABadLine(t *testing.T) {
	t.Parallel()
	for name, bad := range map[string]struct {
		line    string
		status  int
		problem string
	}{
		"not JSON":      {`{"event_type":`, http.StatusBadRequest, "invalid"},
		"no event":      {`{"data":{}}`, http.StatusBadRequest, "invalid"},
		"unknown field": {`{"event_type":"a","dta":{}}`, http.StatusBadRequest, "invalid"},
		"another job":   {`{"event_type":"a","job_id":"other"}`, http.StatusBadRequest, "invalid"},
		"too long":      {`{"event_type":"a","data":"` + strings.Repeat("x", 70<<10) + `"}`, http.StatusRequestEntityTooLarge, "too-large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, &Options{Limits: Limits{EventBytes: 60 << 10}})
			input, done := a.stream(&http.Client{}, "/v1/jobs/j/events")
			go fmt.Fprint(input, `{"event_type":"a"}`+"\n"+`{"event_type":"b"}`+"\n"+bad.line+"\n"+`{"event_type":"c"}`+"\n")
			m := wantProblem(t, <-done, bad.status, bad.problem)
			if m["accepted"] != 2.0 || m["line"] != 3.0 || m["last_id"] == nil {
				t.Errorf("it does not say how far it got: %v", m)
			}
			if diff := cmp.Diff([]string{"a", "b"}, a.types("j")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestStreamEndsWithTheJob(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	input, done := a.stream(&http.Client{}, "/v1/jobs/j/events")
	fmt.Fprint(input, `{"event_type":"a"}`+"\n"+`{"event_type":"done"}`+"\n"+`{"event_type":"late"}`+"\n")
	_ = input.Close()
	m := wantProblem(t, <-done, http.StatusConflict, "closed")
	if m["accepted"] != 2.0 || m["line"] != 3.0 {
		t.Errorf("it does not say how far it got: %v", m)
	}
}

// A body that says its length is one batch.
func TestLinesOfKnownLengthAreABatch(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Limits: Limits{BatchEvents: 3}})
	post := func(path, body string, headers ...string) *answer {
		return a.do("POST", path, body, append(headers, "Content-Type", lines)...)
	}
	line := `{"event_type":"a"}` + "\n"

	wantProblem(t, post("/v1/jobs/j/events", line+`{"event_type":""}`+"\n"), http.StatusBadRequest, "invalid")
	m := wantProblem(t, post("/v1/jobs/j/events", strings.Repeat(line, 4)), http.StatusRequestEntityTooLarge, "too-large")
	if m["what"] != "batch" || m["limit"] != 3.0 {
		t.Errorf("it does not name the limit: %v", m)
	}
	wantProblem(t, post("/v1/jobs/j/events", "\n\n"), http.StatusBadRequest, "invalid")
	if got := a.types("j"); got != nil {
		t.Fatalf("a refused batch has written %v", got)
	}

	got := post("/v1/jobs/j/events", strings.Repeat(line, 3))
	wantStatus(t, got, http.StatusCreated)
	if ids := got.members(t)["ids"].([]any); len(ids) != 3 {
		t.Errorf("%d IDs, want 3", len(ids))
	}
	// A client that can't leave the length out may say that it is a stream.
	wantStatus(t, post("/v1/jobs/k/events?stream=true", strings.Repeat(line, 10)), http.StatusCreated)
	if got := len(a.types("k")); got != 10 {
		t.Errorf("%d events, want 10", got)
	}
}

// A producer's body is one batch also where it does not say its length.
func TestLinesOfAProducerAreABatch(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	producer := []string{"Producer-Id", "w", "Producer-Epoch", "0", "Producer-Seq", "0"}
	input, done := a.stream(&http.Client{}, "/v1/jobs/j/events", producer...)
	go fmt.Fprint(input, `{"event_type":"a"}`+"\n"+`{"event`+"\n")
	wantProblem(t, <-done, http.StatusBadRequest, "invalid")
	if got := a.types("j"); got != nil {
		t.Fatalf("a refused batch has written %v", got)
	}
	for _, want := range []int{http.StatusCreated, http.StatusOK} {
		input, done = a.stream(&http.Client{}, "/v1/jobs/j/events", producer...)
		fmt.Fprint(input, `{"event_type":"a"}`+"\n"+`{"event_type":"b"}`+"\n")
		_ = input.Close()
		wantStatus(t, <-done, want)
	}
	if got := len(a.types("j")); got != 2 {
		t.Errorf("%d events, want 2", got)
	}
	wantProblem(t, a.do("POST", "/v1/jobs/j/events?stream=true", `{"event_type":"a"}`, append(producer, "Content-Type", lines)...),
		http.StatusBadRequest, "invalid")
}

// A stream that goes on for hours does not keep a server from going down.
func TestShutdownEndsAStreamAfterWhatArrived(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	input, done := a.stream(&http.Client{}, "/v1/jobs/j/events")
	fmt.Fprint(input, `{"event_type":"a"}`+"\n"+`{"event_type":"b"}`+"\n"+`{"ev`)
	eventually(t, "both lines are visible", func() bool { return len(a.types("j")) == 2 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := a.server.Shutdown(ctx); err != nil {
		t.Fatalf("Shutdown: %v", err)
	}
	got := <-done
	m := wantProblem(t, got, http.StatusServiceUnavailable, "unavailable")
	if m["accepted"] != 2.0 || m["line"] != 3.0 || got.header.Get("Retry-After") == "" {
		t.Errorf("it does not say where to go on: %v", m)
	}
}

// gatedStore lets a test hold appends back.
type gatedStore struct {
	tidings.Store
	entered chan struct{}
	open    chan struct{}
}

func (s *gatedStore) Append(ctx context.Context, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	s.entered <- struct{}{}
	<-s.open
	return s.Store.Append(ctx, jobID, b)
}

// A body that is no HTTP is the sender's mistake, not the server's.
func TestBrokenChunksAreABadRequest(t *testing.T) {
	t.Parallel()
	for kind, accepted := range map[string]any{lines: 1.0, contentTypeJSON: nil} {
		a := serve(t, nil)
		conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		line := `{"event_type":"a"}` + "\n"
		fmt.Fprintf(conn, "POST /v1/jobs/j/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\nno length\r\n", kind, len(line), line)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		m := wantProblem(t, &answer{resp.StatusCode, resp.Header, string(text)}, http.StatusBadRequest, "invalid")
		if m["accepted"] != accepted {
			t.Errorf("%s: %s; want %v accepted", kind, text, accepted)
		}
	}
}

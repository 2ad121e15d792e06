package openai_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"tidings"
	"tidings/internal/memlog"
)

// fakeAPI speaks the API's wire: each request is answered by the next script.
type fakeAPI struct {
	scripts  []script
	requests []map[string]any
}

// script is one answer.
type script struct {
	status int      // 0: 200
	body   string   // not a stream
	events []string // a stream: the data of each event
	cut    bool     // the connection breaks behind the last event
	hang   bool     // nothing more comes until the caller has gone
}

func (f *fakeAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request map[string]any
	_ = json.NewDecoder(r.Body).Decode(&request)
	f.requests = append(f.requests, request)
	if len(f.scripts) == 0 {
		http.Error(w, `{"error":{"message":"no script is left"}}`, http.StatusTeapot)
		return
	}
	s := f.scripts[0]
	f.scripts = f.scripts[1:]
	if s.events == nil {
		w.Header().Set("Content-Type", "application/json")
		if s.status != 0 {
			w.WriteHeader(s.status)
		}
		_, _ = io.WriteString(w, s.body)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, data := range s.events {
		var typed struct{ Type string }
		_ = json.Unmarshal([]byte(data), &typed)
		if typed.Type != "" {
			fmt.Fprintf(w, "event: %s\n", typed.Type)
		}
		fmt.Fprintf(w, "data: %s\n\n", data)
		w.(http.Flusher).Flush()
	}
	switch {
	case s.hang:
		<-r.Context().Done()
	case s.cut:
		panic(http.ErrAbortHandler)
	}
}

// scene is a job, its log and a client of the fake API.
type scene struct {
	t      *testing.T
	api    *fakeAPI
	client sdk.Client
	url    string
	log    *memlog.Log
	job    *tidings.Handler
}

func newScene(t *testing.T, scripts ...script) *scene {
	s := &scene{t: t, api: &fakeAPI{scripts: scripts}, log: memlog.New()}
	server := httptest.NewUnstartedServer(s.api)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	s.url = server.URL
	s.client = sdk.NewClient(option.WithBaseURL(server.URL), option.WithAPIKey("none"), option.WithMaxRetries(0))
	s.job = tidings.Start(context.Background(), "job", s.log, nil)
	t.Cleanup(func() { _ = s.job.Close(context.Background()) })
	return s
}

// outline ends the job and gives its log.
func (s *scene) outline(output any, err error) string {
	s.t.Helper()
	s.job.End(output, err)
	if err := s.job.Close(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	return memlog.Outline(s.log.Events("job"))
}

// find is the data of the last event that has all these texts in it.
func (s *scene) find(texts ...string) map[string]any {
	s.t.Helper()
	if err := s.job.Flush(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	var found map[string]any
	for _, e := range s.log.Events("job") {
		all := true
		for _, text := range texts {
			all = all && strings.Contains(e.Type+string(e.Data), text)
		}
		if all {
			found = nil
			if err := json.Unmarshal(e.Data, &found); err != nil {
				s.t.Fatal(err)
			}
		}
	}
	if found == nil {
		s.t.Fatalf("no event has %q:\n%s", texts, memlog.Outline(s.log.Events("job")))
	}
	return found
}

// stop asks the job to stop.
func (s *scene) stop() {
	s.t.Helper()
	ctx := context.Background()
	if err := s.job.Flush(ctx); err != nil {
		s.t.Fatal(err)
	}
	request := tidings.Event{Type: tidings.TypeCancelRequested, Data: json.RawMessage(`{"by":"ann"}`)}
	if _, err := s.log.Append(ctx, "job", tidings.Batch{Events: []tidings.Event{request}}); err != nil {
		s.t.Fatal(err)
	}
}

package tidingsgenkit_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/firebase/genkit/go/core"
	"github.com/firebase/genkit/go/core/x/streaming"
	"github.com/firebase/genkit/go/genkit"

	"tidings"
	tidingsgenkit "tidings/callback/genkit"
	"tidings/client"
	"tidings/httpapi"
)

// managers are where Genkit's handler may keep its streams: in its own memory,
// in a store, and in a server that a client asks.
func managers(t *testing.T) map[string]streaming.StreamManager {
	t.Helper()
	own := streaming.NewInMemoryStreamManager()
	t.Cleanup(own.Close)
	return map[string]streaming.StreamManager{
		"genkit": own,
		"store":  tidingsgenkit.NewStreamManager(pebble(t), nil),
		"client": tidingsgenkit.NewStreamManager(served(t), nil),
	}
}

// served is a client of a Tidings server.
func served(t *testing.T) *client.Client {
	t.Helper()
	api := httpapi.New(pebble(t), nil)
	server := httptest.NewServer(api)
	t.Cleanup(func() {
		if err := api.Shutdown(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
		server.Close()
	})
	c, err := client.New(server.URL, nil)
	must(t, err)
	return c
}

// counting is a flow that streams what it is told to, one piece each time that
// next is sent to.
type counting struct {
	pieces []string
	next   chan struct{} // nil: all at once
	err    error
}

func (c *counting) serve(t *testing.T, m streaming.StreamManager) *httptest.Server {
	t.Helper()
	g := genkit.Init(t.Context())
	flow := genkit.DefineStreamingFlow(g, "count", func(ctx context.Context, in string, cb func(context.Context, string) error) (string, error) {
		for _, p := range c.pieces {
			if c.next != nil {
				select {
				case <-c.next:
				case <-t.Context().Done(): // the test has failed
				}
			}
			if err := cb(ctx, in+p); err != nil {
				return "", err
			}
		}
		return strings.Join(c.pieces, ""), c.err
	})
	server := httptest.NewServer(genkit.Handler(flow, genkit.WithStreamManager(m)))
	t.Cleanup(server.Close)
	return server
}

// ask posts to the flow, or asks for a stream again if it has an ID.
func ask(t *testing.T, server *httptest.Server, streamID string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(`{"data":"n"}`))
	must(t, err)
	req.Header.Set("Accept", "text/event-stream")
	if streamID != "" {
		req.Header.Set("X-Genkit-Stream-Id", streamID)
	}
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	t.Cleanup(func() { _ = resp.Body.Close() })
	return resp
}

func body(t *testing.T, resp *http.Response) string {
	t.Helper()
	text, err := io.ReadAll(resp.Body)
	must(t, err)
	return string(text)
}

const counted = `data: {"message":"n1"}

data: {"message":"n2"}

data: {"message":"n3"}

data: {"result":"123"}

`

func TestClientThatComesBackAfterTheEndGetsAllOfIt(t *testing.T) {
	for name, m := range managers(t) {
		t.Run(name, func(t *testing.T) {
			server := (&counting{pieces: []string{"1", "2", "3"}}).serve(t, m)
			first := ask(t, server, "")
			id := first.Header.Get("X-Genkit-Stream-Id")
			if got := body(t, first); got != counted {
				t.Errorf("the first got\n%s", got)
			}
			for range 2 {
				if got := body(t, ask(t, server, id)); got != counted {
					t.Errorf("who came back got\n%s", got)
				}
			}
		})
	}
}

func TestClientThatGoesMidwayGetsWhatItMissed(t *testing.T) {
	for name, m := range managers(t) {
		t.Run(name, func(t *testing.T) {
			c := &counting{pieces: []string{"1", "2", "3"}, next: make(chan struct{})}
			server := c.serve(t, m)
			ended := make(chan *http.Response)
			go func() { ended <- ask(t, server, "") }()
			c.next <- struct{}{}
			first := <-ended // the header came with the first piece
			line, err := bufio.NewReader(first.Body).ReadString('\n')
			must(t, err)
			if line != "data: {\"message\":\"n1\"}\n" {
				t.Errorf("the first got %q", line)
			}
			_ = first.Body.Close()

			again := ask(t, server, first.Header.Get("X-Genkit-Stream-Id"))
			c.next <- struct{}{}
			c.next <- struct{}{}
			if got := body(t, again); got != counted {
				t.Errorf("who came back got\n%s", got)
			}
		})
	}
}

func TestErrorOfAFlowIsTheSameWhenAskedForAgain(t *testing.T) {
	for _, failure := range []error{
		errors.New("it broke"),
		core.NewPublicError(core.NOT_FOUND, "no such city", nil),
		core.NewError(core.RESOURCE_EXHAUSTED, "too much"),
		context.DeadlineExceeded,
	} {
		for name, m := range managers(t) {
			t.Run(failure.Error()+"/"+name, func(t *testing.T) {
				server := (&counting{pieces: []string{"1"}, err: failure}).serve(t, m)
				first := ask(t, server, "")
				want := body(t, first)
				if got := body(t, ask(t, server, first.Header.Get("X-Genkit-Stream-Id"))); got != want || !strings.Contains(got, `"error"`) {
					t.Errorf("who came back got\n%sand the first\n%s", got, want)
				}
			})
		}
	}
}

func TestUnknownStreamHasNoContent(t *testing.T) {
	for name, m := range managers(t) {
		t.Run(name, func(t *testing.T) {
			server := (&counting{}).serve(t, m)
			if got := ask(t, server, "nobody-has-it").StatusCode; got != http.StatusNoContent {
				t.Errorf("status %d, want 204", got)
			}
		})
	}
}

func TestManyClientsOfManyStreams(t *testing.T) {
	m := tidingsgenkit.NewStreamManager(pebble(t), nil)
	server := (&counting{pieces: []string{"1", "2", "3"}}).serve(t, m)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			first := ask(t, server, "")
			id := first.Header.Get("X-Genkit-Stream-Id")
			for range 3 {
				all.Go(func() {
					if got := body(t, ask(t, server, id)); got != counted {
						t.Errorf("got\n%s", got)
					}
				})
			}
			if got := body(t, first); got != counted {
				t.Errorf("the first got\n%s", got)
			}
		})
	}
	all.Wait()
}

func TestAnotherProcessServesTheStream(t *testing.T) {
	store := pebble(t)
	writer := (&counting{pieces: []string{"1", "2", "3"}}).serve(t, tidingsgenkit.NewStreamManager(store, nil))
	reader := (&counting{}).serve(t, tidingsgenkit.NewStreamManager(store, nil))
	first := ask(t, writer, "")
	if got := body(t, ask(t, reader, first.Header.Get("X-Genkit-Stream-Id"))); got != counted {
		t.Errorf("got\n%s", got)
	}
}

func TestDurableFlowWhoseClientHasGoneCanBeStopped(t *testing.T) {
	store := pebble(t)
	working := make(chan struct{})
	w := newWorld(t, turn{do: func(ctx context.Context) error { close(working); return stopped(ctx) }})
	flow := genkit.DefineStreamingFlow(w.Genkit, "slow", func(ctx context.Context, q string, cb func(context.Context, string) error) (string, error) {
		if err := cb(ctx, "first"); err != nil {
			return "", err
		}
		return w.text(ctx, q)
	})
	m := tidingsgenkit.NewStreamManager(store, nil)
	server := httptest.NewServer(tidingsgenkit.Serve(genkit.Handler(flow, genkit.WithStreamManager(m)), func(r *http.Request) *tidings.Handler {
		if r.Header.Get("X-Genkit-Stream-Id") != "" {
			return nil
		}
		return tidings.Start(context.WithoutCancel(r.Context()), "job", store, &tidings.HandlerOptions{Automatic: true})
	}))
	defer server.Close()
	first := ask(t, server, "")
	<-working
	_ = first.Body.Close()
	await(t, "the job", func() bool { _, err := store.Job(t.Context(), "job"); return err == nil })
	must(t, tidings.RequestCancel(t.Context(), store, "job", "ada", "enough"))
	again := body(t, ask(t, server, first.Header.Get("X-Genkit-Stream-Id")))
	if !strings.HasPrefix(again, "data: {\"message\":\"first\"}\n") || !strings.Contains(again, `"error"`) {
		t.Errorf("who came back got\n%s", again)
	}
	server.Close()
	job, err := store.Job(t.Context(), "job")
	must(t, err)
	if job.Status != tidings.StatusCancelled {
		t.Errorf("the job is %s, want cancelled", job.Status)
	}
}

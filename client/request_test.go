package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/client"
)

func TestNewRefusesWhatIsNoServerAddress(t *testing.T) {
	for _, address := range []string{"", "localhost:8080", "ftp://host", "http://", "http://host/?a=b", "http://user:secret@host", "http://host:x"} {
		_, err := client.New(address, nil)
		if _, ok := errors.AsType[*tidings.InvalidError](err); !ok {
			t.Errorf("New(%q): %v", address, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	c, err := client.New("https://example.com/tidings/", nil)
	if err != nil || c.URL() != "https://example.com/tidings" {
		t.Errorf("got %v, %v", c, err)
	}
}

func TestEveryRequestShowsTheTokenAndWhoAsks(t *testing.T) {
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r.Header
		fmt.Fprint(w, `{"ids":["5-0"],"last_id":"5-0"}`)
	}))
	defer server.Close()
	c, err := client.New(server.URL, &client.Options{Token: "s3cret", UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	batch := tidings.Batch{Events: []tidings.Event{{Type: "custom"}}, Producer: &tidings.Producer{ID: "p", Epoch: 2, Seq: 3}}
	r, err := c.Append(t.Context(), "a/b c", batch)
	if err != nil || r.LastID.Ms != 5 {
		t.Errorf("got %v, %v", r, err)
	}
	for name, want := range map[string]string{
		"Authorization": "Bearer s3cret", "User-Agent": "test", "Content-Type": "application/json",
		"Producer-Id": "p", "Producer-Epoch": "2", "Producer-Seq": "3", "Idempotency-Key": "",
	} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
}

// The errors of a server are those of a store, so that code that handles the
// one handles the other. The bodies are what httpapi writes.
func TestProblemsBecomeTheErrorsOfAStore(t *testing.T) {
	for _, tc := range []struct {
		status int
		body   string
		header string
		want   string
	}{
		{400, `{"type":"/problems/invalid","detail":"event_type: missing","field":"event_type","reason":"missing"}`, "", `*tidings.InvalidError event_type: missing`},
		{413, `{"type":"/problems/too-large","detail":"x","what":"event","limit":10}`, "", `*tidings.TooLargeError event is over the limit of 10`},
		{404, `{"type":"/problems/unknown-job","detail":"x"}`, "", `*errors.errorString unknown job`},
		{409, `{"type":"/problems/closed","detail":"x","last_id":"7-1"}`, "", `*tidings.ClosedError job "job" has ended with event 7-1 and takes no more events`},
		{403, `{"type":"/problems/fenced","detail":"x"}`, "Producer-Epoch: 9", `*tidings.FencedError producer "p" with epoch 2 was fenced off: epoch 9 has taken over`},
		{409, `{"type":"/problems/sequence","detail":"x","expected_seq":4,"received_seq":6}`, "", `*tidings.SequenceError producer "p" sent sequence 6, but 4 is the next`},
		{401, `{"type":"/problems/unauthorized","detail":"the token has expired"}`, "", `*client.AuthError the server wants a valid token (401): the token has expired; give one as Options.Token, --token or TIDINGS_TOKEN`},
		{403, `{"type":"/problems/forbidden","detail":"no publish"}`, "", `*client.AuthError the token does not allow this (403): no publish; use one whose permissions and job patterns cover it`},
		{503, `{"type":"/problems/unavailable","detail":"later"}`, "", `*client.busyError store unavailable: the server answers 503: later`},
		{502, `<html>bad gateway`, "", `*client.busyError store unavailable: the server answers 502: Bad Gateway`},
		{405, `{"type":"/problems/method-not-allowed","detail":"not POST"}`, "", `*client.Problem the server answers 405: not POST`},
		{404, `nothing here`, "", `*client.Problem the server answers 404: Not Found`},
		{200, `<html>`, "", `*fmt.wrapError SERVER answers, but not as a Tidings server does: invalid character '<' looking for beginning of value`},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if strings.HasPrefix(tc.body, "{") {
				w.Header().Set("Content-Type", "application/problem+json")
			}
			if name, value, ok := strings.Cut(tc.header, ": "); ok {
				w.Header().Set(name, value)
			}
			w.WriteHeader(tc.status)
			_, _ = io.WriteString(w, tc.body)
		}))
		c, err := client.New(server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Append(t.Context(), "job", tidings.Batch{Events: []tidings.Event{{Type: "custom"}}, Producer: &tidings.Producer{ID: "p", Epoch: 2}})
		got := strings.ReplaceAll(fmt.Sprintf("%T %v", err, err), server.URL, "SERVER")
		if got != tc.want {
			t.Errorf("%d %s:\n got %s\nwant %s", tc.status, tc.body, got, tc.want)
		}
		if unavailable := tc.status >= 500; errors.Is(err, tidings.ErrUnavailable) != unavailable {
			t.Errorf("%d: errors.Is(err, ErrUnavailable) is %t", tc.status, !unavailable)
		}
		server.Close()
	}
}

func TestAServerThatIsNotThereIsUnavailable(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	c, err := client.New(server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Job(t.Context(), "job"); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Job: %v", err)
	}
	if _, err = c.Follow(t.Context(), "job", tidings.Cursor{}); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("Follow: %v", err)
	}
}

func TestARequestEndsWithItsContextOrItsTimeout(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	defer server.Close()
	defer close(hang)
	c, err := client.New(server.URL, &client.Options{Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = c.Job(t.Context(), "job"); !errors.Is(err, tidings.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after the timeout: %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	cancel(why)
	if _, err = c.Job(ctx, "job"); !errors.Is(err, why) {
		t.Errorf("after the context has ended: %v", err)
	}
	if _, err = c.Follow(ctx, "job", tidings.Cursor{}); !errors.Is(err, why) {
		t.Errorf("Follow after the context has ended: %v", err)
	}
}

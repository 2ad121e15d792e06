package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/client"
	"tidings/wire"
)

// What a network and a server can do to a stream is played here by a server
// that answers each connection by a script. conformance_test.go runs against
// the real one.

// connection is one answer of the script.
type connection func(w http.ResponseWriter, r *http.Request)

// script serves one connection after another, and the last one for ever.
type script struct {
	mu    sync.Mutex
	steps []connection
	seen  []string // the cursor of each connection
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	step := s.steps[0]
	if len(s.steps) > 1 {
		s.steps = s.steps[1:]
	}
	s.seen = append(s.seen, r.Header.Get("Last-Event-ID"))
	s.mu.Unlock()
	step(w, r)
}

func (s *script) cursors() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen
}

func play(t *testing.T, steps ...connection) (*client.Client, *script) {
	t.Helper()
	s := &script{steps: steps}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, &client.Options{
		ReadTimeout: 200 * time.Millisecond, MinBackoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

// sends answers with text as a stream and then closes the connection.
func sends(text ...string) connection {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", wire.ContentTypeSSE)
		_, _ = io.WriteString(w, strings.Join(text, ""))
	}
}

// then goes on after a connection's text by hanging, as if the network was cut.
func (c connection) thenHangs(t *testing.T) connection {
	return func(w http.ResponseWriter, r *http.Request) {
		c(w, r)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-t.Context().Done():
		}
	}
}

func refuses(status int, problem string, header ...string) connection {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"type":"/problems/%s","title":"no","status":%d,"detail":"because"}`, problem, status)
	}
}

// frame is the n-th event of the log.
func frame(n int, incarnation string) string {
	e := tidings.Event{ID: tidings.ID{Ms: 1000, Seq: uint64(n)}, JobID: "job", Type: "custom", Data: fmt.Appendf(nil, `{"n":%d}`, n)}
	return string(wire.AppendFrame(nil, &e, incarnation))
}

func control(name, data string) string {
	return string(wire.AppendControl(nil, name, []byte(data)))
}

var end = control(wire.ControlEnd, `{}`)

// told is what a follower gives: events by number, or an error.
func follow(t *testing.T, c *client.Client, o client.FollowOptions) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	f, err := c.FollowWith(ctx, "job", o)
	if err != nil {
		return []string{err.Error()}
	}
	defer f.Close()
	return drainFollower(ctx, f)
}

func drainFollower(ctx context.Context, f tidings.Follower) []string {
	var told []string
	for {
		events, err := f.Next(ctx)
		for _, e := range events {
			told = append(told, fmt.Sprintf("%d~%s", e.ID.Seq, f.Incarnation()))
		}
		var gap *tidings.GapError
		var rewound *tidings.RewoundError
		switch {
		case errors.As(err, &gap):
			told = append(told, "gap until "+gap.First.String())
		case errors.As(err, &rewound):
			told = append(told, "rewound from "+rewound.Cursor.String())
		case errors.Is(err, io.EOF):
			return append(told, "end")
		case err != nil:
			return append(told, err.Error())
		}
	}
}

func want(t *testing.T, got []string, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// A connection that breaks in the middle of an event is resumed after the last
// whole one, and what the server sends twice is given once.
func TestFollowResumesAfterTheLastWholeEvent(t *testing.T) {
	half := frame(3, "a")[:20]
	c, s := play(t, sends(frame(1, "a"), frame(2, "a"), half), sends(frame(2, "a"), frame(3, "a"), end))
	want(t, follow(t, c, client.FollowOptions{}), "1~a", "2~a", "3~a", "end")
	want(t, s.cursors(), "", "1000-2~a")
}

// A connection over which nothing comes, not even a heartbeat, is given up.
func TestFollowNoticesADeadConnection(t *testing.T) {
	c, s := play(t, sends(frame(1, "a")).thenHangs(t), sends(frame(2, "a"), end))
	want(t, follow(t, c, client.FollowOptions{}), "1~a", "2~a", "end")
	want(t, s.cursors(), "", "1000-1~a")
}

// A gap is told once. If the connection breaks right behind it, what is asked
// for next is what is still held.
func TestFollowTellsAGapOnceAndGoesOn(t *testing.T) {
	gap := control(wire.ControlGap, `{"first_id":"1000-7","incarnation":"a"}`)
	c, s := play(t, sends(gap), sends(frame(7, "a"), frame(8, "a"), end))
	want(t, follow(t, c, client.FollowOptions{After: cursor("1000-2~a")}), "gap until 1000-7", "7~a", "8~a", "end")
	want(t, s.cursors(), "1000-2~a", "1000-6~a")
}

func TestFollowTellsARewoundLogAndStartsOver(t *testing.T) {
	rewound := control(wire.ControlRewound, `{"last_id":"1000-1","incarnation":"b"}`)
	c, _ := play(t, sends(rewound, frame(1, "b"), end))
	want(t, follow(t, c, client.FollowOptions{After: cursor("1000-5~a")}), "rewound from 1000-5~a", "1~b", "end")
}

// A log of another incarnation is never taken for the old one, even if the
// server does not say a word.
func TestFollowNoticesAnotherIncarnationByItself(t *testing.T) {
	c, _ := play(t, sends(frame(5, "a")), sends(frame(1, "b"), end))
	want(t, follow(t, c, client.FollowOptions{}), "5~a", "rewound from 1000-5~a", "1~b", "end")
}

func TestFollowEnds(t *testing.T) {
	for _, tc := range []struct {
		name  string
		steps []connection
		want  []string
	}{
		{"when the job is deleted", []connection{sends(frame(1, "a"), control(wire.ControlDeleted, `{}`))}, []string{"1~a", "unknown job"}},
		{"when the job is gone on a resume", []connection{sends(frame(1, "a")), refuses(404, "unknown-job")}, []string{"1~a", "unknown job"}},
		{"when nothing is left after a resume", []connection{sends(frame(1, "a")), func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }}, []string{"1~a", "end"}},
		{"at once if the job is unknown", []connection{refuses(404, "unknown-job")}, []string{"unknown job"}},
		{"at once if everything was read", []connection{func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }}, []string{"end"}},
		{"when the token is not good any more", []connection{sends(frame(1, "a")), refuses(401, "unauthorized")}, []string{"1~a",
			"the server wants a valid token (401): because; give one as Options.Token, --token or TIDINGS_TOKEN"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c, _ := play(t, tc.steps...)
			want(t, follow(t, c, client.FollowOptions{}), tc.want...)
		})
	}
}

// A server that is going down, overloaded or not there is tried again.
func TestFollowGoesOnAfterTheServerWasAway(t *testing.T) {
	abort := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	c, _ := play(t, sends("retry: 1\n\n", frame(1, "a")),
		refuses(503, "unavailable", "Retry-After", "0"), refuses(429, "too-many-viewers"), abort, refuses(500, "internal"),
		sends(frame(2, "a"), end))
	var kinds []string
	var mu sync.Mutex
	o := client.FollowOptions{Notify: func(n client.Notice) {
		mu.Lock()
		defer mu.Unlock()
		kinds = append(kinds, string(n.Kind))
	}}
	want(t, follow(t, c, o), "1~a", "2~a", "end")
	mu.Lock()
	defer mu.Unlock()
	// net/http repeats a request itself when a kept connection breaks.
	if n := len(kinds); n < 5 || kinds[0] != "disconnected" || kinds[n-2] != "disconnected" || kinds[n-1] != "connected" {
		t.Errorf("noticed %q", kinds)
	}
}

func TestFollowWaitsForAJobThatDoesNotExistYet(t *testing.T) {
	var waits []string
	wait := func(next connection) connection {
		return func(w http.ResponseWriter, r *http.Request) {
			waits = append(waits, r.URL.Query().Get("wait"))
			next(w, r)
		}
	}
	c, _ := play(t, wait(refuses(404, "unknown-job")), wait(refuses(404, "unknown-job")), wait(sends(frame(1, "a"))), wait(sends(frame(2, "a"), end)))
	want(t, follow(t, c, client.FollowOptions{WaitForJob: true}), "1~a", "2~a", "end")
	want(t, waits, "300", "300", "300", "")
}

func TestFollowTellsStalledAndResumed(t *testing.T) {
	notices := make(chan client.NoticeKind, 4)
	c, _ := play(t, sends(frame(1, "a"), control(wire.ControlStalled, `{}`), control(wire.ControlResumed, `{}`), end))
	want(t, follow(t, c, client.FollowOptions{Notify: func(n client.Notice) { notices <- n.Kind }}), "1~a", "end")
	if a, b := <-notices, <-notices; a != client.Stalled || b != client.Resumed {
		t.Errorf("noticed %s, %s", a, b)
	}
}

// A caller that takes its time does not make the connection look dead.
func TestFollowDoesNotMistakeASlowCallerForADeadConnection(t *testing.T) {
	var text strings.Builder
	big := strings.Repeat("x", 1<<20)
	for n := 1; n <= 12; n++ {
		e := tidings.Event{ID: tidings.ID{Ms: 1000, Seq: uint64(n)}, JobID: "job", Type: "custom", Data: fmt.Appendf(nil, `%q`, big)}
		text.Write(wire.AppendFrame(nil, &e, "a"))
	}
	c, s := play(t, sends(text.String(), end))
	f, err := c.Follow(t.Context(), "job", tidings.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	// The caller is slow for longer than the stream may be silent.
	idle := time.NewTimer(500 * time.Millisecond)
	defer idle.Stop()
	<-idle.C
	got := drainFollower(t.Context(), f)
	if len(got) != 13 || got[12] != "end" {
		t.Errorf("got %q", got)
	}
	want(t, s.cursors(), "")
}

func TestNextIsCancelledWithoutLosingEvents(t *testing.T) {
	release := make(chan struct{})
	c, _ := play(t, func(w http.ResponseWriter, r *http.Request) {
		sends(wire.Heartbeat)(w, r)
		_ = http.NewResponseController(w).Flush()
		<-release
		_, _ = io.WriteString(w, frame(1, "a")+end)
	})
	f, err := c.Follow(t.Context(), "job", tidings.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Next under a cancelled context: %v", err)
	}
	close(release)
	want(t, drainFollower(t.Context(), f), "1~a", "end")
}

func TestCloseEndsNext(t *testing.T) {
	c, _ := play(t, sends(wire.Heartbeat).thenHangs(t))
	f, err := c.Follow(t.Context(), "job", tidings.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := f.Next(t.Context())
		ended <- err
	}()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, tidings.ErrStoreClosed) {
		t.Errorf("Next after Close: %v", err)
	}
}

// Whoever follows the wrong address is told so rather than left waiting.
func TestFollowOfSomethingElseThanATidingsServer(t *testing.T) {
	c, _ := play(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello") })
	got := follow(t, c, client.FollowOptions{})
	if len(got) != 1 || !strings.Contains(got[0], "text/event-stream") {
		t.Errorf("got %q", got)
	}
}

func cursor(text string) tidings.Cursor {
	c, err := tidings.ParseCursor(text)
	if err != nil {
		panic(err)
	}
	return c
}

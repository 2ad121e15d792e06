package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/wire"
)

// eventSource is a viewer as the WHATWG describes it: it reconnects with the
// last ID it has seen until it is told 204.
type eventSource struct {
	url    string
	last   string
	ids    []string
	events []string // types of control events
}

// open asks for the events behind the last seen.
func (v *eventSource) open(ctx context.Context) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.url, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", wire.ContentTypeSSE)
	if v.last != "" {
		req.Header.Set("Last-Event-ID", v.last)
	}
	return http.DefaultTransport.RoundTrip(req)
}

// watch connects until nothing more will come, and then tells.
func (v *eventSource) watch(ctx context.Context) <-chan error {
	over := make(chan error, 1)
	go func() {
		for {
			done, err := v.connect(ctx, -1)
			if done || err != nil {
				over <- err
				return
			}
		}
	}()
	return over
}

// connect reads one connection for at most n messages (negative: to its end).
// It reports whether the server has said that nothing more will come.
func (v *eventSource) connect(ctx context.Context, n int) (done bool, err error) {
	resp, err := v.open(ctx)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNoContent:
		return true, nil
	case http.StatusOK:
	default:
		body, _ := io.ReadAll(resp.Body)
		return false, fmt.Errorf("%s: %s", resp.Status, body)
	}
	r := wire.NewSSEReader(resp.Body, 4<<20)
	for ; n != 0; n-- {
		m, err := r.Next()
		if err != nil {
			return false, nil // dropped: come back
		}
		if m.ID == "" {
			v.events = append(v.events, m.Event)
			continue
		}
		v.last = m.ID
		id, _, _ := strings.Cut(m.ID, "~")
		v.ids = append(v.ids, id)
	}
	return false, nil
}

func (s *server) viewer(jobID string) *eventSource {
	return &eventSource{url: s.url() + "/v1/jobs/" + jobID + "/events"}
}

func event(t testing.TB, eventType string, data any) tidings.Event {
	t.Helper()
	e, err := tidings.NewEvent(eventType, data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// fill appends n events to a job and gives their IDs.
func fill(ctx context.Context, t testing.TB, to tidings.Appender, jobID string, n int) []string {
	t.Helper()
	var ids []string
	for len(ids) < n {
		var b tidings.Batch
		for i := range min(1000, n-len(ids)) {
			b.Events = append(b.Events, event(t, "custom", map[string]int{"n": len(ids) + i}))
		}
		r, err := to.Append(ctx, jobID, b)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range r.IDs {
			ids = append(ids, id.String())
		}
	}
	return ids
}

func finish(ctx context.Context, t testing.TB, to tidings.Appender, jobID string) string {
	t.Helper()
	r, err := to.Append(ctx, jobID, tidings.Batch{Events: []tidings.Event{event(t, tidings.TypeDone, nil)}})
	if err != nil {
		t.Fatal(err)
	}
	return r.LastID.String()
}

// 200 viewers who are cut off at random and come back with Last-Event-ID each
// end with exactly the job's events.
func TestViewersWhoComeAndGo(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, s *server) {
		ctx := testContext(t, 3*time.Minute)
		c := s.client(nil)
		want := fill(ctx, t, c, "job", 50)

		var wg sync.WaitGroup
		viewers := make([]*eventSource, 200)
		errs := make([]error, len(viewers))
		for i := range viewers {
			viewers[i] = s.viewer("job")
			wg.Go(func() {
				rng := rand.New(rand.NewPCG(7, uint64(i)))
				for {
					// A cut after some messages, now and then before the first.
					done, err := viewers[i].connect(ctx, 1+rng.IntN(60))
					if done || err != nil {
						errs[i] = err
						return
					}
				}
			})
		}
		for range 60 {
			want = append(want, fill(ctx, t, c, "job", 1+rand.IntN(12))...)
		}
		want = append(want, finish(ctx, t, c, "job"))
		wg.Wait()
		for i, v := range viewers {
			if errs[i] != nil {
				t.Fatalf("viewer %d: %v", i, errs[i])
			}
			if !slices.Equal(v.ids, want) {
				t.Fatalf("viewer %d has %d events, want %d", i, len(v.ids), len(want))
			}
		}
	})
}

// A viewer who comes late to a job of 50,000 events gets all of them over one
// connection and then what happens; one who comes back with the newest ID
// costs no reading of the other 50,000; a thousand who come back at once cost
// the store a number of reads that does not grow with them.
func TestLateViewersOfALongJob(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, s *server) {
		ctx := testContext(t, 4*time.Minute)
		c := s.client(nil)
		want := fill(ctx, t, c, "job", 50_000)

		late := s.viewer("job")
		arrived := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() {
			defer close(arrived)
			if _, err := late.connect(ctx, len(want)); err != nil {
				t.Error(err)
			}
		})
		<-arrived
		if !slices.Equal(late.ids, want) {
			t.Fatalf("the late viewer has %d events, want %d", len(late.ids), len(want))
		}

		read := s.metric("tidings_store_read_events_total")
		newest := s.viewer("job")
		newest.last = want[len(want)-1]
		live := make(chan error, 1)
		go func() {
			_, err := newest.connect(ctx, 1)
			live <- err
		}()
		eventually(t, 10*time.Second, "the viewer is connected", func() bool { return s.viewers() >= 1 })
		more := fill(ctx, t, c, "job", 1)
		if err := <-live; err != nil || !slices.Equal(newest.ids, more) {
			t.Errorf("resumed from the newest: got %v, want %v: %v", newest.ids, more, err)
		}
		if got := s.metric("tidings_store_read_events_total") - read; got > 2500 {
			t.Errorf("a resume from the newest of 50,000 read %v events", got)
		}
		want = append(want, more...)

		storm := func(n int) float64 {
			before := s.metric("tidings_store_reads_total")
			var wg sync.WaitGroup
			for range n {
				wg.Go(func() {
					at := len(want) - 2 - rand.IntN(5000)
					v := s.viewer("job")
					v.last = want[at]
					// A busy machine may refuse a connection; a viewer tries again.
					for len(v.ids) < len(want)-1-at && ctx.Err() == nil {
						_, _ = v.connect(ctx, len(want)-1-at-len(v.ids))
					}
					if !slices.Equal(v.ids, want[at+1:]) {
						t.Errorf("a returning viewer has %d events, want %d", len(v.ids), len(want)-1-at)
					}
				})
			}
			wg.Wait()
			return s.metric("tidings_store_reads_total") - before
		}
		few, many := storm(20), storm(1000)
		t.Logf("store reads: %v for 20 viewers, %v for 1,000", few, many)
		if many > 60 {
			t.Errorf("1,000 returning viewers cost %v reads of the store, 20 cost %v", many, few)
		}
	})
}

// A viewer who reads nothing for 30 seconds holds up nobody, and has missed nothing when it
// reads on.
func TestStalledViewer(t *testing.T) {
	t.Parallel()
	onEachStore(t, func(t *testing.T, s *server) {
		ctx := testContext(t, 3*time.Minute)
		c := s.client(nil)
		want := fill(ctx, t, c, "job", 1)

		stalled, err := s.viewer("job").open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer stalled.Body.Close() // and nothing is read for 30 seconds
		reads := time.After(30 * time.Second)

		quick := s.viewer("job")
		done := quick.watch(ctx)
		big := event(t, "custom", map[string]string{"pad": strings.Repeat("x", 8<<10)})
		for range 100 { // 16 MB: more than the sockets hold
			r, err := c.Append(ctx, "job", tidings.Batch{Events: slices.Repeat([]tidings.Event{big}, 20)})
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range r.IDs {
				want = append(want, id.String())
			}
		}
		want = append(want, finish(ctx, t, c, "job"))
		if err := <-done; err != nil || !slices.Equal(quick.ids, want) {
			t.Fatalf("the quick viewer has %d events, want %d: %v", len(quick.ids), len(want), err)
		}

		<-reads
		var ids []string
		r := wire.NewSSEReader(stalled.Body, 1<<20)
		for {
			m, err := r.Next()
			if err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				break
			}
			if m.ID != "" {
				id, _, _ := strings.Cut(m.ID, "~")
				ids = append(ids, id)
			}
		}
		if !slices.Equal(ids, want) {
			t.Errorf("the stalled viewer has %d events, want %d", len(ids), len(want))
		}
	})
}

// follow reads one connection to its end and tells the type of each message.
func (v *eventSource) follow(ctx context.Context, told chan<- string) {
	resp, err := v.open(ctx)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	r := wire.NewSSEReader(resp.Body, 4<<20)
	for {
		m, err := r.Next()
		if err != nil {
			return
		}
		told <- m.Event
	}
}

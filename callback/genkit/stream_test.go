package tidingsgenkit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/firebase/genkit/go/core"
	"github.com/firebase/genkit/go/core/x/streaming"

	"tidings"
	tidingsgenkit "tidings/callback/genkit"
	"tidings/pebblelog"
)

// The cases hold for Genkit's own manager too: ours behaves as that does.
func TestStreamsBehaveAsGenkitsOwn(t *testing.T) {
	for name, fn := range map[string]func(*testing.T, streaming.StreamManager){
		"all of an ended stream":           streamEnded,
		"what there is, then what comes":   streamLive,
		"an error keeps status and text":   streamError,
		"an error without a status":        streamPlainError,
		"an unknown stream is not found":   streamUnknown,
		"a second stream of the same ID":   streamTwice,
		"writing after the end":            streamAfterEnd,
		"writing after close":              streamAfterClose,
		"unsubscribing closes the channel": streamUnsubscribe,
		"odd chunks":                       streamOddChunks,
		"several subscribers":              streamSubscribers,
	} {
		t.Run("ours/"+name, func(t *testing.T) { fn(t, tidingsgenkit.NewStreamManager(pebble(t), nil)) })
		t.Run("genkit/"+name, func(t *testing.T) {
			m := streaming.NewInMemoryStreamManager()
			defer m.Close()
			fn(t, m)
		})
	}
}

func pebble(t *testing.T) *pebblelog.Store {
	t.Helper()
	s, err := pebblelog.Open(t.TempDir(), nil)
	must(t, err)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func write(t *testing.T, s streaming.StreamInput, chunks ...string) {
	t.Helper()
	for _, c := range chunks {
		must(t, s.Write(t.Context(), json.RawMessage(c)))
	}
}

func open(t *testing.T, m streaming.StreamManager, id string) streaming.StreamInput {
	t.Helper()
	s, err := m.Open(t.Context(), id)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func subscribe(t *testing.T, m streaming.StreamManager, id string) (<-chan streaming.StreamEvent, func()) {
	t.Helper()
	events, unsubscribe, err := m.Subscribe(t.Context(), id)
	must(t, err)
	t.Cleanup(unsubscribe)
	return events, unsubscribe
}

// read reads to the end of the channel and gives what came as a text.
func read(t *testing.T, events <-chan streaming.StreamEvent) string {
	t.Helper()
	var all []string
	for {
		text, ok := one(t, events)
		if !ok {
			return strings.Join(all, " ")
		}
		all = append(all, text)
	}
}

func one(t *testing.T, events <-chan streaming.StreamEvent) (string, bool) {
	t.Helper()
	select {
	case e, ok := <-events:
		switch {
		case !ok:
			return "", false
		case e.Type == streaming.StreamEventChunk:
			return string(e.Chunk), true
		case e.Type == streaming.StreamEventDone:
			return "done:" + string(e.Output), true
		}
		return fmt.Sprintf("error:%s:%v", status(e.Err), e.Err), true
	case <-time.After(30 * time.Second):
		t.Fatal("nothing came for 30 s")
	}
	return "", false
}

func status(err error) core.StatusName {
	var public *core.UserFacingError
	var internal *core.GenkitError
	switch {
	case errors.As(err, &public):
		return public.Status
	case errors.As(err, &internal):
		return internal.Status
	}
	return core.INTERNAL
}

func wantStatus(t *testing.T, err error, want core.StatusName) {
	t.Helper()
	if err == nil || status(err) != want {
		t.Errorf("got %v, want an error with status %s", err, want)
	}
}

func streamEnded(t *testing.T, m streaming.StreamManager) {
	s := open(t, m, "s")
	write(t, s, `"a"`, `{"b":[1,2]}`)
	must(t, s.Done(t.Context(), json.RawMessage(`{"all":"a"}`)))
	for range 2 { // again and again
		events, _ := subscribe(t, m, "s")
		if got, want := read(t, events), `"a" {"b":[1,2]} done:{"all":"a"}`; got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func streamLive(t *testing.T, m streaming.StreamManager) {
	s := open(t, m, "s")
	write(t, s, `"a"`)
	events, _ := subscribe(t, m, "s")
	if got, _ := one(t, events); got != `"a"` {
		t.Errorf("got %s first", got)
	}
	write(t, s, `"b"`)
	if got, _ := one(t, events); got != `"b"` {
		t.Errorf("got %s then", got)
	}
	write(t, s, `"c"`)
	must(t, s.Done(t.Context(), json.RawMessage(`"d"`)))
	if got := read(t, events); got != `"c" done:"d"` {
		t.Errorf("got %s at the end", got)
	}
}

func streamError(t *testing.T, m streaming.StreamManager) {
	s := open(t, m, "s")
	write(t, s, `"a"`)
	must(t, s.Error(t.Context(), core.NewPublicError(core.PERMISSION_DENIED, "not you", nil)))
	events, _ := subscribe(t, m, "s")
	if got, want := read(t, events), `"a" error:PERMISSION_DENIED:PERMISSION_DENIED: not you`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func streamPlainError(t *testing.T, m streaming.StreamManager) {
	s := open(t, m, "s")
	must(t, s.Error(t.Context(), errors.New("it broke")))
	events, _ := subscribe(t, m, "s")
	if got, want := read(t, events), `error:INTERNAL_SERVER_ERROR:it broke`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func streamUnknown(t *testing.T, m streaming.StreamManager) {
	for _, id := range []string{"none", "", "{odd}", strings.Repeat("x", 300)} {
		_, _, err := m.Subscribe(t.Context(), id)
		wantStatus(t, err, core.NOT_FOUND)
	}
}

func streamTwice(t *testing.T, m streaming.StreamManager) {
	s := open(t, m, "s")
	_, err := m.Open(t.Context(), "s")
	wantStatus(t, err, core.ALREADY_EXISTS)
	must(t, s.Done(t.Context(), nil))
	_, err = m.Open(t.Context(), "s")
	wantStatus(t, err, core.ALREADY_EXISTS)
}

func streamAfterEnd(t *testing.T, m streaming.StreamManager) {
	s := open(t, m, "s")
	must(t, s.Done(t.Context(), json.RawMessage(`1`)))
	wantStatus(t, s.Write(t.Context(), json.RawMessage(`2`)), core.FAILED_PRECONDITION)
	wantStatus(t, s.Done(t.Context(), json.RawMessage(`2`)), core.FAILED_PRECONDITION)
	wantStatus(t, s.Error(t.Context(), errors.New("late")), core.FAILED_PRECONDITION)
	must(t, s.Close())
	events, _ := subscribe(t, m, "s")
	if got := read(t, events); got != "done:1" {
		t.Errorf("got %s", got)
	}
}

func streamAfterClose(t *testing.T, m streaming.StreamManager) {
	s := open(t, m, "s")
	write(t, s, `"a"`)
	must(t, s.Close())
	must(t, s.Close())
	wantStatus(t, s.Write(t.Context(), json.RawMessage(`2`)), core.FAILED_PRECONDITION)
	wantStatus(t, s.Done(t.Context(), json.RawMessage(`2`)), core.FAILED_PRECONDITION)
	events, _ := subscribe(t, m, "s")
	if got, _ := one(t, events); got != `"a"` {
		t.Errorf("got %s, want what was written before", got)
	}
}

func streamUnsubscribe(t *testing.T, m streaming.StreamManager) {
	s := open(t, m, "s")
	write(t, s, `"a"`)
	events, unsubscribe := subscribe(t, m, "s")
	if got, _ := one(t, events); got != `"a"` {
		t.Errorf("got %s", got)
	}
	unsubscribe()
	unsubscribe()
	if got, more := one(t, events); more {
		t.Errorf("got %s after unsubscribing", got)
	}
	write(t, s, `"b"`) // the stream lives on
}

func streamOddChunks(t *testing.T, m streaming.StreamManager) {
	s := open(t, m, "s")
	chunks := []string{`null`, `""`, `"\ud83d\ude00 \u2028"`, `1e400`, `{"a":1,"a":2}`, `[]`, `"` + strings.Repeat("x", 200_000) + `"`}
	write(t, s, chunks...)
	must(t, s.Done(t.Context(), json.RawMessage(`"`+strings.Repeat("y", 200_000)+`"`)))
	events, _ := subscribe(t, m, "s")
	if got, want := read(t, events), strings.Join(chunks, " ")+` done:"`+strings.Repeat("y", 200_000)+`"`; got != want {
		t.Errorf("got %.200s…, want %.200s…", got, want)
	}
}

func streamSubscribers(t *testing.T, m streaming.StreamManager) {
	s := open(t, m, "s")
	var all []<-chan streaming.StreamEvent
	for i := range 10 {
		write(t, s, fmt.Sprint(i))
		events, _ := subscribe(t, m, "s")
		all = append(all, events)
	}
	must(t, s.Done(t.Context(), json.RawMessage(`"end"`)))
	for i, events := range all {
		if got, want := read(t, events), `0 1 2 3 4 5 6 7 8 9 done:"end"`; got != want {
			t.Errorf("subscriber %d got %s", i, got)
		}
	}
}

// What follows is more than Genkit's own manager does.

func TestSlowSubscriberLosesNoChunk(t *testing.T) {
	m := tidingsgenkit.NewStreamManager(pebble(t), nil)
	s := open(t, m, "s")
	events, _ := subscribe(t, m, "s") // reads nothing until the end
	const chunks = 1000
	for i := range chunks {
		write(t, s, fmt.Sprint(i))
	}
	must(t, s.Done(t.Context(), nil))
	if n := strings.Count(read(t, events), " "); n != chunks {
		t.Errorf("%d chunks came, want %d", n, chunks)
	}
}

func TestStreamOutlivesTheProcessThatWroteIt(t *testing.T) {
	dir := t.TempDir()
	store, err := pebblelog.Open(dir, nil)
	must(t, err)
	s := open(t, tidingsgenkit.NewStreamManager(store, nil), "s")
	write(t, s, `"a"`)
	must(t, s.Done(t.Context(), json.RawMessage(`"b"`)))
	must(t, store.Close())

	store, err = pebblelog.Open(dir, nil)
	must(t, err)
	defer func() { must(t, store.Close()) }()
	events, unsubscribe := subscribe(t, tidingsgenkit.NewStreamManager(store, nil), "s")
	defer unsubscribe()
	if got := read(t, events); got != `"a" done:"b"` {
		t.Errorf("got %s", got)
	}
}

func TestStreamWhoseWriterIsGoneEndsWithAnError(t *testing.T) {
	m := tidingsgenkit.NewStreamManager(pebble(t), &tidingsgenkit.StreamOptions{
		Handler: tidings.HandlerOptions{LeaseTTL: 300 * time.Millisecond, HeartbeatEvery: 50 * time.Millisecond},
	})
	s := open(t, m, "s")
	write(t, s, `"a"`)
	events, _ := subscribe(t, m, "s")
	must(t, s.Close()) // as a process that ends midway: no more heartbeats
	if got, want := read(t, events), `"a" error:UNAVAILABLE:the writer of the stream is gone`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestQuietStreamWhoseWriterLivesIsWaitedFor(t *testing.T) {
	m := tidingsgenkit.NewStreamManager(pebble(t), &tidingsgenkit.StreamOptions{
		Handler: tidings.HandlerOptions{LeaseTTL: 30 * time.Second},
	})
	s := open(t, m, "s")
	events, _ := subscribe(t, m, "s")
	select {
	case e := <-events:
		t.Errorf("got %+v", e)
	case <-time.After(50 * time.Millisecond): // may pass for another reason; can't fail for it
	}
	must(t, s.Done(t.Context(), json.RawMessage(`1`)))
	if got := read(t, events); got != "done:1" {
		t.Errorf("got %s", got)
	}
}

func TestExpiredStreamsAreNotFoundAndMakeRoom(t *testing.T) {
	store := pebble(t)
	m := tidingsgenkit.NewStreamManager(store, &tidingsgenkit.StreamOptions{TTL: time.Nanosecond})
	for _, id := range []string{"one", "two"} {
		must(t, open(t, m, id).Done(t.Context(), json.RawMessage(`1`)))
	}
	open(t, m, "running")
	_, _, err := m.Subscribe(t.Context(), "one")
	wantStatus(t, err, core.NOT_FOUND)

	must(t, open(t, m, "one").Done(t.Context(), json.RawMessage(`2`)))
	keeps := tidingsgenkit.NewStreamManager(store, &tidingsgenkit.StreamOptions{TTL: -1})
	events, _ := subscribe(t, keeps, "one")
	if got := read(t, events); got != "done:2" {
		t.Errorf("got %s", got)
	}
	if n, err := m.Sweep(t.Context()); n != 2 || err != nil {
		t.Errorf("swept %d streams, %v; want the 2 that have ended", n, err)
	}
	if _, err := store.Job(t.Context(), m.JobID("running")); err != nil {
		t.Errorf("the running stream: %v", err)
	}
}

func TestDeletedStreamEndsItsSubscriptions(t *testing.T) {
	store := pebble(t)
	m := tidingsgenkit.NewStreamManager(store, nil)
	s := open(t, m, "s")
	write(t, s, `"a"`)
	events, _ := subscribe(t, m, "s")
	if got, _ := one(t, events); got != `"a"` {
		t.Errorf("got %s", got)
	}
	must(t, store.Delete(t.Context(), m.JobID("s")))
	if got := read(t, events); !strings.HasPrefix(got, "error:NOT_FOUND") {
		t.Errorf("got %s", got)
	}
}

func TestStreamThatIsAskedToStopEndsAsCancelled(t *testing.T) {
	store := pebble(t)
	m := tidingsgenkit.NewStreamManager(store, nil)
	s := open(t, m, "s")
	must(t, tidings.RequestCancel(t.Context(), store, m.JobID("s"), "ada", "enough"))
	must(t, s.Error(t.Context(), fmt.Errorf("the flow: %w", &tidings.CancelledError{})))
	events, _ := subscribe(t, m, "s")
	if got := read(t, events); !strings.HasPrefix(got, "error:CANCELLED") {
		t.Errorf("got %s", got)
	}
}

func TestChunkThatIsNoJSONIsRefused(t *testing.T) {
	s := open(t, tidingsgenkit.NewStreamManager(pebble(t), nil), "s")
	wantStatus(t, s.Write(t.Context(), json.RawMessage(`{`)), core.INVALID_ARGUMENT)
	_, err := tidingsgenkit.NewStreamManager(pebble(t), nil).Open(t.Context(), "{odd}")
	wantStatus(t, err, core.INVALID_ARGUMENT)
}

func TestStoreThatIsAwayIsUnavailable(t *testing.T) {
	store, err := pebblelog.Open(t.TempDir(), nil)
	must(t, err)
	must(t, store.Close())
	m := tidingsgenkit.NewStreamManager(store, nil)
	_, err = m.Open(t.Context(), "s")
	wantStatus(t, err, core.UNAVAILABLE)
	_, _, err = m.Subscribe(t.Context(), "s")
	wantStatus(t, err, core.UNAVAILABLE)
}

func TestSubscriptionEndsWithItsContext(t *testing.T) {
	m := tidingsgenkit.NewStreamManager(pebble(t), nil)
	open(t, m, "s")
	ctx, cancel := context.WithCancel(t.Context())
	events, unsubscribe, err := m.Subscribe(ctx, "s")
	must(t, err)
	defer unsubscribe()
	cancel()
	if got, more := one(t, events); more {
		t.Errorf("got %s", got)
	}
}

package hub_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/hub"
	"tidings/pebblelog"
	"tidings/wire"
)

func openStore(t testing.TB, opts *pebblelog.Options) *pebblelog.Store {
	t.Helper()
	s, err := pebblelog.Open(t.TempDir(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func newHub(t testing.TB, source hub.Source, opts *hub.Options) *hub.Hub {
	t.Helper()
	h := hub.New(source, wire.AppendFrame, opts)
	t.Cleanup(h.Close)
	return h
}

// appendN appends n events in batches and gives their IDs.
func appendN(t testing.TB, s tidings.Appender, jobID string, n int) []tidings.ID {
	t.Helper()
	var ids []tidings.ID
	for len(ids) < n {
		var b tidings.Batch
		for i := range min(500, n-len(ids)) {
			b.Events = append(b.Events, event(t, "custom", map[string]any{"n": len(ids) + i}))
		}
		r, err := s.Append(t.Context(), jobID, b)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.IDs...)
	}
	return ids
}

func appendEvent(t testing.TB, s tidings.Appender, jobID, eventType string) tidings.ID {
	t.Helper()
	r, err := s.Append(t.Context(), jobID, tidings.Batch{Events: []tidings.Event{event(t, eventType, map[string]any{})}})
	if err != nil {
		t.Fatal(err)
	}
	return r.LastID
}

func event(t testing.TB, eventType string, data any) tidings.Event {
	t.Helper()
	e, err := tidings.NewEvent(eventType, data)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// watcher collects what one viewer is given.
type watcher struct {
	ids     []tidings.ID
	notices []hub.Notice
	last    hub.Delivery
}

// watch joins and takes deliveries until stop says so or nothing can follow.
func watch(ctx context.Context, h *hub.Hub, jobID string, after tidings.Cursor, types []string, stop func(*watcher) bool) (*watcher, error) {
	v, err := h.Join(ctx, jobID, after, types)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	w := &watcher{}
	for !stop(w) {
		d, err := v.Next(ctx)
		if err != nil {
			return w, err
		}
		w.take(*d)
		switch d.Notice {
		case hub.NoticeEnd, hub.NoticeDeleted, hub.NoticeShutdown:
			return w, nil
		}
	}
	return w, nil
}

func (w *watcher) take(d hub.Delivery) {
	w.last = d
	if d.Notice != hub.NoticeNone {
		if d.Notice != hub.NoticeIdle {
			w.notices = append(w.notices, d.Notice)
		}
		return
	}
	r := wire.NewSSEReader(bytes.NewReader(d.Frames), 1<<20)
	for {
		m, err := r.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			panic(err)
		}
		c, err := tidings.ParseCursor(m.ID)
		if err != nil {
			panic(err)
		}
		w.ids = append(w.ids, c.ID)
	}
}

func never(*watcher) bool { return false }

func seen(n int) func(*watcher) bool { return func(w *watcher) bool { return len(w.ids) >= n } }

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// Many viewers come at any time, with any cursor and at any pace while a job
// is written: each is given exactly what lies behind its cursor.
func TestEveryViewerIsGivenExactlyTheLog(t *testing.T) {
	t.Parallel()
	s := openStore(t, nil)
	h := newHub(t, s, &hub.Options{RingBytes: 32 << 10, PageEvents: 70, PageBytes: 16 << 10})
	ctx := testContext(t)
	log := appendN(t, s, "job", 300)
	var mu sync.Mutex // guards log

	var wg sync.WaitGroup
	wg.Go(func() {
		rng := rand.New(rand.NewPCG(1, 2))
		for len(log) < 2500 {
			ids := appendN(t, s, "job", 1+rng.IntN(30))
			mu.Lock()
			log = append(log, ids...)
			mu.Unlock()
		}
		id := appendEvent(t, s, "job", tidings.TypeDone)
		mu.Lock()
		log = append(log, id)
		mu.Unlock()
	})

	type result struct {
		after tidings.ID
		ids   []tidings.ID
		err   error
	}
	results := make([]result, 60)
	for i := range results {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(3, uint64(i)))
			mu.Lock()
			after := tidings.ID{}
			if i%3 > 0 {
				after = log[rng.IntN(len(log))]
			}
			mu.Unlock()
			v, err := h.Join(ctx, "job", tidings.Cursor{ID: after}, nil)
			if err != nil {
				results[i].err = err
				return
			}
			defer v.Close()
			w := &watcher{}
			for w.last.Notice != hub.NoticeEnd {
				d, err := v.Next(ctx)
				if err != nil {
					results[i].err = err
					return
				}
				w.take(*d)
				if i%5 == 0 { // a slow one: let the writer run ahead
					appendEvent(t, s, fmt.Sprint("other-", i), "custom")
				}
			}
			results[i] = result{after: after, ids: w.ids}
		})
	}
	wg.Wait()
	for i, r := range results {
		if r.err != nil {
			t.Fatalf("viewer %d: %v", i, r.err)
		}
		want := log
		if !r.after.IsZero() {
			at, _ := slices.BinarySearchFunc(log, r.after, tidings.ID.Compare)
			want = log[at+1:]
		}
		if !slices.Equal(r.ids, want) {
			t.Errorf("viewer %d after %s: %d events, want %d", i, r.after, len(r.ids), len(want))
		}
	}
}

// Viewers that come back at once are served from the ring and from shared pages:
// the store is asked as often as the log has pages, however many they are.
func TestReadsDoNotGrowWithViewers(t *testing.T) {
	t.Parallel()
	s := openStore(t, nil)
	log := appendN(t, s, "job", 5000)
	ctx := testContext(t)
	const pageEvents = 500
	storm := func(h *hub.Hub, viewers int) {
		var wg sync.WaitGroup
		for range viewers {
			wg.Go(func() {
				at := rand.IntN(len(log))
				w, err := watch(ctx, h, "job", tidings.Cursor{ID: log[at]}, nil, seen(len(log)-1-at))
				if err != nil || !slices.Equal(w.ids, log[at+1:]) {
					t.Errorf("a viewer got %d events, want %d: %v", len(w.ids), len(log)-1-at, err)
				}
			})
		}
		wg.Wait()
	}
	for _, viewers := range []int{10, 400} {
		h := newHub(t, s, &hub.Options{PageEvents: pageEvents})
		storm(h, viewers)
		// Pages overlap, as viewers do not all come at the same instant.
		if got, bound := h.Stats().Reads, int64(3*len(log)/pageEvents+10); got > bound {
			t.Errorf("%d viewers cost %d reads, want at most %d", viewers, got, bound)
		}
	}
}

// A viewer who takes nothing while thousands of events pass holds nobody up and
// misses nothing.
func TestSlowViewerCostsOnlyItself(t *testing.T) {
	t.Parallel()
	s := openStore(t, nil)
	h := newHub(t, s, &hub.Options{RingBytes: 16 << 10})
	ctx := testContext(t)
	log := appendN(t, s, "job", 1)
	slow, err := h.Join(ctx, "job", tidings.Cursor{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()

	quick := make(chan *watcher, 1)
	go func() {
		w, _ := watch(ctx, h, "job", tidings.Cursor{}, nil, never)
		quick <- w
	}()
	log = append(log, appendN(t, s, "job", 3000)...)
	log = append(log, appendEvent(t, s, "job", tidings.TypeDone))
	if w := <-quick; !slices.Equal(w.ids, log) {
		t.Fatalf("the quick viewer got %d events, want %d", len(w.ids), len(log))
	}

	w := &watcher{}
	for w.last.Notice != hub.NoticeEnd {
		d, err := slow.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		w.take(*d)
	}
	if !slices.Equal(w.ids, log) {
		t.Errorf("the slow viewer got %d events, want %d", len(w.ids), len(log))
	}
}

func TestOutcomesOfAResume(t *testing.T) {
	t.Parallel()
	s := openStore(t, &pebblelog.Options{Retention: tidings.Retention{EventsPerJob: 100}})
	h := newHub(t, s, nil)
	ctx := testContext(t)
	log := appendN(t, s, "job", 1000)
	if err := s.Retain(ctx); err != nil {
		t.Fatal(err)
	}
	held, err := s.Read(ctx, "job", tidings.Query{Backward: true, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	at, _ := slices.BinarySearchFunc(log, held.First, tidings.ID.Compare)

	t.Run("continues exactly", func(t *testing.T) {
		w, err := watch(ctx, h, "job", tidings.Cursor{ID: log[990], Incarnation: held.Incarnation}, nil, seen(9))
		if err != nil || len(w.notices) > 0 || !slices.Equal(w.ids, log[991:]) {
			t.Errorf("got %d events and notices %v: %v", len(w.ids), w.notices, err)
		}
	})
	for name, cursor := range map[string]tidings.Cursor{"from the start": {}, "from a trimmed event": {ID: log[10]}} {
		t.Run("gap "+name, func(t *testing.T) {
			w, err := watch(ctx, h, "job", cursor, nil, seen(len(log)-at))
			if err != nil || !slices.Equal(w.notices, []hub.Notice{hub.NoticeGap}) || !slices.Equal(w.ids, log[at:]) {
				t.Errorf("got %d events, want %d, and notices %v: %v", len(w.ids), len(log)-at, w.notices, err)
			}
		})
	}
	if n := h.Stats().Gaps; n != 1 { // who begins at the start has lost nothing that it had seen
		t.Errorf("%d gaps were counted", n)
	}
	for name, cursor := range map[string]tidings.Cursor{
		"another incarnation": {ID: log[995], Incarnation: "0ther"},
		"beyond the last":     {ID: tidings.ID{Ms: log[999].Ms + 1_000_000}},
	} {
		t.Run("rewound by "+name, func(t *testing.T) {
			// The start is trimmed too, so that is told next.
			w, err := watch(ctx, h, "job", cursor, nil, seen(len(log)-at))
			if err != nil || !slices.Equal(w.notices, []hub.Notice{hub.NoticeRewound, hub.NoticeGap}) || !slices.Equal(w.ids, log[at:]) {
				t.Errorf("got %d events and notices %v: %v", len(w.ids), w.notices, err)
			}
		})
	}
	t.Run("unknown job", func(t *testing.T) {
		if _, err := h.Join(ctx, "nobody", tidings.Cursor{}, nil); !errors.Is(err, tidings.ErrUnknownJob) {
			t.Errorf("got %v", err)
		}
	})
}

func TestDeletedUnderViewer(t *testing.T) {
	t.Parallel()
	s := openStore(t, nil)
	h := newHub(t, s, nil)
	ctx := testContext(t)
	appendN(t, s, "job", 3)
	got := make(chan *watcher, 1)
	v, err := h.Join(ctx, "job", tidings.Cursor{}, nil) // the topic is up
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	go func() {
		w, _ := watch(ctx, h, "job", tidings.Cursor{}, nil, never)
		got <- w
	}()
	if err := s.Delete(ctx, "job"); err != nil {
		t.Fatal(err)
	}
	if w := <-got; w == nil || !slices.Contains(w.notices, hub.NoticeDeleted) {
		// A viewer that came after the deletion is refused instead.
		if w != nil {
			t.Errorf("notices %v", w.notices)
		}
	}
	again := appendN(t, s, "job", 2)
	w, err := watch(ctx, h, "job", tidings.Cursor{}, nil, seen(2))
	if err != nil || !slices.Equal(w.ids, again) {
		t.Errorf("the new log: got %v, want %v: %v", w.ids, again, err)
	}
}

func TestEndOfLog(t *testing.T) {
	t.Parallel()
	s := openStore(t, nil)
	h := newHub(t, s, nil)
	ctx := testContext(t)
	log := append(appendN(t, s, "job", 3), appendEvent(t, s, "job", tidings.TypeCancelled))
	w, err := watch(ctx, h, "job", tidings.Cursor{}, nil, never)
	if err != nil || !slices.Equal(w.ids, log) || w.last.Status != tidings.StatusCancelled {
		t.Errorf("got %v ending %q: %v", w.ids, w.last.Status, err)
	}
	for cursor, want := range map[tidings.ID]bool{log[3]: true, log[2]: false, {}: false} {
		v, err := h.Join(ctx, "job", tidings.Cursor{ID: cursor}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if v.AtEnd() != want {
			t.Errorf("AtEnd at %s is %v", cursor, !want)
		}
		v.Close()
	}
}

func TestTypesFilter(t *testing.T) {
	t.Parallel()
	s := openStore(t, nil)
	h := newHub(t, s, &hub.Options{RingBytes: 8 << 10})
	ctx := testContext(t)
	appendN(t, s, "job", 2000)
	want := []tidings.ID{appendEvent(t, s, "job", "tool_call")}
	appendN(t, s, "job", 2000)
	want = append(want, appendEvent(t, s, "job", "done"))
	w, err := watch(ctx, h, "job", tidings.Cursor{}, []string{"tool_call", "done"}, never)
	if err != nil || !slices.Equal(w.ids, want) {
		t.Errorf("got %v, want %v: %v", w.ids, want, err)
	}
}

func TestStalledAndResumed(t *testing.T) {
	t.Parallel()
	s := openStore(t, nil)
	h := newHub(t, s, &hub.Options{Heartbeat: 200 * time.Millisecond})
	ctx := testContext(t)
	appendN(t, s, "job", 1)
	if err := s.Heartbeat(ctx, "job", tidings.Lease{TTL: 300 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	w, err := watch(ctx, h, "job", tidings.Cursor{}, nil, func(w *watcher) bool {
		if len(w.notices) == 1 && len(w.ids) == 1 {
			appendN(t, s, "job", 1) // the job is back
		}
		return len(w.notices) == 2
	})
	if err != nil || !slices.Equal(w.notices, []hub.Notice{hub.NoticeStalled, hub.NoticeResumed}) {
		t.Errorf("notices %v: %v", w.notices, err)
	}
}

func TestLimitsAndClose(t *testing.T) {
	t.Parallel()
	s := openStore(t, nil)
	h := newHub(t, s, &hub.Options{MaxViewers: 3, MaxViewersPerJob: 2})
	ctx := testContext(t)
	appendN(t, s, "a", 1)
	appendN(t, s, "b", 1)
	var viewers []*hub.Viewer
	join := func(job string) error {
		v, err := h.Join(ctx, job, tidings.Cursor{}, nil)
		if err == nil {
			viewers = append(viewers, v)
		}
		return err
	}
	if err := errors.Join(join("a"), join("a")); err != nil {
		t.Fatal(err)
	}
	if tooMany, ok := errors.AsType[*hub.TooManyViewersError](join("a")); !ok || !tooMany.PerJob {
		t.Errorf("a third viewer of a job was let in")
	}
	if err := join("b"); err != nil {
		t.Fatal(err)
	}
	if tooMany, ok := errors.AsType[*hub.TooManyViewersError](join("b")); !ok || tooMany.PerJob {
		t.Errorf("a fourth viewer of the node was let in")
	}
	viewers[0].Close()
	viewers[0].Close() // counts once
	if err := join("b"); err != nil {
		t.Errorf("a place that became free: %v", err)
	}

	h.Close()
	d, err := viewers[1].Next(ctx)
	for err == nil && d.Notice == hub.NoticeNone {
		d, err = viewers[1].Next(ctx)
	}
	if err != nil || d.Notice != hub.NoticeShutdown {
		t.Errorf("after Close a viewer is told %v: %v", d.Notice, err)
	}
	if err := join("a"); !errors.Is(err, hub.ErrClosed) {
		t.Errorf("Join after Close: %v", err)
	}
}

// However many jobs are watched, their rings stay within what they share.
func TestRingsShareABudget(t *testing.T) {
	t.Parallel()
	s := openStore(t, nil)
	h := newHub(t, s, &hub.Options{RingsBytes: 320 << 10})
	ctx := testContext(t)
	const jobs = 10
	var logs [jobs][]tidings.ID
	var viewers [jobs]*hub.Viewer
	for i := range jobs {
		logs[i] = appendN(t, s, fmt.Sprint("job-", i), 1)
		v, err := h.Join(ctx, fmt.Sprint("job-", i), tidings.Cursor{}, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close()
		viewers[i] = v
	}
	for i := range jobs {
		logs[i] = append(logs[i], appendN(t, s, fmt.Sprint("job-", i), 2000)...)
		w := &watcher{}
		for len(w.ids) < len(logs[i]) {
			d, err := viewers[i].Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			w.take(*d)
		}
		if !slices.Equal(w.ids, logs[i]) {
			t.Errorf("viewer %d has %d events, want %d", i, len(w.ids), len(logs[i]))
		}
	}
	if got := h.RingBytes(); got > 1<<20 {
		t.Errorf("the rings hold %d bytes", got)
	}
}

func TestQuietViewerIsToldSo(t *testing.T) {
	t.Parallel()
	s := openStore(t, nil)
	h := newHub(t, s, &hub.Options{Heartbeat: 200 * time.Millisecond})
	ctx := testContext(t)
	appendN(t, s, "job", 1)
	_, err := watch(ctx, h, "job", tidings.Cursor{}, nil, func(w *watcher) bool { return w.last.Notice == hub.NoticeIdle })
	if err != nil {
		t.Error(err)
	}
}

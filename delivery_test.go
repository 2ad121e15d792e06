package tidings_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tidings"
	"tidings/internal/memlog"
)

// What goes wrong on purpose need not be read.
func init() { slog.SetDefault(quiet()) }

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// names gives the names of the job's custom events, in order, and checks that
// IDs are those of one log.
func names(t *testing.T, store *memlog.Log, jobID string) []string {
	t.Helper()
	var out []string
	for _, e := range store.Events(jobID) {
		var d struct{ Name string }
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatalf("%s: %v", e.Data, err)
		}
		if e.Type == tidings.TypeCustom {
			out = append(out, d.Name)
		}
	}
	return out
}

func numbered(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprint(i)
	}
	return out
}

func equal(t *testing.T, got, want []string) {
	t.Helper()
	if strings.Join(got, " ") != strings.Join(want, " ") {
		at := 0
		for at < min(len(got), len(want)) && got[at] == want[at] {
			at++
		}
		t.Errorf("the log has %d names, want %d; from the %dth on they are %.300q, want %.300q",
			len(got), len(want), at, strings.Join(got[at:], " "), strings.Join(want[at:], " "))
	}
}

// flaky fails appends at random: before or after writing, by turns for long.
func flaky(r *rand.Rand) func(int) memlog.Fault {
	down := 0
	return func(int) memlog.Fault {
		if down > 0 {
			down--
			return memlog.Fault{Before: tidings.ErrUnavailable}
		}
		switch r.IntN(6) {
		case 0:
			down = r.IntN(8)
			return memlog.Fault{Before: tidings.ErrUnavailable}
		case 1:
			return memlog.Fault{After: tidings.ErrUnavailable}
		case 2:
			return memlog.Fault{After: errors.New("connection reset by peer")}
		}
		return memlog.Fault{}
	}
}

// TestEveryEventOnceInOrder is the promise: whatever the store does, the log
// ends with exactly what was published.
func TestEveryEventOnceInOrder(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { checkOnceInOrder(t, seed, nil) })
		})
	}
}

// The same with a queue that is far too small and a spool.
func TestEveryEventOnceInOrderThroughTheSpool(t *testing.T) {
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				checkOnceInOrder(t, seed, &tidings.HandlerOptions{SpoolDir: dir, QueueBytes: 24 << 10})
			})
			if left := spoolFiles(t, dir); len(left) > 0 {
				t.Errorf("the spool folder still holds %v", left)
			}
		})
	}
}

func checkOnceInOrder(t *testing.T, seed uint64, opts *tidings.HandlerOptions) {
	r := rand.New(rand.NewPCG(seed, 1))
	store := memlog.New()
	store.Fault = flaky(rand.New(rand.NewPCG(seed, 2)))
	if opts == nil {
		opts = &tidings.HandlerOptions{}
	}
	opts.Logger = quiet()
	if r.IntN(2) == 0 {
		opts.Epoch = 7
	}
	job := tidings.Start(t.Context(), "job", store, opts)
	const n = 400
	var text strings.Builder
	m := job.Model(t.Context(), "fake")
	for i := range n {
		job.Custom(fmt.Sprint(i), strings.Repeat("x", r.IntN(60)))
		if r.IntN(3) == 0 {
			piece := fmt.Sprintf("<%d>", i)
			text.WriteString(piece)
			m.Delta("", piece)
		}
		switch r.IntN(25) {
		case 0:
			time.Sleep(time.Duration(r.IntN(400)) * time.Millisecond)
		case 1:
			store.Forget() // a failover that lost the producers
		case 2:
			synctest.Wait()
		}
		if opts.SpoolDir != "" && i%10 == 0 {
			synctest.Wait() // a queue this small needs the spiller's help
		}
	}
	m.End("", nil)
	job.End(nil, nil)
	ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
	defer cancel()
	if err := job.Close(ctx); err != nil {
		t.Fatal(err)
	}
	equal(t, names(t, store, "job"), numbered(n))
	if got := deltas(t, store.Events("job")); got != text.String() {
		t.Errorf("the deltas add up to %q, want %q", got, text.String())
	}
	if s := job.Stats(); s.Dropped != 0 || s.Strays != 0 || s.Queued != 0 || s.QueuedBytes != 0 {
		t.Errorf("stats %+v", s)
	}
	if events := store.Events("job"); events[len(events)-1].Type != tidings.TypeDone {
		t.Errorf("the log ends with %s", events[len(events)-1].Type)
	}
}

func deltas(t *testing.T, events []tidings.Event) string {
	var text strings.Builder
	for _, e := range events {
		var d struct{ Delta string }
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatal(err)
		}
		text.WriteString(d.Delta)
	}
	return text.String()
}

func TestRetriesRepeatTheSameBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		store.Fault = func(call int) memlog.Fault {
			if call < 4 {
				return memlog.Fault{After: tidings.ErrUnavailable}
			}
			return memlog.Fault{}
		}
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Logger: quiet()})
		synctest.Wait()
		job.Custom("late", nil)
		if err := job.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, b := range store.Appends[:5] {
			if len(b.Events) != 1 || *b.Producer != *store.Appends[0].Producer || string(b.Events[0].Data) != string(store.Appends[0].Events[0].Data) {
				t.Errorf("try %d sent %d events as %+v, the first one %+v", i, len(b.Events), b.Producer, store.Appends[0].Producer)
			}
		}
		if got := len(store.Events("job")); got != 2 {
			t.Errorf("the log has %d events, want 2", got)
		}
		if s := job.Stats(); s.Retried != 4 || s.Sent != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestDeltasAreJoinedButTheFirstIsNotHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		job := tidings.Start(t.Context(), "job", store, nil)
		m := job.Model(t.Context(), "fake")
		synctest.Wait()
		before := len(store.Events("job"))
		m.Delta("", "first ")
		synctest.Wait() // no time passes
		if got := len(store.Events("job")) - before; got != 1 {
			t.Fatalf("%d events at once, want 1: the first token must not wait", got)
		}
		for range 5 { // 4 ms apart: within the 25 ms after the first
			time.Sleep(4 * time.Millisecond)
			m.Delta("", "x")
		}
		synctest.Wait()
		if got := len(store.Events("job")) - before; got != 1 {
			t.Errorf("%d events within 25 ms, want 1", got)
		}
		time.Sleep(6 * time.Millisecond)
		synctest.Wait()
		if got := len(store.Events("job")) - before; got != 2 {
			t.Errorf("%d events after 26 ms, want 2", got)
		}
		m.Delta("", "y")
		job.Custom("now", nil) // nothing is held back behind another event
		synctest.Wait()
		if got := len(store.Events("job")) - before; got != 4 {
			t.Errorf("%d events, want 4", got)
		}
		if err := job.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestInterleavedStreamsAreJoinedEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		job := tidings.Start(t.Context(), "job", store, nil)
		a, b := job.Model(t.Context(), "a"), job.Model(t.Context(), "b")
		a.Delta("", "0")
		synctest.Wait()
		before := len(store.Events("job"))
		for range 10 {
			a.Delta("", "a")
			b.Delta("", "b")
		}
		a.Delta("reasoning", "r")
		a.Delta("", "z") // must not join what is before the reasoning
		time.Sleep(time.Second)
		synctest.Wait()
		var got []string
		for _, e := range store.Events("job")[before:] {
			got = append(got, deltas(t, []tidings.Event{e}))
		}
		equal(t, got, []string{"aaaaaaaaaa", "bbbbbbbbbb", "r", "z"})
		if err := job.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestWhatIsDroppedIsCountedAndReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		down := true
		store.Fault = func(int) memlog.Fault {
			if down {
				return memlog.Fault{Before: tidings.ErrUnavailable}
			}
			return memlog.Fault{}
		}
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{QueueBytes: 4 << 10, Logger: quiet()})
		synctest.Wait() // the first batch is in flight, and nothing that follows joins it
		m := job.Model(t.Context(), "fake")
		m.Delta("", strings.Repeat("d", 1000))
		const n = 60
		for i := range n {
			job.Custom(fmt.Sprint(i), nil)
		}
		m.Delta("", "dropped as well")
		dropped := job.Stats().Dropped
		if dropped == 0 {
			t.Fatal("nothing was dropped")
		}
		store.Mu.Lock()
		down = false
		store.Mu.Unlock()
		if err := job.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		job.Custom("after", nil)
		job.End(nil, nil)
		if err := job.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := deltas(t, store.Events("job")); got != "" {
			t.Errorf("deltas must go first, but %q is there", got[:20])
		}
		got := names(t, store, "job")
		kept := slices.DeleteFunc(got, func(name string) bool { return name == "tidings.dropped" })
		missing := n - (len(kept) - 1)
		equal(t, kept, append(numbered(n-missing), "after"))
		if told := reportedLoss(t, store.Events("job")); told != dropped || dropped != int64(missing)+2 {
			t.Errorf("reported %d, counted %d, missing %d and two deltas", told, dropped, missing)
		}
	})
}

// reportedLoss adds up what the log says was dropped.
func reportedLoss(t *testing.T, log []tidings.Event) (events int64) {
	t.Helper()
	for _, e := range log {
		var d struct {
			Name  string
			Value struct {
				Events, Bytes int64
				Since         time.Time
			}
		}
		if !strings.Contains(string(e.Data), `"tidings.dropped"`) {
			continue
		}
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatal(err)
		}
		if d.Value.Events == 0 || d.Value.Bytes == 0 || d.Value.Since.IsZero() {
			t.Errorf("a report says %s", e.Data)
		}
		events += d.Value.Events
	}
	return events
}

func TestBlockForWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		store.Fault = func(call int) memlog.Fault {
			if call < 5 {
				return memlog.Fault{Before: tidings.ErrUnavailable}
			}
			return memlog.Fault{}
		}
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{QueueBytes: 2 << 10, BlockFor: time.Minute, Logger: quiet()})
		for i := range 100 {
			job.Custom(fmt.Sprint(i), nil)
		}
		if err := job.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, names(t, store, "job"), numbered(100))
	})
}

func TestBlockForIsABound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		store.Fault = func(int) memlog.Fault { return memlog.Fault{Before: tidings.ErrUnavailable} }
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{QueueBytes: 300, BlockFor: time.Second, Logger: quiet()})
		job.Custom("fits", nil)
		began := time.Now()
		job.Custom("does not", strings.Repeat("x", 300))
		if took := time.Since(began); took != time.Second {
			t.Errorf("blocked for %v, want 1s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := job.Close(ctx); err == nil || !strings.Contains(err.Error(), "3 events") {
			t.Errorf("Close says %v, want 3 events lost", err) // job, fits, the report
		}
	})
}

func TestFencedHandlerStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		zombie := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Epoch: 1, Logger: quiet()})
		synctest.Wait()
		next := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Epoch: 2})
		synctest.Wait()
		zombie.Custom("zombie", nil)
		synctest.Wait()
		var fenced *tidings.FencedError
		if cause := context.Cause(zombie.Context()); !errors.As(cause, &fenced) || fenced.Current != 2 {
			t.Errorf("the zombie's context ended by %v", cause)
		}
		zombie.Custom("more", nil)
		if err := zombie.Close(t.Context()); !errors.As(err, &fenced) {
			t.Errorf("Close says %v", err)
		}
		if s := zombie.Stats(); s.Strays != 2 || s.Queued != 0 {
			t.Errorf("stats %+v", s)
		}
		next.Custom("next", nil)
		if err := next.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, names(t, store, "job"), []string{"next"})
	})
}

func TestHeartbeatFencesAQuietZombie(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		zombie := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Epoch: 1, Logger: quiet()})
		synctest.Wait()
		next := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Epoch: 2})
		<-zombie.Context().Done() // by its next sign of life
		var fenced *tidings.FencedError
		if cause := context.Cause(zombie.Context()); !errors.As(cause, &fenced) {
			t.Errorf("the zombie's context ended by %v", cause)
		}
		_ = zombie.Close(t.Context())
		_ = next.Close(t.Context())
	})
}

func TestJobEndedBySomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Logger: quiet()})
		synctest.Wait()
		e, _ := tidings.NewEvent(tidings.TypeCancelled, nil)
		if _, err := store.Append(t.Context(), "job", tidings.Batch{Events: []tidings.Event{e}}); err != nil {
			t.Fatal(err)
		}
		job.Custom("late", nil)
		job.End(nil, nil)
		var closed *tidings.ClosedError
		if err := job.Close(t.Context()); !errors.As(err, &closed) {
			t.Errorf("Close says %v", err)
		}
		if s := job.Stats(); s.Strays != 2 {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestOneBadEventDoesNotTakeOthersAlong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &pickyLog{Log: memlog.New()}
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Logger: quiet(), QueueBytes: 1 << 20})
		for i := range 5 {
			job.Custom(fmt.Sprint(i), nil)
		}
		job.Custom("bad", nil)
		job.Custom("5", nil)
		if err := job.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		job.Custom("6", nil)
		if err := job.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, names(t, store.Log, "job"), numbered(7))
		if s := job.Stats(); s.Dropped != 1 || s.Queued != 0 {
			t.Errorf("stats %+v", s)
		}
	})
}

// pickyLog refuses events that hold "bad".
type pickyLog struct{ *memlog.Log }

func (p *pickyLog) Append(ctx context.Context, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	for _, e := range b.Events {
		if strings.Contains(string(e.Data), `"bad"`) {
			return tidings.Receipt{}, &tidings.TooLargeError{What: "event", Limit: 1}
		}
	}
	return p.Log.Append(ctx, jobID, b)
}

func TestHeartbeatsFromTheFirstEventToTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		up := time.Now().Add(time.Minute)
		store.Fault = func(int) memlog.Fault {
			if time.Now().Before(up) {
				return memlog.Fault{Before: tidings.ErrUnavailable}
			}
			return memlog.Fault{}
		}
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{HeartbeatEvery: 10 * time.Second, LeaseTTL: 25 * time.Second, Logger: quiet()})
		time.Sleep(59 * time.Second)
		if n := len(store.Beats); n != 0 {
			t.Errorf("%d heartbeats of a job that the store does not know", n)
		}
		job.Flush(t.Context())
		time.Sleep(35 * time.Second)
		synctest.Wait()
		if n := len(store.Beats); n != 4 {
			t.Errorf("%d heartbeats in 35 s, want 4", n)
		}
		if l := store.Beats[0]; l.TTL != 25*time.Second || l.Producer == nil || l.Producer.ID != tidings.DefaultProducerID {
			t.Errorf("heartbeat %+v", l)
		}
		job.End(nil, nil)
		time.Sleep(time.Minute)
		if n := len(store.Beats); n != 4 {
			t.Errorf("%d heartbeats after the end", n-4)
		}
		if err := job.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestCloseWithoutASpoolSaysWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		store.Fault = func(int) memlog.Fault { return memlog.Fault{Before: tidings.ErrUnavailable} }
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Logger: quiet()})
		job.Custom("lost", nil)
		job.End(nil, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := job.Close(ctx)
		if err == nil || !strings.Contains(err.Error(), "3 events") || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close says %v", err)
		}
		if s := job.Stats(); s.Dropped != 3 || s.Queued != 0 {
			t.Errorf("stats %+v", s)
		}
		if again := job.Close(t.Context()); !errors.Is(again, context.DeadlineExceeded) {
			t.Errorf("the second Close says %v", again)
		}
	})
}

func TestAppenderThatPanicsOrHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &oddLog{Log: memlog.New()}
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Logger: quiet()})
		job.Custom("0", nil)
		if err := job.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		equal(t, names(t, store.Log, "job"), numbered(1))
	})
}

// oddLog panics at the first append, and hangs at the second until the try is
// given up.
type oddLog struct {
	*memlog.Log
	calls int
}

func (o *oddLog) Append(ctx context.Context, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	o.calls++
	switch o.calls {
	case 1:
		panic("boom")
	case 2:
		<-ctx.Done()
		return tidings.Receipt{}, ctx.Err()
	}
	return o.Log.Append(ctx, jobID, b)
}

// Nothing is left running when a job has ended and its events are stored, even
// if Close is forgotten: synctest fails on a goroutine that stays.
func TestEndedHandlerLeavesNothingRunning(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		job := tidings.Start(context.Background(), "job", store, &tidings.HandlerOptions{SpoolDir: dir})
		job.Custom("0", nil)
		job.End(nil, nil)
		synctest.Wait()
		if got := store.Summary("job").Status; got != tidings.StatusCompleted {
			t.Errorf("the job is %s", got)
		}
	})
}

// A handler over a store that does not come back ends when Close has waited long
// enough, also if the appender does not care for its context.
func TestCloseIsBoundedWhateverTheAppenderDoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &stuckLog{Log: memlog.New(), release: make(chan struct{})}
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Logger: quiet()})
		job.Custom("0", nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if err := job.Close(ctx); err == nil || time.Since(began) > 3*time.Second {
			t.Errorf("Close took %v and says %v", time.Since(began), err)
		}
		close(store.release)
	})
}

// stuckLog does not return before it is released.
type stuckLog struct {
	*memlog.Log
	release chan struct{}
}

func (s *stuckLog) Append(context.Context, string, tidings.Batch) (tidings.Receipt, error) {
	<-s.release
	return tidings.Receipt{}, tidings.ErrUnavailable
}

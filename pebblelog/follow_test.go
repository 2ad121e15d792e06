package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"time"

	"tidings"
)

func follow(t *testing.T, s *Store, job string, after tidings.Cursor) *follower {
	t.Helper()
	f, err := s.Follow(t.Context(), job, after)
	if err != nil {
		t.Fatalf("follow: %v", err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f.(*follower)
}

// A job that is deleted and at once created again is another: a follower that
// only looks afterwards is not taken in by it.
func TestFollowerNoticesRecreation(t *testing.T) {
	s := openMem(t)
	appendTo(t, s, "job", notes(0, 2)...)
	f := follow(t, s, "job", tidings.Cursor{})
	if _, err := f.Next(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, "job", notes(0, 5)...)
	for range 2 {
		if _, err := f.Next(t.Context()); !errors.Is(err, tidings.ErrUnknownJob) {
			t.Errorf("next: %v; want ErrUnknownJob", err)
		}
	}
}

// A cursor of a former life is told, once, and then everything there is comes;
// if the start of that is trimmed, it is a gap besides.
func TestFollowRewoundIntoTrimmedLog(t *testing.T) {
	o := quiet()
	o.Retention.EventsPerJob = 5
	s := open(t, t.TempDir(), o)
	old := appendTo(t, s, "job", notes(0, 2)...)
	if err := s.Delete(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, "job", append(notes(0, 20), event(tidings.TypeDone, "{}"))...)
	if err := s.Retain(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := follow(t, s, "job", tidings.Cursor{ID: old.LastID, Incarnation: old.Incarnation})
	events, told := drainFollower(t, f)
	if len(events) != 5 {
		t.Errorf("%d events; want 5", len(events))
	}
	if len(told) != 2 {
		t.Fatalf("told %v; want rewound, then gap", told)
	}
	if _, ok := errors.AsType[*tidings.RewoundError](told[0]); !ok {
		t.Errorf("first told %v; want a RewoundError", told[0])
	}
	if _, ok := errors.AsType[*tidings.GapError](told[1]); !ok {
		t.Errorf("then told %v; want a GapError", told[1])
	}
}

func TestFollowerNextEnds(t *testing.T) {
	s := openMem(t)
	appendTo(t, s, "job", notes(0, 1)...)
	next := func(ctx context.Context, f *follower) chan error {
		if _, err := f.Next(t.Context()); err != nil {
			t.Fatal(err)
		}
		result := make(chan error, 1)
		go func() {
			_, err := f.Next(ctx)
			result <- err
		}()
		return result
	}

	f := follow(t, s, "job", tidings.Cursor{})
	closed := next(t.Context(), f)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-closed; !errors.Is(err, errFollowerClosed) {
		t.Errorf("next of a follower that is closed: %v", err)
	}

	reason := errors.New("the viewer left")
	ctx, cancel := context.WithCancelCause(t.Context())
	left := next(ctx, follow(t, s, "job", tidings.Cursor{}))
	cancel(reason)
	if err := <-left; !errors.Is(err, reason) {
		t.Errorf("next whose context ended: %v; want its cause", err)
	}

	waiting := next(t.Context(), follow(t, s, "job", tidings.Cursor{}))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; !errors.Is(err, tidings.ErrStoreClosed) {
		t.Errorf("next when the store is closed: %v; want ErrStoreClosed", err)
	}
}

// A thousand followers get everything, and leave nothing behind.
func TestThousandFollowers(t *testing.T) {
	s := openMem(t)
	for j := range 10 {
		appendTo(t, s, fmt.Sprintf("job-%d", j), notes(0, 1)...)
	}
	before := runtime.NumGoroutine()
	var group sync.WaitGroup
	for n := range 1000 {
		f := follow(t, s, fmt.Sprintf("job-%d", n%10), tidings.Cursor{})
		group.Go(func() {
			got := 0
			for {
				events, err := f.Next(t.Context())
				if err != nil {
					break
				}
				got += len(events)
			}
			if err := f.Close(); got != 31 || err != nil {
				t.Errorf("follower %d got %d events (%v); want 31", n, got, err)
			}
		})
	}
	for n := range 29 {
		for j := range 10 {
			appendTo(t, s, fmt.Sprintf("job-%d", j), notes(n, 1)...)
		}
	}
	for j := range 10 {
		appendTo(t, s, fmt.Sprintf("job-%d", j), event(tidings.TypeDone, "{}"))
	}
	group.Wait()
	if n := s.watches.len(); n != 0 {
		t.Errorf("%d watches are left", n)
	}
	if n := s.Stats().Followers; n != 0 {
		t.Errorf("%d followers are counted", n)
	}
	eventually(t, "goroutines are gone", func() bool { return runtime.NumGoroutine() <= before })
}

// Close does not wait for followers that nobody reads from, and wakes those that
// wait.
func TestCloseWakesThousandFollowers(t *testing.T) {
	s := openMem(t)
	appendTo(t, s, "job", notes(0, 1)...)
	errs := make(chan error, 1000)
	for range 1000 {
		f := follow(t, s, "job", tidings.Cursor{})
		go func() {
			for {
				if _, err := f.Next(t.Context()); err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	fd, err := s.Feed(t.Context(), tidings.FeedLatest)
	if err != nil {
		t.Fatal(err)
	}
	feedErr := make(chan error, 1)
	go func() {
		_, err := fd.Next(t.Context())
		feedErr <- err
	}()
	follow(t, s, "job", tidings.Cursor{}) // nobody reads
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if err := <-errs; !errors.Is(err, tidings.ErrStoreClosed) {
			t.Fatalf("next: %v; want ErrStoreClosed", err)
		}
	}
	if err := <-feedErr; !errors.Is(err, tidings.ErrStoreClosed) {
		t.Errorf("next of the feed: %v; want ErrStoreClosed", err)
	}
}

// Trimming, deleting, appending and following at the same time: a follower gets
// every event in order, or is told of a gap exactly where one is.
func TestFollowUnderRetention(t *testing.T) {
	o := quiet()
	o.Retention.EventsPerJob = 20
	s := open(t, t.TempDir(), o)
	appendTo(t, s, "job", notes(0, 1)...)
	const total = 3000
	var group sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	group.Go(func() {
		tick := time.NewTicker(time.Millisecond / 4) // leaves followers a chance
		defer tick.Stop()
		for ctx.Err() == nil {
			if err := s.Retain(t.Context()); err != nil {
				t.Errorf("retain: %v", err)
				return
			}
			<-tick.C
		}
	})
	var readers sync.WaitGroup
	for range 8 {
		f := follow(t, s, "job", tidings.Cursor{})
		readers.Go(func() { checkFollowed(t, f, total) })
	}
	for n := 1; n < total; n += 5 {
		appendTo(t, s, "job", notes(n, min(5, total-n))...)
	}
	appendTo(t, s, "job", event(tidings.TypeDone, "{}"))
	readers.Wait()
	cancel()
	group.Wait()
}

// checkFollowed wants events 0 … total-1 in order, but for gaps that are told.
func checkFollowed(t *testing.T, f *follower, total int) {
	events, told := drainGaps(t, f)
	next := 0
	for i := range events {
		if events[i].Type == tidings.TypeDone {
			continue
		}
		var n int
		if _, err := fmt.Sscanf(string(events[i].Data), `{"n":%d}`, &n); err != nil {
			t.Error(err)
			return
		}
		if n != next && !told[events[i].ID] {
			t.Errorf("event %d follows %d, and no gap was told", n, next-1)
		}
		next = n + 1
	}
	if next != total {
		t.Errorf("the last event is %d; want %d", next-1, total-1)
	}
}

// drainGaps reads to the end and notes where gaps were told.
func drainGaps(t *testing.T, f *follower) (all []tidings.Event, told map[tidings.ID]bool) {
	told = map[tidings.ID]bool{}
	gap := false
	for {
		events, err := f.Next(t.Context())
		if _, ok := errors.AsType[*tidings.GapError](err); ok {
			gap = true
			continue
		}
		if err != nil {
			return all, told
		}
		if gap {
			told[events[0].ID], gap = true, false
		}
		all = append(all, events...)
	}
}

package pebblelog

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tidings"
)

func nextChanges(t *testing.T, f tidings.Feed) []tidings.Change {
	t.Helper()
	changes, err := f.Next(t.Context())
	if err != nil {
		t.Fatalf("next of the feed: %v", err)
	}
	return changes
}

func openFeed(t *testing.T, s *Store, after string) tidings.Feed {
	t.Helper()
	f, err := s.Feed(t.Context(), after)
	if err != nil {
		t.Fatalf("feed after %q: %v", after, err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// The feed keeps the newest changes; a cursor of one that is gone is told once.
func TestFeedIsTrimmed(t *testing.T) {
	fs := vfs.NewMem()
	o := onMem(fs)
	o.FeedKeep = 10
	s := open(t, "data", o)
	var r tidings.Receipt
	for n := range 30 {
		r.IDs = append(r.IDs, appendTo(t, s, "job", notes(n, 1)...).IDs...)
	}
	all := wholeFeed(t, s, "")
	retain(t, s)
	check := func(s *Store) {
		t.Helper()
		kept := wholeFeed(t, s, "")
		if len(kept) != 10 || kept[0].Event.ID != r.IDs[20] {
			t.Fatalf("the feed has %d changes from %s; want 10 from %s", len(kept), kept[0].Event.ID, r.IDs[20])
		}
		f := openFeed(t, s, all[5].Cursor)
		_, err := f.Next(t.Context())
		gap, ok := errors.AsType[*tidings.GapError](err)
		if !ok || gap.JobID != "" || gap.First != r.IDs[20] || gap.Cursor.ID != r.IDs[5] {
			t.Fatalf("cursor of a trimmed change: %v (%+v); want a GapError", err, gap)
		}
		if got := nextChanges(t, f); len(got) != 10 {
			t.Errorf("after the gap come %d changes; want 10", len(got))
		}
		if got := wholeFeed(t, s, all[19].Cursor); len(got) != 10 {
			t.Errorf("after the last trimmed change come %d; want 10", len(got))
		}
	}
	check(s)
	if got := len(readAll(t, s, "job")); got != 30 {
		t.Errorf("the log has %d events; want all 30", got)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	check(open(t, "data", o))
}

// Events that retention took are left out; a job that was deleted is told.
func TestFeedSkipsWhatIsGone(t *testing.T) {
	o := onMem(vfs.NewMem())
	o.Retention.EventsPerJob = 1
	s := open(t, "data", o)
	appendTo(t, s, "a", notes(0, 3)...)
	appendTo(t, s, "b", notes(0, 1)...)
	if err := s.Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, "b", notes(7, 1)...)
	retain(t, s)
	var got []string
	for _, c := range wholeFeed(t, s, "") {
		got = append(got, fmt.Sprintf("%s %s deleted=%t", c.Event.JobID, c.Event.Data, c.Deleted))
	}
	want := []string{`a {"n":2} deleted=false`, `b  deleted=true`, `b {"n":7} deleted=false`}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("feed is %q; want %q", got, want)
	}
}

// A feed reader gets over any number of events that are gone.
func TestFeedSkipsMuch(t *testing.T) {
	o := onMem(vfs.NewMem())
	o.Retention.EventsPerJob = 1
	s := open(t, "data", o)
	for n := range 2*feedPageScan + 5 { // entries of their own
		appendTo(t, s, "a", notes(n, 1)...)
	}
	retain(t, s)
	if got := nextChanges(t, openFeed(t, s, "")); len(got) != 1 {
		t.Errorf("%d changes; want the one that is left", len(got))
	}
}

// A cursor of another store, or of one that has lost its newest changes, is
// told rather than waited at.
func TestFeedCursorOfAnotherStore(t *testing.T) {
	a, b := openMem(t), openMem(t)
	appendTo(t, a, "job", notes(0, 2)...)
	appendTo(t, b, "job", notes(0, 2)...)
	foreign := wholeFeed(t, a, "")[0].Cursor
	ahead := tidings.Cursor{ID: tidings.MaxID, Incarnation: b.id}.String()
	for name, cursor := range map[string]string{"another store's": foreign, "ahead": ahead, "bare": "1-0"} {
		f := openFeed(t, b, cursor)
		_, err := f.Next(t.Context())
		if gap, ok := errors.AsType[*tidings.GapError](err); !ok || gap.JobID != "" {
			t.Errorf("%s: %v; want a GapError", name, err)
		}
		if got := nextChanges(t, f); len(got) != 2 {
			t.Errorf("%s: then %d changes; want 2", name, len(got))
		}
	}
	if _, err := b.Feed(t.Context(), "yesterday"); err == nil {
		t.Error("a malformed cursor is taken")
	}
}

func TestFeedClose(t *testing.T) {
	s := openMem(t)
	f := openFeed(t, s, "")
	result := make(chan error, 1)
	go func() {
		_, err := f.Next(t.Context())
		result <- err
	}()
	for range 2 {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-result; !errors.Is(err, errFeedClosed) {
		t.Errorf("next: %v; want that the feed is closed", err)
	}
}

func sameChange(a, b tidings.Change) bool {
	return a.Cursor == b.Cursor && a.Deleted == b.Deleted && a.Event.ID == b.Event.ID &&
		a.Event.JobID == b.Event.JobID && string(a.Event.Data) == string(b.Event.Data)
}

// A cursor may be any change's, in the midst of a batch and of a page too.
func TestFeedResumesAnywhere(t *testing.T) {
	s := openMem(t)
	for n := range 30 {
		appendTo(t, s, fmt.Sprintf("job-%d", n%3), notes(n, 1+n*7%50)...)
		if n%10 == 9 {
			if err := s.Delete(t.Context(), "job-1"); err != nil {
				t.Fatal(err)
			}
		}
	}
	appendTo(t, s, "long", notes(0, 2*feedPage+10)...)
	all := wholeFeed(t, s, "")
	for i := 0; i < len(all); i += 1 + i%41 {
		rest := wholeFeed(t, s, all[i].Cursor)
		if !slices.EqualFunc(all[i+1:], rest, sameChange) {
			t.Fatalf("after change %d of %d come %d others than before", i, len(all), len(rest))
		}
	}
}

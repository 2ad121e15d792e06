package httpapi

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings/wire"
)

// feedReader reads a feed that stays open.
type feedReader struct {
	t      *testing.T
	resp   *http.Response
	events *wire.SSEReader
}

func (a *api) feed(t *testing.T, query string, headers ...string) *feedReader {
	t.Helper()
	resp, err := http.DefaultClient.Do(a.request("GET", "/v1/events"+query, nil, headers...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != wire.ContentTypeSSE {
		t.Fatalf("%s %v", resp.Status, resp.Header)
	}
	return &feedReader{t, resp, wire.NewSSEReader(resp.Body, 1<<20)}
}

// take reads n messages and gives their event names, and the last ID.
func (f *feedReader) take(n int) (names []string, lastID string) {
	f.t.Helper()
	for range n {
		m, err := f.events.Next()
		if err != nil {
			f.t.Fatalf("after %v: %v", names, err)
		}
		names = append(names, m.Event)
		lastID = m.ID
	}
	return names, lastID
}

func TestFeedFollowsAllJobs(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	a.publish("j1", "a", "b")
	f := a.feed(t, "")
	names, _ := f.take(2)
	a.publish("j2", "c")
	wantStatus(t, a.do("DELETE", "/v1/jobs/j1", ""), http.StatusNoContent)
	live, cursor := f.take(2)
	if diff := cmp.Diff([]string{"a", "b", "c", "deleted"}, append(names, live...)); diff != "" {
		t.Error(diff)
	}

	// What happened meanwhile is there after a reconnect, and nothing else.
	f.resp.Body.Close()
	a.publish("j3", "d")
	for _, again := range []*feedReader{a.feed(t, "?after="+cursor), a.feed(t, "", "Last-Event-ID", cursor)} {
		if names, _ := again.take(1); names[0] != "d" {
			t.Errorf("after %s came %v, want d", cursor, names)
		}
	}
}

func TestFeedFromNowOn(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	a.publish("j1", "old")
	f := a.feed(t, "?after=latest")
	a.publish("j1", "new")
	if names, _ := f.take(1); names[0] != "new" {
		t.Errorf("came %v, want new", names)
	}
}

func TestFeedFilters(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	f := a.feed(t, "?type=a,b&job=team-*&job=x")
	a.publish("team-1", "a", "c", "b")
	a.publish("other", "a")
	a.publish("x", "b")
	names, _ := f.take(3)
	if diff := cmp.Diff([]string{"a", "b", "b"}, names); diff != "" {
		t.Error(diff)
	}
}

// A quiet feed gives signs of life, which also carry the cursor over what the
// filter left out.
func TestFeedHeartbeat(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Heartbeat: 10 * time.Millisecond})
	a.publish("j", "hidden")
	resp, err := http.DefaultClient.Do(a.request("GET", "/v1/events?type=none", nil))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	seen := ""
	buf := make([]byte, 256)
	eventually(t, "a cursor and a comment", func() bool {
		n, err := resp.Body.Read(buf)
		seen += string(buf[:n])
		return err != nil || idThenComment(seen)
	})
	if !idThenComment(seen) {
		t.Errorf("the feed gave %q", seen)
	}
}

func idThenComment(text string) bool {
	_, after, ok := strings.Cut(text, "\nid: ")
	return ok && strings.Contains(after, wire.Heartbeat)
}

func TestFeedHasFewViewers(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Limits: Limits{FeedViewers: 1}})
	a.feed(t, "")
	got := a.do("GET", "/v1/events", "")
	m := wantProblem(t, got, http.StatusServiceUnavailable, "too-many-viewers")
	if m["limit"] != 1.0 || got.header.Get("Retry-After") == "" {
		t.Errorf("%v %s", got.header, got.body)
	}
}

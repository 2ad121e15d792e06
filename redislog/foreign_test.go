package redislog

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
)

// Jobs of publishers that know nothing of Tidings are found by listing.
func TestBareJobsAreListed(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	c := r.Dial()
	xadd(t, c, "before", "phase_update", `{"phase":"plan","status":"started","name":"old"}`)
	s := open(t, r.URL())
	feed, err := s.Feed(within(t), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = feed.Close() })
	begun := time.Now()
	xadd(t, c, "running", "tool_call", `{"tool":"grep"}`)
	xadd(t, c, "ended", "phase_update", `{"status":"started"}`)
	xadd(t, c, "ended", "done", `{"status":"completed"}`)
	xadd(t, c, "failed", "error", `{"error":"boom"}`)
	want := map[string]tidings.Status{"before": tidings.StatusRunning, "running": tidings.StatusRunning,
		"ended": tidings.StatusCompleted, "failed": tidings.StatusFailed}

	other := open(t, r.URL())
	eventually(t, "all four are listed with their status", func() bool { return listedAs(t, other, want) })
	t.Logf("listed after %v", time.Since(begun))
	xadd(t, c, "fresh", "task_failed", `{"error":"boom"}`)
	if job, err := s.Job(within(t), "fresh"); err != nil || job.Status != tidings.StatusFailed {
		t.Errorf("a job never seen before: %+v, %v", job, err)
	}
	want["fresh"] = tidings.StatusFailed

	xadd(t, c, "running", "done", `{}`)
	want["running"] = tidings.StatusCompleted
	eventually(t, "the end is listed", func() bool { return listedAs(t, other, want) })

	events := map[string]int{}
	for n := 0; n < 7; {
		changes, err := feed.Next(within(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, change := range changes {
			events[change.Event.JobID]++
			n++
		}
	}
	if events["ended"] != 2 || events["running"] != 2 || events["before"] != 1 || events["failed"] != 1 {
		t.Errorf("events in the feed: %v", events)
	}
}

func listedAs(t *testing.T, s *Store, want map[string]tidings.Status) bool {
	t.Helper()
	page, err := s.Jobs(within(t), tidings.JobsQuery{})
	if err != nil {
		t.Fatal(err)
	}
	for _, job := range page.Jobs {
		if want[job.ID] != job.Status {
			return false
		}
	}
	return len(page.Jobs) == len(want)
}

// Index and feed are derived: without them no event is lost, and they come back.
func TestIndexAndFeedAreRebuilt(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL())
	want := map[string]tidings.Status{}
	for n := range 20 {
		id := fmt.Sprintf("job-%d", n)
		mustAppend(t, s, id, note(0), note(1))
		if want[id] = tidings.StatusRunning; n%2 == 0 {
			mustAppend(t, s, id, done())
			want[id] = tidings.StatusCompleted
		}
	}
	eventually(t, "all are listed", func() bool { return listedAs(t, s, want) })
	for _, key := range strings.Fields(r.CLI("KEYS", "{tidings:*")) {
		r.CLI("DEL", key)
	}
	eventually(t, "all are listed again", func() bool { return listedAs(t, s, want) })
	feed, err := s.Feed(within(t), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = feed.Close() })
	for n := 0; n < 50; {
		changes, err := feed.Next(within(t))
		if err != nil {
			t.Fatal(err)
		}
		n += len(changes)
	}
}

// A node that dies between the append and the index is made up for by another.
func TestAppendsOfADeadNodeAreListed(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	dead := open(t, r.URL(), func(o *Options) { o.scanEvery = time.Hour })
	alive := open(t, r.URL())
	dead.indexer.parts[partitionOf("job")].mu.Lock() // it never gets to its index
	go func() {
		_, _ = dead.Append(t.Context(), "job", tidings.Batch{Events: []tidings.Event{note(0), done()}})
	}()
	t.Cleanup(dead.indexer.parts[partitionOf("job")].mu.Unlock)
	eventually(t, "the other node lists it", func() bool {
		return listedAs(t, alive, map[string]tidings.Status{"job": tidings.StatusCompleted})
	})
}

// A stream that others deleted and made anew is another incarnation.
func TestForeignDeletionAndNewLife(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL())
	c := r.Dial()
	xadd(t, c, "job", "custom", `{"n":0}`)
	f := mustFollow(t, s, "job", tidings.Cursor{})
	first := take(t, f, 1)[0]
	old := tidings.Cursor{ID: first.ID, Incarnation: f.Incarnation()}

	r.CLI("DEL", "job_events:job")
	if _, err := f.Next(within(t)); err != tidings.ErrUnknownJob {
		t.Errorf("follower of a job that others deleted: %v; want ErrUnknownJob", err)
	}
	xadd(t, c, "job", "custom", `{"n":1}`)
	_, err := s.Read(within(t), "job", tidings.Query{After: old})
	if _, ok := err.(*tidings.RewoundError); !ok {
		t.Errorf("old cursor in the new life: %v; want a *RewoundError", err)
	}
	page, err := s.Read(within(t), "job", tidings.Query{})
	if err != nil || len(page.Events) != 1 || page.Incarnation == old.Incarnation {
		t.Errorf("the new life: %+v, %v", page, err)
	}
}

// What others trim with XADD MAXLEN is told as a gap.
func TestForeignTrimmingIsAGap(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL())
	receipt := mustAppend(t, s, "job", note(0), note(1), note(2), note(3))
	r.CLI("XTRIM", "job_events:job", "MAXLEN", "=", "2")
	for _, cursor := range []tidings.Cursor{{}, {ID: receipt.IDs[0], Incarnation: receipt.Incarnation}} {
		_, err := s.Read(within(t), "job", tidings.Query{After: cursor})
		gap, ok := err.(*tidings.GapError)
		if !ok || gap.First != receipt.IDs[2] {
			t.Errorf("read after %s: %v; want a gap before %s", cursor, err, receipt.IDs[2])
		}
	}
	f := mustFollow(t, s, "job", tidings.Cursor{})
	if _, err := f.Next(within(t)); err == nil {
		t.Error("the follower was not told")
	}
	take(t, f, 2)
	mustAppend(t, s, "job", done())
	take(t, f, 1)
	if _, err := f.Next(within(t)); err != io.EOF {
		t.Errorf("end: %v", err)
	}
}

func TestAKeyThatIsNoStream(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL())
	r.CLI("SET", "job_events:job", "text")
	_, err := s.Append(within(t), "job", tidings.Batch{Events: []tidings.Event{note(0)}})
	if _, ok := err.(*tidings.InvalidError); !ok {
		t.Errorf("append: %v; want an *InvalidError", err)
	}
	if _, err = s.Read(within(t), "job", tidings.Query{}); err == nil {
		t.Error("read: want an error")
	}
	err = s.Delete(within(t), "job")
	if _, ok := err.(*tidings.InvalidError); !ok {
		t.Errorf("delete: %v; want an *InvalidError", err)
	}
	if text := r.CLI("GET", "job_events:job"); text != "text" {
		t.Errorf("the key of somebody else holds %q now; want it as it was", text)
	}
}

// The error is about the key that is wrong, which may be the companion's.
func TestAWrongKeyIsNamed(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL())
	r.CLI("SET", "{job_events:m}:meta", "text")
	xadd(t, r.Dial(), "m", "custom", "{}")
	r.CLI("HSET", "job_events:s", "field", "value")
	for job, want := range map[string]string{
		"m": "the Redis key {job_events:m}:meta holds a string; a hash belongs there",
		"s": "the Redis key job_events:s holds a hash; a stream belongs there",
	} {
		_, appendErr := s.Append(within(t), job, tidings.Batch{Events: []tidings.Event{note(0)}})
		_, readErr := s.Read(within(t), job, tidings.Query{})
		_, jobErr := s.Job(within(t), job)
		_, followErr := s.Follow(within(t), job, tidings.Cursor{})
		lease := s.Heartbeat(within(t), job, tidings.Lease{TTL: time.Minute})
		for what, err := range map[string]error{"append": appendErr, "read": readErr, "job": jobErr, "follow": followErr, "heartbeat": lease, "delete": s.Delete(within(t), job)} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s of %s: %v; want %q", what, job, err, want)
			}
		}
	}
}

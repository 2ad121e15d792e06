package redislog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
)

// A batch too large to be announced with its events is read from the stream.
func TestLargeBatchesAreAnnouncedWithoutTheirEvents(t *testing.T) {
	t.Parallel()
	s := open(t, redistest.Server(t).URL(), func(o *Options) { o.pollEvery = time.Hour })
	mustAppend(t, s, "job", note(0))
	f := mustFollow(t, s, "job", tidings.Cursor{})
	take(t, f, 1)
	big := tidings.Event{Type: "custom", Data: json.RawMessage(`"` + strings.Repeat("x", announceBytes) + `"`)}
	mustAppend(t, s, "job", note(1), big, note(2))
	if got := take(t, f, 3); len(got[1].Data) != len(big.Data) || number(&got[2]) != 2 {
		t.Errorf("events of %d bytes", len(got[1].Data))
	}
}

func TestBatchOverTheLimit(t *testing.T) {
	t.Parallel()
	s := open(t, redistest.Server(t).URL(), func(o *Options) { o.MaxBatchBytes = 1000 })
	big := tidings.Event{Type: "custom", Data: json.RawMessage(`"` + strings.Repeat("x", 600) + `"`)}
	mustAppend(t, s, "job", big)
	_, err := s.Append(within(t), "job", tidings.Batch{Events: []tidings.Event{big, big}})
	if _, ok := errors.AsType[*tidings.TooLargeError](err); !ok {
		t.Errorf("batch over the limit: %v", err)
	}
	if s.Stats().Refused != 1 {
		t.Errorf("stats %+v; want one refused", s.Stats())
	}
}

// An ended job's stream is made small, and reads as before.
func TestCompaction(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL(), func(o *Options) { o.Compact = true })
	plain := open(t, r.URL())
	for job, store := range map[string]*Store{"small": s, "plain": plain} {
		mustAppend(t, store, job, note(0), note(1))
		f := mustFollow(t, store, job, tidings.Cursor{})
		mustAppend(t, store, job, done())
		take(t, f, 3)
		if _, err := f.Next(within(t)); err != io.EOF {
			t.Errorf("%s: %v; want io.EOF", job, err)
		}
	}
	memory := func(job string) int {
		n, _ := strconv.Atoi(r.CLI("MEMORY", "USAGE", "job_events:"+job))
		return n
	}
	eventually(t, "it is smaller", func() bool { return memory("small") < memory("plain")/2 })
	t.Logf("%d bytes instead of %d", memory("small"), memory("plain"))
	page, err := s.Read(within(t), "small", tidings.Query{})
	if err != nil || len(page.Events) != 3 || !page.Closed {
		t.Errorf("after compaction: %+v, %v", page, err)
	}
	_, err = s.Append(within(t), "small", tidings.Batch{Events: []tidings.Event{note(2)}})
	if _, ok := errors.AsType[*tidings.ClosedError](err); !ok {
		t.Errorf("append: %v; want a *ClosedError", err)
	}
}

// Retention in the background, by whichever node is the caretaker.
func TestRetentionInTheBackground(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	retaining := func(o *Options) {
		o.Retention = tidings.Retention{AfterEnd: time.Millisecond, EventsPerJob: 5}
		o.RetentionInterval, o.scanEvery = 10*time.Millisecond, 10*time.Millisecond
	}
	s := open(t, r.URL(), retaining)
	open(t, r.URL(), retaining)
	xadd(t, r.Dial(), "foreign", "done", `{}`)
	mustAppend(t, s, "ended", note(0), done())
	var events []tidings.Event
	for n := range 2500 {
		events = append(events, note(n))
	}
	receipt := mustAppend(t, s, "long", events...)
	eventually(t, "ended jobs are gone and the long one is trimmed", func() bool {
		long, err := s.Job(within(t), "long")
		return err == nil && long.FirstID == receipt.IDs[2495] && long.Events == 2500 &&
			r.CLI("EXISTS", "job_events:ended", "job_events:foreign") == "0"
	})
	// The first event held is also what the listing says.
	eventually(t, "the listing agrees", func() bool {
		page, err := s.Jobs(within(t), tidings.JobsQuery{})
		return err == nil && len(page.Jobs) == 1 && page.Jobs[0].FirstID == receipt.IDs[2495]
	})
}

// What others put in the place of an ended job's log stays, and does not keep
// the jobs behind it from being forgotten.
func TestRetentionPassesForeignKeys(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL(), func(o *Options) {
		o.Retention = tidings.Retention{AfterEnd: time.Millisecond}
		o.RetentionInterval = time.Hour
	})
	jobs := []string{"a", "b", "c"}
	for _, job := range jobs {
		mustAppend(t, s, job, note(0), done())
	}
	eventually(t, "the jobs are listed", func() bool {
		page, err := s.Jobs(within(t), tidings.JobsQuery{})
		return err == nil && len(page.Jobs) == len(jobs)
	})
	r.CLI("DEL", "job_events:b")
	r.CLI("SET", "job_events:b", "another's")
	eventually(t, "the ended jobs are forgotten", func() bool {
		if err := s.Retain(within(t)); err != nil {
			t.Fatal(err)
		}
		page, err := s.Jobs(within(t), tidings.JobsQuery{})
		return err == nil && len(page.Jobs) == 0 && r.CLI("EXISTS", "job_events:a", "job_events:c") == "0"
	})
	if got := r.CLI("GET", "job_events:b"); got != "another's" {
		t.Errorf("the other's key is %q", got)
	}
}

// A feed that remembers less than its reader has missed says so, and goes on.
func TestTrimmedFeedIsAGap(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL())
	mustAppend(t, s, "job", note(0))
	read := func(f tidings.Feed, n int) (last string) {
		for n > 0 {
			changes, err := f.Next(within(t))
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range changes {
				last = c.Cursor
			}
			n -= len(changes)
		}
		return last
	}
	first, err := s.Feed(within(t), "")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	cursor := read(first, 1)
	for n := range 3 {
		mustAppend(t, s, "job", note(n+1))
		read(first, 1)
	}
	r.CLI("XTRIM", s.keys.feed(partitionOf("job")), "MAXLEN", "=", "1")
	late, err := s.Feed(within(t), cursor)
	if err != nil {
		t.Fatal(err)
	}
	defer late.Close()
	_, err = late.Next(within(t))
	if gap, ok := errors.AsType[*tidings.GapError](err); !ok || gap.JobID != "" {
		t.Errorf("feed after a trimmed cursor: %v; want a gap of no job", err)
	}
	read(late, 1)
}

// A feed whose last entries are lost, as by a failover, says so and gives what is
// new, not what was read before.
func TestFeedThatLostItsEndIsAGap(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL())
	f, err := s.Feed(within(t), "")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	next := func() []tidings.Change {
		changes, err := f.Next(within(t))
		if err != nil {
			t.Fatal(err)
		}
		return changes
	}
	for n := range 4 {
		mustAppend(t, s, "job", note(n))
		next()
	}
	key := s.keys.feed(partitionOf("job"))
	for range 2 {
		last, _, _ := strings.Cut(r.CLI("XREVRANGE", key, "+", "-", "COUNT", "1"), "\n")
		r.CLI("XDEL", key, last)
	}
	mustAppend(t, s, "job", note(4))
	var changes []tidings.Change
	for gap := (*tidings.GapError)(nil); gap == nil; {
		if changes, err = f.Next(within(t)); err != nil {
			if gap, _ = errors.AsType[*tidings.GapError](err); gap == nil {
				t.Fatal(err)
			}
		}
		if len(changes) > 0 {
			t.Fatalf("without a word come %d changes", len(changes))
		}
	}
	if changes = next(); len(changes) != 1 || string(changes[0].Event.Data) != string(note(4).Data) {
		t.Errorf("after the gap: %+v", changes)
	}
}

func TestFeedCursors(t *testing.T) {
	t.Parallel()
	var c feedCursor
	c[1] = feedPos{entry: tidings.ID{Ms: 5, Seq: 1}}
	c[3] = feedPos{entry: tidings.ID{Ms: 9}, event: tidings.ID{Ms: 8, Seq: 2}, within: true}
	text := c.String()
	if text != "0-0.5-1.0-0.9-0+8-2" {
		t.Errorf("cursor is %q", text)
	}
	if back, err := parseFeedCursor(text); err != nil || back != c {
		t.Errorf("parsed %+v, %v", back, err)
	}
}

// Settings that weaken the promises are told.
func TestHealthWarns(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t, "--appendonly", "no", "--maxmemory-policy", "allkeys-lru")
	s := open(t, r.URL())
	eventually(t, "announcements are up", func() bool { return s.live.deaf() == 0 })
	h := s.Health(within(t))
	all := strings.Join(h.Warnings, "\n")
	if !h.Ready || len(h.Warnings) != 2 || !strings.Contains(all, "appendonly") || !strings.Contains(all, "allkeys-lru") {
		t.Errorf("health %+v; want warnings about appendonly and maxmemory-policy", h)
	}
	r.CLI("CONFIG", "SET", "maxmemory-policy", "noeviction")
	r.CLI("ACL", "SETUSER", "limited", "on", ">pw", "~*", "&*", "+@all", "-config")
	limited := open(t, "redis://limited:pw@"+r.Addr())
	if h := limited.Health(within(t)); !h.Ready || !strings.Contains(fmt.Sprint(h.Warnings), "can't be checked") {
		t.Errorf("health without CONFIG: %+v", h)
	}
}

// When Redis is out of memory an append fails as unavailable and says what to
// do; nothing of the batch is written.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	s := open(t, r.URL())
	mustAppend(t, s, "job", note(0))
	r.CLI("CONFIG", "SET", "maxmemory", "1")
	_, err := s.Append(within(t), "job", tidings.Batch{Events: []tidings.Event{note(1), note(2)}})
	if !errors.Is(err, tidings.ErrUnavailable) || !strings.Contains(err.Error(), "raise maxmemory") {
		t.Errorf("append without memory: %v", err)
	}
	page, err := s.Read(within(t), "job", tidings.Query{})
	if err != nil || len(page.Events) != 1 {
		t.Errorf("history without memory: %+v, %v", page, err)
	}
	if h := s.Health(within(t)); h.Ready || !strings.Contains(h.Error, "raise maxmemory") {
		t.Errorf("health %+v; want not ready, and what to do", h)
	}
	r.CLI("CONFIG", "SET", "maxmemory", "0")
	mustAppend(t, s, "job", note(1))
}

func TestOpenRefusesWhatCannotBe(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	for name, opts := range map[string]Options{
		"no URL":          {},
		"braces":          {URL: r.URL(), Prefix: "{x}:"},
		"not a Cluster":   {URL: r.URL() + "?cluster=true"},
		"unknown scheme":  {URL: "http://" + r.Addr()},
		"no master named": {URL: "redis-sentinel://" + r.Addr()},
	} {
		_, err := Open(within(t), opts)
		if _, ok := errors.AsType[*tidings.InvalidError](err); !ok {
			t.Errorf("%s: %v; want an *InvalidError", name, err)
		}
	}
	addr := r.URL()
	r.Stop()
	if _, err := Open(within(t), Options{URL: addr}); !errors.Is(err, tidings.ErrUnavailable) {
		t.Errorf("without a server: %v; want ErrUnavailable", err)
	}
}

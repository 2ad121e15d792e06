package pebblelog

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/google/go-cmp/cmp"

	"tidings"
)

// TestMain has the test binary play the part of another process when a test
// asks for that.
func TestMain(m *testing.M) {
	if role := os.Getenv("PEBBLELOG_TEST_ROLE"); role != "" {
		play(role, os.Getenv("PEBBLELOG_TEST_FOLDER"))
		return
	}
	os.Exit(m.Run())
}

func play(role, folder string) {
	roles := map[string]func(folder string) error{"writer": playWriter, "broken disk": playBrokenDisk, "second": playSecond}
	if err := roles[role](folder); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(3)
	}
}

// quiet are options that make no noise and do nothing by themselves.
func quiet() *Options {
	return &Options{RetentionInterval: -1, Logger: slog.New(slog.DiscardHandler), MinFreeBytes: -1}
}

func onMem(fs vfs.FS) *Options {
	o := quiet()
	o.fs = fs
	return o
}

func open(t *testing.T, dir string, o *Options) *Store {
	t.Helper()
	s, err := Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && s.state.fatal() == nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// openMem opens a store that lives in memory.
func openMem(t *testing.T) *Store { return open(t, "data", onMem(vfs.NewMem())) }

func event(eventType, data string) tidings.Event {
	return tidings.Event{Type: eventType, Data: json.RawMessage(data)}
}

// notes are n events with data {"n":from} and so on.
func notes(from, n int) []tidings.Event {
	var events []tidings.Event
	for i := range n {
		events = append(events, event(tidings.TypeCustom, fmt.Sprintf(`{"n":%d}`, from+i)))
	}
	return events
}

func appendTo(t *testing.T, s *Store, job string, events ...tidings.Event) tidings.Receipt {
	t.Helper()
	r, err := s.Append(t.Context(), job, tidings.Batch{Events: events})
	if err != nil {
		t.Fatalf("append to %s: %v", job, err)
	}
	return r
}

// readAll reads what is held of a log.
func readAll(t *testing.T, s *Store, job string) []tidings.Event {
	t.Helper()
	events, err := tryReadAll(t, s, job)
	if err != nil {
		t.Fatalf("read of %s: %v", job, err)
	}
	return events
}

func tryReadAll(t *testing.T, s *Store, job string) ([]tidings.Event, error) {
	var all []tidings.Event
	q := tidings.Query{Backward: true}
	for {
		p, err := s.Read(t.Context(), job, q)
		if err != nil {
			return nil, err
		}
		all = append(all, p.Events...)
		if !p.More {
			slices.Reverse(all)
			return all, nil
		}
		q.Before = all[len(all)-1].ID
	}
}

func allJobs(t *testing.T, s *Store, q tidings.JobsQuery) []tidings.Job {
	t.Helper()
	jobs, err := tryAllJobs(t, s, q)
	if err != nil {
		t.Fatalf("jobs: %v", err)
	}
	return jobs
}

func tryAllJobs(t *testing.T, s *Store, q tidings.JobsQuery) ([]tidings.Job, error) {
	var all []tidings.Job
	for {
		p, err := s.Jobs(t.Context(), q)
		if err != nil {
			return nil, err
		}
		all = append(all, p.Jobs...)
		if q.Cursor = p.NextCursor; q.Cursor == "" {
			return all, nil
		}
	}
}

// eventually asks again until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.NewTimer(30 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-deadline.C:
			t.Fatalf("still not so: %s", what)
		case <-tick.C:
		}
	}
}

// checkConsistent holds everything in the store against the logs in it.
func checkConsistent(t *testing.T, s *Store) {
	t.Helper()
	numbers := map[uint64]bool{}
	ended := 0
	logs := map[string][]tidings.ID{}
	jobs := allJobs(t, s, tidings.JobsQuery{Limit: 7})
	for _, job := range jobs {
		snap, err := s.view(job.ID)
		if err != nil {
			t.Fatal(err)
		}
		numbers[snap.number] = true
		if job.Status.Ended() {
			ended++
		}
		logs[job.ID] = checkFold(t, s, job)
	}
	checkFeed(t, s, logs)
	checkKeys(t, s, numbers, map[byte]int{prefixJob: len(jobs), prefixCreated: len(jobs), prefixOpen: len(jobs) - ended, prefixEnded: ended})
}

// checkFold compares a summary with the log that it should follow from.
func checkFold(t *testing.T, s *Store, job tidings.Job) (ids []tidings.ID) {
	t.Helper()
	var fold tidings.Job
	events := readAll(t, s, job.ID)
	for i := range events {
		fold.Apply(&events[i])
		ids = append(ids, events[i].ID)
	}
	fold.Incarnation, fold.LeaseUntil = job.Incarnation, job.LeaseUntil
	if job.Events != int64(len(events)) {
		return ids // trimmed: the fold can't be repeated
	}
	if diff := cmp.Diff(fold, job); diff != "" {
		t.Errorf("summary of %s (-log +store):\n%s", job.ID, diff)
	}
	return ids
}

// checkFeed wants the feed to hold the events of every log, in order.
func checkFeed(t *testing.T, s *Store, logs map[string][]tidings.ID) {
	t.Helper()
	got := map[string][]tidings.ID{}
	last := ""
	for _, c := range wholeFeed(t, s, "") {
		if c.Deleted {
			delete(got, c.Event.JobID)
			continue
		}
		got[c.Event.JobID] = append(got[c.Event.JobID], c.Event.ID)
		last = c.Cursor
	}
	if diff := cmp.Diff(logs, got); diff != "" {
		t.Errorf("feed up to %s (-logs +feed):\n%s", last, diff)
	}
}

// wholeFeed reads the feed up to now.
func wholeFeed(t *testing.T, s *Store, after string) (all []tidings.Change) {
	t.Helper()
	f, err := s.Feed(t.Context(), after)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for {
		changes, err := f.(*feed).look(t.Context())
		if err != nil {
			t.Fatalf("feed: %v", err)
		}
		if len(changes) == 0 {
			return all
		}
		all = append(all, changes...)
	}
}

// checkKeys wants no key of a job that is not there, and so many of a kind.
func checkKeys(t *testing.T, s *Store, numbers map[uint64]bool, counts map[byte]int) {
	t.Helper()
	got := map[byte]int{}
	for key := range rawKeys(t, s.db) {
		prefix := key[0]
		got[prefix]++
		if prefix != prefixEvent && prefix != prefixProducer {
			continue
		}
		number := uint64(0)
		for _, b := range []byte(key[1:9]) {
			number = number<<8 | uint64(b)
		}
		if !numbers[number] {
			t.Errorf("key %x of job number %d, which is not there", key, number)
		}
	}
	for prefix, n := range counts {
		if got[prefix] != n {
			t.Errorf("%d keys with prefix %c; want %d", got[prefix], prefix, n)
		}
	}
}

func rawKeys(t *testing.T, db *pebble.DB) map[string]string {
	t.Helper()
	it, err := db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	for ok := it.First(); ok; ok = it.Next() {
		keys[string(it.Key())] = string(it.Value())
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		t.Fatal(err)
	}
	return keys
}

// drainFollower reads until the log ends.
func drainFollower(t *testing.T, f tidings.Follower) (all []tidings.Event, told []error) {
	t.Helper()
	for {
		events, err := f.Next(t.Context())
		if errors.Is(err, io.EOF) {
			return all, told
		}
		if err != nil {
			if len(told) > 10 {
				t.Fatalf("follower goes on failing: %v", err)
			}
			told = append(told, err)
		}
		all = append(all, events...)
	}
}

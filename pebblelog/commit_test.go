package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tidings"
)

// IDs strictly increase over all jobs, also when the clock goes back, and
// deletions take part.
func TestIDsIncreaseOverAllJobs(t *testing.T) {
	c := newClock()
	fs := vfs.NewMem()
	s := open(t, "data", c.on(onMem(fs)))
	last := tidings.ID{}
	check := func(job string) {
		t.Helper()
		for _, id := range appendTo(t, s, job, notes(0, 3)...).IDs {
			if !last.Less(id) {
				t.Errorf("%s follows %s", id, last)
			}
			last = id
		}
	}
	check("a")
	check("b")
	c.pass(time.Second)
	check("a")
	c.pass(-time.Hour)
	check("b")
	if err := s.Delete(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	deletion := wholeFeed(t, s, "")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, "data", c.on(onMem(fs)))
	check("b")
	if cursor, _ := tidings.ParseCursor(deletion[len(deletion)-1].Cursor); !cursor.ID.Less(last) {
		t.Errorf("the ID %s of the deletion was given again", cursor.ID)
	}
}

// A context that ends while the append waits in the queue: nothing is written.
// One that ends when it is being written: the outcome is told.
func TestAppendWhoseContextEnds(t *testing.T) {
	d := newSlowDisk()
	s := open(t, "data", onMem(d.fs))
	t.Cleanup(d.release)
	appendTo(t, s, "job", notes(0, 1)...)

	d.hold()
	writing, endWriting := context.WithCancel(t.Context())
	queued, endQueued := context.WithCancel(t.Context())
	first, second := make(chan error, 1), make(chan error, 1)
	send := func(ctx context.Context, n int, result chan error) {
		_, err := s.Append(ctx, "job", tidings.Batch{Events: notes(n, 1)})
		result <- err
	}
	go send(writing, 1, first)
	d.awaitSync()
	go send(queued, 2, second)
	eventually(t, "the second waits", func() bool { return s.Metrics().Waiting == 1 })
	endQueued()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("append that waited: %v; want canceled", err)
	}
	endWriting()
	d.release()
	if err := <-first; err != nil {
		t.Errorf("append that was being written: %v; want its outcome", err)
	}
	appendTo(t, s, "job", notes(3, 1)...)
	var got []string
	for _, e := range readAll(t, s, "job") {
		got = append(got, string(e.Data))
	}
	if want := `[{"n":0} {"n":1} {"n":3}]`; fmt.Sprint(got) != want {
		t.Errorf("log is %v; want %s", got, want)
	}
}

// Writers that wait while a group is synced are written together.
func TestAppendsShareASync(t *testing.T) {
	d := newSlowDisk()
	s := open(t, "data", onMem(d.fs))
	t.Cleanup(d.release)
	d.hold()
	var group sync.WaitGroup
	group.Go(func() { appendTo(t, s, "first", notes(0, 1)...) })
	d.awaitSync()
	for n := range 50 {
		group.Go(func() { appendTo(t, s, fmt.Sprintf("job-%d", n%7), notes(n, 1)...) })
	}
	eventually(t, "all others wait", func() bool { return s.Metrics().Waiting == 50 })
	before := s.Metrics().Groups
	d.release()
	group.Wait()
	if groups := s.Metrics().Groups - before; groups != 2 {
		t.Errorf("%d groups; want 2: that of the first, and that of the 50 who waited", groups)
	}
	checkConsistent(t, s)
}

// In one group: created, appended to, deleted, created again, ended, refused.
func TestOneGroupOfEverything(t *testing.T) {
	d := newSlowDisk()
	s := open(t, "data", onMem(d.fs))
	t.Cleanup(d.release)
	appendTo(t, s, "old", append(notes(0, 3), event(tidings.TypeDone, "{}"))...)
	d.hold()
	plug := make(chan error, 1)
	go func() { plug <- s.Delete(t.Context(), "old") }()
	d.awaitSync()

	var results []chan error
	enqueue := func(o op) {
		before := s.Metrics().Waiting
		result := make(chan error, 1)
		results = append(results, result)
		go func() { result <- s.commit(t.Context(), o) }()
		eventually(t, "it waits", func() bool { return s.Metrics().Waiting == before+1 })
	}
	put := func(job string, p *tidings.Producer, events ...tidings.Event) {
		a, err := s.newAppend(job, tidings.Batch{Events: events, Producer: p})
		if err != nil {
			t.Fatal(err)
		}
		enqueue(a)
	}
	p := &tidings.Producer{ID: "p"}
	put("old", p, notes(0, 2)...)                                  // 0: created
	put("old", p, notes(0, 2)...)                                  // 1: a duplicate
	enqueue(&deleteOp{jobID: "old"})                               // 2
	enqueue(&deleteOp{jobID: "old"})                               // 3: unknown
	put("old", p, notes(0, 1)...)                                  // 4: created again, and no duplicate
	put("old", nil, event(tidings.TypeDone, "{}"))                 // 5
	put("old", nil, notes(9, 1)...)                                // 6: closed
	put("old", p, notes(0, 1)...)                                  // 7: a duplicate, also now
	enqueue(&heartbeatOp{jobID: "old"})                            // 8: closed
	put("short", nil, notes(0, 1)...)                              // 9
	enqueue(&deleteOp{jobID: "short"})                             // 10: never seen by anyone
	put("new", &tidings.Producer{ID: "q", Seq: 3}, notes(0, 1)...) // 11: out of sequence
	d.release()
	if err := <-plug; err != nil {
		t.Fatal(err)
	}
	wantErrors(t, results, map[int]string{3: "unknown job", 6: "has ended", 8: "has ended", 11: "0 is the next"})
	if got := readAll(t, s, "old"); len(got) != 2 {
		t.Errorf("the log has %d events; want 2", len(got))
	}
	for _, job := range []string{"short", "new"} {
		if _, err := s.Job(t.Context(), job); !errors.Is(err, tidings.ErrUnknownJob) {
			t.Errorf("job %s: %v; want unknown", job, err)
		}
	}
	checkConsistent(t, s)
}

func wantErrors(t *testing.T, results []chan error, want map[int]string) {
	t.Helper()
	for i, result := range results {
		err := <-result
		switch text := want[i]; {
		case text == "" && err != nil:
			t.Errorf("op %d: %v", i, err)
		case text != "" && (err == nil || !strings.Contains(err.Error(), text)):
			t.Errorf("op %d: %v; want %q", i, err, text)
		}
	}
}

// Only so many producers of a job are remembered, those that wrote last, also
// after a restart.
func TestProducersAreBounded(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, "data", onMem(fs))
	send := func(n int, seq int64) (tidings.Receipt, error) {
		return s.Append(t.Context(), "job", tidings.Batch{Events: notes(n, 1), Producer: &tidings.Producer{ID: fmt.Sprintf("p-%d", n), Seq: seq}})
	}
	for n := range maxProducers {
		if _, err := send(n, 0); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := send(0, 1); err != nil { // no longer the most silent
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, "data", onMem(fs))
	if _, err := send(maxProducers, 0); err != nil {
		t.Fatal(err)
	}
	if r, err := send(0, 1); err != nil || !r.Duplicate {
		t.Errorf("a producer that wrote lately: %+v, %v; want a duplicate", r, err)
	}
	if r, err := send(1, 0); err != nil || r.Duplicate {
		t.Errorf("the most silent producer: %+v, %v; want it forgotten", r, err)
	}
	n := 0
	for key := range rawKeys(t, s.db) {
		if key[0] == prefixProducer {
			n++
		}
	}
	if n != maxProducers {
		t.Errorf("%d producers are kept; want %d", n, maxProducers)
	}
}

// Jobs that fell out of memory are as good as those in it.
func TestColdJobs(t *testing.T) {
	o := onMem(vfs.NewMem())
	o.hotJobs = 3
	s := open(t, "data", o)
	p := func(seq int64) *tidings.Producer { return &tidings.Producer{ID: "p", Seq: seq} }
	for seq := range int64(4) {
		for j := range 20 {
			_, err := s.Append(t.Context(), fmt.Sprintf("job-%d", j), tidings.Batch{Events: notes(int(seq), 1), Producer: p(seq)})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := s.Metrics().HotJobs; n != 3 {
		t.Errorf("%d jobs are in memory; want 3", n)
	}
	if r, err := s.Append(t.Context(), "job-0", tidings.Batch{Events: notes(3, 1), Producer: p(3)}); err != nil || !r.Duplicate {
		t.Errorf("cold duplicate: %+v, %v", r, err)
	}
	checkConsistent(t, s)
	if err := s.Delete(t.Context(), "job-1"); err != nil {
		t.Fatal(err)
	}
	checkConsistent(t, s)
}

func TestLimits(t *testing.T) {
	o := onMem(vfs.NewMem())
	o.MaxEventBytes, o.MaxBatchBytes = 100, 250
	s := open(t, "data", o)
	data := func(n int) tidings.Event { return event("custom", `"`+strings.Repeat("x", n-2)+`"`) }
	appendTo(t, s, "job", data(100), data(100), data(50))
	for what, events := range map[string][]tidings.Event{
		"event": {data(101)},
		"batch": {data(100), data(100), data(51)},
	} {
		_, err := s.Append(t.Context(), "job", tidings.Batch{Events: events})
		if large, ok := errors.AsType[*tidings.TooLargeError](err); !ok || large.What != what {
			t.Errorf("%s over the limit: %v", what, err)
		}
	}
	_, err := s.Append(t.Context(), "job", tidings.Batch{Events: []tidings.Event{{Type: "x", Time: time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC)}}})
	if invalid, ok := errors.AsType[*tidings.InvalidError](err); !ok || invalid.Field != "timestamp" {
		t.Errorf("year 10,000: %v", err)
	}
	if got := len(readAll(t, s, "job")); got != 3 {
		t.Errorf("%d events; want the 3 within the limits", got)
	}
	if n := s.Stats().Refused; n != 3 {
		t.Errorf("Stats.Refused is %d; want 3", n)
	}
}

// A batch larger than what Pebble holds in memory.
func TestHugeBatch(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 20 MiB")
	}
	s := open(t, t.TempDir(), quiet())
	var events []tidings.Event
	for range 20 {
		events = append(events, event("custom", `"`+strings.Repeat("x", 1<<20)+`"`))
	}
	appendTo(t, s, "job", events...)
	if got := len(readAll(t, s, "job")); got != 20 {
		t.Errorf("%d events; want 20", got)
	}
	checkConsistent(t, s)
}

// Data keeps its bytes, but an event is one line.
func TestDataIsOneLine(t *testing.T) {
	s := openMem(t)
	appendTo(t, s, "job", event("custom", "{\n \"a\" : 1.0e2,\r\n \"b\":\"<x>\\n\"}"), event("custom", `{"a" : 1}`), tidings.Event{Type: "custom"})
	for i, want := range []string{`{"a":1.0e2,"b":"<x>\n"}`, `{"a" : 1}`, `{}`} {
		if got := readAll(t, s, "job")[i]; string(got.Data) != want {
			t.Errorf("event %d is %s; want %s", i, got.Data, want)
		}
	}
}

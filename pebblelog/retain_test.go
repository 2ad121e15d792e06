package pebblelog

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tidings"
)

// clock is a clock that a test sets.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)} }

func (c *clock) on(o *Options) *Options {
	o.now = func() time.Time { return c.now }
	return o
}

func (c *clock) pass(d time.Duration) { c.now = c.now.Add(d) }

func retain(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Retain(t.Context()); err != nil {
		t.Fatalf("retain: %v", err)
	}
}

// Jobs are deleted so long after they ended, by the store's clock, and not if
// something came after the end.
func TestRetentionAfterEnd(t *testing.T) {
	c := newClock()
	o := c.on(onMem(vfs.NewMem()))
	o.Retention.AfterEnd = time.Hour
	s := open(t, "data", o)
	lastYear := c.now.AddDate(-1, 0, 0)
	appendTo(t, s, "replayed", tidings.Event{Type: tidings.TypeDone, Time: lastYear})
	appendTo(t, s, "open", notes(0, 1)...)
	appendTo(t, s, "failed", event(tidings.TypeError, `{"error":"x"}`))
	appendTo(t, s, "goes on", event(tidings.TypeError, `{"error":"x"}`))
	c.pass(59 * time.Minute)
	retain(t, s)
	if n := len(allJobs(t, s, tidings.JobsQuery{})); n != 4 {
		t.Errorf("%d jobs are left before their time; want 4", n)
	}
	appendTo(t, s, "goes on", event(tidings.TypePhaseUpdate, `{"status":"started"}`))
	appendTo(t, s, "later", event(tidings.TypeDone, "{}"))
	c.pass(time.Minute + time.Millisecond)
	retain(t, s)
	got := map[string]bool{}
	for _, j := range allJobs(t, s, tidings.JobsQuery{}) {
		got[j.ID] = true
	}
	if len(got) != 3 || !got["open"] || !got["goes on"] || !got["later"] {
		t.Errorf("left are %v; want open, goes on, later", got)
	}
	if n := s.Stats().Deleted; n != 2 {
		t.Errorf("Stats.Deleted is %d; want 2", n)
	}
	checkConsistent(t, s)
}

// A log that was over its limit when the store was closed, or is over a limit
// that is new, is trimmed by the next start.
func TestRetentionAfterRestart(t *testing.T) {
	fs := vfs.NewMem()
	s := open(t, "data", onMem(fs))
	r := appendTo(t, s, "job", notes(0, 100)...)
	appendTo(t, s, "small", notes(0, 3)...)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	o := onMem(fs)
	o.Retention.EventsPerJob = 10
	s = open(t, "data", o)
	retain(t, s)
	if got := readAll(t, s, "job"); len(got) != 10 || got[0].ID != r.IDs[90] {
		t.Errorf("%d events are left, from %s; want 10 from %s", len(got), got[0].ID, r.IDs[90])
	}
	if got := len(readAll(t, s, "small")); got != 3 {
		t.Errorf("the small log has %d events; want 3", got)
	}
	checkTrimKept(t, s, "job", r)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, "data", o)
	retain(t, s)
	checkTrimKept(t, s, "job", r) // remembered
}

func checkTrimKept(t *testing.T, s *Store, job string, r tidings.Receipt) {
	t.Helper()
	j, err := s.Job(t.Context(), job)
	if err != nil || j.FirstID != r.IDs[90] || j.Events != 100 {
		t.Errorf("job: %+v, %v; want first ID %s of 100 events", j, err, r.IDs[90])
	}
	_, err = s.Read(t.Context(), job, tidings.Query{After: tidings.Cursor{ID: r.IDs[88]}})
	if gap, ok := errors.AsType[*tidings.GapError](err); !ok || gap.First != r.IDs[90] {
		t.Errorf("read after a trimmed event: %v; want a GapError that names %s", err, r.IDs[90])
	}
	if p, err := s.Read(t.Context(), job, tidings.Query{After: tidings.Cursor{ID: r.IDs[89]}}); err != nil || len(p.Events) != 10 {
		t.Errorf("read after the last trimmed event: %d events, %v; want 10", len(p.Events), err)
	}
}

// The newest event stays, however large.
func TestRetentionKeepsTheNewest(t *testing.T) {
	o := onMem(vfs.NewMem())
	o.Retention.BytesPerJob = 10
	s := open(t, "data", o)
	big := event(tidings.TypeCustom, `{"text":"`+strings.Repeat("x", 1000)+`"}`)
	r := appendTo(t, s, "job", big, big, big)
	retain(t, s)
	if got := readAll(t, s, "job"); len(got) != 1 || got[0].ID != r.LastID {
		t.Errorf("%d events are left; want the newest", len(got))
	}
	retain(t, s)
	snap, err := s.view("job")
	if err != nil || snap.bytes != int64(len(big.Data)) || snap.held() != 1 {
		t.Errorf("%d bytes in %d events are counted, %v; want %d in 1", snap.bytes, snap.held(), err, len(big.Data))
	}
}

// A log far over its limit does not wait for the interval.
func TestRetentionIsKicked(t *testing.T) {
	o := onMem(vfs.NewMem())
	o.RetentionInterval = time.Hour
	o.Retention.EventsPerJob = 10
	s := open(t, "data", o)
	appendTo(t, s, "job", notes(0, farEvents+21)...)
	eventually(t, "the log is trimmed", func() bool { return s.Stats().Trimmed == farEvents+11 })
}

// The store does it by itself.
func TestRetentionRuns(t *testing.T) {
	o := onMem(vfs.NewMem())
	o.RetentionInterval = time.Millisecond
	o.Retention.AfterEnd = time.Millisecond
	s := open(t, "data", o)
	appendTo(t, s, "job", event(tidings.TypeDone, "{}"))
	eventually(t, "the job is deleted", func() bool { return s.Stats().Deleted == 1 })
}

// Many jobs at once, so that passes work in parallel.
func TestRetentionOfManyJobs(t *testing.T) {
	c := newClock()
	o := c.on(onMem(vfs.NewMem()))
	o.Retention = tidings.Retention{AfterEnd: time.Minute, EventsPerJob: 2}
	s := open(t, "data", o)
	for i := range 300 {
		appendTo(t, s, fmt.Sprintf("ended-%d", i), event(tidings.TypeDone, "{}"))
		appendTo(t, s, fmt.Sprintf("long-%d", i), notes(0, 5)...)
	}
	c.pass(time.Hour)
	retain(t, s)
	if st := s.Stats(); st.Deleted != 300 || st.Trimmed != 900 {
		t.Errorf("%d jobs deleted, %d events trimmed; want 300 and 900", st.Deleted, st.Trimmed)
	}
	for _, j := range allJobs(t, s, tidings.JobsQuery{}) {
		if got := len(readAll(t, s, j.ID)); got != 2 {
			t.Errorf("%s has %d events; want 2", j.ID, got)
		}
	}
}

package pebblelog

import (
	"errors"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"tidings"
)

func heartbeat(t *testing.T, s *Store, job string, l tidings.Lease) {
	t.Helper()
	if err := s.Heartbeat(t.Context(), job, l); err != nil {
		t.Fatalf("heartbeat: %v", err)
	}
}

// wantLease wants the job's lease to hold until so long after now; negative: no
// lease.
func wantLease(t *testing.T, s *Store, job string, left time.Duration) {
	t.Helper()
	j, err := s.Job(t.Context(), job)
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case j.LeaseUntil == nil && left >= 0:
		t.Errorf("no lease; want one for %s", left)
	case j.LeaseUntil != nil && j.LeaseUntil.Sub(s.opts.now()) != left:
		t.Errorf("lease for %s; want %s", j.LeaseUntil.Sub(s.opts.now()), left)
	}
}

var started = event(tidings.TypePhaseUpdate, `{"status":"started"}`)

// Heartbeats and events of the job renew its lease; a request to cancel, which
// says nothing about the worker, does not; the end ends it.
func TestLeaseIsRenewed(t *testing.T) {
	c := newClock()
	s := open(t, "data", c.on(onMem(vfs.NewMem())))
	appendTo(t, s, "job", started)
	wantLease(t, s, "job", -1)
	heartbeat(t, s, "job", tidings.Lease{})
	wantLease(t, s, "job", tidings.DefaultLeaseTTL)
	c.pass(10 * time.Second)
	heartbeat(t, s, "job", tidings.Lease{TTL: time.Minute})
	wantLease(t, s, "job", time.Minute)
	c.pass(50 * time.Second)
	appendTo(t, s, "job", event(tidings.TypeCancelRequested, "{}"))
	wantLease(t, s, "job", 10*time.Second)
	appendTo(t, s, "job", notes(0, 1)...)
	wantLease(t, s, "job", time.Minute)
	appendTo(t, s, "job", event(tidings.TypeCancelled, "{}"))
	wantLease(t, s, "job", -1)
}

// Heartbeats write nothing but the first: they would keep a disk busy.
func TestHeartbeatsWriteOnce(t *testing.T) {
	s := openMem(t)
	appendTo(t, s, "job", started)
	heartbeat(t, s, "job", tidings.Lease{})
	before := s.Metrics().Groups
	for range 20 {
		heartbeat(t, s, "job", tidings.Lease{})
	}
	if n := s.Metrics().Groups - before; n != 0 {
		t.Errorf("%d groups were written for repeated heartbeats", n)
	}
}

// After a start a job with a lease has its TTL to show itself; then it stalls.
func TestLeaseAfterRestart(t *testing.T) {
	c := newClock()
	fs := vfs.NewMem()
	s := open(t, "data", c.on(onMem(fs)))
	appendTo(t, s, "job", started)
	appendTo(t, s, "none", started)
	heartbeat(t, s, "job", tidings.Lease{TTL: time.Minute})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	c.pass(time.Hour)
	s = open(t, "data", c.on(onMem(fs)))
	wantLease(t, s, "job", time.Minute)
	wantLease(t, s, "none", -1)
	c.pass(time.Minute + time.Second)
	yes := true
	stalled := allJobs(t, s, tidings.JobsQuery{Stalled: &yes})
	if len(stalled) != 1 || stalled[0].ID != "job" {
		t.Errorf("stalled are %+v; want the job with a lease", stalled)
	}
	heartbeat(t, s, "job", tidings.Lease{TTL: time.Minute})
	if stalled := allJobs(t, s, tidings.JobsQuery{Stalled: &yes}); len(stalled) != 0 {
		t.Errorf("stalled are %+v after a heartbeat; want none", stalled)
	}
}

// A job that is created again has not the lease of its former life.
func TestLeaseEndsWithTheJob(t *testing.T) {
	s := openMem(t)
	appendTo(t, s, "job", started)
	heartbeat(t, s, "job", tidings.Lease{})
	if err := s.Delete(t.Context(), "job"); err != nil {
		t.Fatal(err)
	}
	appendTo(t, s, "job", started)
	wantLease(t, s, "job", -1)
}

func TestHeartbeatIsRefused(t *testing.T) {
	s := openMem(t)
	err := s.Heartbeat(t.Context(), "nobody", tidings.Lease{})
	if !errors.Is(err, tidings.ErrUnknownJob) {
		t.Errorf("unknown job: %v", err)
	}
	_, err = s.Append(t.Context(), "job", tidings.Batch{Events: notes(0, 1), Producer: &tidings.Producer{ID: "p", Epoch: 2}})
	if err != nil {
		t.Fatal(err)
	}
	zombie := &tidings.Producer{ID: "p", Epoch: 1}
	err = s.Heartbeat(t.Context(), "job", tidings.Lease{Producer: zombie})
	if fenced, ok := errors.AsType[*tidings.FencedError](err); !ok || fenced.Current != 2 {
		t.Errorf("zombie: %v", err)
	}
	wantLease(t, s, "job", -1)
	heartbeat(t, s, "job", tidings.Lease{Producer: &tidings.Producer{ID: "p", Epoch: 2, Seq: 77}})
	heartbeat(t, s, "job", tidings.Lease{Producer: &tidings.Producer{ID: "other"}})
	appendTo(t, s, "job", event(tidings.TypeDone, "{}"))
	err = s.Heartbeat(t.Context(), "job", tidings.Lease{})
	if _, ok := errors.AsType[*tidings.ClosedError](err); !ok {
		t.Errorf("closed job: %v", err)
	}
	err = s.Heartbeat(t.Context(), "job", tidings.Lease{TTL: -1})
	if _, ok := errors.AsType[*tidings.InvalidError](err); !ok {
		t.Errorf("negative TTL: %v", err)
	}
}

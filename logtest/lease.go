package logtest

import (
	"time"

	"tidings"
)

// Leases: a running job's sign of life, which is no event.
var leaseCases = []testCase{
	{name: "lease/none-without-heartbeat", run: leaseNone},
	{name: "lease/heartbeat", run: leaseHeartbeat},
	{name: "lease/stalled-listing", run: leaseStalledListing},
}

func leaseNone(e *env) {
	job := e.job()
	e.append(job, note(0))
	if until := e.get(job).LeaseUntil; until != nil {
		e.Errorf("a job without a heartbeat has a lease until %s", until)
	}
}

func leaseHeartbeat(e *env) {
	job := e.job()
	r := e.append(job, note(0))
	for _, ttl := range []time.Duration{time.Hour, 0, 24 * time.Hour} {
		want := ttl
		if ttl == 0 {
			want = tidings.DefaultLeaseTTL
		}
		earliest := time.Now().Add(want - time.Second) // the store's clock may be another
		if err := e.store.Heartbeat(e.ctx, job, tidings.Lease{TTL: ttl}); err != nil {
			e.Fatalf("heartbeat: %v", err)
		}
		latest := time.Now().Add(want + time.Second)
		until := e.get(job).LeaseUntil
		if until == nil || until.Before(earliest) || until.After(latest) {
			e.Errorf("lease of %s holds until %v; want about %s", want, until, earliest)
		}
	}
	if j := e.get(job); j.Events != 1 || j.LastID != r.LastID {
		e.Errorf("heartbeats changed the log: %+v", j)
	}
}

func leaseStalledListing(e *env) {
	job, live := e.job(), e.job()
	yes, no := true, false
	for id, ttl := range map[string]time.Duration{job: time.Millisecond, live: time.Hour} {
		e.append(id, event("phase_update", `{"status":"started"}`))
		if err := e.store.Heartbeat(e.ctx, id, tidings.Lease{TTL: ttl}); err != nil {
			e.Fatal(err)
		}
	}
	e.eventually("the job without a sign of life is listed as stalled, the other is not", func() bool {
		return len(e.list(tidings.JobsQuery{Stalled: &yes}, job)) == 1 && len(e.list(tidings.JobsQuery{Stalled: &no}, job)) == 0 &&
			len(e.list(tidings.JobsQuery{Stalled: &yes}, live)) == 0 && len(e.list(tidings.JobsQuery{Stalled: &no}, live)) == 1
	})
	if err := e.store.Heartbeat(e.ctx, job, tidings.Lease{TTL: time.Hour}); err != nil {
		e.Fatal(err)
	}
	e.eventually("it is back", func() bool { return len(e.list(tidings.JobsQuery{Stalled: &no}, job)) == 1 })
}

package hub

import (
	"context"
	"time"
)

// Bounds between two looks at a job's signs of life.
const (
	minLook = 100 * time.Millisecond
	maxLook = time.Minute
	// A job without a lease may get one at any time, most likely at its start.
	minUnleasedLook = time.Second
	maxUnleasedLook = 5 * time.Second
)

// tend wakes the viewers for their heartbeats, looks at the job's signs of
// life, and returns when the topic is needed no more.
func (t *topic) tend(ctx context.Context) {
	pulse := t.hub.opts.Heartbeat / 2
	nextPulse := time.Now().Add(pulse)
	nextLook := time.Now()
	for {
		now := time.Now()
		if !now.Before(nextPulse) {
			t.wakeAll()
			nextPulse = now.Add(pulse)
		}
		if !now.Before(nextLook) {
			nextLook = now.Add(t.look(ctx, now))
		}
		if t.hub.retire(t, false) {
			return
		}
		wait := min(time.Until(nextPulse), time.Until(nextLook), t.hub.opts.Linger/2)
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(wait, minLook)):
		}
	}
}

// look asks for the job's signs of life, tells the viewers what changed, and
// gives the time until the next look: when the lease, if renewed no more, is
// over.
func (t *topic) look(ctx context.Context, now time.Time) time.Duration {
	if !t.open() {
		return time.Hour
	}
	job, err := t.hub.source.Job(ctx, t.jobID)
	if err != nil {
		return maxUnleasedLook // the follower finds out what it is
	}
	until := job.AliveUntil(t.hub.opts.SilentAfter)
	stalled := !until.IsZero() && now.After(until)
	t.mu.RLock()
	changed := stalled != t.stalled
	t.mu.RUnlock()
	if changed {
		t.change(func() { t.stalled = stalled })
	}
	if stalled || until.IsZero() || job.LeaseUntil == nil {
		return min(max(now.Sub(t.since), minUnleasedLook), maxUnleasedLook)
	}
	return min(max(until.Sub(now)+minLook, minLook), maxLook)
}

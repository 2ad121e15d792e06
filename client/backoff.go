package client

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff counts failures in a row and says how long to wait after each.
type backoff struct {
	min, max time.Duration
	failures int
}

// next is the delay before the next attempt: doubled with each failure, at
// random between half and whole, so that clients that lost a server together
// don't come back together. It is never shorter than floor, which the server
// asked for and which is spread by up to a quarter.
func (b *backoff) next(floor time.Duration) time.Duration {
	d := b.max
	if shift := min(b.failures, 30); b.min<<shift>>shift == b.min && b.min<<shift < b.max {
		d = b.min << shift
	}
	b.failures++
	d = d/2 + rand.N(d/2+1)
	if floor > 0 {
		floor += rand.N(floor/4 + 1)
	}
	return max(d, floor)
}

// reset forgets the failures.
func (b *backoff) reset() { b.failures = 0 }

// sleep waits for d or until ctx ends, and reports which by ctx's error.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

package tidings

import (
	"context"
	"math/rand/v2"
	"time"
)

// The pauses between tries: doubling from the first to the longest, each
// shortened by up to half at random so that many writers don't come back at
// once.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = 5 * time.Second
)

type backoff struct{ next time.Duration }

// pause gives the time to wait before the next try.
func (b *backoff) pause() time.Duration {
	if b.next == 0 {
		b.next = firstPause
	}
	d := b.next
	b.next = min(2*b.next, longestPause)
	return d/2 + rand.N(d/2)
}

// wait waits before the next try, or gives the reason why ctx ended.
func (b *backoff) wait(ctx context.Context) error {
	t := time.NewTimer(b.pause())
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

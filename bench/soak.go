package main

import (
	"context"
	"fmt"
	"net"
	"time"
)

// runSoak keeps viewers on many jobs while events come, one viewer in ten
// reading nothing, and looks at the server's memory. At the end the stalled
// ones read on, and everybody must have every event.
func runSoak(ctx context.Context, b *bench) error {
	jobs := max(1, b.viewers/4)
	name := func(i int) string { return fmt.Sprintf("soak-%d", i%jobs) }
	for i := range jobs {
		if err := fill(b.server.addr, name(i), 1); err != nil {
			return err
		}
	}
	awake, stalled, err := b.soakViewers(ctx, name)
	if err != nil {
		return err
	}
	defer awake.leave()
	defer stalled.leave()
	samples, events, err := b.soakLoad(ctx, name)
	if err != nil {
		return err
	}
	missing := b.wakeUp(ctx, awake, stalled, jobs, events)
	early, late := samples[len(samples)/4:len(samples)/2], samples[3*len(samples)/4:]
	apart := b.soak.Minutes() / 2
	drift := float64(median(late)-median(early)) / (1 << 20) / max(apart, 1.0/60)
	b.row(b.store, b.viewers/2, jobs, events, megabytes(median(early)), megabytes(median(late)), fmt.Sprintf("%+.2f MB", drift), missing)
	return nil
}

// soakViewers connects half as many viewers as the fan-out; every tenth never
// reads, with a small buffer of its own so that the server feels it.
func (b *bench) soakViewers(ctx context.Context, name func(int) string) (awake, stalled *crowd, err error) {
	stalled = &crowd{}
	awake, err = join(ctx, b.server.addr, b.viewers/2*9/10, name)
	if err != nil {
		return nil, nil, err
	}
	for i := range b.viewers / 2 / 10 {
		v, err := connect(b.server.addr, name(i))
		if err != nil {
			awake.leave()
			stalled.leave()
			return nil, nil, err
		}
		_ = v.conn.(*net.TCPConn).SetReadBuffer(4 << 10) // best effort: the kernel has a minimum
		stalled.viewers = append(stalled.viewers, v)
	}
	return awake, stalled, nil
}

// soakLoad appends 500 events a second over the jobs in turn and samples the
// server's memory.
func (b *bench) soakLoad(ctx context.Context, name func(int) string) (samples []int64, events int, err error) {
	const every = 2 * time.Millisecond
	events = int(b.soak / every)
	done := make(chan error, 1)
	go func() { done <- publish(ctx, b.server.addr, events, every, name) }()
	sample := time.NewTicker(max(b.soak/120, 50*time.Millisecond))
	defer sample.Stop()
	for {
		select {
		case err := <-done:
			if err == nil && len(samples) < 4 {
				err = fmt.Errorf("a soak of %s is too short to say anything", b.soak)
			}
			return samples, events, err
		case <-sample.C:
			samples = append(samples, b.server.rss())
		}
	}
}

// wakeUp lets the stalled viewers read and counts the deliveries that still
// lack after a while.
func (b *bench) wakeUp(ctx context.Context, awake, stalled *crowd, jobs, events int) int64 {
	for _, v := range stalled.viewers {
		stalled.wg.Go(func() { v.err = v.read(nil) })
	}
	want := func(c *crowd) (sum int64) {
		for i := range c.viewers {
			sum += int64(1 + events/jobs)
			if i%jobs < events%jobs {
				sum++
			}
		}
		return sum
	}
	missing := int64(0)
	for _, c := range []*crowd{awake, stalled} {
		_ = c.await(ctx, want(c), 30*time.Second) // what is missing is the figure
		missing += want(c) - c.seen()
	}
	return missing
}

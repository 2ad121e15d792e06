package main

import (
	"context"
	"fmt"
	"time"
)

// settle leaves memory to itself before it is read. What connecting left behind
// goes with Go's next collection, which an idle server does every two minutes.
func (b *bench) settle(ctx context.Context) error {
	return sleepUntil(ctx, time.Now().Add(b.wait))
}

// runFanout measures what a quiet viewer holds and what a delivery costs.
func runFanout(ctx context.Context, b *bench) error {
	const job, every = "fanout", 100 * time.Millisecond
	if err := b.warmUp(ctx, job); err != nil {
		return err
	}
	empty := b.server.rss()
	viewers, err := join(ctx, b.server.addr, b.viewers, func(int) string { return job })
	if err != nil {
		return err
	}
	defer viewers.leave()
	if err := viewers.await(ctx, int64(b.viewers), time.Minute); err != nil {
		return err
	}
	if err := b.settle(ctx); err != nil {
		return err
	}
	quiet := b.server.rss()

	events := int(4 * b.duration / every)
	before, seen, start := b.server.cpu(), viewers.seen(), time.Now()
	if err := publish(ctx, b.server.addr, events, every, func(int) string { return job }); err != nil {
		return err
	}
	if err := viewers.await(ctx, int64(b.viewers*(events+1)), time.Minute); err != nil {
		return err
	}
	elapsed, cpu, delivered := time.Since(start), b.server.cpu()-before, viewers.seen()-seen
	busy := b.server.rss()
	n := int64(b.viewers)
	b.row(b.store, b.viewers, rate(delivered, elapsed), micros(cpu, delivered), kilobytes((quiet-empty)/n), kilobytes((busy-empty)/n))
	return viewers.failed()
}

// warmUp lets the server do everything once, so that what it allocates for
// itself is not counted for the viewers.
func (b *bench) warmUp(ctx context.Context, job string) error {
	if err := fill(b.server.addr, job, 1); err != nil {
		return err
	}
	some, err := join(ctx, b.server.addr, 10, func(int) string { return job })
	if err != nil {
		return err
	}
	err = some.await(ctx, 10, 10*time.Second)
	some.leave()
	if err != nil {
		return err
	}
	return b.settle(ctx)
}

// runConnections counts a server's connections to Redis, without viewers and
// with many of many jobs.
func runConnections(ctx context.Context, b *bench) error {
	jobs := max(1, b.viewers/10)
	name := func(i int) string { return fmt.Sprintf("connections-%d", i%jobs) }
	for i := range jobs {
		if err := fill(b.server.addr, name(i), 1); err != nil {
			return err
		}
	}
	before, err := redisInfo(b.redis.addr, "clients")
	if err != nil {
		return err
	}
	viewers, err := join(ctx, b.server.addr, b.viewers, name)
	if err != nil {
		return err
	}
	defer viewers.leave()
	if err := viewers.await(ctx, int64(b.viewers), time.Minute); err != nil {
		return err
	}
	after, err := redisInfo(b.redis.addr, "clients")
	if err != nil {
		return err
	}
	// One of them is the connection that asks.
	b.row(b.store, b.viewers, jobs, minusOne(before["connected_clients"]), minusOne(after["connected_clients"]))
	return viewers.failed()
}

func minusOne(text string) int {
	n := 0
	_, _ = fmt.Sscan(text, &n) // 0 shows that INFO said nothing
	return n - 1
}

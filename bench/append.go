package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// runAppend measures durable appends, one event a request, each connection with
// a job of its own.
func runAppend(ctx context.Context, b *bench) error {
	for _, connections := range []int{1, 16, 64} {
		if _, err := b.appendLoad(ctx, fmt.Sprintf("warm-%d", connections), connections, b.duration/10); err != nil {
			return err
		}
		before := b.server.cpu()
		start := time.Now()
		took, err := b.appendLoad(ctx, fmt.Sprintf("append-%d", connections), connections, b.duration)
		if err != nil {
			return err
		}
		elapsed := time.Since(start)
		cpu := b.server.cpu() - before
		n := int64(len(took))
		b.row(b.store, connections, rate(n, elapsed), millis(percentile(took, 0.5)), millis(percentile(took, 0.99)), micros(cpu, n))
	}
	return nil
}

// appendLoad appends over so many connections for so long and gives the sorted
// times of all appends.
func (b *bench) appendLoad(ctx context.Context, job string, connections int, d time.Duration) ([]time.Duration, error) {
	ctx, stop := context.WithTimeout(ctx, d)
	defer stop()
	times := make([][]time.Duration, connections)
	errs := make([]error, connections)
	var wg sync.WaitGroup
	for i := range connections {
		wg.Go(func() { times[i], errs[i] = appendUntil(ctx, b.server.addr, fmt.Sprintf("%s-%d", job, i)) })
	}
	wg.Wait()
	return sortedCopy(times...), errors.Join(errs...)
}

func appendUntil(ctx context.Context, addr, job string) ([]time.Duration, error) {
	a, err := dialAppender(addr)
	if err != nil {
		return nil, err
	}
	defer a.close()
	request := a.request(job, event(1_000_000_000_000_000_000))
	var times []time.Duration
	for ctx.Err() == nil {
		start := time.Now()
		if err := a.send(request); err != nil {
			return nil, err
		}
		times = append(times, time.Since(start))
	}
	return times, nil
}

// publish appends n events at a rate, evenly, with the time in each, to the
// jobs in turn. It goes on at the planned times after a delay, so that a slow
// server is not measured by fewer events.
func publish(ctx context.Context, addr string, n int, every time.Duration, job func(i int) string) error {
	return publishSized(ctx, addr, n, every, eventBytes, job)
}

func publishSized(ctx context.Context, addr string, n int, every time.Duration, size int, job func(i int) string) error {
	a, err := dialAppender(addr)
	if err != nil {
		return err
	}
	defer a.close()
	start := time.Now()
	for i := range n {
		if err := sleepUntil(ctx, start.Add(time.Duration(i)*every)); err != nil {
			return err
		}
		if err := a.send(a.request(job(i), eventOf(size, time.Now().UnixNano()))); err != nil {
			return err
		}
	}
	return nil
}

func sleepUntil(ctx context.Context, t time.Time) error {
	timer := time.NewTimer(time.Until(t))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

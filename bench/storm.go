package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// runStorm lets viewers of one job with some history come back at once, as
// after a redeploy, and counts what the store had to read for them.
func runStorm(ctx context.Context, b *bench) error {
	const events = 1000
	for _, n := range []int{1, max(1, b.viewers/20), max(1, b.viewers/2)} {
		job := fmt.Sprintf("storm-%d", n) // a new one, which the server does not hold yet
		if err := fill(b.server.addr, job, events); err != nil {
			return err
		}
		before, err := b.storeReads()
		if err != nil {
			return err
		}
		start := time.Now()
		viewers, err := rush(b.server.addr, job, n)
		if err != nil {
			return err
		}
		err = viewers.await(ctx, int64(n*events), time.Minute)
		took := time.Since(start)
		viewers.leave()
		if err != nil {
			return err
		}
		after, err := b.storeReads()
		if err != nil {
			return err
		}
		b.row(b.store, n, fmt.Sprintf("%.0f", after-before), millis(took))
	}
	return nil
}

// rush connects n viewers at the same time.
func rush(addr, job string, n int) (*crowd, error) {
	c := &crowd{viewers: make([]*viewer, n)}
	errs := make([]error, n)
	var connecting sync.WaitGroup
	for i := range n {
		connecting.Go(func() { c.viewers[i], errs[i] = connect(addr, job) })
	}
	connecting.Wait()
	for i, err := range errs {
		if err != nil {
			c.viewers = dropNil(c.viewers)
			c.leave()
			return nil, fmt.Errorf("viewer %d: %w", i, err)
		}
	}
	for _, v := range c.viewers {
		c.wg.Go(func() { v.err = v.read(nil) })
	}
	return c, nil
}

func dropNil(all []*viewer) []*viewer {
	var out []*viewer
	for _, v := range all {
		if v != nil {
			out = append(out, v)
		}
	}
	return out
}

// storeReads is how often the server has read a log of its store.
func (b *bench) storeReads() (float64, error) {
	m, err := b.server.metrics()
	if err != nil {
		return 0, err
	}
	reads, ok := m[readsMetric]
	if !ok {
		return 0, fmt.Errorf("/metrics has no %s", readsMetric)
	}
	return reads, nil
}

const readsMetric = "tidings_store_reads_total"

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

// runLatency measures from before the publisher's write to after the viewer's
// read. Publisher, viewers and server share the machine and its clock.
func runLatency(ctx context.Context, b *bench) error {
	const viewers, every = 10, 10 * time.Millisecond
	events := max(50, int(2*b.duration/every))
	if err := fill(b.server.addr, "latency", 1); err != nil {
		return err
	}
	probes := make([]*probe, viewers)
	var wg sync.WaitGroup
	for i := range probes {
		v, err := connect(b.server.addr, "latency")
		if err != nil {
			return err
		}
		p := &probe{viewer: v}
		probes[i] = p
		wg.Go(func() { v.err = v.read(p.take) })
	}
	all := &crowd{}
	for _, p := range probes {
		all.viewers = append(all.viewers, p.viewer)
	}
	finish := func() { all.leave(); wg.Wait() }
	err := all.await(ctx, viewers, 10*time.Second)
	if err == nil {
		err = publish(ctx, b.server.addr, events, every, func(int) string { return "latency" })
	}
	if err == nil {
		err = all.await(ctx, int64(viewers*(events+1)), 10*time.Second)
	}
	finish()
	if err != nil {
		return err
	}
	var delays [][]time.Duration
	for i, p := range probes {
		if p.err != nil && !errors.Is(p.err, net.ErrClosed) {
			return fmt.Errorf("viewer %d: %w", i, p.err)
		}
		delays = append(delays, p.delays)
	}
	sorted := sortedCopy(delays...)
	b.row(b.store, len(sorted), millis(percentile(sorted, 0.5)), millis(percentile(sorted, 0.99)), millis(percentile(sorted, 1)))
	return nil
}

// probe is a viewer that notes how old events are when they arrive.
type probe struct {
	*viewer
	delays []time.Duration
	last   int64
}

var timeField = []byte(`"t":`)

// take finds the times of the events in what was read. What stands in the
// overlap again, or is cut off at the end, is not counted twice or wrongly: a
// time is taken once, if its 19 digits are there.
func (p *probe) take(data []byte) {
	now := time.Now().UnixNano()
	for {
		i := bytes.Index(data, timeField)
		if i < 0 || len(data) < i+len(timeField)+20 {
			return
		}
		data = data[i+len(timeField):]
		t, err := strconv.ParseInt(string(data[:19]), 10, 64)
		if err == nil && t > p.last {
			p.last = t
			p.delays = append(p.delays, time.Duration(now-t))
		}
	}
}

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// The load of a soak: 500 events a second of 2 KB. Half of them go to a few hot
// jobs, which the stalled viewers watch, so that they fall megabytes behind.
const (
	soakEvery      = 2 * time.Millisecond
	soakHotJobs    = 10
	soakEventBytes = 2 << 10
	// What a job has before: more than a server holds of it in memory, so that
	// filling up is not taken for a leak.
	soakHistory = 160
)

// runSoak keeps viewers on many jobs while events come, one viewer in ten
// reading nothing, and looks at the server's memory. At the end the stalled
// ones read on, coming back by their last ID if the server has given them up,
// and everybody must have every event.
func runSoak(ctx context.Context, b *bench) error {
	plan := soakPlan{viewers: b.viewers / 2, jobs: max(2*soakHotJobs, b.viewers/4), events: int((b.soak + b.soakWarmUp()) / soakEvery)}
	for i := range plan.jobs {
		if err := fillSized(b.server.addr, soakJob(i), soakHistory, soakEventBytes); err != nil {
			return err
		}
	}
	awake, err := join(ctx, b.server.addr, plan.awake(), plan.watched)
	if err != nil {
		return err
	}
	defer awake.leave()
	sleepers, err := sleep(b.server.addr, plan)
	if err != nil {
		return err
	}
	samples, err := b.soakLoad(ctx, plan)
	if err != nil {
		return err
	}
	missing := awakeMissing(ctx, awake, plan)
	late, err := wake(ctx, b.server.addr, sleepers, plan)
	if err != nil {
		return err
	}
	samples = samples[len(samples)*3/7:] // without the warm-up
	quarter := len(samples) / 4
	first, last := median(samples[:quarter]), median(samples[len(samples)-quarter:])
	drift := float64(last-first) / (1 << 20) / (b.soak.Minutes() * 3 / 4)
	b.row(b.store, plan.viewers, plan.jobs, plan.events, megabytes(first), megabytes(last), fmt.Sprintf("%+.2f MB", drift), missing+late)
	return awake.failed()
}

// soakWarmUp is how long the load runs before memory is looked at: caches fill,
// and Go lets the heap grow to twice of what lives before it collects.
func (b *bench) soakWarmUp() time.Duration { return b.soak * 3 / 4 }

// soakPlan says who watches what, and how many events which job gets.
type soakPlan struct{ viewers, jobs, events int }

func soakJob(i int) string { return fmt.Sprintf("soak-%d", i) }

func (p soakPlan) stalled() int { return p.viewers / 10 }

func (p soakPlan) awake() int { return p.viewers - p.stalled() }

func (p soakPlan) watchedJob(i int) int { return i % p.jobs }

func (p soakPlan) watched(i int) string { return soakJob(p.watchedJob(i)) }

// job of the i-th event: every other one a hot one.
func (p soakPlan) job(i int) int {
	if i%2 == 0 {
		return i / 2 % soakHotJobs
	}
	return soakHotJobs + i/2%(p.jobs-soakHotJobs)
}

// received is how many events each job has at the end.
func (p soakPlan) received() []int64 {
	out := make([]int64, p.jobs)
	for i := range out {
		out[i] = soakHistory
	}
	for i := range p.events {
		out[p.job(i)]++
	}
	return out
}

// soakLoad appends and samples the server's memory.
func (b *bench) soakLoad(ctx context.Context, plan soakPlan) (samples []int64, err error) {
	done := make(chan error, 1)
	go func() {
		done <- publishSized(ctx, b.server.addr, plan.events, soakEvery, soakEventBytes, func(i int) string { return soakJob(plan.job(i)) })
	}()
	sample := time.NewTicker(max(b.soak/120, 50*time.Millisecond))
	defer sample.Stop()
	for {
		select {
		case err := <-done:
			if err == nil && len(samples) < 16 {
				err = fmt.Errorf("a soak of %s is too short to say anything", b.soak)
			}
			return samples, err
		case <-sample.C:
			samples = append(samples, b.server.rss())
		}
	}
}

func awakeMissing(ctx context.Context, c *crowd, plan soakPlan) int64 {
	received, want := plan.received(), int64(0)
	for i := range c.viewers {
		want += received[plan.watchedJob(i)]
	}
	_ = c.await(ctx, want, 30*time.Second) // what is missing is the figure
	return want - c.seen()
}

// sleeper is a viewer that reads nothing until it is woken.
type sleeper struct {
	conn net.Conn
	job  int
	last string // ID of the last event read
	seen int64
}

// sleep connects the stalled viewers. Their receive buffers stay as they are: a
// tiny one would make them slow for ever, not stalled for a while.
func sleep(addr string, plan soakPlan) ([]*sleeper, error) {
	var out []*sleeper
	for i := range plan.stalled() {
		s := &sleeper{job: i % soakHotJobs}
		out = append(out, s)
		if err := s.connect(addr); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *sleeper) connect(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	s.conn = conn
	_, err = conn.Write(watchRequest(addr, soakJob(s.job), s.last))
	return err
}

// wake lets the sleepers read on and counts what they never get.
func wake(ctx context.Context, addr string, sleepers []*sleeper, plan soakPlan) (missing int64, err error) {
	received := plan.received()
	deadline := time.Now().Add(time.Minute)
	errs := make([]error, len(sleepers))
	var wg sync.WaitGroup
	for i, s := range sleepers {
		wg.Go(func() { errs[i] = s.readOn(ctx, addr, received[s.job], deadline) })
	}
	wg.Wait()
	for i, s := range sleepers {
		missing += received[s.job] - s.seen
		if errs[i] != nil {
			return missing, fmt.Errorf("stalled viewer %d: %w", i, errs[i])
		}
	}
	return missing, nil
}

// readOn reads until the viewer has everything, coming back by the last ID when
// the connection ends.
func (s *sleeper) readOn(ctx context.Context, addr string, want int64, deadline time.Time) error {
	for s.seen < want && ctx.Err() == nil && time.Now().Before(deadline) {
		_ = s.conn.SetReadDeadline(deadline)
		err := s.readTo(want)
		_ = s.conn.Close()
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) { // what is missing is the figure
			return nil
		}
		if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !isReset(err) {
			return err
		}
		if err := s.connect(addr); err != nil {
			return err
		}
	}
	return nil
}

// readTo reads lines until the viewer has everything or the connection ends. An
// event counts when its frame is whole: one that was cut off comes again.
func (s *sleeper) readTo(want int64) error {
	lines := bufio.NewReaderSize(s.conn, 64<<10)
	id := ""
	for s.seen < want {
		line, err := lines.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch value, isID := bytes.CutPrefix(line, []byte("id: ")); {
		case isID:
			id = string(value)
		case len(line) == 0 && id != "":
			s.last, id = id, ""
			s.seen++
		}
	}
	return nil
}

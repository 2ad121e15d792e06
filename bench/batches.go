package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidings"
	"tidings/redislog"
	"tidings/wire"
)

const (
	batchSize    = 64
	batchWriters = 16
)

// runBatches compares batches of 64 events through redislog, each one script
// call with a producer, with redis-benchmark's plain XADD of the same entries,
// 64 in a pipeline. Each goes to 16 streams over as many writers. They take
// turns on an empty server, and the median of the rounds counts, so that what
// else the machine does at the moment falls on both.
func runBatches(ctx context.Context, b *bench) error {
	e, err := wire.ParseEvent(event(1_000_000_000_000_000_000))
	if err != nil {
		return err
	}
	e.Time, e.JobID = time.Now(), "batches-00"
	var plain, ours rounds
	for range 5 {
		if err := plain.add(b, func() (int64, float64, error) { return b.redisBenchmark(ctx, &e) }); err != nil {
			return err
		}
		if err := ours.add(b, func() (int64, float64, error) { return b.throughRedislog(ctx, e) }); err != nil {
			return err
		}
	}
	limit, got := plain.median(), ours.median()
	b.row("redis-benchmark: XADD, 64 in a pipeline", limit, "100 %", plain.cost())
	b.row("redislog: batches of 64", got, fmt.Sprintf("%.0f %%", 100*float64(got)/float64(limit)), ours.cost())
	return nil
}

// rounds are repeated measurements of one writer.
type rounds struct {
	perSecond []int64
	events    int64
	cpu       time.Duration // of Redis
}

func (r *rounds) add(b *bench, measure func() (n int64, perSecond float64, err error)) error {
	if err := redisFlush(b.redis.addr); err != nil {
		return err
	}
	before := b.redis.cpu()
	n, perSecond, err := measure()
	r.cpu += b.redis.cpu() - before
	r.events += n
	r.perSecond = append(r.perSecond, int64(perSecond))
	return err
}

func (r *rounds) median() int64 { return median(r.perSecond) }

func (r *rounds) cost() string { return micros(r.cpu, r.events) }

func (b *bench) throughRedislog(ctx context.Context, e tidings.Event) (n int64, perSecond float64, err error) {
	store, err := redislog.Open(ctx, redislog.Options{URL: "redis://" + b.redis.addr})
	if err != nil {
		return 0, 0, err
	}
	start := time.Now()
	n, err = batchLoad(ctx, store, e, "batches", b.duration/2)
	perSecond = float64(n) / time.Since(start).Seconds()
	return n, perSecond, errors.Join(err, store.Close())
}

func batchLoad(ctx context.Context, to tidings.Appender, e tidings.Event, job string, d time.Duration) (int64, error) {
	ctx, stop := context.WithTimeout(ctx, d)
	defer stop()
	var n atomic.Int64
	errs := make([]error, batchWriters)
	var wg sync.WaitGroup
	for i := range batchWriters {
		wg.Go(func() { errs[i] = appendBatches(ctx, to, e, fmt.Sprintf("%s-%02d", job, i), &n) })
	}
	wg.Wait()
	return n.Load(), errors.Join(errs...)
}

func appendBatches(ctx context.Context, to tidings.Appender, e tidings.Event, job string, n *atomic.Int64) error {
	e.JobID = job
	for seq := int64(0); ctx.Err() == nil; seq++ {
		events := make([]tidings.Event, batchSize)
		for i := range events {
			events[i] = e
		}
		_, err := to.Append(context.WithoutCancel(ctx), job, tidings.Batch{Events: events, Producer: &tidings.Producer{ID: "bench", Seq: seq}})
		if err != nil {
			return err
		}
		n.Add(batchSize)
	}
	return nil
}

var requestsPerSecond = regexp.MustCompile(`([0-9.]+) requests per second`)

// redisBenchmark gives the XADDs a second that redis-benchmark reaches with
// entries as redislog writes them, and how many it sent.
func (b *bench) redisBenchmark(ctx context.Context, e *tidings.Event) (sent int64, perSecond float64, err error) {
	name, err := exec.LookPath("redis-benchmark")
	if err != nil {
		return 0, 0, errNoRedis
	}
	host, port, _ := net.SplitHostPort(b.redis.addr)
	requests := 300_000
	if b.quick {
		requests = 20_000
	}
	args := []string{"-h", host, "-p", port, "-n", strconv.Itoa(requests), "-c", strconv.Itoa(batchWriters), "-P", strconv.Itoa(batchSize), "-r", strconv.Itoa(batchWriters), "-q",
		"XADD", "job_events:__rand_int__", "*",
		wire.FieldEventType, e.Type,
		wire.FieldTimestamp, string(wire.AppendTime(nil, e.Time)),
		wire.FieldData, string(wire.AppendEnvelope(nil, e))}
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("redis-benchmark: %w: %.200s", err, out)
	}
	found := requestsPerSecond.FindAllStringSubmatch(strings.ReplaceAll(string(out), "\r", "\n"), -1)
	if len(found) == 0 {
		return 0, 0, fmt.Errorf("redis-benchmark said no rate: %.200q", out)
	}
	perSecond, err = strconv.ParseFloat(found[len(found)-1][1], 64)
	return int64(requests), perSecond, err
}

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
// 64 in a pipeline. Each goes to 16 streams over as many writers.
func runBatches(ctx context.Context, b *bench) error {
	e, err := wire.ParseEvent(event(1_000_000_000_000_000_000))
	if err != nil {
		return err
	}
	e.Time, e.JobID = time.Now(), "batches-00"
	cpu := b.redis.cpu()
	limit, requests, err := b.redisBenchmark(ctx, &e)
	if err != nil {
		return err
	}
	b.row("redis-benchmark: XADD, 64 in a pipeline", fmt.Sprintf("%.0f", limit), "100 %", micros(b.redis.cpu()-cpu, requests))
	store, err := redislog.Open(ctx, redislog.Options{URL: "redis://" + b.redis.addr})
	if err != nil {
		return err
	}
	defer store.Close() // measured already
	if _, err := batchLoad(ctx, store, e, "warm", b.duration/10); err != nil {
		return err
	}
	cpu = b.redis.cpu()
	start := time.Now()
	n, err := batchLoad(ctx, store, e, "batches", b.duration)
	if err != nil {
		return err
	}
	got := float64(n) / time.Since(start).Seconds()
	b.row("redislog: batches of 64", fmt.Sprintf("%.0f", got), fmt.Sprintf("%.0f %%", 100*got/limit), micros(b.redis.cpu()-cpu, n))
	return nil
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
func (b *bench) redisBenchmark(ctx context.Context, e *tidings.Event) (perSecond float64, sent int64, err error) {
	name, err := exec.LookPath("redis-benchmark")
	if err != nil {
		return 0, 0, errNoRedis
	}
	host, port, _ := net.SplitHostPort(b.redis.addr)
	requests := 500_000
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
	return perSecond, int64(requests), err
}

//go:build unix

package monitor

import (
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
	"tidings/redislog"
)

// BenchmarkAppendWatched is what a monitor takes from appends: 16 writers append
// one event after the other, each durable, with a monitor and without. Processor times
// tell more than rates do, as other work disturbs them less.
//
//	go test -run '^$' -bench AppendWatched -benchtime 200000x ./monitor
func BenchmarkAppendWatched(b *testing.B) {
	stores := map[string]func(b *testing.B) tidings.Store{
		"embedded": func(b *testing.B) tidings.Store { return openStore(b) },
		"redis": func(b *testing.B) tidings.Store {
			s, err := redislog.Open(b.Context(), redislog.Options{URL: redistest.Server(b).URL(), Logger: quiet})
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { _ = s.Close() })
			return s
		},
	}
	for _, name := range sortedKeys(stores) {
		for _, watched := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/watched=%v", name, watched), func(b *testing.B) {
				store := stores[name](b)
				var m *Monitor
				if watched {
					m = watch(b, store, Options{State: &memory{}, tick: tickEvery})
				}
				before, began := processor(), time.Now()
				n := appendRuns(b, store)
				b.ReportMetric(float64(n)/time.Since(began).Seconds(), "events/s")
				for watched && m.Progress().Folded < n {
					time.Sleep(time.Millisecond)
				}
				b.ReportMetric(float64((processor()-before).Nanoseconds())/1e3/float64(n), "cpu-µs/event")
			})
		}
	}
}

// appendRuns writes b.N events of runs of agents.
func appendRuns(b *testing.B, store tidings.Store) int64 {
	const length = 100
	var left, jobs atomic.Int64
	left.Store(int64(b.N))
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for {
				job := int(jobs.Add(1))
				for _, e := range agentRun(job, length) {
					if left.Add(-1) < 0 {
						return
					}
					e.Time = time.Now()
					if _, err := store.Append(b.Context(), fmt.Sprint("job-", job), tidings.Batch{Events: []tidings.Event{e}}); err != nil {
						b.Error(err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	return int64(b.N)
}

// processor is the time that this process had of the processors.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

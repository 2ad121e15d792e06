package redislog

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tidings"
	"tidings/internal/redistest"
)

// benchEvent has 300 bytes of data.
func benchEvent() tidings.Event {
	return tidings.Event{Type: "tool_result", Data: json.RawMessage(`{"tool":"grep","call_id":"c1","output":"` + strings.Repeat("x", 258) + `"}`)}
}

// BenchmarkAppend appends events of 300 bytes to 64 jobs of a Redis that syncs
// every second. docs/redis.md says how to compare it with redis-benchmark.
//
//	go test ./redislog -run '^$' -bench Append
func BenchmarkAppend(b *testing.B) {
	for _, batch := range []int{1, 64} {
		for _, writers := range []int{1, 16, 64} {
			b.Run(fmt.Sprintf("batch=%d/writers=%d", batch, writers), func(b *testing.B) {
				s := open(b, redistest.Server(b).URL())
				appendAll(b, s, batch, writers)
			})
		}
	}
}

func appendAll(b *testing.B, s *Store, batch, writers int) {
	events := make([]tidings.Event, batch)
	for i := range events {
		events[i] = benchEvent()
	}
	b.ReportAllocs()
	var next atomic.Int64
	var group sync.WaitGroup
	b.ResetTimer()
	for range writers {
		group.Go(func() {
			for n := next.Add(1); n <= int64(b.N); n = next.Add(1) {
				if _, err := s.Append(b.Context(), fmt.Sprintf("job-%d", n%64), tidings.Batch{Events: events}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "events/s")
}

// BenchmarkRead reads a log of 50,000 events of 300 bytes.
func BenchmarkRead(b *testing.B) {
	s := open(b, redistest.Server(b).URL())
	batch := make([]tidings.Event, 500)
	for i := range batch {
		batch[i] = benchEvent()
	}
	for range 100 {
		mustAppend(b, s, "job", batch...)
	}
	bytes, events := 0, 0
	b.ReportAllocs()
	for b.Loop() {
		after := tidings.Cursor{}
		for {
			page, err := s.Read(b.Context(), "job", tidings.Query{After: after})
			if err != nil {
				b.Fatal(err)
			}
			for i := range page.Events {
				bytes += len(page.Events[i].Data)
			}
			events += len(page.Events)
			if !page.More {
				break
			}
			after = tidings.Cursor{ID: page.Events[len(page.Events)-1].ID, Incarnation: page.Incarnation}
		}
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(bytes)/b.Elapsed().Seconds()/1e6, "MB/s")
}

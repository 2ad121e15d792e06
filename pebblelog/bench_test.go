package pebblelog_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tidings"
	"tidings/pebblelog"
)

// Run with:
//
//	go test ./pebblelog -run '^$' -bench . -benchtime 3s
//
// Set TMPDIR to a folder on the disk in question.

func openBench(b *testing.B) *pebblelog.Store {
	s, err := pebblelog.Open(b.TempDir(), &pebblelog.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

// delta is an event with 300 bytes of data.
func delta() tidings.Event {
	const frame = `{"status":"delta","channel":"text","message_id":"m1","delta":""}`
	return tidings.Event{Type: tidings.TypeThought, Data: []byte(strings.Replace(frame, `""`, `"`+strings.Repeat("x", 300-len(frame))+`"`, 1))}
}

func perSecond(b *testing.B, n int64, unit string) {
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), unit)
}

// BenchmarkAppend is durable appends of one event, by so many writers that each
// write to a job of their own.
func BenchmarkAppend(b *testing.B) {
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := openBench(b)
			b.ReportAllocs()
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var group sync.WaitGroup
			for w := range writers {
				group.Go(func() {
					job := fmt.Sprintf("job-%d", w)
					batch := tidings.Batch{Events: []tidings.Event{delta()}}
					for left.Add(-1) >= 0 {
						if _, err := s.Append(b.Context(), job, batch); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.StopTimer()
			perSecond(b, int64(b.N), "events/s")
			m := s.Metrics()
			b.ReportMetric(float64(b.N)/float64(max(m.Groups, 1)), "events/sync")
			b.ReportMetric(m.SyncTime.Seconds()/float64(max(m.Groups, 1))*1e6, "µs/sync")
		})
	}
}

// BenchmarkAppendBatch is one writer with batches of 64 events.
func BenchmarkAppendBatch(b *testing.B) {
	s := openBench(b)
	b.ReportAllocs()
	batch := tidings.Batch{}
	for range 64 {
		batch.Events = append(batch.Events, delta())
	}
	n := int64(0)
	for b.Loop() {
		if _, err := s.Append(b.Context(), "job", batch); err != nil {
			b.Fatal(err)
		}
		n += 64
	}
	perSecond(b, n, "events/s")
}

const historyEvents = 100_000

func fillHistory(b *testing.B, s *pebblelog.Store, job string) {
	batch := tidings.Batch{}
	for range 1000 {
		batch.Events = append(batch.Events, delta())
	}
	for range historyEvents / 1000 {
		if _, err := s.Append(b.Context(), job, batch); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRead reads a log of 100,000 events by pages.
func BenchmarkRead(b *testing.B) {
	s := openBench(b)
	fillHistory(b, s, "job")
	b.ReportAllocs()
	n, size := int64(0), int64(0)
	for b.Loop() {
		q := tidings.Query{}
		for more := true; more; {
			p, err := s.Read(b.Context(), "job", q)
			if err != nil {
				b.Fatal(err)
			}
			for i := range p.Events {
				size += int64(len(p.Events[i].Data))
			}
			n += int64(len(p.Events))
			q.After.ID = p.Events[len(p.Events)-1].ID
			more = p.More
		}
	}
	perSecond(b, n, "events/s")
	b.ReportMetric(float64(size)/b.Elapsed().Seconds()/1e6, "MB/s")
}

// BenchmarkFollow is events appended by one writer in batches of 16 and given
// to followers as they come.
func BenchmarkFollow(b *testing.B) {
	for _, followers := range []int{1, 100} {
		b.Run(fmt.Sprintf("followers=%d", followers), func(b *testing.B) {
			s := openBench(b)
			if _, err := s.Append(b.Context(), "job", tidings.Batch{Events: []tidings.Event{delta()}}); err != nil {
				b.Fatal(err)
			}
			var given atomic.Int64
			var group sync.WaitGroup
			for range followers {
				f, err := s.Follow(b.Context(), "job", tidings.Cursor{})
				if err != nil {
					b.Fatal(err)
				}
				group.Go(func() {
					defer f.Close()
					for {
						events, err := f.Next(b.Context())
						if errors.Is(err, io.EOF) {
							return
						}
						if err != nil {
							b.Error(err)
							return
						}
						given.Add(int64(len(events)))
					}
				})
			}
			b.ReportAllocs()
			batch := tidings.Batch{}
			for range 16 {
				batch.Events = append(batch.Events, delta())
			}
			for b.Loop() {
				if _, err := s.Append(b.Context(), "job", batch); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := s.Append(b.Context(), "job", tidings.Batch{Events: []tidings.Event{{Type: tidings.TypeDone}}}); err != nil {
				b.Fatal(err)
			}
			group.Wait()
			perSecond(b, given.Load(), "deliveries/s")
		})
	}
}

// BenchmarkFeed reads 100,000 changes of 100 jobs.
func BenchmarkFeed(b *testing.B) {
	s := openBench(b)
	for range historyEvents / 1000 {
		for j := range 100 {
			batch := tidings.Batch{}
			for range 10 {
				batch.Events = append(batch.Events, delta())
			}
			if _, err := s.Append(b.Context(), fmt.Sprintf("job-%d", j), batch); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportAllocs()
	n := int64(0)
	for b.Loop() {
		f, err := s.Feed(b.Context(), "")
		if err != nil {
			b.Fatal(err)
		}
		for got := 0; got < historyEvents; {
			changes, err := f.Next(b.Context())
			if err != nil {
				b.Fatal(err)
			}
			got += len(changes)
			n += int64(len(changes))
		}
		_ = f.Close()
	}
	perSecond(b, n, "events/s")
}

// BenchmarkJobs finds the five running jobs among 10,000.
func BenchmarkJobs(b *testing.B) {
	s := openBench(b)
	var group sync.WaitGroup
	for w := range 16 {
		group.Go(func() {
			for i := range 625 {
				end := tidings.TypeDone
				if n := w*625 + i; n%2000 == 0 {
					end = tidings.TypeCustom
				}
				batch := tidings.Batch{Events: []tidings.Event{delta(), {Type: end}}}
				if _, err := s.Append(b.Context(), fmt.Sprintf("job-%d-%d", w, i), batch); err != nil {
					b.Error(err)
				}
			}
		})
	}
	group.Wait()
	b.ReportAllocs()
	for b.Loop() {
		p, err := s.Jobs(b.Context(), tidings.JobsQuery{Status: []tidings.Status{tidings.StatusRunning}})
		if err != nil || len(p.Jobs) != 5 {
			b.Fatalf("%d jobs, %v", len(p.Jobs), err)
		}
	}
}

package hub_test

import (
	"fmt"
	"sync"
	"testing"

	"tidings"
	"tidings/hub"
)

// BenchmarkFanOut appends one event at a time to a job with many viewers and
// waits until each has it. The append itself, with its sync to disk, is not
// timed apart: divide by the viewers to see what a delivery costs.
func BenchmarkFanOut(b *testing.B) {
	for _, viewers := range []int{1, 100, 2000} {
		b.Run(fmt.Sprintf("viewers=%d", viewers), func(b *testing.B) {
			s := openStore(b, nil)
			h := newHub(b, s, nil)
			appendN(b, s, "job", 1)
			ctx := b.Context()

			var got sync.WaitGroup
			var watching sync.WaitGroup
			for range viewers {
				v, err := h.Join(ctx, "job", tidings.Cursor{}, nil)
				if err != nil {
					b.Fatal(err)
				}
				if d, err := v.Next(ctx); err != nil || d.Notice != hub.NoticeNone {
					b.Fatal(d.Notice, err)
				}
				watching.Go(func() {
					defer v.Close()
					for {
						d, err := v.Next(ctx)
						if err != nil || d.Notice == hub.NoticeEnd {
							return
						}
						if d.Notice == hub.NoticeNone {
							got.Done()
						}
					}
				})
			}
			b.ReportAllocs()
			for b.Loop() {
				got.Add(viewers)
				appendN(b, s, "job", 1)
				got.Wait()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(viewers), "ns/delivery")
			got.Add(viewers)
			appendEvent(b, s, "job", tidings.TypeDone)
			watching.Wait()
		})
	}
}

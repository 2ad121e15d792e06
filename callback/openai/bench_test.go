package openai

import (
	"context"
	"slices"
	"testing"
	"time"

	"tidings"
)

// nowhere takes everything.
type nowhere struct{}

func (nowhere) Append(context.Context, string, tidings.Batch) (tidings.Receipt, error) {
	return tidings.Receipt{}, nil
}
func (nowhere) Heartbeat(context.Context, string, tidings.Lease) error { return nil }

// What telling of a piece of a stream adds to reading it: parsing it, and the
// callback.
func BenchmarkPiece(b *testing.B) {
	ctx := context.Background()
	job := tidings.Start(ctx, "job", nowhere{}, nil)
	_, m := job.ModelWith(ctx, tidings.RunInfo{Name: "fake"}, "fake", "")
	answer := &body{call: &call{model: m, chat: true}, stream: true}
	piece := []byte("data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"gpt-5\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"token\"},\"finish_reason\":null}]}\n\n")
	took := make([]time.Duration, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		if len(took)%1000 == 999 {
			b.StopTimer()
			_ = job.Flush(ctx)
			b.StartTimer()
		}
		began := time.Now()
		answer.take(piece)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
	job.End(nil, nil)
	_ = job.Close(ctx)
}

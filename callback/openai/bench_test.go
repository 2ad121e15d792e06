package openai

import (
	"context"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"

	"tidings"
)

// nowhere takes everything.
type nowhere struct{}

func (nowhere) Append(context.Context, string, tidings.Batch) (tidings.Receipt, error) {
	return tidings.Receipt{}, nil
}
func (nowhere) Heartbeat(context.Context, string, tidings.Lease) error { return nil }

// What telling of a piece of a stream adds to reading it.
func BenchmarkChunk(b *testing.B) {
	var chunk openai.ChatCompletionChunk
	if err := json.Unmarshal([]byte(`{"choices":[{"index":0,"delta":{"content":"token"}}]}`), &chunk); err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	job := tidings.Start(ctx, "job", nowhere{}, nil)
	_, c := begin(ctx, job, "fake")
	took := make([]time.Duration, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		if len(took)%1000 == 999 {
			b.StopTimer()
			_ = job.Flush(ctx)
			b.StartTimer()
		}
		began := time.Now()
		c.chunk(&chunk)
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
	job.End(nil, nil)
	_ = job.Close(ctx)
}

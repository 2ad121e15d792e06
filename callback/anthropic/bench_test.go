package anthropic

import (
	"context"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"tidings"
	"tidings/internal/answer"
)

// nowhere takes everything.
type nowhere struct{}

func (nowhere) Append(context.Context, string, tidings.Batch) (tidings.Receipt, error) {
	return tidings.Receipt{}, nil
}
func (nowhere) Heartbeat(context.Context, string, tidings.Lease) error { return nil }

// endless is a stream of the same piece again and again.
type endless []byte

func (e endless) Read(p []byte) (int, error) { return copy(p, e), nil }

// What telling of a piece of a stream adds to reading it: parsing it, and the
// callback.
func BenchmarkPiece(b *testing.B) {
	ctx := context.Background()
	job := tidings.Start(ctx, "job", nowhere{}, nil)
	_, m := job.ModelWith(ctx, tidings.RunInfo{Name: "fake"}, "fake", "")
	piece := []byte("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"token\"}}\n\n")
	stream := answer.Listen(&call{model: m}, &http.Response{
		StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"text/event-stream"}}, Body: io.NopCloser(endless(piece)),
	})
	buf := make([]byte, len(piece))
	took := make([]time.Duration, 0, 1<<20)
	b.ReportAllocs()
	for b.Loop() {
		if len(took)%1000 == 999 {
			b.StopTimer()
			_ = job.Flush(ctx)
			b.StartTimer()
		}
		began := time.Now()
		_, _ = stream.Read(buf) // it does not fail
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)*99/100].Nanoseconds()), "p99-ns")
	job.End(nil, nil)
	_ = job.Close(ctx)
}

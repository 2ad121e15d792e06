package asynq_test

import (
	"context"
	"testing"
	"time"

	hibiken "github.com/hibiken/asynq"

	"tidings"
)

// What a task costs with everything around it: its job is created, and its start
// and end are stored before asynq goes on. The store and the queue share one
// Redis.
func BenchmarkTask(b *testing.B) {
	w := newWorld(b)
	done := make(chan struct{}, 1)
	c := config()
	c.TaskCheckInterval = time.Millisecond // or it is the time between two looks that counts
	w.serve(nil, c, func(context.Context, *hibiken.Task) error { done <- struct{}{}; return nil })
	for b.Loop() {
		if _, err := w.client.Enqueue(w.ctx, tidings.JobSpec{}, hibiken.NewTask("report", nil)); err != nil {
			b.Fatal(err)
		}
		<-done
	}
}

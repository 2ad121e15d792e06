// Package asynq runs jobs as tasks of asynq (github.com/hibiken/asynq), a task
// queue on Redis.
//
// On the side that enqueues, a [Client] makes the job known before its task is on
// the queue:
//
//	client := asynq.NewClient(hibiken.NewClient(redis), store)
//	info, err := client.Enqueue(ctx, tidings.JobSpec{Name: "report"}, hibiken.NewTask("report", payload))
//
// On the side that works, [Middleware] tells how the tasks fare, and gives the
// job to their handlers:
//
//	mux := hibiken.NewServeMux()
//	mux.Use(asynq.Middleware(store, nil))
//	mux.HandleFunc("report", func(ctx context.Context, t *hibiken.Task) error {
//		job := asynq.Job(ctx) // ctx ends when the job is asked to stop
//		…
//	})
//
// A [Queue] looks after what no worker tells of: workers that were killed, tasks
// that were archived, deleted or given back. It is a [tidings.TaskQueue] too:
// it submits, stops, and lists workers and depths.
//
// The README says what becomes of which ending.
package asynq

package tidingsgenkit

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"tidings"
)

type jobKey struct{}

// tracked is a job as the contexts of its flows hold it.
type tracked struct {
	job *tidings.Handler

	mu        sync.Mutex
	pending   map[string]*waiting // tools that wait for input, by their call ID
	restarted map[string]*waiting // tools that are about to be run again
	waits     bool                // the last root ended while a tool waited
	whole     bool                // Run says when all of it is over
}

// waiting is a call of a tool that waits for input.
type waiting struct {
	tool *tidings.ToolRun
	held context.Context // holds its run
	root *tidings.Run    // the outermost run that we know of around it
}

// WithJob gives a context whose flows and model calls belong to the job. For
// a flow that can be stopped give it [tidings.Handler.Context].
func WithJob(ctx context.Context, job *tidings.Handler) context.Context {
	if job == nil {
		return ctx
	}
	return context.WithValue(tidings.WithJob(ctx, job), jobKey{}, newTracked(job))
}

func newTracked(job *tidings.Handler) *tracked {
	return &tracked{job: job, pending: map[string]*waiting{}, restarted: map[string]*waiting{}}
}

// trackedFrom gives what [WithJob] put into the context, or what is known of its
// job since the span or generation around; nil if it has no job.
func trackedFrom(ctx context.Context) *tracked {
	job, _ := tidings.FromContext(ctx)
	t, _ := ctx.Value(jobKey{}).(*tracked)
	if t != nil && (job == nil || job == t.job) {
		return t
	}
	if job == nil {
		return nil
	}
	if o := findSpan(spanOf(ctx)); o != nil && o.job.job == job {
		return o.job
	}
	return newTracked(job)
}

// Run calls fn as the job: fn's context holds the job and ends when the job is
// asked to stop, and the job ends with what fn returns, also if fn panics, in
// which case the panic goes on. If a tool waits for input the job stays open,
// waiting; a later Run, in this process or another, goes on with it. A nil job
// runs unobserved. It does not close the job.
func Run[Out any](ctx context.Context, job *tidings.Handler, fn func(ctx context.Context) (Out, error)) (Out, error) {
	if job == nil {
		return fn(ctx)
	}
	ctx, cancel := job.Join(WithJob(ctx, job))
	defer cancel()
	t := trackedFrom(ctx)
	t.whole = true
	returned := false
	defer func() {
		if returned {
			return
		}
		p := recover()
		if p == nil {
			job.End(nil, fmt.Errorf("the flow ended its goroutine without returning"))
			return
		}
		job.End(nil, &tidings.PanicError{Value: p})
		panic(p)
	}()
	out, err := fn(ctx)
	returned = true
	if waits := t.giveUp(nil); err != nil || !waits {
		job.End(out, err)
	}
	return out, err
}

// Serve puts a job into the context of each request to flows, as genkit.Handler
// serves them. start gives the job of a request; nil means none. With
// [tidings.HandlerOptions].Automatic the job ends when its flow does, if
// [Install] was called. Start it with context.WithoutCancel(r.Context()) if streams
// are durable, as their flows go on without their client. When the job is asked
// to stop the flow's context ends; that of a durable one in its generations.
// When the request is over the job is closed: what is queued is sent for up to
// 10 s.
func Serve(flows http.Handler, start func(*http.Request) *tidings.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		job := start(r)
		if job == nil {
			flows.ServeHTTP(w, r)
			return
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 10*time.Second)
			defer cancel()
			_ = job.Close(ctx) // what is lost it has logged
		}()
		ctx, cancel := job.Join(WithJob(r.Context(), job))
		defer cancel()
		flows.ServeHTTP(w, r.WithContext(ctx))
	})
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"tidings"
	"tidings/wire"
)

// replayer publishes recorded files. Safe for concurrent use.
type replayer struct {
	publisher *tidings.Publisher
	prefix    string
	pace      pace
	end       bool
	in        io.Reader

	files, jobs, events atomic.Int64
}

// all replays the files, some at a time, and stops at the first error.
func (r *replayCmd) all(ctx context.Context, e *env, files []string, p *replayer) error {
	began := time.Now()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	todo := make(chan string, len(files))
	for _, file := range files {
		todo <- file
	}
	close(todo)
	progress := showProgress(ctx, e, func() string {
		return fmt.Sprintf("%d of %d files, %d events", p.files.Load(), len(files), p.events.Load())
	})
	var workers sync.WaitGroup
	for range max(1, r.Parallel) {
		workers.Go(func() {
			for file := range todo {
				if ctx.Err() != nil {
					return
				}
				if err := p.file(ctx, file); err != nil {
					stop(fmt.Errorf("%s: %w", file, err))
					return
				}
			}
		})
	}
	workers.Wait()
	progress()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	_, err := fmt.Fprintf(e.out, "%d jobs, %d events in %s\n", p.jobs.Load(), p.events.Load(), short(time.Since(began)))
	return err
}

// file replays one file.
func (p *replayer) file(ctx context.Context, path string) error {
	in, job, err := p.open(path)
	if err != nil {
		return err
	}
	defer in.Close() // it was only read from
	run := recording{replayer: p, clock: clock{pace: p.pace}, ended: map[string]bool{}}
	lines := wire.NewEventReader(in, maxLineBytes)
	for {
		e, err := lines.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = run.add(ctx, e, job)
		}
		if err != nil {
			return err
		}
	}
	if err := run.flush(ctx); err != nil {
		return err
	}
	p.files.Add(1)
	return run.finish(ctx)
}

// recording is a file on its way: events of one job that follow each other go
// as one batch, if nothing holds them up.
type recording struct {
	*replayer
	clock clock
	job   string
	batch []tidings.Event
	size  int
	ended map[string]bool // by job seen: whether a terminal event came
}

// add takes the next event of the file.
func (r *recording) add(ctx context.Context, e tidings.Event, fallback string) error {
	if e.JobID == "" {
		e.JobID = fallback
	}
	if e.JobID == "" {
		return &tidings.InvalidError{Field: "job_id", Reason: "missing, and there is no file name to take it from"}
	}
	if r.clock.limited() {
		if err := r.clock.await(ctx, &e); err != nil {
			return err
		}
	}
	job := r.prefix + e.JobID
	if job != r.job {
		if err := r.flush(ctx); err != nil {
			return err
		}
		r.job = job
	}
	if _, seen := r.ended[job]; !seen {
		r.jobs.Add(1)
	}
	r.ended[job] = e.Terminal()
	e.JobID = job
	r.batch = append(r.batch, e)
	r.size += len(e.Data)
	if r.clock.limited() || e.Terminal() || len(r.batch) >= maxBatchCount || r.size >= maxBatchBytes {
		return r.flush(ctx)
	}
	return nil
}

func (r *recording) flush(ctx context.Context) error {
	if len(r.batch) == 0 {
		return nil
	}
	s := sender{jobID: r.job, publisher: r.publisher}
	if err := s.send(ctx, r.batch); err != nil {
		if closed, ok := errors.AsType[*tidings.ClosedError](err); ok {
			return fmt.Errorf("%w; replay the run under another ID with --job-prefix", closed)
		}
		return err
	}
	r.events.Add(int64(s.events))
	r.batch, r.size = nil, 0
	return nil
}

// finish ends the jobs whose runs have no end, if that is wanted.
func (r *recording) finish(ctx context.Context) error {
	if !r.end {
		return nil
	}
	for job, ended := range r.ended {
		if ended {
			continue
		}
		e, err := tidings.NewEvent(tidings.TypeDone, map[string]string{"status": "completed"})
		if err != nil {
			return err
		}
		r.job, r.batch = job, []tidings.Event{e}
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

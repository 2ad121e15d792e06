package logtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"tidings"
)

// Appending: order, atomic batches, what is refused.
var appendCases = []testCase{
	{name: "append/order", run: appendOrder},
	{name: "append/receipt", run: appendReceipt},
	{name: "append/batch-refused-whole", run: appendBatchRefusedWhole},
	{name: "append/batch-never-seen-half", run: appendBatchNeverSeenHalf},
	{name: "append/large-batch", run: appendLargeBatch},
	{name: "append/concurrent-writers", run: appendConcurrentWriters},
	{name: "append/many-jobs", run: appendManyJobs},
	{name: "append/job-ids", run: appendJobIDs},
}

func appendOrder(e *env) {
	job := e.job()
	var ledger Ledger
	for n := range 50 {
		if _, err := ledger.Append(e.ctx, e.store, job, tidings.Batch{Events: notes(n*3, n*3+1+n%3)}); err != nil {
			e.Fatal(err)
		}
	}
	ledger.Check(e, e.store)
}

func appendReceipt(e *env) {
	job := e.job()
	first := e.append(job, notes(0, 3)...)
	second := e.append(job, notes(3, 5)...)
	for _, r := range []tidings.Receipt{first, second} {
		if r.Duplicate || r.Incarnation == "" || r.LastID != r.IDs[len(r.IDs)-1] {
			e.Errorf("receipt %+v; want an incarnation, no duplicate, and the last ID as LastID", r)
		}
	}
	if len(first.IDs) != 3 || len(second.IDs) != 2 {
		e.Fatalf("%d and %d IDs; want 3 and 2", len(first.IDs), len(second.IDs))
	}
	if first.Incarnation != second.Incarnation {
		e.Errorf("incarnation changed from %s to %s", first.Incarnation, second.Incarnation)
	}
	got := e.log(job)
	e.sameData("log", got, notes(0, 5))
	for i, id := range append(first.IDs, second.IDs...) {
		if got[i].ID != id || got[i].JobID != job {
			e.Errorf("event %d is %s of %q; the receipt said %s", i, got[i].ID, got[i].JobID, id)
		}
	}
}

func appendBatchRefusedWhole(e *env) {
	job := e.job()
	bad := map[string]tidings.Event{
		"no type":       event("", `{}`),
		"long type":     event(string(make([]byte, 65)), `{}`),
		"no JSON":       event("custom", `{"n":`),
		"other job":     {Type: "custom", JobID: "another"},
		"terminal":      done(),
		"invalid UTF-8": event("custom", "\"\xff\""),
	}
	for name, b := range bad {
		err := e.refused(job, tidings.Batch{Events: []tidings.Event{note(1), b, note(2)}})
		wantType[*tidings.InvalidError](e, name, err)
	}
	wantType[*tidings.InvalidError](e, "no events", e.refused(job, tidings.Batch{}))
	_, err := e.store.Job(e.ctx, job)
	e.want("job after refused batches only", err, tidings.ErrUnknownJob)

	e.append(job, note(0))
	wantType[*tidings.InvalidError](e, "bad event", e.refused(job, tidings.Batch{Events: []tidings.Event{note(1), event("", `{}`), note(2)}}))
	e.append(job, note(3))
	e.sameData("log", e.log(job), []tidings.Event{note(0), note(3)})
}

// Every reading from the start that fits one page must end between two batches.
func appendBatchNeverSeenHalf(e *env) {
	const size, batches = 7, 60
	job := e.job()
	e.append(job, notes(0, size)...)
	ctx, cancel := context.WithCancel(e.ctx)
	var readers sync.WaitGroup
	defer readers.Wait()
	defer cancel()
	for range 3 {
		readers.Go(func() {
			for ctx.Err() == nil {
				p, err := e.store.Read(ctx, job, tidings.Query{})
				if err != nil {
					if ctx.Err() == nil {
						e.Errorf("read: %v", err)
					}
					return
				}
				if !p.More && len(p.Events)%size != 0 {
					e.Errorf("a reader saw %d events; batches have %d", len(p.Events), size)
					return
				}
			}
		})
	}
	for n := 1; n < batches; n++ {
		e.append(job, notes(n*size, (n+1)*size)...)
	}
}

func appendLargeBatch(e *env) {
	job := e.job()
	r := e.append(job, notes(0, 2500)...)
	if len(r.IDs) != 2500 {
		e.Fatalf("%d IDs; want 2500", len(r.IDs))
	}
	e.sameData("log", e.log(job), notes(0, 2500))
}

func appendConcurrentWriters(e *env) {
	const writers, batches = 16, 30
	job := e.job()
	var ledger Ledger
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := range batches {
				from := (w*batches + n) * 4
				if _, err := ledger.Append(e.ctx, e.store, job, tidings.Batch{Events: notes(from, from+1+n%4)}); err != nil {
					e.Errorf("writer %d: %v", w, err)
					return
				}
			}
		})
	}
	group.Wait()
	ledger.Check(e, e.store)
}

func appendManyJobs(e *env) {
	const jobs = 40
	var ledger Ledger
	var group sync.WaitGroup
	for range jobs {
		job := e.job()
		group.Go(func() {
			for n := range 10 {
				if _, err := ledger.Append(e.ctx, e.store, job, tidings.Batch{Events: notes(n*2, n*2+2)}); err != nil {
					e.Errorf("%s: %v", job, err)
					return
				}
			}
		})
	}
	group.Wait()
	ledger.Check(e, e.store)
}

func appendJobIDs(e *env) {
	base := e.job()
	good := []string{base + " with space", base + "/ünï/цёдё/作业", base + ":~-*?[a]\\\"'%00", base + "\u2028"}
	longest := base
	for len(longest) < tidings.MaxJobIDBytes {
		longest += "x"
	}
	for i, job := range append(good, longest) {
		e.append(job, note(i))
		if got := e.log(job); len(got) != 1 || got[0].JobID != job {
			e.Errorf("job %q has log %+v", job, got)
		}
		if got := e.get(job).ID; got != job {
			e.Errorf("job %q calls itself %q", job, got)
		}
	}
	for _, job := range []string{"", ".", "..", "/", "a{b", "a}b", "a\nb", "a\x00b", "a\u0085b", "\xff", longest + "x"} {
		err := e.refused(job, tidings.Batch{Events: notes(0, 1)})
		wantType[*tidings.InvalidError](e, fmt.Sprintf("append to %.20q", job), err)
		for method, call := range methods(e.store, job) {
			err := call(e.ctx)
			if _, invalid := errors.AsType[*tidings.InvalidError](err); !invalid && !errors.Is(err, tidings.ErrUnknownJob) {
				e.Errorf("%s of %.20q: error is %v; want it invalid or unknown", method, job, err)
			}
		}
	}
}

// methods are the calls that name a job and do not create it.
func methods(s tidings.Store, job string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"Read":      func(ctx context.Context) error { _, err := s.Read(ctx, job, tidings.Query{}); return err },
		"Job":       func(ctx context.Context) error { _, err := s.Job(ctx, job); return err },
		"Delete":    func(ctx context.Context) error { return s.Delete(ctx, job) },
		"Heartbeat": func(ctx context.Context) error { return s.Heartbeat(ctx, job, tidings.Lease{}) },
		"Follow": func(ctx context.Context) error {
			f, err := s.Follow(ctx, job, tidings.Cursor{})
			if err == nil {
				_ = f.Close()
			}
			return err
		},
	}
}

var _ testing.TB = (*env)(nil) // a case can hand itself on as its test

package logtest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"tidings"
)

// Closing: a terminal event is the last word.
var closingCases = []testCase{
	{name: "close/terminal-events", run: closeTerminal},
	{name: "close/not-terminal", run: closeNotTerminal},
	{name: "close/in-the-middle-of-a-batch", run: closeMidBatch},
	{name: "close/first-event", run: closeFirstEvent},
	{name: "close/race", run: closeRace},
}

func closeTerminal(e *env) {
	for _, last := range []tidings.Event{done(), event("cancelled", `{}`), event("error", `{"fatal":true,"error":"x"}`)} {
		job := e.job()
		e.append(job, note(0))
		r := e.append(job, note(1), last)
		for _, late := range []tidings.Event{note(2), last, event("error", `{}`)} {
			closed := wantType[*tidings.ClosedError](e, "append after "+last.Type, e.refused(job, tidings.Batch{Events: []tidings.Event{late}}))
			if want := (tidings.ClosedError{JobID: job, LastID: r.LastID}); *closed != want {
				e.Errorf("error says %+v; want %+v", *closed, want)
			}
		}
		e.sameData("log", e.log(job), []tidings.Event{note(0), note(1), last})
		if j := e.get(job); !j.Closed || !j.Status.Ended() {
			e.Errorf("job after %s is %s, closed %t", last.Type, j.Status, j.Closed)
		}
		err := tidings.RequestCancel(e.ctx, e.store, job, "me", "late")
		wantType[*tidings.ClosedError](e, "cancel after "+last.Type, err)
		wantType[*tidings.ClosedError](e, "heartbeat after "+last.Type, e.store.Heartbeat(e.ctx, job, tidings.Lease{}))
	}
}

func closeNotTerminal(e *env) {
	job := e.job()
	for i, open := range []tidings.Event{
		event("error", `{"error":"no"}`), event("error", `{"fatal":false}`), event("error", `{"fatal":"true"}`),
		event("error", `"fatal"`), event("error", `{"data":{"fatal":true}}`), event("custom", `{"fatal":true}`),
		event("task_completed", `{}`), event("task_failed", `{"fatal":true}`), event("Done", `{}`), event("cancel_requested", `{}`),
	} {
		e.append(job, open, note(i))
	}
	if j := e.get(job); j.Closed {
		e.Errorf("job is closed: %+v", j)
	}
}

func closeMidBatch(e *env) {
	job := e.job()
	for _, last := range []tidings.Event{done(), event("cancelled", `{}`), event("error", `{"fatal":true}`)} {
		err := e.refused(job, tidings.Batch{Events: []tidings.Event{note(0), last, note(1)}})
		wantType[*tidings.InvalidError](e, last.Type+" in the middle", err)
		err = e.refused(job, tidings.Batch{Events: []tidings.Event{last, last}})
		wantType[*tidings.InvalidError](e, last.Type+" twice", err)
	}
	e.append(job, note(0), event("error", `{"fatal":false}`), note(1))
}

func closeFirstEvent(e *env) {
	job := e.job()
	r := e.append(job, done())
	if j := e.get(job); !j.Closed || j.Events != 1 || j.FirstID != r.LastID {
		e.Errorf("job of one terminal event: %+v", j)
	}
	wantType[*tidings.ClosedError](e, "append", e.refused(job, tidings.Batch{Events: notes(0, 1)}))
}

// Many end the job at once while others write: one ends it, and nothing lies
// behind that.
func closeRace(e *env) {
	for range 5 {
		job := e.job()
		e.append(job, note(0))
		var ledger Ledger
		var ended atomic.Int64
		var group sync.WaitGroup
		for w := range 8 {
			group.Go(func() {
				batch := tidings.Batch{Events: []tidings.Event{note(w + 1)}}
				if w%2 == 0 {
					batch.Events = append(batch.Events, event("done", fmt.Sprintf(`{"output":%d}`, w)))
				}
				_, err := ledger.Append(e.ctx, e.store, job, batch)
				if err != nil {
					if _, closed := errors.AsType[*tidings.ClosedError](err); !closed {
						e.Errorf("append: %v; want it done or a *ClosedError", err)
					}
				} else if w%2 == 0 {
					ended.Add(1)
				}
			})
		}
		group.Wait()
		if ended.Load() != 1 {
			e.Errorf("the job was ended %d times", ended.Load())
		}
		log := e.log(job)
		for i := range log {
			if log[i].Terminal() != (i == len(log)-1) {
				e.Errorf("%s is event %d of %d", log[i].Type, i, len(log))
			}
		}
	}
}

package logtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	"tidings"
)

// env is what a case works with.
type env struct {
	*testing.T
	h     Harness
	store tidings.Store
	ctx   context.Context // ends with the case, or when its time is up
}

func newEnv(t *testing.T, h Harness, s tidings.Store) *env {
	ctx, cancel := context.WithTimeout(t.Context(), h.Timeout)
	t.Cleanup(cancel)
	return &env{T: t, h: h, store: s, ctx: ctx}
}

// job gives a job ID that no other case and no earlier run uses.
func (e *env) job() string { return e.Name() + "/" + tidings.NewJobID() }

// note is an event whose data names it: {"n":n}.
func note(n int) tidings.Event {
	return tidings.Event{Type: tidings.TypeCustom, Data: json.RawMessage(fmt.Sprintf(`{"n":%d}`, n))}
}

// notes are the notes from, from+1 … until-1.
func notes(from, until int) []tidings.Event {
	var events []tidings.Event
	for n := from; n < until; n++ {
		events = append(events, note(n))
	}
	return events
}

// number is the n of a note, or -1.
func number(e *tidings.Event) int {
	d := struct{ N int }{-1}
	_ = json.Unmarshal(e.Data, &d)
	return d.N
}

func event(eventType, data string) tidings.Event {
	return tidings.Event{Type: eventType, Data: json.RawMessage(data)}
}

func done() tidings.Event { return event(tidings.TypeDone, `{"status":"completed"}`) }

// append appends and fails the case if that fails.
func (e *env) append(job string, events ...tidings.Event) tidings.Receipt {
	e.Helper()
	return e.appendBatch(job, tidings.Batch{Events: events})
}

// appendAs appends as a producer.
func (e *env) appendAs(job string, p tidings.Producer, events ...tidings.Event) tidings.Receipt {
	e.Helper()
	return e.appendBatch(job, tidings.Batch{Events: events, Producer: &p})
}

func (e *env) appendBatch(job string, b tidings.Batch) tidings.Receipt {
	e.Helper()
	r, err := e.store.Append(e.ctx, job, b)
	if err != nil {
		e.Fatalf("append of %d events to %s: %v", len(b.Events), job, err)
	}
	return r
}

// refused appends, wants an error and gives it.
func (e *env) refused(job string, b tidings.Batch) error {
	e.Helper()
	r, err := e.store.Append(e.ctx, job, b)
	if err == nil {
		e.Fatalf("append to %s succeeded with %+v; want it refused", job, r)
	}
	return err
}

// read gives one page.
func (e *env) read(job string, q tidings.Query) tidings.Page {
	e.Helper()
	p, err := e.store.Read(e.ctx, job, q)
	if err != nil {
		e.Fatalf("read of %s, %+v: %v", job, q, err)
	}
	return p
}

// log reads the whole log.
func (e *env) log(job string) []tidings.Event {
	e.Helper()
	events, err := readAll(e.ctx, e.store, job, tidings.Cursor{})
	if err != nil {
		e.Fatalf("read of %s: %v", job, err)
	}
	return events
}

// get gives the job's summary.
func (e *env) get(job string) tidings.Job {
	e.Helper()
	j, err := e.store.Job(e.ctx, job)
	if err != nil {
		e.Fatalf("job %s: %v", job, err)
	}
	return j
}

// follow opens a follower that is closed with the case.
func (e *env) follow(job string, after tidings.Cursor) tidings.Follower {
	e.Helper()
	f, err := e.store.Follow(e.ctx, job, after)
	if err != nil {
		e.Fatalf("follow of %s after %q: %v", job, after, err)
	}
	e.Cleanup(func() { _ = f.Close() })
	return f
}

// take reads on until it has n events.
func (e *env) take(f tidings.Follower, n int) []tidings.Event {
	e.Helper()
	var got []tidings.Event
	for len(got) < n {
		events, err := f.Next(e.ctx)
		if err != nil {
			e.Fatalf("next after %d of %d events: %v", len(got), n, err)
		}
		if len(events) == 0 {
			e.Fatal("next gave neither events nor an error")
		}
		got = append(got, events...)
	}
	if len(got) > n {
		e.Fatalf("follower gave %d events; want %d", len(got), n)
	}
	return got
}

// nextError wants the next Next to fail and gives the error.
func (e *env) nextError(f tidings.Follower) error {
	e.Helper()
	events, err := f.Next(e.ctx)
	if err == nil {
		e.Fatalf("next gave %d events, first %+v; want an error", len(events), events[0])
	}
	return err
}

// eventually asks again until ok, or until the case's time is up.
func (e *env) eventually(what string, ok func() bool) {
	e.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-e.ctx.Done():
			e.Fatalf("time is up; still not so: %s", what)
		case <-tick.C:
		}
	}
}

// want fails the case unless err is target.
func (e *env) want(what string, err, target error) {
	e.Helper()
	if !errors.Is(err, target) {
		e.Errorf("%s: error is %v; want %v", what, err, target)
	}
}

// wantType fails the case unless err is an E, and gives it.
func wantType[E error](e *env, what string, err error) E {
	e.Helper()
	typed, ok := errors.AsType[E](err)
	if !ok {
		e.Fatalf("%s: error is %v (%T); want a %T", what, err, err, typed)
	}
	return typed
}

// same fails the case unless both are the same events.
func (e *env) same(what string, got, want []tidings.Event) {
	e.Helper()
	if err := Same(got, want); err != nil {
		e.Errorf("%s: %v", what, err)
	}
}

// Same reports the first difference between two readings of one log, or nil.
// White space between the tokens of data does not count.
func Same(got, want []tidings.Event) error {
	for i := range min(len(got), len(want)) {
		if g, w := &got[i], &want[i]; g.ID != w.ID || g.JobID != w.JobID || !g.Time.Equal(w.Time) || !samePayload(g, w) {
			return fmt.Errorf("event %d is %s; want %s", i, describe(g), describe(w))
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d events; want %d", len(got), len(want))
	}
	return nil
}

// sameData fails the case unless got are the events want as to type and data,
// in that order.
func (e *env) sameData(what string, got, want []tidings.Event) {
	e.Helper()
	for i := range min(len(got), len(want)) {
		if !samePayload(&got[i], &want[i]) {
			e.Errorf("%s: event %d is %s; want %s", what, i, describe(&got[i]), describe(&want[i]))
			return
		}
	}
	if len(got) != len(want) {
		e.Errorf("%s: %d events; want %d", what, len(got), len(want))
	}
}

// payload is what a publisher said: type and data, without white space.
func payload(e *tidings.Event) string {
	var out bytes.Buffer
	out.WriteString(e.Type + " ")
	if len(e.Data) == 0 {
		out.WriteString("{}")
	} else if err := json.Compact(&out, e.Data); err != nil {
		out.Write(e.Data)
	}
	return out.String()
}

func samePayload(a, b *tidings.Event) bool {
	if a.Type == b.Type && bytes.Equal(a.Data, b.Data) {
		return true // most are, and need no parsing
	}
	return payload(a) == payload(b)
}

func describe(e *tidings.Event) string {
	return fmt.Sprintf("%s of %q at %s: %.80s", e.ID, e.JobID, e.Time.Format(time.RFC3339Nano), payload(e))
}

// readAll reads page after page until there is no more.
func readAll(ctx context.Context, r tidings.Reader, job string, after tidings.Cursor) ([]tidings.Event, error) {
	var all []tidings.Event
	for {
		p, err := r.Read(ctx, job, tidings.Query{After: after})
		if err != nil {
			return nil, err
		}
		all = append(all, p.Events...)
		if !p.More {
			return all, nil
		}
		if len(p.Events) == 0 {
			return nil, errors.New("an empty page says that there is more")
		}
		after = tidings.Cursor{ID: p.Events[len(p.Events)-1].ID, Incarnation: p.Incarnation}
	}
}

// after is the cursor of a receipt's last event.
func after(r tidings.Receipt) tidings.Cursor {
	return tidings.Cursor{ID: r.LastID, Incarnation: r.Incarnation}
}

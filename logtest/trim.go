package logtest

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"tidings"
)

// Retention: what was trimmed away is told, what ended long ago is deleted.
var trimCases = []testCase{
	{name: "retention/events", run: trimEvents, own: &Options{tidings.Retention{EventsPerJob: 10}}, retains: true},
	{name: "retention/bytes", run: trimBytes, own: &Options{tidings.Retention{BytesPerJob: 50 << 10}}, retains: true},
	{name: "retention/gap-when-reading", run: trimGapWhenReading, own: &Options{tidings.Retention{EventsPerJob: 10}}, retains: true},
	{name: "retention/gap-when-following", run: trimGapWhenFollowing, own: &Options{tidings.Retention{EventsPerJob: 10}}, retains: true},
	{name: "retention/gap-under-a-follower", run: trimUnderFollower, own: &Options{tidings.Retention{EventsPerJob: 10}}, retains: true},
	{name: "retention/follow-property", run: trimProperty, own: &Options{tidings.Retention{EventsPerJob: 50}}, retains: true},
	{name: "retention/keeps-job-and-producers", run: trimKeepsJob, own: &Options{tidings.Retention{EventsPerJob: 10}}, retains: true},
	{name: "retention/after-end", run: trimAfterEnd, own: &Options{tidings.Retention{AfterEnd: time.Millisecond}}, retains: true},
	{name: "retention/not-yet", run: trimNotYet, own: &Options{tidings.Retention{AfterEnd: time.Hour, EventsPerJob: 1000, BytesPerJob: 1 << 20}}, retains: true},
}

// trimmed writes a log that retention cuts, waits for that, and gives the IDs
// ever given and the number of events that are gone.
func (e *env) trimmed(job string) (r tidings.Receipt, gone int) {
	e.Helper()
	r = e.append(job, notes(0, 1500)...)
	first := r.IDs[0]
	e.retainUntil("the log is trimmed, and not on the way any more", func() bool {
		before := first
		first = e.get(job).FirstID
		return first == before && first != r.IDs[0]
	})
	for gone < len(r.IDs) && r.IDs[gone] != first {
		gone++
	}
	if gone < 3 || gone == len(r.IDs) {
		e.Fatalf("first_id is %s, with %d of %d events gone; want a good part of them", first, gone, len(r.IDs))
	}
	return r, gone
}

// retainUntil runs retention until ok.
func (e *env) retainUntil(what string, ok func() bool) {
	e.Helper()
	e.eventually(what, func() bool {
		if err := e.h.Retain(e.ctx, e.store); err != nil {
			e.Fatalf("retain: %v", err)
		}
		return ok()
	})
}

func trimEvents(e *env) {
	job, small := e.job(), e.job()
	e.append(small, notes(0, 10)...)
	r, gone := e.trimmed(job)
	if gone > len(r.IDs)-10 {
		e.Errorf("%d of %d events are gone; 10 should be kept", gone, len(r.IDs))
	}
	e.sameData("log of the allowed length", e.log(small), notes(0, 10))
	if n := e.store.Stats().Trimmed; n < int64(gone) {
		e.Errorf("Stats.Trimmed is %d; %d events are gone", n, gone)
	}
}

func trimBytes(e *env) {
	job := e.job()
	var events []tidings.Event
	for n := range 40 {
		events = append(events, event("custom", fmt.Sprintf(`{"n":%d,"text":"%s"}`, n, randomText(10<<10))))
	}
	r := e.append(job, events...)
	e.retainUntil("the log is trimmed", func() bool { return e.get(job).FirstID != r.IDs[0] })
	p := e.read(job, tidings.Query{After: tidings.Cursor{ID: e.get(job).FirstID.Prev()}})
	if len(p.Events) == 0 {
		e.Fatal("nothing is kept")
	}
	e.sameData("what is kept", p.Events, events[len(events)-len(p.Events):])
}

// wantGap checks a gap error against what is still held.
func (e *env) wantGap(what string, err error, job string, asked tidings.Cursor) *tidings.GapError {
	e.Helper()
	gap := wantType[*tidings.GapError](e, what, err)
	j := e.get(job)
	if gap.JobID != job || gap.First != j.FirstID || gap.Incarnation != j.Incarnation || gap.Cursor.ID != asked.ID {
		e.Errorf("%s: error says %+v; want job %s, cursor %s, first %s, incarnation %s", what, *gap, job, asked, j.FirstID, j.Incarnation)
	}
	return gap
}

func trimGapWhenReading(e *env) {
	job := e.job()
	r, gone := e.trimmed(job)
	for name, cursor := range map[string]tidings.Cursor{
		"from the start":     {},
		"trimmed cursor":     {ID: r.IDs[gone/2], Incarnation: r.Incarnation},
		"bare cursor":        {ID: r.IDs[gone/2]},
		"before the log":     {ID: tidings.ID{Ms: 1}},
		"last but one, gone": {ID: r.IDs[gone-2], Incarnation: r.Incarnation},
	} {
		_, err := e.store.Read(e.ctx, job, tidings.Query{After: cursor})
		gap := e.wantGap(name, err, job, cursor)
		events, err := readAll(e.ctx, e.store, job, tidings.Cursor{ID: gap.First.Prev(), Incarnation: gap.Incarnation})
		if err != nil {
			e.Fatalf("%s: reading on from the first held: %v", name, err)
		}
		e.sameData(name, events, notes(gone, len(r.IDs)))
	}
	// The last event that is gone is the one place where nothing is missing.
	events, err := readAll(e.ctx, e.store, job, tidings.Cursor{ID: r.IDs[gone-1], Incarnation: r.Incarnation})
	if err != nil {
		e.Errorf("after the last event that is gone: %v; nothing is missing", err)
	}
	e.sameData("after the last event that is gone", events, notes(gone, len(r.IDs)))
	// Backward from the end there is no gap before the start.
	p := e.read(job, tidings.Query{Backward: true, Limit: len(r.IDs)})
	slices.Reverse(p.Events)
	e.sameData("backward", p.Events, notes(gone, len(r.IDs)))
	if p := e.read(job, tidings.Query{After: tidings.Cursor{ID: r.IDs[gone]}, Limit: 1}); p.First != r.IDs[gone] {
		e.Errorf("page says first %s; want %s", p.First, r.IDs[gone])
	}
}

func trimGapWhenFollowing(e *env) {
	job := e.job()
	r, gone := e.trimmed(job)
	for name, cursor := range map[string]tidings.Cursor{
		"from the start": {},
		"trimmed cursor": {ID: r.IDs[0], Incarnation: r.Incarnation},
		"bare cursor":    {ID: r.IDs[gone-2]},
	} {
		f := e.follow(job, cursor)
		e.wantGap(name, e.nextError(f), job, cursor)
		e.sameData(name, e.take(f, len(r.IDs)-gone), notes(gone, len(r.IDs)))
	}
}

// A follower that has begun may have read ahead; but where it stops being
// exact, it says so.
func trimUnderFollower(e *env) {
	job := e.job()
	e.append(job, notes(0, 2)...)
	f := e.follow(job, tidings.Cursor{})
	e.take(f, 2)
	r := e.append(job, notes(2, 1502)...)
	e.retainUntil("the log is trimmed", func() bool { return r.IDs[0].Less(e.get(job).FirstID) })
	e.append(job, done())

	next, gaps := 2, 0
	for {
		events, err := f.Next(e.ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			gap := wantType[*tidings.GapError](e, "follower", err)
			gaps++
			for next < 1502 && r.IDs[next-2].Less(gap.First) {
				next++
			}
			continue
		}
		for i := range events {
			if n := number(&events[i]); n != next && n != -1 {
				e.Fatalf("event %d follows %d after %d gaps told", n, next-1, gaps)
			}
			next++
		}
	}
	if next != 1503 {
		e.Errorf("follower ended at event %d; want 1503", next)
	}
}

// While one appends and retention trims, followers of any speed get the log
// without a hole that they are not told of.
func trimProperty(e *env) {
	job := e.job()
	e.append(job, note(0))
	var writing, others sync.WaitGroup
	total := 1
	writing.Go(func() {
		for range 150 {
			size := 1 + rand.IntN(20)
			if _, err := e.store.Append(e.ctx, job, tidings.Batch{Events: notes(total, total+size)}); err != nil {
				e.Errorf("append: %v", err)
				return
			}
			total += size
		}
	})
	written := make(chan struct{})
	others.Go(func() {
		for {
			select {
			case <-written:
				return
			default:
			}
			if err := e.h.Retain(e.ctx, e.store); err != nil {
				e.Errorf("retain: %v", err)
				return
			}
		}
	})
	ends := make([]int, 6)
	for i := range ends {
		others.Go(func() { ends[i] = followTrimmed(e, job, i%2 == 0) })
	}
	writing.Wait()
	close(written)
	e.append(job, done())
	others.Wait()
	for i, end := range ends {
		if end != total {
			e.Errorf("follower %d ended at event %d of %d", i, end, total)
		}
	}
}

// followTrimmed follows a log of notes from its start to its end and gives the
// number of the note that would come next.
func followTrimmed(e *env, job string, slow bool) (next int) {
	f, err := e.store.Follow(e.ctx, job, tidings.Cursor{})
	if err != nil {
		e.Errorf("follow: %v", err)
		return
	}
	defer f.Close() // nothing was written
	var gap *tidings.GapError
	for {
		events, err := f.Next(e.ctx)
		if told, ok := errors.AsType[*tidings.GapError](err); ok {
			gap = told
			continue
		}
		if err != nil {
			if !errors.Is(err, io.EOF) {
				e.Errorf("next: %v", err)
			}
			return next
		}
		for i := range events {
			n := number(&events[i])
			switch {
			case n == -1: // done
				continue
			case gap != nil && events[i].ID != gap.First:
				e.Errorf("the gap before %s was told, but then came %s", gap.First, events[i].ID)
			case n < next || (gap == nil && n != next):
				e.Errorf("event %d came where %d was due", n, next)
			}
			gap, next = nil, n+1
		}
		if slow {
			for range 10 {
				_, _ = e.store.Job(e.ctx, job)
			}
		}
	}
}

func trimKeepsJob(e *env) {
	job := e.job()
	p := tidings.Producer{ID: "writer", Epoch: 2}
	if _, _, err := tidings.Create(e.ctx, e.store, tidings.JobSpec{ID: job, Name: "long", Labels: map[string]string{"a": "b"}}); err != nil {
		e.Fatal(err)
	}
	first := e.appendAs(job, p, notes(0, 1500)...)
	e.retainUntil("the log is trimmed", func() bool { return first.IDs[0].Less(e.get(job).FirstID) })
	j := e.get(job)
	if j.Name != "long" || j.Labels["a"] != "b" || j.Events != 1501 || j.LastID != first.LastID {
		e.Errorf("job after trimming: %+v; want its name, label and 1501 events", j)
	}
	if r := e.appendAs(job, p, note(0)); !r.Duplicate {
		e.Error("trimming made the store forget a producer")
	}
	if _, r, err := tidings.Create(e.ctx, e.store, tidings.JobSpec{ID: job}); err != nil || !r.Duplicate {
		e.Errorf("creation after trimming: %+v, %v; want a duplicate", r, err)
	}
}

func trimAfterEnd(e *env) {
	ended, open := e.job(), e.job()
	e.append(open, note(0))
	e.append(ended, note(0), done())
	e.retainUntil("the ended job is deleted", func() bool {
		_, err := e.store.Job(e.ctx, ended)
		return errors.Is(err, tidings.ErrUnknownJob)
	})
	_, err := e.store.Read(e.ctx, ended, tidings.Query{})
	e.want("read of the ended job", err, tidings.ErrUnknownJob)
	e.sameData("the open job", e.log(open), notes(0, 1))
	if n := e.store.Stats().Deleted; n < 1 {
		e.Errorf("Stats.Deleted is %d", n)
	}
}

func trimNotYet(e *env) {
	job := e.job()
	e.append(job, append(notes(0, 20), done())...)
	for range 3 {
		if err := e.h.Retain(e.ctx, e.store); err != nil {
			e.Fatal(err)
		}
	}
	if n := len(e.log(job)); n != 21 {
		e.Errorf("%d events are left of 21", n)
	}
}

package logtest

import (
	"errors"
	"sync"

	"tidings"
)

// Logs that are not what a cursor came from: deleted, created again, shorter.
var rewindCases = []testCase{
	{name: "rewound/beyond-the-end", run: rewoundBeyondTheEnd},
	{name: "rewound/created-again", run: rewoundCreatedAgain},
	{name: "delete/unknown-to-every-method", run: deleteUnknown},
	{name: "delete/under-a-follower", run: deleteUnderFollower},
	{name: "delete/and-created-again-under-a-follower", run: deleteAndCreateUnderFollower},
	{name: "delete/closed-job", run: deleteClosedJob},
	{name: "delete/concurrently", run: deleteConcurrently},
}

func rewoundBeyondTheEnd(e *env) {
	job := e.job()
	r := e.append(job, notes(0, 3)...)
	for name, cursor := range map[string]tidings.Cursor{
		"bare":                {ID: r.LastID.Next()},
		"with an incarnation": {ID: tidings.ID{Ms: r.LastID.Ms + 60_000}, Incarnation: r.Incarnation},
		"the greatest":        {ID: tidings.MaxID},
	} {
		_, err := e.store.Read(e.ctx, job, tidings.Query{After: cursor})
		e.wantRewound(name+", Read", err, job, cursor, r)
		f := e.follow(job, cursor)
		e.wantRewound(name+", Follow", e.nextError(f), job, cursor, r)
		e.sameData(name+", going on", e.take(f, 3), notes(0, 3))
	}
	e.append(job, done())
	_, err := e.store.Read(e.ctx, job, tidings.Query{After: tidings.Cursor{ID: tidings.MaxID}})
	wantType[*tidings.RewoundError](e, "closed log", err)
	wantType[*tidings.RewoundError](e, "closed log, Follow", e.nextError(e.follow(job, tidings.Cursor{ID: tidings.MaxID})))
}

// wantRewound checks a rewound error against the log as it is, whose last
// receipt is now.
func (e *env) wantRewound(what string, err error, job string, asked tidings.Cursor, now tidings.Receipt) {
	e.Helper()
	rewound := wantType[*tidings.RewoundError](e, what, err)
	if want := (tidings.RewoundError{JobID: job, Cursor: asked, Last: now.LastID, Incarnation: now.Incarnation}); *rewound != want {
		e.Errorf("%s: error says %+v; want %+v", what, *rewound, want)
	}
}

func rewoundCreatedAgain(e *env) {
	job := e.job()
	old := e.append(job, notes(0, 3)...)
	if err := e.store.Delete(e.ctx, job); err != nil {
		e.Fatal(err)
	}
	created := e.append(job, notes(10, 12)...)
	if created.Incarnation == old.Incarnation {
		e.Fatalf("both lives of the job have incarnation %s", old.Incarnation)
	}
	for _, id := range []tidings.ID{old.IDs[0], old.LastID, created.IDs[0]} {
		cursor := tidings.Cursor{ID: id, Incarnation: old.Incarnation}
		_, err := e.store.Read(e.ctx, job, tidings.Query{After: cursor})
		e.wantRewound("Read", err, job, cursor, created)
		f := e.follow(job, cursor)
		e.wantRewound("Follow", e.nextError(f), job, cursor, created)
		e.sameData("going on", e.take(f, 2), notes(10, 12))
		if f.Incarnation() != created.Incarnation {
			e.Errorf("follower's incarnation is %s; want %s", f.Incarnation(), created.Incarnation)
		}
	}
	j := e.get(job)
	if j.Events != 2 || j.Incarnation != created.Incarnation || j.FirstID != created.IDs[0] {
		e.Errorf("job created again: %+v; want nothing of its earlier life", j)
	}
}

func deleteUnknown(e *env) {
	job := e.job()
	for method, call := range methods(e.store, job) {
		e.want(method+" of a job that never was", call(e.ctx), tidings.ErrUnknownJob)
	}
	e.append(job, notes(0, 3)...)
	if err := e.store.Delete(e.ctx, job); err != nil {
		e.Fatal(err)
	}
	for method, call := range methods(e.store, job) {
		e.want(method+" of a deleted job", call(e.ctx), tidings.ErrUnknownJob)
	}
	e.eventually("the deleted job is not listed", func() bool { return len(e.list(tidings.JobsQuery{}, job)) == 0 })
}

func deleteUnderFollower(e *env) {
	job := e.job()
	e.append(job, note(0))
	f := e.follow(job, tidings.Cursor{})
	e.take(f, 1)
	result := make(chan error, 1)
	go func() {
		_, err := f.Next(e.ctx)
		result <- err
	}()
	if err := e.store.Delete(e.ctx, job); err != nil {
		e.Fatal(err)
	}
	e.want("waiting Next", <-result, tidings.ErrUnknownJob)
	e.want("and again", e.nextError(f), tidings.ErrUnknownJob)
}

// A follower that may have slept through it all gets nothing of the new life
// without a word.
func deleteAndCreateUnderFollower(e *env) {
	job := e.job()
	e.append(job, note(0))
	f := e.follow(job, tidings.Cursor{})
	e.take(f, 1)
	if err := e.store.Delete(e.ctx, job); err != nil {
		e.Fatal(err)
	}
	created := e.append(job, notes(10, 12)...)
	err := e.nextError(f)
	if errors.Is(err, tidings.ErrUnknownJob) {
		return
	}
	rewound := wantType[*tidings.RewoundError](e, "follower of the earlier life", err)
	if rewound.Incarnation != created.Incarnation {
		e.Errorf("error says %+v; want incarnation %s", *rewound, created.Incarnation)
	}
	e.sameData("going on", e.take(f, 2), notes(10, 12))
}

func deleteClosedJob(e *env) {
	job := e.job()
	e.append(job, note(0), done())
	if err := e.store.Delete(e.ctx, job); err != nil {
		e.Fatal(err)
	}
	e.append(job, note(1))
	e.sameData("the new life", e.log(job), notes(1, 2))
	if e.get(job).Closed {
		e.Error("the new life is closed")
	}
}

// Appends while the job is deleted again and again: each goes into one life or
// another, as a whole, and none fails.
func deleteConcurrently(e *env) {
	job := e.job()
	var group sync.WaitGroup
	for w := range 4 {
		group.Go(func() {
			for n := range 25 {
				r, err := e.store.Append(e.ctx, job, tidings.Batch{Events: notes(w*50+n*2, w*50+n*2+2)})
				if err != nil || len(r.IDs) != 2 || r.Incarnation == "" {
					e.Errorf("append: %+v, %v", r, err)
				}
			}
		})
	}
	for range 10 {
		if err := e.store.Delete(e.ctx, job); err != nil && !errors.Is(err, tidings.ErrUnknownJob) {
			e.Errorf("delete: %v", err)
		}
	}
	group.Wait()
	last := e.append(job, notes(1000, 1002)...)
	log := e.log(job)
	if len(log)%2 != 0 {
		e.Errorf("a batch was cut: %d events", len(log))
	}
	for i := 0; i+1 < len(log); i += 2 {
		if number(&log[i])+1 != number(&log[i+1]) {
			e.Errorf("events %d and %d lie side by side", number(&log[i]), number(&log[i+1]))
		}
	}
	if j := e.get(job); j.Events != int64(len(log)) || j.LastID != last.LastID || j.FirstID != log[0].ID {
		e.Errorf("job says %+v; its log has %d events, %s to %s", j, len(log), log[0].ID, last.LastID)
	}
}

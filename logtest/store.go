package logtest

import (
	"errors"
	"sync"
	"time"

	"tidings"

	"github.com/google/go-cmp/cmp"
)

// The store as a whole: statistics, health, closing and opening again.
var storeCases = []testCase{
	{name: "store/stats", run: storeStats, own: &Options{}},
	{name: "store/health", run: storeHealth},
	{name: "store/close", run: storeClose, own: &Options{}},
	{name: "store/close-under-load", run: storeCloseUnderLoad, own: &Options{}, reopens: true},
	{name: "store/reopen", run: storeReopen, own: &Options{}, reopens: true},
	{name: "store/reopen-feed", run: storeReopenFeed, own: &Options{}, reopens: true},
}

func storeStats(e *env) {
	job := e.job()
	p := tidings.Producer{ID: "writer"}
	e.appendAs(job, p, notes(0, 3)...)
	e.appendAs(job, p, notes(0, 3)...)
	e.append(job, notes(3, 5)...)
	e.refused(job, tidings.Batch{Events: []tidings.Event{{}}})
	f := e.follow(job, tidings.Cursor{})
	e.take(f, 5)
	e.read(job, tidings.Query{})
	s := e.store.Stats()
	if s.Appends != 2 || s.AppendedEvents != 5 || s.Duplicates != 1 || s.Refused != 1 || s.Reads < 2 || s.ReadEvents < 10 || s.Followers != 1 {
		e.Errorf("stats %+v; want 2 appends of 5 events, a duplicate, one refused, 2 reads of 10 events and a follower", s)
	}
	p.Seq = 5
	e.refused(job, tidings.Batch{Events: notes(0, 1), Producer: &p})
	e.append(job, done())
	e.refused(job, tidings.Batch{Events: notes(0, 1)})
	if got := e.store.Stats().Refused; got != 3 {
		e.Errorf("%d refused; want 3", got)
	}
	_ = f.Close()
	if err := e.store.Delete(e.ctx, job); err != nil {
		e.Fatal(err)
	}
	e.eventually("no follower is open and one job is deleted", func() bool {
		s := e.store.Stats()
		return s.Followers == 0 && s.Deleted == 1
	})
}

func storeHealth(e *env) {
	if h := e.store.Health(e.ctx); !h.Ready || h.Store == "" || h.Error != "" {
		e.Errorf("health %+v; want it ready", h)
	}
}

func storeClose(e *env) {
	job := e.job()
	e.append(job, note(0))
	f, feed := e.follow(job, tidings.Cursor{}), e.feed(tidings.FeedLatest, job).feed
	e.take(f, 1)
	blocked := make(chan error, 2)
	go func() {
		_, err := f.Next(e.ctx)
		blocked <- err
	}()
	go func() {
		_, err := feed.Next(e.ctx)
		for err == nil { // it may still show what was before
			_, err = feed.Next(e.ctx)
		}
		blocked <- err
	}()
	if err := e.store.Close(); err != nil {
		e.Fatalf("close: %v", err)
	}
	e.want("blocked Next", <-blocked, tidings.ErrStoreClosed)
	e.want("the other blocked Next", <-blocked, tidings.ErrStoreClosed)

	_, err := e.store.Append(e.ctx, job, tidings.Batch{Events: notes(1, 2)})
	e.want("Append", err, tidings.ErrStoreClosed)
	for method, call := range methods(e.store, job) {
		e.want(method, call(e.ctx), tidings.ErrStoreClosed)
	}
	_, err = e.store.Jobs(e.ctx, tidings.JobsQuery{})
	e.want("Jobs", err, tidings.ErrStoreClosed)
	_, err = e.store.Feed(e.ctx, "")
	e.want("Feed", err, tidings.ErrStoreClosed)
	e.want("Next", e.nextError(f), tidings.ErrStoreClosed)
	if h := e.store.Health(e.ctx); h.Ready || h.Error == "" {
		e.Errorf("health of a closed store: %+v", h)
	}
	_ = e.store.Stats()
	if err := e.store.Close(); err != nil && !errors.Is(err, tidings.ErrStoreClosed) {
		e.Errorf("second close: %v", err)
	}
}

// What was acknowledged before or during Close is there afterwards.
func storeCloseUnderLoad(e *env) {
	var ledger Ledger
	var group sync.WaitGroup
	begun := make(chan struct{}, 8)
	for range 8 {
		job := e.job()
		group.Go(func() {
			for n := 0; ; n++ {
				from := n * 6
				_, err := ledger.Append(e.ctx, e.store, job, tidings.Batch{Events: notes(from, from+1+n%5)})
				if err != nil {
					if !errors.Is(err, tidings.ErrStoreClosed) && !errors.Is(err, tidings.ErrUnavailable) {
						e.Errorf("append while closing: %v", err)
					}
					return
				}
				if n == 10 {
					begun <- struct{}{}
				}
			}
		})
	}
	for range 8 {
		select {
		case <-begun:
		case <-e.ctx.Done():
			e.Fatal("writers do not get on")
		}
	}
	if err := e.store.Close(); err != nil {
		e.Fatalf("close: %v", err)
	}
	group.Wait()
	ledger.Check(e, e.h.Reopen(e.T, e.store))
}

func storeReopen(e *env) {
	open, ended, gone := e.job(), e.job(), e.job()
	p := tidings.Producer{ID: "writer", Epoch: 3}
	first := e.appendAs(open, p, notes(0, 3)...)
	for _, ev := range story() {
		e.append(ended, ev)
	}
	e.append(gone, note(0))
	if err := e.store.Delete(e.ctx, gone); err != nil {
		e.Fatal(err)
	}
	if err := e.store.Heartbeat(e.ctx, open, tidings.Lease{TTL: time.Hour}); err != nil {
		e.Fatal(err)
	}
	summaries := []tidings.Job{e.get(open), e.get(ended)}
	logs := [][]tidings.Event{e.log(open), e.log(ended)}

	e.store = e.h.Reopen(e.T, e.store)
	for i, job := range []string{open, ended} {
		e.same(job, e.log(job), logs[i])
		before, now := summaries[i], e.get(job)
		if before.LeaseUntil != nil && now.LeaseUntil != nil && !now.LeaseUntil.Before(*before.LeaseUntil) {
			now.LeaseUntil = before.LeaseUntil // a store may give a job time to show itself after a start
		}
		if diff := cmp.Diff(before, now); diff != "" {
			e.Errorf("summary (-before +after):\n%s", diff)
		}
	}
	_, err := e.store.Job(e.ctx, gone)
	e.want("the deleted job", err, tidings.ErrUnknownJob)
	e.eventually("both jobs are listed", func() bool { return len(e.list(tidings.JobsQuery{}, "")) == 2 })

	if r := e.appendAs(open, p, note(0)); !r.Duplicate || r.Incarnation != first.Incarnation {
		e.Errorf("known sequence: %+v; want a duplicate in incarnation %s", r, first.Incarnation)
	}
	zombie := tidings.Producer{ID: "writer", Epoch: 2}
	wantType[*tidings.FencedError](e, "zombie", e.refused(open, tidings.Batch{Events: notes(0, 1), Producer: &zombie}))
	wantType[*tidings.ClosedError](e, "append to the ended job", e.refused(ended, tidings.Batch{Events: notes(0, 1)}))

	f := e.follow(open, after(first))
	p.Seq = 1
	r := e.appendAs(open, p, note(3))
	if !first.LastID.Less(r.LastID) {
		e.Errorf("%s follows %s", r.LastID, first.LastID)
	}
	e.sameData("an old cursor goes on", e.take(f, 1), notes(3, 4))
}

func storeReopenFeed(e *env) {
	job := e.job()
	e.append(job, notes(0, 5)...)
	c := e.feed("", job)
	if err := c.until(e, 5); err != nil {
		e.Fatal(err)
	}
	e.store = e.h.Reopen(e.T, e.store)
	e.append(job, note(5))
	resumed := e.feed(c.all[2].Cursor, job)
	if err := resumed.until(e, 3); err != nil {
		e.Fatal(err)
	}
	e.sameData("feed after a cursor of before", byJob(e, resumed.all)[job], notes(3, 6))
}

package logtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"

	"tidings"
)

// Feed: the changes of all jobs, in order for each, to be resumed anywhere.
var feedCases = []testCase{
	{name: "feed/all-jobs", run: feedAllJobs},
	{name: "feed/resume", run: feedResume},
	{name: "feed/property", run: feedProperty},
	{name: "feed/latest", run: feedLatest},
	{name: "feed/deletion", run: feedDeletion},
	{name: "feed/malformed-cursor", run: feedMalformedCursor},
	{name: "feed/cancel-and-close", run: feedCancelAndClose},
}

// changes are what a feed gave of some jobs.
type changes struct {
	feed   tidings.Feed
	prefix string
	all    []tidings.Change
}

func (e *env) feed(after, prefix string) *changes {
	e.Helper()
	f, err := e.store.Feed(e.ctx, after)
	if err != nil {
		e.Fatalf("feed after %q: %v", after, err)
	}
	e.Cleanup(func() { _ = f.Close() })
	return &changes{feed: f, prefix: prefix}
}

// until reads on until there are n changes.
func (c *changes) until(e *env, n int) error {
	for len(c.all) < n {
		more, err := c.feed.Next(e.ctx)
		if err != nil {
			return fmt.Errorf("feed after %d of %d changes: %w", len(c.all), n, err)
		}
		for _, change := range more {
			if strings.HasPrefix(change.Event.JobID, c.prefix) {
				c.all = append(c.all, change)
			}
		}
	}
	return nil
}

// byJob gives the events of each job, and complains of a change that can't be.
func byJob(e *env, all []tidings.Change) map[string][]tidings.Event {
	e.Helper()
	jobs := map[string][]tidings.Event{}
	for _, c := range all {
		if c.Cursor == "" {
			e.Errorf("a change of %s has no cursor", c.Event.JobID)
		}
		if !c.Deleted {
			jobs[c.Event.JobID] = append(jobs[c.Event.JobID], c.Event)
		}
	}
	return jobs
}

// write appends to some jobs at once and gives their IDs and the number of
// events.
func (e *env) write(prefix string, jobs, batches int) ([]string, int) {
	var all []string
	var group sync.WaitGroup
	for n := range jobs {
		job := fmt.Sprintf("%sjob-%d", prefix, n)
		all = append(all, job)
		group.Go(func() {
			for b := range batches {
				if _, err := e.store.Append(e.ctx, job, tidings.Batch{Events: notes(b*2, b*2+2)}); err != nil {
					e.Errorf("append: %v", err)
				}
			}
		})
	}
	group.Wait()
	return all, jobs * batches * 2
}

func feedAllJobs(e *env) {
	const jobs, batches = 8, 12
	prefix := e.job() + "/"
	live := e.feed("", prefix)
	result := make(chan error, 1)
	go func() { result <- live.until(e, jobs*batches*2) }()
	names, total := e.write(prefix, jobs, batches)
	if err := <-result; err != nil {
		e.Fatal(err)
	}
	later := e.feed("", prefix)
	if err := later.until(e, total); err != nil {
		e.Fatal(err)
	}
	for _, c := range []*changes{live, later} {
		got := byJob(e, c.all)
		for _, job := range names {
			e.same(job+" in the feed", got[job], e.log(job))
		}
	}
}

// From any cursor the feed gives what it had not given then, and no more.
func feedResume(e *env) {
	prefix := e.job() + "/"
	names, total := e.write(prefix, 5, 8)
	first := e.feed("", prefix)
	if err := first.until(e, total); err != nil {
		e.Fatal(err)
	}
	places := []int{0, total - 2, total - 1}
	for range 6 {
		places = append(places, rand.IntN(total))
	}
	for _, place := range places {
		resumed := e.feed(first.all[place].Cursor, prefix)
		if err := resumed.until(e, total-1-place); err != nil {
			e.Fatalf("resumed at %d: %v", place, err)
		}
		want, got := byJob(e, first.all[place+1:]), byJob(e, resumed.all)
		for _, job := range names {
			e.same(fmt.Sprintf("%s, resumed after change %d of %d", job, place, total), got[job], want[job])
		}
	}
	// And from its end, live.
	resumed := e.feed(first.all[total-1].Cursor, prefix)
	e.append(names[0], note(1000))
	if err := resumed.until(e, 1); err != nil {
		e.Fatal(err)
	}
	if n := number(&resumed.all[0].Event); n != 1000 {
		e.Errorf("resumed at the end: event %d; want 1000", n)
	}
}

// While jobs are written to, a reader that leaves and comes back, each time
// after any change of those it was given last, gets every event once, in order.
func feedProperty(e *env) {
	const jobs, batches = 6, 25
	prefix := e.job() + "/"
	written := make(chan []string, 1)
	go func() {
		names, _ := e.write(prefix, jobs, batches)
		written <- names
	}()
	var all []tidings.Change
	cursor := ""
	for len(all) < jobs*batches*2 {
		visit := e.feed(cursor, prefix)
		if err := visit.until(e, min(1+rand.IntN(40), jobs*batches*2-len(all))); err != nil {
			e.Fatalf("after %d changes: %v", len(all), err)
		}
		keep := visit.all[:1+rand.IntN(len(visit.all))]
		all = append(all, keep...)
		cursor = keep[len(keep)-1].Cursor
		_ = visit.feed.Close()
	}
	got := byJob(e, all)
	for _, job := range <-written {
		e.same(job+" in the feed", got[job], e.log(job))
	}
}

func feedLatest(e *env) {
	job := e.job()
	e.append(job, notes(0, 3)...)
	if err := e.feed("", job).until(e, 3); err != nil { // a feed may lag a little behind
		e.Fatal(err)
	}
	latest := e.feed(tidings.FeedLatest, job)
	e.append(job, notes(3, 5)...)
	if err := latest.until(e, 2); err != nil {
		e.Fatal(err)
	}
	e.sameData("from now on", byJob(e, latest.all)[job], notes(3, 5))
}

func feedDeletion(e *env) {
	job := e.job()
	c := e.feed(tidings.FeedLatest, job)
	e.append(job, notes(0, 2)...)
	if err := c.until(e, 2); err != nil {
		e.Fatal(err)
	}
	if err := e.store.Delete(e.ctx, job); err != nil {
		e.Fatal(err)
	}
	if err := c.until(e, 3); err != nil {
		e.Fatal(err)
	}
	if last := c.all[2]; !last.Deleted || last.Event.JobID != job || last.Cursor == "" || last.Event.Type != "" {
		e.Errorf("deletion shows as %+v", last)
	}
	e.append(job, note(5))
	if err := c.until(e, 4); err != nil {
		e.Fatal(err)
	}
	if last := c.all[3]; last.Deleted || number(&last.Event) != 5 {
		e.Errorf("the new life begins with %+v", last)
	}
	resumed := e.feed(c.all[2].Cursor, job)
	if err := resumed.until(e, 1); err != nil {
		e.Fatal(err)
	}
	if number(&resumed.all[0].Event) != 5 {
		e.Errorf("resumed after the deletion: %+v", resumed.all[0])
	}
}

func feedMalformedCursor(e *env) {
	for _, cursor := range []string{"nonsense", "\x00", "{}", "latest ", strings.Repeat("9", 300)} {
		f, err := e.store.Feed(e.ctx, cursor)
		if err == nil {
			_ = f.Close()
		}
		wantType[*tidings.InvalidError](e, fmt.Sprintf("cursor %.20q", cursor), err)
	}
}

func feedCancelAndClose(e *env) {
	job := e.job()
	c := e.feed(tidings.FeedLatest, job)
	ctx, cancel := context.WithCancel(e.ctx)
	result := make(chan error, 1)
	wait := func(ctx context.Context) {
		for {
			if _, err := c.feed.Next(ctx); err != nil { // other cases write too
				result <- err
				return
			}
		}
	}
	go wait(ctx)
	cancel()
	e.want("cancelled Next", <-result, context.Canceled)
	go wait(e.ctx)
	if err := c.feed.Close(); err != nil {
		e.Errorf("close: %v", err)
	}
	if err := <-result; err == nil || errors.Is(err, context.DeadlineExceeded) {
		e.Errorf("Next of a closed feed: %v", err)
	}
}

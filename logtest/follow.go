package logtest

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"

	"tidings"
)

// Following: history, then live, exactly the log, until it ends.
var followCases = []testCase{
	{name: "follow/history-then-live", run: followHistoryThenLive},
	{name: "follow/ends", run: followEnds},
	{name: "follow/ends-while-waiting", run: followEndsWhileWaiting},
	{name: "follow/cancel", run: followCancel},
	{name: "follow/close-unblocks", run: followCloseUnblocks},
	{name: "follow/incarnation", run: followIncarnation},
	{name: "follow/unknown-job", run: followUnknownJob},
	{name: "follow/property", run: followProperty},
	{name: "follow/many-jobs", run: followManyJobs},
}

func followHistoryThenLive(e *env) {
	job := e.job()
	r := e.append(job, notes(0, 5)...)
	all, tail := e.follow(job, tidings.Cursor{}), e.follow(job, after(r))
	e.sameData("history", e.take(all, 5), notes(0, 5))
	for n := 5; n < 15; n += 2 {
		e.append(job, notes(n, n+2)...)
		e.sameData("live", e.take(all, 2), notes(n, n+2))
		e.sameData("live from the end", e.take(tail, 2), notes(n, n+2))
	}
	for n := 15; n < 25; n++ {
		e.append(job, note(n))
	}
	e.sameData("what came meanwhile", e.take(all, 10), notes(15, 25))
}

func followEnds(e *env) {
	job := e.job()
	r := e.append(job, note(0), note(1), done())
	f := e.follow(job, tidings.Cursor{})
	e.sameData("log", e.take(f, 3), []tidings.Event{note(0), note(1), done()})
	e.want("after the terminal event", e.nextError(f), io.EOF)
	e.want("and again", e.nextError(f), io.EOF)
	e.want("from the terminal event on", e.nextError(e.follow(job, after(r))), io.EOF)
	e.sameData("from the middle", e.take(e.follow(job, tidings.Cursor{ID: r.IDs[1]}), 1), []tidings.Event{done()})
}

func followEndsWhileWaiting(e *env) {
	for _, last := range []tidings.Event{done(), event("cancelled", `{"reason":"asked"}`), event("error", `{"error":"no","fatal":true}`)} {
		job := e.job()
		e.append(job, note(0))
		f := e.follow(job, tidings.Cursor{})
		e.take(f, 1)
		result := make(chan error, 1)
		go func() {
			events, err := f.Next(e.ctx)
			if err == nil && len(events) == 1 {
				_, err = f.Next(e.ctx)
			}
			result <- err
		}()
		e.append(job, last)
		e.want("after "+last.Type, <-result, io.EOF)
	}
}

// A cancelled Next loses nothing: the next one goes on.
func followCancel(e *env) {
	job := e.job()
	e.append(job, note(0))
	f := e.follow(job, tidings.Cursor{})
	e.take(f, 1)
	for n := 1; n < 6; n++ {
		ctx, cancel := context.WithCancel(e.ctx)
		result := make(chan error, 1)
		go func() {
			_, err := f.Next(ctx)
			result <- err
		}()
		cancel()
		e.want("cancelled Next", <-result, context.Canceled)
		e.append(job, note(n))
		e.sameData("the Next after it", e.take(f, 1), notes(n, n+1))
	}
}

func followCloseUnblocks(e *env) {
	job := e.job()
	e.append(job, note(0))
	f := e.follow(job, tidings.Cursor{})
	e.take(f, 1)
	result := make(chan error, 1)
	go func() {
		_, err := f.Next(e.ctx)
		result <- err
	}()
	if err := f.Close(); err != nil {
		e.Errorf("close: %v", err)
	}
	select {
	case err := <-result:
		if err == nil || errors.Is(err, io.EOF) {
			e.Errorf("Next of a closed follower: %v; want an error that does not say that the log ended", err)
		}
	case <-e.ctx.Done():
		e.Fatal("Close did not unblock Next")
	}
	_ = f.Close() // twice is harmless
}

func followIncarnation(e *env) {
	job := e.job()
	r := e.append(job, note(0))
	f := e.follow(job, tidings.Cursor{})
	e.take(f, 1)
	if f.Incarnation() != r.Incarnation {
		e.Errorf("incarnation %q; the receipt said %q", f.Incarnation(), r.Incarnation)
	}
}

func followUnknownJob(e *env) {
	f, err := e.store.Follow(e.ctx, e.job(), tidings.Cursor{})
	if err == nil {
		_ = f.Close()
	}
	e.want("follow of an unknown job", err, tidings.ErrUnknownJob)
}

// Writers append batches of random size while followers start at random times
// from random cursors, some of them slow. Each must get exactly the log behind
// its cursor.
func followProperty(e *env) {
	const writers, followers = 3, 10
	batches := 60
	if testing.Short() {
		batches = 20
	}
	job := e.job()
	var ledger Ledger
	places := &cursors{}
	first, err := ledger.Append(e.ctx, e.store, job, tidings.Batch{Events: notes(0, 1)})
	if err != nil {
		e.Fatal(err)
	}
	places.add(first)

	histories := make([]history, followers)
	var writing, following sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for n := range batches {
				from := 1 + (w*batches+n)*20
				r, err := ledger.Append(e.ctx, e.store, job, tidings.Batch{Events: notes(from, from+1+rand.IntN(20))})
				if err != nil {
					e.Errorf("append: %v", err)
					return
				}
				places.add(r)
			}
		})
	}
	for i := range followers {
		following.Go(func() {
			h := &histories[i]
			if i > 1 { // two are there from the beginning
				h.after = places.random(e.ctx, i*batches*writers/followers)
			}
			h.follow(e, job, i%3 == 0)
		})
	}
	writing.Wait()
	e.append(job, done())
	following.Wait()

	log := e.log(job)
	for i := range histories {
		h := &histories[i]
		if h.err != nil {
			e.Errorf("follower %d: %v", i, h.err)
		}
		if err := Same(h.events, behind(log, h.after.ID)); err != nil {
			e.Errorf("follower %d after %q: %v", i, h.after, err)
		}
	}
	for i := 1; i < len(log); i++ {
		if !log[i-1].ID.Less(log[i].ID) {
			e.Errorf("%s follows %s", log[i].ID, log[i-1].ID)
		}
	}
}

// history is what one follower got.
type history struct {
	after  tidings.Cursor
	events []tidings.Event
	err    error // nil: the log ended
}

// follow reads to the end of the log; a slow one does something else between
// two reads.
func (h *history) follow(e *env, job string, slow bool) {
	f, err := e.store.Follow(e.ctx, job, h.after)
	if err != nil {
		h.err = err
		return
	}
	defer f.Close() // nothing was written
	for {
		events, err := f.Next(e.ctx)
		if err != nil {
			if !errors.Is(err, io.EOF) {
				h.err = err
			}
			return
		}
		h.events = append(h.events, events...)
		if slow {
			for range 20 { // reads of its own, so that the log gets ahead of it
				_, _ = e.store.Read(e.ctx, job, tidings.Query{Limit: 10})
			}
		}
	}
}

func behind(log []tidings.Event, id tidings.ID) []tidings.Event {
	for i := range log {
		if id.Less(log[i].ID) {
			return log[i:]
		}
	}
	return nil
}

// cursors collects places in a growing log.
type cursors struct {
	mu    sync.Mutex
	all   []tidings.Cursor
	grown chan struct{}
}

func (c *cursors) add(r tidings.Receipt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range r.IDs {
		c.all = append(c.all, tidings.Cursor{ID: id, Incarnation: r.Incarnation})
	}
	if c.grown != nil {
		close(c.grown)
		c.grown = nil
	}
}

// random waits until the log has n events and gives any place in it.
func (c *cursors) random(ctx context.Context, n int) tidings.Cursor {
	for {
		c.mu.Lock()
		if len(c.all) >= n || ctx.Err() != nil {
			defer c.mu.Unlock()
			return c.all[rand.IntN(len(c.all))]
		}
		if c.grown == nil {
			c.grown = make(chan struct{})
		}
		grown := c.grown
		c.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
		}
	}
}

func followManyJobs(e *env) {
	const jobs = 30
	var group sync.WaitGroup
	for range jobs {
		job := e.job()
		e.append(job, note(0))
		group.Go(func() {
			h := history{}
			h.follow(e, job, false)
			if h.err != nil {
				e.Errorf("%s: %v", job, h.err)
			}
			e.sameData(job, h.events, append(notes(0, 11), done()))
		})
		group.Go(func() {
			for n := 1; n <= 10; n++ {
				if _, err := e.store.Append(e.ctx, job, tidings.Batch{Events: notes(n, n+1)}); err != nil {
					e.Errorf("%s: %v", job, err)
				}
			}
			if _, err := e.store.Append(e.ctx, job, tidings.Batch{Events: []tidings.Event{done()}}); err != nil {
				e.Errorf("%s: %v", job, err)
			}
		})
	}
	group.Wait()
}

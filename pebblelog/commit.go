package pebblelog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"tidings"
)

const (
	// queueLength bounds the requests that wait for the committer; more wait in
	// their callers.
	queueLength = 4096
	// A group is what is written and synced together.
	maxGroupRequests = 4096
	maxGroupBytes    = 16 << 20
	// ctxGrace is how long a caller whose context has ended waits for the
	// outcome of a write that is under way.
	ctxGrace = 5 * time.Second
)

// op is a change that the committer plans, writes and syncs.
type op interface {
	// plan checks the change against what the group has planned so far and adds
	// it. With an error it must have added nothing.
	plan(g *group) error
	// size is about how many bytes it will write.
	size() int
}

// request is an op on its way through the committer.
type request struct {
	op    op
	state atomic.Int32
	done  chan error
}

// States of a request: either the committer takes it or its caller gives up.
const (
	queued int32 = iota
	taken
	abandoned
)

var requestPool = sync.Pool{New: func() any { return &request{done: make(chan error, 1)} }}

// commit has the committer carry out op, and waits until that is durable. If
// ctx ends before the committer takes it, nothing is written. If ctx ends
// later, the outcome is waited for still, which takes a sync of the disk; if
// the disk is stuck, the error is ErrUnavailable joined to that of ctx.
func (s *Store) commit(ctx context.Context, o op) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if s.isClosing() {
		return tidings.ErrStoreClosed
	}
	r := requestPool.Get().(*request)
	r.op = o
	r.state.Store(queued)
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-s.closing:
		return tidings.ErrStoreClosed
	}
	select {
	case err := <-r.done:
		return r.recycle(err)
	case <-ctx.Done():
		if r.state.CompareAndSwap(queued, abandoned) {
			return context.Cause(ctx)
		}
		return s.outcome(ctx, r)
	case <-s.stopped:
		return r.afterStop()
	}
}

func (r *request) recycle(err error) error {
	r.op = nil
	requestPool.Put(r)
	return err
}

// outcome waits for a request that is being written.
func (s *Store) outcome(ctx context.Context, r *request) error {
	grace := time.NewTimer(ctxGrace)
	defer grace.Stop()
	select {
	case err := <-r.done:
		return err
	case <-s.stopped:
		return r.afterStop()
	case <-grace.C:
		return fmt.Errorf("%w: the disk has not answered yet: %w", tidings.ErrUnavailable, context.Cause(ctx))
	}
}

// afterStop gives the outcome when the committer has ended: it answers what it
// takes before it does.
func (r *request) afterStop() error {
	select {
	case err := <-r.done:
		return err
	default:
		return tidings.ErrStoreClosed
	}
}

// committer is the one goroutine that writes. So IDs are in the order of the
// commits, over all jobs; the feed has no holes; and check, append and producer
// state are one step.
type committer struct {
	s *Store

	// As planned; ahead of what is durable while a group is written.
	last        tidings.ID // the last ID given
	nextNumber  uint64
	feedCount   uint64
	feedTrimmed tidings.ID

	pending []*request // scratch
	results []error
}

func (c *committer) run() {
	defer close(c.s.stopped)
	for {
		select {
		case r := <-c.s.requests:
			c.commitGroup(c.drain(r))
		case <-c.s.closing:
			return
		}
	}
}

// drain takes what waits, up to the size of a group.
func (c *committer) drain(first *request) []*request {
	c.pending = c.pending[:0]
	bytes, yields := 0, 0
	for r := first; r != nil; r = c.next(&yields) {
		if r.state.CompareAndSwap(queued, taken) {
			c.pending = append(c.pending, r)
			bytes += r.op.size()
		}
		if len(c.pending) >= maxGroupRequests || bytes >= maxGroupBytes {
			break
		}
	}
	return c.pending
}

// next takes one more request, or nil if none waits. Those who were just
// answered may be about to come again: letting them run costs next to nothing,
// and each that gets into the group saves a part of a sync.
func (c *committer) next(yields *int) *request {
	select {
	case r := <-c.s.requests:
		return r
	default:
	}
	if *yields == maxYields {
		return nil
	}
	*yields++
	runtime.Gosched()
	select {
	case r := <-c.s.requests:
		return r
	default:
		return nil
	}
}

// maxYields bounds how long a group that others trickle into stays open.
const maxYields = 64

// commitGroup plans, writes, syncs, shows, and only then answers.
func (c *committer) commitGroup(requests []*request) {
	if len(requests) == 0 {
		return
	}
	c.results = c.results[:0]
	g := c.newGroup()
	for _, r := range requests {
		c.results = append(c.results, c.plan(g, r.op))
	}
	failed := g.write()
	for i, r := range requests {
		err := c.results[i]
		if failed != nil {
			err = failed // also of what was refused: by a state that is not durable
		}
		r.done <- err
	}
	clear(requests)
}

func (c *committer) plan(g *group, o op) error {
	if err := c.s.state.fatal(); err != nil {
		return unavailable(err)
	}
	return o.plan(g)
}

func unavailable(err error) error {
	if errors.Is(err, tidings.ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", tidings.ErrUnavailable, err)
}

// nextID gives the next ID of the store's one clock: never behind the last.
func (c *committer) nextID(now time.Time) tidings.ID {
	ms := uint64(max(now.UnixMilli(), 0))
	if ms <= c.last.Ms {
		c.last = c.last.Next()
	} else {
		c.last = tidings.ID{Ms: ms}
	}
	if c.last.IsZero() {
		c.last.Seq = 1 // the zero ID lies before every event
	}
	return c.last
}

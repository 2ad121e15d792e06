package client

import (
	"context"
	"sync"
)

// maxQueuedBytes is how much a stream reads ahead of its caller. Beyond it the
// connection is left unread, and TCP holds the server back.
const maxQueuedBytes = 4 << 20

// queue hands what a stream's goroutine receives to its caller, in order: items
// of one tag together, and between them errors that don't end the stream.
type queue[T any] struct {
	mu      sync.Mutex
	entries []entry[T]
	bytes   int
	end     error         // set: nothing more comes
	arrived chan struct{} // holds a token when there is something to take
	drained chan struct{} // holds a token when there is room again
}

type entry[T any] struct {
	items []T
	tag   string
	err   error
}

func newQueue[T any]() *queue[T] {
	return &queue[T]{arrived: make(chan struct{}, 1), drained: make(chan struct{}, 1)}
}

// push adds an item, once there is room.
func (q *queue[T]) push(ctx context.Context, item T, size int, tag string) error {
	for !q.tryPush(item, size, tag) {
		select {
		case <-q.drained:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

func (q *queue[T]) tryPush(item T, size int, tag string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.bytes > maxQueuedBytes {
		return false
	}
	q.bytes += size
	if n := len(q.entries); n > 0 && q.entries[n-1].err == nil && q.entries[n-1].tag == tag {
		q.entries[n-1].items = append(q.entries[n-1].items, item)
	} else {
		q.entries = append(q.entries, entry[T]{items: []T{item}, tag: tag})
	}
	signal(q.arrived)
	return true
}

// tell adds an error after which the stream goes on.
func (q *queue[T]) tell(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.entries = append(q.entries, entry[T]{err: err})
	signal(q.arrived)
}

// finish says that nothing more comes, and why. Only the first reason counts.
func (q *queue[T]) finish(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.end == nil {
		q.end = err
	}
	signal(q.arrived)
}

// abort is finish that also forgets what was not taken yet.
func (q *queue[T]) abort(err error) {
	q.mu.Lock()
	q.entries, q.bytes = nil, 0
	q.end = err
	q.mu.Unlock()
	signal(q.arrived)
}

// next waits for the first entry and takes it.
func (q *queue[T]) next(ctx context.Context) (entry[T], error) {
	for {
		e, ok, err := q.take()
		if ok || err != nil {
			return e, err
		}
		select {
		case <-q.arrived:
		case <-ctx.Done():
			return entry[T]{}, context.Cause(ctx)
		}
	}
}

func (q *queue[T]) take() (e entry[T], ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.entries) == 0 {
		return entry[T]{}, false, q.end
	}
	e = q.entries[0]
	q.entries = q.entries[1:]
	if len(q.entries) == 0 {
		q.bytes = 0 // what is told between items is not counted
		signal(q.drained)
	}
	return e, true, e.err
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

package hub

import (
	"container/list"
	"context"
	"sync"

	"tidings"
)

// page is a run of history: every event behind floor up to its last.
type page struct {
	chunk
	topic *topic
	floor tidings.ID
}

func (p *page) covers(id tidings.ID) bool { return !id.Less(p.floor) && id.Less(p.last()) }

// pageCache holds the pages of all topics, the least recently used of which go
// first when it is full. Safe for concurrent use.
type pageCache struct {
	mu    sync.Mutex
	limit int
	bytes int
	order *list.List // of *page, the most recently used in front
	byJob map[*topic][]*list.Element
}

func newPageCache(limit int) *pageCache {
	return &pageCache{limit: limit, order: list.New(), byJob: map[*topic][]*list.Element{}}
}

func (c *pageCache) find(t *topic, id tidings.ID) *page {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, el := range c.byJob[t] {
		if p := el.Value.(*page); p.covers(id) {
			c.order.MoveToFront(el)
			return p
		}
	}
	return nil
}

func (c *pageCache) put(p *page) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byJob[p.topic] = append(c.byJob[p.topic], c.order.PushFront(p))
	c.bytes += cap(p.buf)
	for c.bytes > c.limit && c.order.Len() > 1 {
		c.remove(c.order.Back())
	}
}

// drop forgets the pages of a topic.
func (c *pageCache) drop(t *topic) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, el := range c.byJob[t] {
		c.order.Remove(el)
		c.bytes -= cap(el.Value.(*page).buf)
	}
	delete(c.byJob, t)
}

func (c *pageCache) remove(el *list.Element) {
	p := c.order.Remove(el).(*page)
	c.bytes -= cap(p.buf)
	kept := c.byJob[p.topic][:0]
	for _, other := range c.byJob[p.topic] {
		if other != el {
			kept = append(kept, other)
		}
	}
	if len(kept) == 0 {
		delete(c.byJob, p.topic)
		return
	}
	c.byJob[p.topic] = kept
}

// wanted are the cursors that wait for a page of history.
type wanted struct {
	mu  sync.Mutex
	ids map[tidings.ID]struct{}
}

func (w *wanted) add(id tidings.ID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ids == nil {
		w.ids = map[tidings.ID]struct{}{}
	}
	w.ids[id] = struct{}{}
}

// lowest is the lowest of the cursors that wait and own.
func (w *wanted) lowest(own tidings.ID) tidings.ID {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id := range w.ids {
		if id.Less(own) {
			own = id
		}
	}
	return own
}

// served forgets id, and the cursors that the page covers.
func (w *wanted) served(id tidings.ID, p *page) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.ids, id)
	for other := range w.ids {
		if p != nil && p.covers(other) {
			delete(w.ids, other)
		}
	}
}

// page gives the page of history behind the cursor. One page of a topic is
// loaded at a time, and the lowest cursor that waits goes first: so its page
// serves most of the others, and viewers who come at once cost about as many
// reads as the history has pages, in whatever order they come.
func (t *topic) page(ctx context.Context, after tidings.Cursor) (*page, error) {
	for {
		if p := t.hub.pages.find(t, after.ID); p != nil {
			return p, nil
		}
		t.wanted.add(after.ID)
		select {
		case t.loading <- struct{}{}:
		case <-ctx.Done():
			t.wanted.served(after.ID, nil)
			return nil, context.Cause(ctx)
		}
		p, mine, err := t.loadLowest(ctx, after)
		<-t.loading
		if mine {
			return p, err
		}
	}
}

// loadLowest loads the page of the lowest cursor that waits, unless the
// caller's is there by now. It reports whether what it gives answers the caller.
func (t *topic) loadLowest(ctx context.Context, after tidings.Cursor) (p *page, mine bool, err error) {
	if p := t.hub.pages.find(t, after.ID); p != nil {
		t.wanted.served(after.ID, nil)
		return p, true, nil
	}
	from := t.wanted.lowest(after.ID)
	mine = from == after.ID
	p, err = t.loadPage(ctx, tidings.Cursor{ID: from})
	t.wanted.served(from, p)
	return p, mine || p != nil && p.covers(after.ID), err
}

// loadPage reads a page from the store; nil if there is nothing behind the
// cursor.
func (t *topic) loadPage(ctx context.Context, after tidings.Cursor) (*page, error) {
	t.hub.reads.Add(1)
	got, err := t.hub.source.Read(ctx, t.jobID, tidings.Query{
		After:    after,
		Limit:    t.hub.opts.PageEvents,
		MaxBytes: t.hub.opts.PageBytes,
	})
	if err != nil || len(got.Events) == 0 {
		return nil, err
	}
	p := t.encodePage(&got, after.ID)
	t.hub.pages.put(p)
	return p, nil
}

func (t *topic) encodePage(got *tidings.Page, floor tidings.ID) *page {
	size := 0
	for i := range got.Events {
		size += len(got.Events[i].Data) + frameOverhead + 2*len(got.Events[i].JobID)
	}
	p := &page{topic: t, floor: floor, chunk: *newChunk(size)}
	var frame []byte
	for i := range got.Events {
		e := &got.Events[i]
		frame = t.hub.encode(frame[:0], e, got.Incarnation)
		p.add(e.ID, e.Type, frame)
	}
	return p
}

// frameOverhead is about what an encoded frame has besides data and job ID.
const frameOverhead = 220

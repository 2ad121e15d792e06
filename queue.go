package tidings

import (
	"context"
	"sync"
	"time"
)

// The limits of what is taken from the queue as one batch.
const (
	maxBatchEvents = 512
	maxBatchBytes  = 256 << 10
)

// itemOverhead is what an event takes in the queue besides its data.
const itemOverhead = 96

// item is an event that waits in the queue.
type item struct {
	eventType string
	at        time.Time
	data      []byte // of a delta: its text so far
	size      int64

	stream  *ModelRun // of a delta
	channel string
	loss    *loss // stands for events that were dropped at this place
}

// loss is what was dropped at one place of the queue.
type loss struct {
	events, bytes int64
	since         time.Time
}

// tail is the place of a stream's last delta in the queue.
type tail struct {
	index   int64 // counted from the first item ever
	round   int64 // queue.round when it was put there
	channel string
}

// queue holds events, in order, until they are acknowledged or spooled. Putting
// never blocks longer than blockFor.
type queue struct {
	limit    int64
	coalesce time.Duration
	blockFor time.Duration

	mu        sync.Mutex
	items     []item
	spare     []item // empty, for items when there are none
	first     int64  // index of items[0], counted from the first item ever
	round     int64  // a delta joins only one of the same round
	deltas    int    // of items
	bytes     int64  // of items, and of taken ones that are not freed yet
	lastDelta time.Time
	timed     bool // the sender comes by itself when deltas are due
	urgent    int  // callers of flush
	ended     bool // the terminal event was put
	closed    bool // nothing more will come
	refusing  error
	open      *loss // the last item, while it stands for dropped events

	stats    HandlerStats
	put      int64         // items ever put
	settled  int64         // of them acknowledged or given up
	progress chan struct{} // closed when settled grows, if anyone waits

	wake chan struct{} // for the sender
	high chan struct{} // for the spiller: more than half is full
	room chan struct{} // closed when bytes were freed, if anyone waits
}

func newQueue(o *HandlerOptions) *queue {
	return &queue{
		limit: o.QueueBytes, coalesce: o.CoalesceDeltas, blockFor: o.BlockFor,
		wake: make(chan struct{}, 1), high: make(chan struct{}, 1),
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// putEvent puts an event, or counts it as dropped or as a stray. A terminal one
// always finds room and is the last.
func (q *queue) putEvent(it item, terminal bool) {
	it.size = int64(len(it.data)+len(it.eventType)) + itemOverhead
	if q.enter(&it, terminal) {
		signal(q.wake) // without the lock, as it may take longer than all else
	}
}

func (q *queue) enter(it *item, terminal bool) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.takes() || !(terminal || q.makeRoom(it.size, false)) {
		q.reject(it.size)
		return false
	}
	q.ended = terminal
	q.round++ // what comes behind it must not join what is before it
	q.append(it)
	return true
}

// putDelta puts a piece of a stream, joined to the one before if that still
// waits and only other streams' pieces came between.
func (q *queue) putDelta(m *ModelRun, channel, text string) {
	if q.enterDelta(m, channel, text) {
		signal(q.wake)
	}
}

// enterDelta reports whether the sender has to know of the piece.
func (q *queue) enterDelta(m *ModelRun, channel, text string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	size := int64(len(text))
	last := q.joinable(m, channel)
	if last == nil {
		size += int64(m.run.placed+len(m.messageID)) + itemOverhead
	}
	if !q.takes() || !q.makeRoom(size, true) {
		q.reject(size)
		return false
	}
	if last = q.joinable(m, channel); last != nil { // making room may have taken it
		last.data = append(last.data, text...)
		last.size += size
		q.bytes += size
		q.signalHigh()
		return q.bytes >= maxBatchBytes
	}
	it := &item{eventType: TypeThought, at: time.Now(), data: []byte(text), size: size, stream: m, channel: channel}
	m.tail = tail{index: q.first + int64(len(q.items)), round: q.round, channel: channel}
	q.deltas++
	q.append(it)
	return !q.timed || q.bytes >= maxBatchBytes
}

// joinable is the stream's last delta, if it may take more text.
func (q *queue) joinable(m *ModelRun, channel string) *item {
	t := m.tail
	if t.channel != channel || t.round != q.round || t.index < q.first || t.index >= q.first+int64(len(q.items)) {
		return nil
	}
	it := &q.items[t.index-q.first]
	if it.stream != m || it.size > maxBatchBytes/4 {
		return nil
	}
	return it
}

func (q *queue) append(it *item) {
	if q.items == nil {
		q.items, q.spare = q.spare, nil
	}
	q.items = append(q.items, *it)
	q.bytes += it.size
	q.put++
	q.open = it.loss
	q.signalHigh()
}

func (q *queue) signalHigh() {
	if q.bytes > q.limit/2 {
		signal(q.high)
	}
}

// takes reports whether the queue takes events at all.
func (q *queue) takes() bool { return !q.ended && !q.closed && q.refusing == nil }

// reject counts what was not taken.
func (q *queue) reject(size int64) {
	switch {
	case q.ended || q.closed || q.refusing != nil:
		q.stats.Strays++
	default:
		q.drop(1, size)
	}
}

// stray counts an event that came after the end of its run.
func (q *queue) stray() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stats.Strays++
}

// drop counts lost events and leaves a note of them at this place, which finds
// room always.
func (q *queue) drop(events, bytes int64) {
	q.stats.Dropped += events
	if q.open == nil {
		now := time.Now()
		q.round++
		q.append(&item{eventType: TypeCustom, at: now, size: itemOverhead, loss: &loss{since: now}})
		signal(q.wake)
	}
	q.open.events += events
	q.open.bytes += bytes
}

// makeRoom reports whether size more bytes may be put. It waits for room as
// long as may be, and lets queued deltas go for what is not a delta.
func (q *queue) makeRoom(size int64, delta bool) bool {
	if q.bytes+size <= q.limit {
		return true
	}
	if q.blockFor > 0 && q.awaitRoom(size) {
		return q.takes()
	}
	if !delta && q.deltas > 0 {
		q.evictDeltas(q.bytes + size - q.limit)
	}
	return q.bytes+size <= q.limit
}

// awaitRoom waits for room, with q.mu given back meanwhile.
func (q *queue) awaitRoom(size int64) bool {
	t := time.NewTimer(q.blockFor)
	defer t.Stop()
	for q.bytes+size > q.limit && q.takes() {
		if q.room == nil {
			q.room = make(chan struct{})
		}
		room := q.room
		q.mu.Unlock()
		select {
		case <-room:
			q.mu.Lock()
		case <-t.C:
			q.mu.Lock()
			return false
		}
	}
	return true
}

// evictDeltas drops the newest deltas, until so many bytes are free.
func (q *queue) evictDeltas(need int64) {
	q.round++ // indexes of what stays change
	var events, bytes int64
	kept := len(q.items)
	for i := len(q.items) - 1; i >= 0 && need > bytes; i-- {
		if it := &q.items[i]; it.stream != nil {
			events++
			bytes += it.size
			it.size = -1 // goes
			kept = i
		}
	}
	out := q.items[:kept]
	for _, it := range q.items[kept:] {
		if it.size >= 0 {
			out = append(out, it)
		}
	}
	clear(q.items[len(out):])
	q.items = out
	q.bytes -= bytes
	q.deltas -= int(events)
	q.settle(events)
	q.drop(events, bytes)
}

// settle counts items as acknowledged or given up.
func (q *queue) settle(items int64) {
	q.settled += items
	if q.progress != nil {
		close(q.progress)
		q.progress = nil
	}
}

// free gives back the memory of taken items.
func (q *queue) free(bytes int64) {
	q.bytes -= bytes
	if q.room != nil && bytes > 0 {
		close(q.room)
		q.room = nil
	}
}

// due reports whether a batch should be taken now, and else in what time at the
// latest (negative: when something comes).
func (q *queue) due(now time.Time) (bool, time.Duration) {
	if len(q.items) == 0 {
		return q.closed, -1
	}
	wait := q.coalesce - now.Sub(q.lastDelta)
	if q.deltas < len(q.items) || q.urgent > 0 || q.ended || q.closed || q.bytes >= maxBatchBytes || wait <= 0 {
		return true, 0
	}
	return false, wait
}

// wait waits until a batch is due or nothing more will come, or ctx ends.
func (q *queue) wait(ctx context.Context) error {
	for {
		q.mu.Lock()
		due, delay := q.due(time.Now())
		q.timed = !due && delay > 0
		q.mu.Unlock()
		if due {
			return nil
		}
		var timer <-chan time.Time
		if delay > 0 {
			timer = time.After(delay)
		}
		select {
		case <-q.wake:
		case <-timer:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// maxSpare is the number of items, of some 100 bytes, from which the memory of a
// batch is not kept for a later one.
const maxSpare = 128

// recycle takes back what pop gave, if that was all of its slice, so that the
// agent need not wait while the next one grows from nothing.
func (q *queue) recycle(items []item) {
	if cap(items) > maxSpare {
		return
	}
	clear(items)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.spare = items[:0]
}

// pop takes the items of the next batch, up to a terminal one. Their bytes stay
// counted until free. whole says that nothing else uses the slice.
func (q *queue) pop() (items []item, bytes int64, whole bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n, deltas := 0, false
	for n < len(q.items) && n < maxBatchEvents && (n == 0 || bytes+q.items[n].size <= maxBatchBytes) {
		it := &q.items[n]
		bytes += it.size
		n++
		if it.stream != nil {
			q.deltas--
			deltas = true
		}
		if it.loss != nil && it.loss == q.open {
			q.open = nil
		}
	}
	if deltas {
		q.lastDelta = time.Now()
	}
	q.first += int64(n)
	if n == len(q.items) {
		items, q.items = q.items, nil
		return items, bytes, n > 0
	}
	items = q.items[:n:n]
	q.items = q.items[n:]
	return items, bytes, false
}

// refuse makes the queue take nothing more, and gives up what is in it.
func (q *queue) refuse(reason error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.refusing != nil {
		return
	}
	q.refusing = reason
	q.stats.Strays += q.empty()
}

func (q *queue) refused() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.refusing
}

// finish says that nothing more will come.
func (q *queue) finish() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	signal(q.wake)
}

// flush waits until everything put before is acknowledged or given up.
func (q *queue) flush(ctx context.Context) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	target := q.put
	q.urgent++
	defer func() { q.urgent-- }()
	signal(q.wake)
	for q.settled < target {
		if q.progress == nil {
			q.progress = make(chan struct{})
		}
		progress := q.progress
		q.mu.Unlock()
		var err error
		select {
		case <-progress:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		q.mu.Lock()
		if err != nil {
			return err
		}
	}
	return q.refusing
}

// holds is the number of bytes in memory.
func (q *queue) holds() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

func (q *queue) isEmpty() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.items) == 0
}

func (q *queue) isDue() bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	due, _ := q.due(time.Now())
	return due
}

// abandon drops what is in the queue and says how many events that were.
func (q *queue) abandon() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := q.empty()
	q.stats.Dropped += n
	return n
}

// empty takes everything out of the queue and says how many items that were.
func (q *queue) empty() int64 {
	n := int64(len(q.items))
	var bytes int64
	for i := range q.items {
		bytes += q.items[i].size
	}
	q.items, q.deltas, q.open = nil, 0, nil
	q.first += n
	q.free(bytes)
	q.settle(n)
	return n
}

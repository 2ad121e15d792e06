package hub

import (
	"sort"
	"unique"

	"tidings"
)

// chunk is a run of frames that lie side by side in one buffer. The buffer is
// never moved: what lies before the last frame's end is final and may be read
// without a lock once it was seen under it.
type chunk struct {
	buf   []byte
	ends  []int // of each frame in buf
	ids   []tidings.ID
	types []string
}

func newChunk(size int) *chunk { return &chunk{buf: make([]byte, 0, size)} }

func (c *chunk) add(id tidings.ID, eventType string, frame []byte) {
	c.buf = append(c.buf, frame...)
	c.ends = append(c.ends, len(c.buf))
	c.ids = append(c.ids, id)
	// The text may be a piece of something large, as of a message from Redis.
	c.types = append(c.types, unique.Make(eventType).Value())
}

func (c *chunk) last() tidings.ID { return c.ids[len(c.ids)-1] }

// after is the index of the first frame behind id.
func (c *chunk) after(id tidings.ID) int {
	return sort.Search(len(c.ids), func(i int) bool { return id.Less(c.ids[i]) })
}

func (c *chunk) start(i int) int {
	if i == 0 {
		return 0
	}
	return c.ends[i-1]
}

// take gives the frames behind id, as one slice, and the last one's ID. With
// types, only those frames, copied. The frames may be none although the ID
// moves on: none was of these types.
func (c *chunk) take(id tidings.ID, types map[string]bool) ([]byte, tidings.ID) {
	i := c.after(id)
	if i == len(c.ids) {
		return nil, id
	}
	if types == nil {
		return c.buf[c.start(i):len(c.buf):len(c.buf)], c.last()
	}
	var frames []byte
	for ; i < len(c.ids); i++ {
		if types[c.types[i]] {
			frames = append(frames, c.buf[c.start(i):c.ends[i]]...)
		}
	}
	return frames, c.last()
}

const (
	minChunk = 4 << 10 // so that a thousand small jobs stay small
	maxChunk = 64 << 10
)

// ring holds the newest frames of a log, contiguous: every event after floor
// up to the last one is in it.
type ring struct {
	chunks []*chunk
	bytes  int // capacity of all chunks
	limit  int
	floor  tidings.ID // events up to here are not in the ring
	last   tidings.ID
}

// add appends a frame and drops the oldest chunks over the limit.
func (r *ring) add(id tidings.ID, eventType string, frame []byte) {
	tail := r.tail(len(frame))
	tail.add(id, eventType, frame)
	r.last = id
	for len(r.chunks) > 1 && r.bytes > r.limit {
		r.floor = r.chunks[0].last()
		r.bytes -= cap(r.chunks[0].buf)
		r.chunks[0] = nil
		r.chunks = r.chunks[1:]
	}
}

// tail is the chunk that has room for n more bytes.
func (r *ring) tail(n int) *chunk {
	size := minChunk
	if len(r.chunks) > 0 {
		tail := r.chunks[len(r.chunks)-1]
		if len(tail.buf)+n <= cap(tail.buf) {
			return tail
		}
		size = min(2*cap(tail.buf), maxChunk)
	}
	tail := newChunk(max(size, n))
	r.chunks = append(r.chunks, tail)
	r.bytes += cap(tail.buf)
	return tail
}

// take gives frames behind id, which must not lie before the floor.
func (r *ring) take(id tidings.ID, types map[string]bool) ([]byte, tidings.ID) {
	if !id.Less(r.last) {
		return nil, id
	}
	i := sort.Search(len(r.chunks), func(i int) bool { return id.Less(r.chunks[i].last()) })
	return r.chunks[i].take(id, types)
}

// lastType is the type of the newest event, "" if the ring is empty.
func (r *ring) lastType() string {
	if len(r.chunks) == 0 {
		return ""
	}
	tail := r.chunks[len(r.chunks)-1]
	return tail.types[len(tail.types)-1]
}

// clear empties the ring; the next frame comes behind floor.
func (r *ring) clear(floor tidings.ID) {
	*r = ring{limit: r.limit, floor: floor, last: floor}
}

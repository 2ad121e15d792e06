package pebblelog

// arena copies the data of a page's events into few allocations. An event that
// is kept holds its chunk, so chunks are of a moderate size.
type arena struct {
	chunk []byte
	next  int // size of the next chunk
}

const (
	minChunk = 4 << 10
	maxChunk = 256 << 10
)

// copy gives a copy of b that nobody can append to.
func (a *arena) copy(b []byte) []byte {
	if len(b) > cap(a.chunk)-len(a.chunk) {
		// The first chunk fits one event: most pages of a live follower have one.
		a.chunk = make([]byte, 0, max(len(b), a.next))
		a.next = min(max(minChunk, 4*a.next), maxChunk)
	}
	from := len(a.chunk)
	a.chunk = append(a.chunk, b...)
	return a.chunk[from:len(a.chunk):len(a.chunk)]
}

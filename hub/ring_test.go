package hub

import (
	"bytes"
	"fmt"
	"testing"

	"tidings"
)

func frame(n int) []byte { return []byte(fmt.Sprintf("frame %04d;", n)) }

func TestRingKeepsTheNewest(t *testing.T) {
	t.Parallel()
	r := ring{limit: 32 << 10}
	const n = 10_000
	for i := 1; i <= n; i++ {
		r.add(tidings.ID{Ms: uint64(i)}, "custom", frame(i))
	}
	if r.bytes > r.limit+maxChunk {
		t.Errorf("%d bytes are held, the limit is %d", r.bytes, r.limit)
	}
	at := r.floor
	for want := int(r.floor.Ms) + 1; want <= n; {
		frames, last := r.take(at, nil)
		if len(frames) == 0 {
			t.Fatalf("nothing behind %s, but the ring ends at %s", at, r.last)
		}
		for len(frames) > 0 {
			if !bytes.HasPrefix(frames, frame(want)) {
				t.Fatalf("got %.12q, want %q", frames, frame(want))
			}
			frames = frames[len(frame(want)):]
			want++
		}
		at = last
	}
	if at != r.last {
		t.Errorf("took up to %s, the ring ends at %s", at, r.last)
	}
}

func TestRingTakesAFrameOfAnySize(t *testing.T) {
	t.Parallel()
	r := ring{limit: 16 << 10}
	big := bytes.Repeat([]byte("x"), 1<<20)
	r.add(tidings.ID{Ms: 1}, "custom", frame(1))
	r.add(tidings.ID{Ms: 2}, "custom", big)
	if frames, _ := r.take(tidings.ID{Ms: 1}, nil); !bytes.Equal(frames, big) {
		t.Errorf("got %d bytes, want %d", len(frames), len(big))
	}
}

// What a viewer was given must not change when frames are added behind it.
func TestTakenFramesStay(t *testing.T) {
	t.Parallel()
	r := ring{limit: 64 << 10}
	r.add(tidings.ID{Ms: 1}, "custom", frame(1))
	got, _ := r.take(tidings.ID{}, nil)
	for i := 2; i < 1000; i++ {
		r.add(tidings.ID{Ms: uint64(i)}, "custom", frame(i))
	}
	if !bytes.Equal(got, frame(1)) {
		t.Errorf("became %q", got)
	}
}

func TestPageCacheForgetsTheLeastUsed(t *testing.T) {
	t.Parallel()
	c := newPageCache(3000)
	topics := []*topic{{jobID: "a"}, {jobID: "b"}}
	put := func(topic *topic, floor uint64) {
		p := &page{topic: topic, floor: tidings.ID{Ms: floor}, chunk: *newChunk(1000)}
		p.add(tidings.ID{Ms: floor + 10}, "custom", frame(1))
		c.put(p)
	}
	put(topics[0], 0)
	put(topics[0], 10)
	put(topics[1], 0)
	if c.find(topics[0], tidings.ID{Ms: 5}) == nil {
		t.Fatal("a page that was put is not found")
	}
	put(topics[1], 10) // over the limit: a's second page is the least recently used
	if c.find(topics[0], tidings.ID{Ms: 15}) != nil || c.find(topics[0], tidings.ID{Ms: 5}) == nil {
		t.Error("the wrong page was forgotten")
	}
	c.drop(topics[0])
	c.drop(topics[1])
	if c.bytes != 0 || c.order.Len() != 0 || len(c.byJob) != 0 {
		t.Errorf("after dropping all: %d bytes, %d pages, %d topics", c.bytes, c.order.Len(), len(c.byJob))
	}
}

package hub

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tidings"
)

// Source is what a hub needs of a store.
type Source interface {
	Read(ctx context.Context, jobID string, q tidings.Query) (tidings.Page, error)
	Follow(ctx context.Context, jobID string, after tidings.Cursor) (tidings.Follower, error)
	Job(ctx context.Context, jobID string) (tidings.Job, error)
}

// Encoder appends an event's frame to dst.
type Encoder func(dst []byte, e *tidings.Event, incarnation string) []byte

// Options of a [Hub]. The zero value works.
type Options struct {
	RingBytes  int // recent frames kept a watched job; zero: 256 KiB
	RingsBytes int // recent frames kept of all watched jobs, which share it; zero: 64 MiB
	PageBytes  int // data of one page of history; zero: 256 KiB
	PageEvents int // events of one page of history; zero: 1,000
	CacheBytes int // pages of history kept, of all jobs together; zero: 32 MiB

	MaxViewers       int // zero: 10,000
	MaxViewersPerJob int // zero: as MaxViewers

	// Heartbeat is the longest time that a viewer gets no delivery; zero: 15 s.
	Heartbeat time.Duration
	// Linger is how long a job is followed on after its last viewer left, so
	// that one who reconnects finds the ring; zero: 10 s.
	Linger time.Duration
	// SilentAfter is when a running job that never had a lease counts as
	// stalled; zero: never.
	SilentAfter time.Duration

	Logger *slog.Logger // nil: slog.Default()
}

func (o Options) withDefaults() Options {
	set := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	set(&o.RingBytes, 256<<10)
	set(&o.RingsBytes, 64<<20)
	set(&o.PageBytes, 256<<10)
	set(&o.PageEvents, 1000)
	set(&o.CacheBytes, 32<<20)
	set(&o.MaxViewers, 10_000)
	set(&o.MaxViewersPerJob, o.MaxViewers)
	if o.Heartbeat == 0 {
		o.Heartbeat = 15 * time.Second
	}
	if o.Linger == 0 {
		o.Linger = 10 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	return o
}

// ErrClosed is returned once the hub was closed.
var ErrClosed = errors.New("hub is closed")

// TooManyViewersError refuses a viewer over a limit.
type TooManyViewersError struct {
	Limit  int
	PerJob bool // the limit is the job's, not the node's
}

func (e *TooManyViewersError) Error() string {
	if e.PerJob {
		return "this job has as many viewers as are allowed"
	}
	return "this node has as many viewers as are allowed"
}

// Stats are a hub's counters.
type Stats struct {
	Viewers    int64 // now
	Topics     int64 // jobs followed now
	Reads      int64 // reads of the store since the start
	Deliveries int64 // slices of frames taken by viewers since the start
	// Gaps is how often viewers were told since the start that events behind what
	// they had seen were trimmed away.
	Gaps int64
}

// Hub fans events out to viewers. Safe for concurrent use.
type Hub struct {
	source Source
	encode Encoder
	opts   Options
	pages  *pageCache

	ctx    context.Context // ends with the hub
	cancel context.CancelFunc
	wg     sync.WaitGroup // topics

	mu     sync.Mutex
	topics map[string]*topic
	closed bool

	closing    atomic.Bool
	watched    atomic.Int64 // topics in the map
	viewers    atomic.Int64
	reads      atomic.Int64
	deliveries atomic.Int64
	gaps       atomic.Int64
}

// New makes a hub over source. Nothing runs until the first viewer joins. nil
// options work.
func New(source Source, encode Encoder, opts *Options) *Hub {
	if opts == nil {
		opts = &Options{}
	}
	h := &Hub{source: source, encode: encode, opts: opts.withDefaults(), topics: map[string]*topic{}}
	h.pages = newPageCache(h.opts.CacheBytes)
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// Join adds a viewer of the job who has seen everything up to after; with types,
// it is given events of these types only. A cursor that can't be continued
// exactly is told by the viewer's first Next. The viewer must be closed. Errors:
// [tidings.ErrUnknownJob], [*TooManyViewersError], [ErrClosed], and the
// source's.
func (h *Hub) Join(ctx context.Context, jobID string, after tidings.Cursor, types []string) (*Viewer, error) {
	t, err := h.enter(jobID)
	if err != nil {
		return nil, err
	}
	v := &Viewer{topic: t, lastDelivery: time.Now()}
	if len(types) > 0 {
		v.types = make(map[string]bool, len(types))
		for _, name := range types {
			v.types[name] = true
		}
	}
	if err := t.await(ctx); err != nil {
		v.Close()
		return nil, err
	}
	if err := v.place(ctx, after); err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// enter counts a viewer in and gives the job's topic, a new one if needed.
func (h *Hub) enter(jobID string) (*topic, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil, ErrClosed
	}
	if h.viewers.Load() >= int64(h.opts.MaxViewers) {
		return nil, &TooManyViewersError{Limit: h.opts.MaxViewers}
	}
	t := h.topics[jobID]
	if t == nil {
		t = newTopic(h, jobID)
		h.topics[jobID] = t
		h.watched.Store(int64(len(h.topics)))
		h.wg.Go(t.run)
	}
	if t.viewers >= h.opts.MaxViewersPerJob {
		return nil, &TooManyViewersError{Limit: h.opts.MaxViewersPerJob, PerJob: true}
	}
	t.viewers++
	h.viewers.Add(1)
	return t, nil
}

func (h *Hub) leave(t *topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.viewers.Add(-1)
	t.viewers--
	t.lastSeen = time.Now()
}

// retire takes the topic out of the map if nobody can need it any more: it has
// failed, or had no viewer for the linger time.
func (h *Hub) retire(t *topic, failed bool) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !failed && (t.viewers > 0 || time.Since(t.lastSeen) < h.opts.Linger) {
		return false
	}
	if h.topics[t.jobID] == t {
		delete(h.topics, t.jobID)
		h.watched.Store(int64(len(h.topics)))
	}
	return true
}

// ringBytes is what one topic may keep now. Where many jobs are watched, each
// keeps less, down to minRing: viewers who fell behind read pages sooner.
func (h *Hub) ringBytes() int {
	share := h.opts.RingsBytes / int(max(1, h.watched.Load()))
	return min(h.opts.RingBytes, max(share, minRing))
}

const minRing = 16 << 10

// Stats gives the hub's counters.
func (h *Hub) Stats() Stats {
	return Stats{
		Viewers:    h.viewers.Load(),
		Topics:     h.watched.Load(),
		Reads:      h.reads.Load(),
		Deliveries: h.deliveries.Load(),
		Gaps:       h.gaps.Load(),
	}
}

// Close tells every viewer to go (see [NoticeShutdown]), refuses new ones and
// waits for the topics to end. It does not wait for the viewers: those are
// their connections' business.
func (h *Hub) Close() {
	h.mu.Lock()
	h.closed = true
	h.closing.Store(true)
	topics := make([]*topic, 0, len(h.topics))
	for _, t := range h.topics {
		topics = append(topics, t)
	}
	h.mu.Unlock()
	for _, t := range topics {
		t.wakeAll()
	}
	h.cancel()
	h.wg.Wait()
}

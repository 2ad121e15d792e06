package redislog

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"tidings"
)

// feedPos is a place in one partition of the feed: behind an entry, or within
// it, behind one of its events.
type feedPos struct {
	entry  tidings.ID
	event  tidings.ID
	within bool
}

// feedCursor is a place in the whole feed. As text, the partitions' places
// stand side by side: "1795512001234-0.0-0.1795512001200-3+1795512001199-0.0-0".
type feedCursor [partitions]feedPos

func (c *feedCursor) String() string {
	var out []byte
	for i, p := range c {
		if i > 0 {
			out = append(out, '.')
		}
		out = p.entry.Append(out)
		if p.within {
			out = p.event.Append(append(out, '+'))
		}
	}
	return string(out)
}

func parseFeedCursor(text string) (feedCursor, error) {
	var c feedCursor
	parts := strings.Split(text, ".")
	ok := len(parts) == partitions
	for i := 0; ok && i < partitions; i++ {
		entry, event, within := strings.Cut(parts[i], "+")
		var err1, err2 error
		c[i].entry, err1 = tidings.ParseID(entry)
		if within {
			c[i].event, err2 = tidings.ParseID(event)
		}
		c[i].within = within
		ok = err1 == nil && err2 == nil
	}
	if !ok {
		return c, &tidings.InvalidError{Field: "cursor", Reason: fmt.Sprintf("%.64q is no cursor of the feed; give one as it came, \"\" or %q", text, tidings.FeedLatest)}
	}
	return c, nil
}

// feed reads the partitions in turn. Each entry of them names a stretch of one
// job's log, which is read when it is given.
type feed struct {
	s    *Store
	wake chan struct{} // holds one
	done chan struct{}
	once sync.Once

	// Of Next alone.
	at   feedCursor
	turn int  // the partition to begin with
	long bool // the stretches that were read last are long
}

// Feed implements [tidings.Store].
func (s *Store) Feed(ctx context.Context, after string) (tidings.Feed, error) {
	if s.closed() {
		return nil, tidings.ErrStoreClosed
	}
	f := &feed{s: s, wake: make(chan struct{}, 1), done: make(chan struct{})}
	var err error
	switch after {
	case "":
	case tidings.FeedLatest:
		f.at, err = s.latest(ctx)
	default:
		f.at, err = parseFeedCursor(after)
	}
	if err != nil {
		return nil, err
	}
	s.feeds.add(f)
	return f, nil
}

// latest is the place behind everything that is in the feed, and behind what
// this node has yet to bring there.
func (s *Store) latest(ctx context.Context) (feedCursor, error) {
	return retryRead(ctx, s, "looking at the feed", func(ctx context.Context) (feedCursor, error) {
		s.indexer.flushBriefly(ctx)
		return s.feedTips(ctx)
	})
}

func (s *Store) feedTips(ctx context.Context) (feedCursor, error) {
	var c feedCursor
	for n := range c {
		entries, err := s.do(ctx, s.client.B().Xrevrange().Key(s.keys.feed(n)).End("+").Start("-").Count(1).Build()).AsXRange()
		if err != nil {
			return c, err
		}
		if len(entries) == 0 {
			continue
		}
		if c[n].entry, err = tidings.ParseID(entries[0].ID); err != nil {
			return c, err
		}
	}
	return c, nil
}

// Close ends the feed. It may be called at any time from anywhere.
func (f *feed) Close() error {
	f.once.Do(func() {
		close(f.done)
		f.s.feeds.remove(f)
	})
	return nil
}

// Next implements [tidings.Feed]. While Redis is away it goes on waiting.
func (f *feed) Next(ctx context.Context) ([]tidings.Change, error) {
	delay := 50 * time.Millisecond
	for {
		if err := f.over(ctx); err != nil {
			return nil, err
		}
		changes, err := f.read(ctx)
		if len(changes) > 0 {
			return changes, nil
		}
		var again <-chan time.Time
		if err != nil {
			if !transient(err) {
				return nil, err
			}
			again = time.After(delay)
			delay = min(2*delay, 2*time.Second)
		}
		wake := f.wake
		if again != nil {
			wake = nil
		}
		select {
		case <-wake:
		case <-again:
		case <-ctx.Done():
		case <-f.done:
		case <-f.s.ctx.Done():
		}
	}
}

func (f *feed) over(ctx context.Context) error {
	select {
	case <-f.done:
		return tidings.ErrStoreClosed
	default:
	}
	if f.s.closed() {
		return tidings.ErrStoreClosed
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}

// read gives what one partition has, beginning with another one each time.
func (f *feed) read(ctx context.Context) ([]tidings.Change, error) {
	for range partitions {
		n := f.turn
		f.turn = (f.turn + 1) % partitions
		changes, more, err := f.readPartition(ctx, n)
		if more {
			f.signal()
		}
		if err != nil || len(changes) > 0 {
			f.signal() // the other partitions were not looked at
			return changes, err
		}
	}
	return nil, nil
}

func (f *feed) signal() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

const (
	feedEntries = 64      // read at once
	feedEvents  = maxStep // of the first of them at once; of the others firstStep
	// Where one entry stands for many events, what is read of those behind one
	// that was not read to its end would be for nothing: fewer are read, and more
	// of each.
	feedLong = 4
)

func (f *feed) entriesAtOnce() int {
	if f.long {
		return feedLong
	}
	return feedEntries
}

// feedEntry is one entry of the feed.
type feedEntry struct {
	id          tidings.ID
	jobID       string
	incarnation string
	after, to   tidings.ID
	deleted     bool
}

func (f *feed) readPartition(ctx context.Context, n int) (changes []tidings.Change, more bool, err error) {
	asked := f.entriesAtOnce()
	entries, err := f.entries(ctx, n, asked)
	if err != nil || len(entries) == 0 {
		return nil, false, err
	}
	logs, err := f.logs(ctx, entries)
	if err != nil {
		return nil, false, err
	}
	for i, entry := range entries {
		events, whole := logs[i].events, logs[i].whole
		for j := range events {
			f.at[n] = feedPos{entry: entry.id, event: events[j].ID, within: !whole || j < len(events)-1}
			changes = append(changes, tidings.Change{Cursor: f.at.String(), Event: events[j]})
		}
		if !whole {
			return changes, true, nil
		}
		f.at[n] = feedPos{entry: entry.id}
		if entry.deleted {
			changes = append(changes, tidings.Change{Cursor: f.at.String(), Event: tidings.Event{JobID: entry.jobID}, Deleted: true})
		}
	}
	return changes, len(entries) >= asked, nil
}

// entries reads on in a partition, beginning at the place itself: if its entry
// is gone, so may be others behind it.
func (f *feed) entries(ctx context.Context, n, asked int) ([]feedEntry, error) {
	at := f.at[n]
	rows, err := f.s.do(ctx, f.s.client.B().Xrange().Key(f.s.keys.feed(n)).
		Start(at.entry.String()).End("+").Count(int64(asked)+1).Build()).AsXRange()
	if err != nil {
		return nil, err
	}
	var out []feedEntry
	for _, row := range rows {
		entry, err := parseFeedEntry(row)
		if err != nil {
			return nil, err
		}
		out = append(out, entry)
	}
	switch {
	case at.entry.IsZero():
	case len(out) == 0 || out[0].id != at.entry:
		before, err := f.lastBefore(ctx, n, at.entry)
		if err != nil {
			return nil, err
		}
		f.at[n] = feedPos{entry: before}
		return nil, f.gap(out)
	case at.within:
		out[0].after = at.event
	default:
		out = out[1:]
	}
	return out, nil
}

// lastBefore is the newest entry before a place that is gone, or the zero ID. There is one
// if Redis has lost its last writes, as at a failover: what is held up to there
// was read, and must not be given as if it were new.
func (f *feed) lastBefore(ctx context.Context, n int, place tidings.ID) (tidings.ID, error) {
	rows, err := f.s.do(ctx, f.s.client.B().Xrevrange().Key(f.s.keys.feed(n)).End("("+place.String()).Start("-").Count(1).Build()).AsXRange()
	if err != nil || len(rows) == 0 {
		return tidings.ID{}, err
	}
	return tidings.ParseID(rows[0].ID)
}

func (f *feed) gap(held []feedEntry) error {
	gap := &tidings.GapError{}
	if len(held) > 0 {
		gap.First = held[0].after.Next()
	}
	return gap
}

func parseFeedEntry(row rueidis.XRangeEntry) (feedEntry, error) {
	e := feedEntry{jobID: row.FieldValues["job"], incarnation: row.FieldValues["inc"], deleted: row.FieldValues["deleted"] == "1"}
	var err error
	if e.id, err = tidings.ParseID(row.ID); err != nil {
		return e, err
	}
	if err = e.after.UnmarshalText([]byte(row.FieldValues["after"])); err != nil {
		return e, err
	}
	return e, e.to.UnmarshalText([]byte(row.FieldValues["to"]))
}

// stretch is what an entry names.
type stretch struct {
	events []tidings.Event
	whole  bool
}

// logs reads the stretches that the entries name, in one round trip. What has
// been trimmed or deleted since is left out.
func (f *feed) logs(ctx context.Context, entries []feedEntry) ([]stretch, error) {
	b := f.s.client.B()
	commands := make([]rueidis.Completed, 0, 2*len(entries))
	for i, e := range entries {
		commands = append(commands,
			b.Xrange().Key(f.s.keys.stream(e.jobID)).Start(e.after.Next().String()).End(e.to.String()).Count(f.eventsOf(i)).Build(),
			b.Hget().Key(f.s.keys.meta(e.jobID)).Field("inc").Build())
	}
	replies := f.s.doMulti(ctx, commands...)
	out := make([]stretch, len(entries))
	long := false
	for i, e := range entries {
		out[i].whole = true
		if e.deleted || e.to.Compare(e.after) <= 0 {
			continue
		}
		inc, err := replies[2*i+1].ToString()
		if err != nil && !rueidis.IsRedisNil(err) {
			return nil, err
		}
		if inc != e.incarnation {
			continue
		}
		if out[i].events, err = parseEntries(e.jobID, replies[2*i]); err != nil {
			return nil, err
		}
		got := out[i].events
		long = long || len(got) >= firstStep
		if int64(len(got)) == f.eventsOf(i) && got[len(got)-1].ID != e.to {
			out[i].whole = false
			break // what lies behind is read again
		}
	}
	f.long = long
	return out, nil
}

// eventsOf is how many events are read of an entry at once.
func (f *feed) eventsOf(entry int) int64 {
	if entry == 0 || f.long {
		return feedEvents
	}
	return firstStep
}

// feedWaker wakes the feeds that wait.
type feedWaker struct {
	mu    sync.Mutex
	feeds map[*feed]struct{}
}

func newFeedWaker() *feedWaker { return &feedWaker{feeds: map[*feed]struct{}{}} }

func (w *feedWaker) add(f *feed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.feeds[f] = struct{}{}
}

func (w *feedWaker) remove(f *feed) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.feeds, f)
}

func (w *feedWaker) any() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.feeds) > 0
}

func (w *feedWaker) wakeAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for f := range w.feeds {
		f.signal()
	}
}

// pollFeeds looks whether other nodes have written to the feed, once for all
// that read it here.
func (s *Store) pollFeeds() {
	tick := time.NewTicker(s.opts.pollEvery / 2)
	defer tick.Stop()
	var known feedCursor
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		if !s.feeds.any() {
			continue
		}
		tips, err := s.feedTips(s.ctx)
		if err == nil && tips != known {
			known = tips
			s.feeds.wakeAll()
		}
	}
}

package pebblelog

import (
	"context"
	"errors"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"tidings"
)

// Feed implements [tidings.Store]. A cursor is the ID of an event, or the one
// that a deletion got, and the store's own ID; that of another store, or of a
// time that this one has not seen, is answered like one that was trimmed away.
func (s *Store) Feed(ctx context.Context, after string) (tidings.Feed, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	f := &feed{s: s, ended: make(chan struct{})}
	pos := s.position.Load()
	switch after {
	case "":
		f.after = pos.feedTrimmed
	case tidings.FeedLatest:
		f.after = pos.last
	default:
		c, err := tidings.ParseCursor(after)
		if err != nil {
			return nil, &tidings.InvalidError{Field: "cursor", Reason: "no cursor of a feed; give one of an earlier change, or nothing for the oldest"}
		}
		f.after = c.ID
		f.strange = c.Incarnation != s.id || pos.last.Less(c.ID)
		f.asked = c
	}
	return f, nil
}

type feed struct {
	s       *Store
	after   tidings.ID
	strange bool // the cursor is not of this store
	asked   tidings.Cursor
	ended   chan struct{}
	close   sync.Once
}

var errFeedClosed = errors.New("feed is closed")

func (f *feed) Close() error {
	f.close.Do(func() { close(f.ended) })
	return nil
}

func (f *feed) Next(ctx context.Context) ([]tidings.Change, error) {
	for {
		woken := f.s.feeds.wait() // before the look, or a wake could be missed
		changes, err := f.look(ctx)
		if len(changes) > 0 || err != nil {
			return changes, err
		}
		if err := f.s.await(ctx, woken, f.ended, errFeedClosed); err != nil {
			return nil, err
		}
	}
}

func (f *feed) look(ctx context.Context) ([]tidings.Change, error) {
	select {
	case <-f.ended:
		return nil, errFeedClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	default:
	}
	if err := f.s.enter(); err != nil {
		return nil, err
	}
	defer f.s.leave()
	for {
		changes, more, err := f.page(ctx)
		if len(changes) > 0 || err != nil || !more {
			return changes, err
		}
	}
}

// page reads some entries: more says that there are others behind them. All of
// them may be of events that are gone.
func (f *feed) page(ctx context.Context) (changes []tidings.Change, more bool, err error) {
	r, err := f.open()
	if r == nil || err != nil {
		return nil, false, err
	}
	changes, more, err = r.read(ctx)
	if err := errors.Join(err, r.close()); err != nil {
		return nil, false, f.s.damage("the feed", err)
	}
	f.after = r.last
	return changes, more, nil
}

// open gives a reader of what is durable behind the cursor, or nil.
func (f *feed) open() (*feedReader, error) {
	f.s.removal.RLock()
	defer f.s.removal.RUnlock()
	pos := f.s.position.Load()
	if f.strange || f.after.Less(pos.feedTrimmed) {
		return nil, f.gap(pos.feedTrimmed)
	}
	if f.after == pos.last {
		return nil, nil
	}
	entries, err := f.s.db.NewIter(&pebble.IterOptions{
		LowerBound: appendFeedKey(nil, f.after.Next()),
		UpperBound: appendFeedKey(nil, pos.last.Next()),
	})
	if err != nil {
		return nil, err
	}
	events, err := f.s.db.NewIter(prefixBounds(prefixEvent))
	if err != nil {
		return nil, errors.Join(err, entries.Close())
	}
	return &feedReader{storeID: f.s.id, entries: entries, events: events, last: f.after, end: pos.last}, nil
}

// gap tells that the cursor can't be continued and moves it to the oldest
// change that is held.
func (f *feed) gap(trimmed tidings.ID) error {
	asked := f.asked
	if !f.strange {
		asked = tidings.Cursor{ID: f.after, Incarnation: f.s.id}
	}
	f.strange, f.after = false, trimmed
	first, err := f.s.feedStart()
	if err != nil {
		return err
	}
	return &tidings.GapError{Cursor: asked, First: first, Incarnation: f.s.id}
}

// feedStart gives the oldest entry of the feed, or the zero ID.
func (s *Store) feedStart() (first tidings.ID, err error) {
	it, err := s.db.NewIter(prefixBounds(prefixFeed))
	if err != nil {
		return first, err
	}
	if it.First() {
		first = tailID(it.Key())
	}
	return first, errors.Join(it.Error(), it.Close())
}

// feedReader joins feed entries with the events they point at.
type feedReader struct {
	storeID string
	entries *pebble.Iterator
	events  *pebble.Iterator
	last    tidings.ID // read up to here
	end     tidings.ID // and this is where the feed ended
	data    arena
	jobID   string
	event   string // type of the last event
	key     []byte
}

const (
	feedPage      = 1000
	feedPageBytes = 1 << 20
	feedPageScan  = 2000 // entries looked at, when the events of many are gone
)

func (r *feedReader) close() error { return errors.Join(r.entries.Close(), r.events.Close()) }

// feedChunk is a page of the feed on its way.
type feedChunk struct {
	changes []tidings.Change
	bytes   int
	scanned int // entries
}

func (c *feedChunk) full() bool {
	return len(c.changes) >= feedPage || c.bytes > feedPageBytes || c.scanned >= feedPageScan
}

func (r *feedReader) read(ctx context.Context) (changes []tidings.Change, more bool, err error) {
	var c feedChunk
	for ok := r.entries.First(); ok; ok = r.entries.Next() {
		if c.full() {
			return c.changes, true, r.entries.Error()
		}
		if c.scanned%256 == 0 && ctx.Err() != nil {
			return nil, false, context.Cause(ctx)
		}
		c.scanned++
		if err := r.readEntry(&c); err != nil {
			return nil, false, err
		}
	}
	if c.full() { // perhaps in the midst of the last entry
		return c.changes, true, r.entries.Error()
	}
	r.last = r.end
	return c.changes, false, r.entries.Error()
}

func (r *feedReader) readEntry(c *feedChunk) error {
	value, err := r.entries.ValueAndErr()
	if err != nil {
		return err
	}
	entry, err := parseFeedEntry(tailID(r.entries.Key()), value)
	if err != nil {
		return err
	}
	if string(entry.jobID) != r.jobID {
		r.jobID = string(entry.jobID)
	}
	if entry.kind == feedEvents {
		return r.readEvents(c, &entry)
	}
	r.add(c, entry.last, tidings.Change{Event: tidings.Event{JobID: r.jobID}, Deleted: true})
	return nil
}

// readEvents takes those events of an entry that are still held and were not
// read before, until the page is full.
func (r *feedReader) readEvents(c *feedChunk, entry *feedEntry) error {
	from := entry.first
	if after := r.last.Next(); from.Less(after) {
		from = after
	}
	r.key = appendEventKey(r.key[:0], entry.number, from)
	for ok := r.events.SeekGE(r.key); ok && !c.full(); ok = r.events.Next() {
		id := tailID(r.events.Key())
		if eventNumber(r.events.Key()) != entry.number || entry.last.Less(id) {
			break
		}
		value, err := r.events.ValueAndErr()
		if err != nil {
			return err
		}
		e := tidings.Event{ID: id, JobID: r.jobID}
		var data []byte
		if e.Type, e.Time, data, err = parseValue(value, r.event); err != nil {
			return err
		}
		r.event = e.Type
		e.Data = r.data.copy(data)
		r.add(c, id, tidings.Change{Event: e})
	}
	if !c.full() {
		r.last = entry.last
	}
	return r.events.Error()
}

func (r *feedReader) add(c *feedChunk, id tidings.ID, change tidings.Change) {
	change.Cursor = tidings.Cursor{ID: id, Incarnation: r.storeID}.String()
	c.changes = append(c.changes, change)
	c.bytes += len(change.Event.Data)
	r.last = id
}

package redislog

import (
	"context"

	"github.com/redis/rueidis"

	"tidings"
)

// Read implements [tidings.Reader].
func (s *Store) Read(ctx context.Context, jobID string, q tidings.Query) (tidings.Page, error) {
	if err := s.check(jobID); err != nil {
		return tidings.Page{}, err
	}
	return retryRead(ctx, s, "reading", func(ctx context.Context) (tidings.Page, error) {
		return s.read(ctx, jobID, q)
	})
}

// check is what every call on a job begins with.
func (s *Store) check(jobID string) error {
	if s.closed() {
		return tidings.ErrStoreClosed
	}
	return tidings.ValidateJobID(jobID)
}

// Entries are read in steps, since their size is not known before: a few first,
// then so many as fit, if the rest is like them. maxStep bounds what a surprise
// costs.
const (
	firstStep = 16
	maxStep   = 256
	stepBytes = 4 << 20 // for readers without a limit of their own
)

// nextStep is how many entries to read after these.
func nextStep(events []tidings.Event) int64 {
	size := 1
	for i := range events {
		size += len(events[i].Data)
	}
	return int64(min(max(1, stepBytes*len(events)/size), maxStep))
}

func (s *Store) read(ctx context.Context, jobID string, q tidings.Query) (tidings.Page, error) {
	setDefault(&q.Limit, tidings.DefaultLimit)
	setDefault(&q.MaxBytes, tidings.DefaultMaxBytes)
	s.stats.reads.Add(1)
	r := rangeOf(q)
	st, events, err := s.lookAndRead(ctx, jobID, &r, min(q.Limit, firstStep)+2)
	if err != nil {
		return tidings.Page{}, err
	}
	if err := st.outcome(jobID, q, events); err != nil {
		return tidings.Page{}, err
	}
	page := tidings.Page{First: st.first, LastID: st.last, Incarnation: st.incarnation, Closed: st.closed()}
	collected := collector{limit: q.Limit, maxBytes: q.MaxBytes, backward: q.Backward, after: q.After.ID, last: st.last}
	for !collected.add(events, r.count) {
		r.advance(collected.seen)
		if events, err = s.step(ctx, jobID, &r, collected.nextCount()); err != nil {
			return tidings.Page{}, err
		}
		if collected.cutOff(events) {
			collected.more = true // what is missing is told to whom reads on
			break
		}
	}
	page.Events, page.More = collected.events, collected.more
	s.stats.readEvents.Add(int64(len(page.Events)))
	return page, nil
}

// span is what one XRANGE or XREVRANGE asks for.
type span struct {
	from, to tidings.ID // both included
	backward bool
	empty    bool
	count    int
}

// rangeOf begins at the cursor itself, so that one can see whether its event is
// there.
func rangeOf(q tidings.Query) span {
	r := span{from: q.After.ID, to: tidings.MaxID, backward: q.Backward}
	if !q.Before.IsZero() {
		r.to = q.Before.Prev()
	}
	r.empty = r.to.Less(r.from)
	return r
}

// advance goes on at the entry seen last; forwards that one is read again, to
// see that it is still there: if not, so may others be that followed it.
func (r *span) advance(seen tidings.ID) {
	if r.backward {
		r.to = seen.Prev()
		r.empty = seen.IsZero() || r.to.Less(r.from)
		return
	}
	r.from = seen
	r.empty = r.to.Less(r.from)
}

func (s *Store) rangeCommand(jobID string, r *span) rueidis.Completed {
	key := s.keys.stream(jobID)
	if r.backward {
		return s.client.B().Xrevrange().Key(key).End(r.to.String()).Start(r.from.String()).Count(int64(r.count)).Build()
	}
	return s.client.B().Xrange().Key(key).Start(r.from.String()).End(r.to.String()).Count(int64(r.count)).Build()
}

func (s *Store) step(ctx context.Context, jobID string, r *span, count int) ([]tidings.Event, error) {
	if r.count = count; r.empty {
		return nil, nil
	}
	return parseEntries(jobID, s.do(ctx, s.rangeCommand(jobID, r)))
}

// lookAndRead looks at the log and reads the first step of it in one round
// trip. The events are those of the state's incarnation: that it is still the
// same is asked behind them.
func (s *Store) lookAndRead(ctx context.Context, jobID string, r *span, count int) (state, []tidings.Event, error) {
	r.count = count
	stream, meta := s.keys.stream(jobID), s.keys.meta(jobID)
	for range adoptTries {
		replies := s.doMulti(ctx,
			lookScript.bySHA(s.client, []string{stream, meta}, []string{newTag()}),
			s.rangeCommand(jobID, r),
			s.client.B().Hmget().Key(meta).Field("inc", "trimmed").Build())
		fields, err := replies[0].AsStrSlice()
		if isNoScript(err) {
			err = lookScript.load(ctx, onKey{s.client, stream})
			if err == nil {
				continue
			}
		}
		if err != nil {
			if wrong := s.wrongType(ctx, err, jobID); wrong != nil {
				err = wrong
			}
			return state{}, nil, err
		}
		st, err := parseState(fields)
		if err != nil {
			return state{}, nil, err
		}
		if !st.complete {
			if err := s.adoptAfter(ctx, jobID, st); err != nil {
				return state{}, nil, err
			}
			continue
		}
		same, err := st.unchanged(replies[2])
		if err != nil {
			return state{}, nil, err
		}
		if !same {
			continue
		}
		events, err := parseEntries(jobID, replies[1])
		if r.empty {
			events = nil
		}
		return st, events, err
	}
	return state{}, nil, errBusy
}

// unchanged reads incarnation and trimmed again, as they were behind the range.
func (st *state) unchanged(reply rueidis.RedisResult) (bool, error) {
	now, err := reply.ToArray()
	if err != nil {
		return false, err
	}
	inc, _ := now[0].ToString() // nil: deleted meanwhile
	trimmed, _ := now[1].ToString()
	var id tidings.ID
	if err := id.UnmarshalText([]byte(trimmed)); err != nil {
		return false, err
	}
	return inc == st.incarnation && id == st.trimmed, nil
}

// outcome tells a cursor that can't be continued exactly. events begin at the
// cursor itself.
func (st *state) outcome(jobID string, q tidings.Query, events []tidings.Event) error {
	c := q.After
	rewound := &tidings.RewoundError{JobID: jobID, Cursor: c, Last: st.last, Incarnation: st.incarnation}
	tagged := c.Incarnation != ""
	if tagged && c.Incarnation != st.incarnation || st.last.Less(c.ID) {
		return rewound
	}
	if q.Backward && c.ID.IsZero() {
		return nil // the newest are asked for, wherever the log begins
	}
	if st.gapAfter(c) {
		return &tidings.GapError{JobID: jobID, Cursor: c, First: st.first, Incarnation: st.incarnation}
	}
	if !tagged || !st.first.Less(c.ID) || q.Backward {
		return nil
	}
	if len(events) > 0 && events[0].ID == c.ID || !q.Before.IsZero() {
		return nil
	}
	return rewound // this log never gave that ID: it lost it, and has gone on since
}

// gapAfter reports whether events after the cursor were removed.
func (st *state) gapAfter(c tidings.Cursor) bool {
	if c.ID.Less(st.trimmed) {
		return true
	}
	if st.first.IsZero() || !c.ID.Less(st.first.Prev()) || c.ID == st.trimmed && !c.ID.IsZero() {
		return false
	}
	return st.removed
}

// collector gathers a page from steps.
type collector struct {
	limit, maxBytes int
	backward        bool
	after, last     tidings.ID // events up to after, and behind last, are not of the page
	events          []tidings.Event
	bytes           int
	seen            tidings.ID
	more            bool
}

// cutOff reports whether the step that gave events no longer begins where the
// one before ended: the log was trimmed or deleted meanwhile.
func (c *collector) cutOff(events []tidings.Event) bool {
	return !c.backward && (len(events) == 0 || events[0].ID != c.seen)
}

// add takes the events of a step of count and reports whether the page is done.
func (c *collector) add(events []tidings.Event, count int) bool {
	for i := range events {
		e := &events[i]
		if !c.backward && c.last.Less(e.ID) {
			return true
		}
		again := e.ID == c.seen
		c.seen = e.ID
		if again || e.ID.Compare(c.after) <= 0 || c.last.Less(e.ID) {
			continue
		}
		if len(c.events) == c.limit || c.bytes > c.maxBytes {
			c.more = true
			return true
		}
		if c.events == nil {
			c.events = make([]tidings.Event, 0, min(c.limit, len(events)))
		}
		c.events = append(c.events, *e)
		c.bytes += len(e.Data)
	}
	return len(events) < count
}

// nextCount is how many entries the rest of the page will need, to judge by
// those seen.
func (c *collector) nextCount() int {
	left := c.limit - len(c.events)
	if len(c.events) > 0 {
		average := max(1, c.bytes/len(c.events))
		left = min(left, max(1, (c.maxBytes-c.bytes)/average+1))
	}
	return min(left+2, maxStep)
}

package redislog

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"tidings"
)

// record is a job's summary as the index keeps it: a pure fold over a prefix of
// the log, which Job.LastID names.
type record struct {
	Job   tidings.Job `json:"job"`
	Bytes int64       `json:"bytes"` // of data, ever appended
	// rewound says that the index may hold a fold over events that the log has
	// lost: it must take the record although its own may seem newer.
	rewound bool
}

func (r *record) apply(events []tidings.Event) {
	for i := range events {
		r.Job.Apply(&events[i])
		r.Bytes += int64(len(events[i].Data))
	}
}

func parseRecord(text string) (*record, error) {
	r := &record{}
	if err := json.Unmarshal([]byte(text), r); err != nil {
		return nil, fmt.Errorf("the job index holds a summary that can't be read: %w", err)
	}
	return r, nil
}

// encode writes metadata and cost as they are: encoding/json would escape
// angle brackets in them.
func (r *record) encode() string {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil { // metadata is JSON that was parsed before
		panic(err)
	}
	return rueidis.BinaryString(bytes.TrimSuffix(out.Bytes(), []byte("\n")))
}

// place is where the job stands in the listing: by its creation, as fixed-width
// text that sorts.
func (r *record) place() string { return placeOf(r.Job.CreatedAt) }

func placeOf(t time.Time) string { return fmt.Sprintf("%016x", uint64(max(0, t.UnixMicro()))) }

// indexArgs is the record's part of index.lua's arguments.
// rewrite takes it even if the index has the same events.
func (r *record) indexArgs(rewrite bool) []string {
	ended := ""
	if r.Job.EndedAt != nil {
		ended = strconv.FormatInt(r.Job.EndedAt.UnixMilli(), 10)
	}
	force := ""
	switch {
	case r.rewound:
		force = "rewound"
	case rewrite:
		force = "rewrite"
	}
	return []string{r.Job.ID, r.Job.Incarnation, r.Job.LastID.String(), r.place(), ended, flag(r.Job.Closed), force, r.encode()}
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

// head is the part of a record that decides whether it is up to date.
type head struct {
	last        tidings.ID
	incarnation string
	closed      bool
}

func parseHead(text string) (h head, ok bool) {
	var last, place, closed string
	if n, _ := fmt.Sscan(text, &last, &h.incarnation, &place, &closed); n != 4 {
		return head{}, false
	}
	id, err := tidings.ParseID(last)
	h.last, h.closed = id, closed == "1"
	return h, err == nil
}

// indexed gives the record that the index holds, or nil.
func (s *Store) indexed(ctx context.Context, jobID string) (*record, error) {
	text, err := s.do(ctx, s.client.B().Hget().Key(s.keys.jobs(partitionOf(jobID))).Field(jobID).Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseRecord(text)
}

// indexedOf gives the records that a partition of the index holds of the jobs.
func (s *Store) indexedOf(ctx context.Context, partition int, jobs []string) (map[string]*record, error) {
	out := map[string]*record{}
	if len(jobs) == 0 {
		return out, nil
	}
	texts, err := s.do(ctx, s.client.B().Hmget().Key(s.keys.jobs(partition)).Field(jobs...).Build()).ToArray()
	if err != nil {
		return nil, err
	}
	for i, jobID := range jobs {
		text, err := texts[i].ToString()
		if rueidis.IsRedisNil(err) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if out[jobID], err = parseRecord(text); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// checkpoint gives the record that lies beside the log, or nil: the fold of
// what retention has removed.
func (s *Store) checkpoint(ctx context.Context, jobID string) (*record, error) {
	text, err := s.do(ctx, s.client.B().Hget().Key(s.keys.meta(jobID)).Field("sum").Build()).ToString()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return parseRecord(text)
}

// catchUp folds what the record lacks of the log. It may be nil, of another
// incarnation, or ahead of a log that was rewound; it is not changed. The
// result has all that only the store knows, too. ErrUnknownJob: no log.
func (s *Store) catchUp(ctx context.Context, jobID string, old *record) (*record, error) {
	if rec, err := s.catchUpQuickly(ctx, jobID, old); rec != nil || err != nil {
		return rec, err
	}
	for range adoptTries {
		st, err := s.look(ctx, jobID)
		if err != nil {
			return nil, err
		}
		rec, err := s.foundation(ctx, jobID, old, &st)
		if err != nil {
			return nil, err
		}
		if err := s.foldTo(ctx, jobID, rec, st.last); err != nil {
			return nil, err
		}
		after, err := s.lookOnce(ctx, jobID) // was what was read of this incarnation, and whole?
		if err != nil {
			return nil, err
		}
		if after.incarnation != st.incarnation || after.trimmed != st.trimmed {
			continue
		}
		rec.complete(jobID, &after)
		return rec, nil
	}
	return nil, errBusy
}

// catchUpQuickly is the common case in one round trip: the record is of this
// log and lacks a few events at most. It gives nil if it is not that.
func (s *Store) catchUpQuickly(ctx context.Context, jobID string, old *record) (*record, error) {
	rec := &record{}
	if old != nil {
		*rec = *old
	}
	r := span{from: rec.Job.LastID, to: tidings.MaxID}
	st, events, err := s.lookAndRead(ctx, jobID, &r, firstStep+1)
	if err != nil {
		return nil, err
	}
	if !rec.Job.LastID.IsZero() {
		if rec.Job.Incarnation != st.incarnation || len(events) == 0 || events[0].ID != rec.Job.LastID {
			return nil, nil
		}
		events = events[1:]
	}
	if rec.Job.LastID.Less(st.trimmed) {
		return nil, nil
	}
	for len(events) > 0 && st.last.Less(events[len(events)-1].ID) {
		events = events[:len(events)-1]
	}
	rec.apply(events)
	if rec.Job.LastID != st.last {
		return nil, nil
	}
	rec.complete(jobID, &st)
	return rec, nil
}

// foundation is the record to fold on from.
func (s *Store) foundation(ctx context.Context, jobID string, old *record, st *state) (*record, error) {
	rec := &record{}
	if old != nil && old.Job.Incarnation == st.incarnation {
		lost, err := s.lost(ctx, jobID, old.Job.LastID, st)
		if err != nil {
			return nil, err
		}
		if lost {
			rec.rewound = true
		} else {
			*rec = *old
			rec.rewound = false
		}
	}
	if !rec.Job.LastID.Less(st.trimmed) {
		return rec, nil
	}
	sum, err := s.checkpoint(ctx, jobID)
	if err != nil || sum == nil || st.last.Less(sum.Job.LastID) {
		return rec, err // the fold of what is left is the best there is
	}
	sum.rewound = rec.rewound
	return sum, nil
}

// lost reports whether the log has lost an event that it once gave: it ends
// before it, or has gone on without it.
func (s *Store) lost(ctx context.Context, jobID string, id tidings.ID, st *state) (bool, error) {
	switch {
	case st.last.Less(id):
		return true, nil
	case id == st.last, id.IsZero(), id.Less(st.first):
		return false, nil
	}
	there, err := s.entries(ctx, jobID, id, id, 1)
	return len(there) == 0, err
}

// foldTo folds the events after the record's last up to an ID.
func (s *Store) foldTo(ctx context.Context, jobID string, rec *record, to tidings.ID) error {
	at, step := rec.Job.LastID, int64(firstStep)
	for at.Less(to) {
		events, err := s.entries(ctx, jobID, at.Next(), to, step)
		if err != nil || len(events) == 0 {
			return err
		}
		rec.apply(events)
		at, step = rec.Job.LastID, nextStep(events)
	}
	return nil
}

// complete fills in what only the store knows.
func (r *record) complete(jobID string, st *state) {
	r.Job.ID, r.Job.Incarnation, r.Job.LeaseUntil = jobID, st.incarnation, nil
	if !st.first.IsZero() {
		r.Job.FirstID = st.first
	}
	if r.Job.Status == "" { // a stream without entries
		r.Job.Status = tidings.StatusQueued
	}
	r.Job.LeaseUntil = leaseTime(st.lease)
}

func leaseTime(ms int64) *time.Time {
	if ms == 0 {
		return nil
	}
	until := time.UnixMilli(ms).UTC()
	return &until
}

// Job implements [tidings.Reader]. The summary is as fresh as the log: what the
// index lacks is folded before it is given.
func (s *Store) Job(ctx context.Context, jobID string) (tidings.Job, error) {
	if err := s.check(jobID); err != nil {
		return tidings.Job{}, err
	}
	return retryRead(ctx, s, "looking at the job", func(ctx context.Context) (tidings.Job, error) {
		old, err := s.indexed(ctx, jobID)
		if err != nil {
			return tidings.Job{}, err
		}
		rec, err := s.catchUp(ctx, jobID, old)
		if err != nil {
			return tidings.Job{}, err
		}
		if old == nil || old.Job.LastID != rec.Job.LastID || old.Job.Incarnation != rec.Job.Incarnation {
			s.indexer.reread(jobID)
		}
		return rec.Job, nil
	})
}

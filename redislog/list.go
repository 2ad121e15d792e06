package redislog

import (
	"context"
	"encoding/base64"
	"strconv"
	"time"

	"github.com/redis/rueidis"

	"tidings"
)

// Jobs implements [tidings.Reader]. The listing is derived data: it has what
// this node appended, and within a few seconds what others did.
func (s *Store) Jobs(ctx context.Context, q tidings.JobsQuery) (tidings.JobsPage, error) {
	if s.closed() {
		return tidings.JobsPage{}, tidings.ErrStoreClosed
	}
	setDefault(&q.Limit, tidings.DefaultJobsLimit)
	after, err := parseListCursor(q.Cursor)
	if err != nil {
		return tidings.JobsPage{}, err
	}
	s.indexer.flushBriefly(ctx) // what this node wrote is listed at once
	l := s.newListing(&q, after)
	page := tidings.JobsPage{Jobs: []tidings.Job{}}
	now := time.Now()
	for {
		job, place, err := l.next(ctx)
		if err != nil || job == nil {
			return page, err
		}
		if !q.Matches(job, now) {
			continue
		}
		if len(page.Jobs) == q.Limit {
			page.NextCursor = after
			return page, nil
		}
		page.Jobs = append(page.Jobs, *job)
		after = formatListCursor(place)
	}
}

// A cursor of a listing is the place, in the order, of the job given last.
func formatListCursor(place string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(place))
}

func parseListCursor(cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	place, err := base64.RawURLEncoding.DecodeString(cursor)
	if err == nil && len(place) > placeBytes {
		if _, hexErr := strconv.ParseUint(string(place[:placeBytes]), 16, 64); hexErr == nil && tidings.ValidateJobID(string(place[placeBytes:])) == nil {
			return cursor, nil
		}
	}
	return "", &tidings.InvalidError{Field: "cursor", Reason: "not a cursor of a listing; give next_cursor of the page before as it is"}
}

// placeBytes is the length of record.place.
const placeBytes = 16

// listing merges the partitions' orders, the newest first.
type listing struct {
	s       *Store
	min     string // in the form of ZREVRANGEBYLEX
	size    int64  // read at once; more each time, since what matches may be rare
	sieve   func(summary []byte) bool
	sources [partitions]source
}

const maxListed = 256 // jobs read of a partition at once

// source is what is left of one partition.
type source struct {
	max   string // read on from here
	items []listed
	dry   bool
}

type listed struct {
	place string
	job   *tidings.Job
}

func (s *Store) newListing(q *tidings.JobsQuery, cursor string) *listing {
	l := &listing{s: s, min: "-", size: int64(min(max(q.Limit/partitions, 16)+1, maxListed)), sieve: q.Sieve()}
	top := "+"
	if !q.Until.IsZero() {
		top = "(" + placeOf(q.Until)
	}
	if !q.Since.IsZero() {
		l.min = "[" + placeOf(q.Since)
	}
	if cursor != "" {
		place, _ := base64.RawURLEncoding.DecodeString(cursor) // was checked
		if below := "(" + string(place); top == "+" || below < top {
			top = below
		}
	}
	for n := range l.sources {
		l.sources[n].max = top
	}
	return l
}

// next gives the newest job left, or nil.
func (l *listing) next(ctx context.Context) (*tidings.Job, string, error) {
	for {
		if err := l.fill(ctx); err != nil {
			return nil, "", err
		}
		var newest *source
		for n := range l.sources {
			src := &l.sources[n]
			if len(src.items) > 0 && (newest == nil || newest.items[0].place < src.items[0].place) {
				newest = src
			}
		}
		if newest == nil {
			return nil, "", nil
		}
		item := newest.items[0]
		newest.items = newest.items[1:]
		if item.job != nil { // else it does not match, or was deleted between two looks
			return item.job, item.place, nil
		}
	}
}

// fill reads on where a partition has nothing left in memory.
func (l *listing) fill(ctx context.Context) error {
	for n := range l.sources {
		src := &l.sources[n]
		if len(src.items) > 0 || src.dry {
			continue
		}
		_, err := retryRead(ctx, l.s, "listing jobs", func(ctx context.Context) (struct{}, error) {
			return struct{}{}, l.read(ctx, n, src)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *listing) read(ctx context.Context, n int, src *source) error {
	b := l.s.client.B()
	places, err := l.s.do(ctx, b.Zrevrangebylex().Key(l.s.keys.order(n)).Max(src.max).Min(l.min).Limit(0, l.size).Build()).AsStrSlice()
	if err != nil {
		return err
	}
	src.dry = int64(len(places)) < l.size
	if len(places) == 0 {
		return nil
	}
	ids := make([]string, len(places))
	for i, place := range places {
		ids[i] = place[placeBytes:]
	}
	replies := l.s.doMulti(ctx,
		b.Hmget().Key(l.s.keys.jobs(n)).Field(ids...).Build(),
		b.Hmget().Key(l.s.keys.leases(n)).Field(ids...).Build())
	records, err := replies[0].ToArray()
	if err != nil {
		return err
	}
	leases, err := replies[1].ToArray()
	if err != nil {
		return err
	}
	for i, place := range places {
		job, err := l.listedJob(&records[i], &leases[i])
		if err != nil {
			return err
		}
		if job != nil && placeOf(job.CreatedAt) != place[:placeBytes] {
			job = nil // created again since: it stands elsewhere in the order
		}
		src.items = append(src.items, listed{place, job})
	}
	src.max = "(" + places[len(places)-1]
	l.size = min(2*l.size, maxListed)
	return nil
}

func (l *listing) listedJob(text, lease *rueidis.RedisMessage) (*tidings.Job, error) {
	summary, err := text.ToString()
	if rueidis.IsRedisNil(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !l.sieve([]byte(summary)) {
		return nil, nil
	}
	rec, err := parseRecord(summary)
	if err != nil {
		return nil, err
	}
	rec.Job.LeaseUntil = nil
	if until, err := lease.AsInt64(); err == nil {
		rec.Job.LeaseUntil = leaseTime(until)
	}
	return &rec.Job, nil
}

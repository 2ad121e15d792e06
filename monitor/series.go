package monitor

import (
	"slices"
	"time"
)

// The two resolutions that are kept of every scope.
const (
	Fine       = time.Minute
	FineKept   = 3 * time.Hour
	Coarse     = 30 * time.Minute
	CoarseKept = 8 * 24 * time.Hour // a week, and the same hour of the day before
)

// series are the measures of one scope. Minutes in which nothing happened have
// no bucket.
type series struct {
	scope  Scope
	Total  Measures `json:"total"` // since the monitor began
	Fine   []bucket `json:"fine,omitempty"`
	Coarse []bucket `json:"coarse,omitempty"`
}

// bucket are the measures of the time from At to the next.
type bucket struct {
	At int64 `json:"at"` // ms since 1970
	*Measures
}

// count lets fn change the measures of the time at, as far as it is still kept,
// and the total.
func (s *series) count(at, now int64, fn func(*Measures)) {
	fn(&s.Total)
	s.countKept(at, now, fn)
}

func (s *series) countKept(at, now int64, fn func(*Measures)) {
	if m := bucketAt(&s.Fine, at, now, Fine, FineKept); m != nil {
		fn(m)
	}
	if m := bucketAt(&s.Coarse, at, now, Coarse, CoarseKept); m != nil {
		fn(m)
	}
}

// bucketAt finds or makes the bucket of a time; it is nearly always the last.
func bucketAt(buckets *[]bucket, at, now int64, step, kept time.Duration) *Measures {
	start := floor(at, step)
	if start < now-kept.Milliseconds() {
		return nil
	}
	list := *buckets
	i := len(list)
	for i > 0 && list[i-1].At > start {
		i--
	}
	if i > 0 && list[i-1].At == start {
		return list[i-1].Measures
	}
	list = slices.Insert(list, i, bucket{At: start, Measures: &Measures{}})
	*buckets = forget(list, now-kept.Milliseconds())
	m, _ := find(*buckets, start)
	return m
}

func find(list []bucket, start int64) (*Measures, bool) {
	i, ok := slices.BinarySearchFunc(list, start, func(b bucket, at int64) int { return int(b.At - at) })
	if !ok {
		return nil, false
	}
	return list[i].Measures, true
}

// forget drops the buckets before a time.
func forget(list []bucket, before int64) []bucket {
	n := 0
	for n < len(list) && list[n].At < before {
		n++
	}
	return slices.Delete(list, 0, n)
}

func floor(ms int64, step time.Duration) int64 { return ms - ms%step.Milliseconds() }

// expired reports whether nothing of the series is in a window any more.
func (s *series) expired(now int64) bool {
	s.Fine = forget(s.Fine, now-FineKept.Milliseconds())
	s.Coarse = forget(s.Coarse, now-CoarseKept.Milliseconds())
	return len(s.Coarse) == 0
}

// window adds up the buckets that overlap the time from from to to. A stretch
// that begins before the minutes that are kept is made of half hours.
func (s *series) window(from, to, now int64) Measures {
	var sum Measures
	if s == nil {
		return sum
	}
	list, step := s.Fine, Fine
	if !fineHolds(from, now) {
		list, step = s.Coarse, Coarse
	}
	for _, b := range list {
		if b.At > from-step.Milliseconds() && b.At < to {
			sum.add(b.Measures)
		}
	}
	return sum
}

// fineHolds reports whether minutes are kept from a time on.
func fineHolds(from, now int64) bool { return from >= now-FineKept.Milliseconds() }

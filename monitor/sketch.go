package monitor

import (
	"math"
	"slices"
)

// Sketch counts values, such as milliseconds, so that quantiles are known to
// within 1 % of the value: DDSketch with a logarithmic mapping
// (https://arxiv.org/abs/1908.10693, section 2). The bins are kept sparse, since
// the monitor has tens of thousands of sketches and most hold a few values.
// Sketches merge without loss. The zero Sketch is empty; a nil one reads as
// empty. Not safe for concurrent use.
type Sketch struct {
	Bins   []int16  `json:"b,omitempty"` // ascending
	Counts []uint32 `json:"n,omitempty"` // of the bin at the same place
}

// Values under 1 share bin 0, and those over 30 years in milliseconds the last
// one.
const (
	accuracy = 0.01
	maxBin   = 1400
)

var (
	gamma    = (1 + accuracy) / (1 - accuracy)
	logGamma = math.Log(gamma)
)

func binOf(v float64) int16 {
	if !(v >= 1) {
		return 0
	}
	return int16(min(max(math.Ceil(math.Log(v)/logGamma), 1), maxBin))
}

func valueOf(bin int16) float64 {
	if bin == 0 {
		return 0
	}
	return 2 * math.Pow(gamma, float64(bin)) / (gamma + 1)
}

// Add counts a value.
func (s *Sketch) Add(v float64) { s.add(binOf(v), 1) }

// remove takes back a value that was added.
func (s *Sketch) remove(v float64) {
	if s == nil {
		return
	}
	if at, ok := slices.BinarySearch(s.Bins, binOf(v)); ok && s.Counts[at] > 0 {
		s.Counts[at]--
	}
}

func (s *Sketch) add(bin int16, n uint32) {
	at, ok := slices.BinarySearch(s.Bins, bin)
	if !ok {
		s.Bins = slices.Insert(s.Bins, at, bin)
		s.Counts = slices.Insert(s.Counts, at, 0)
	}
	s.Counts[at] += min(n, math.MaxUint32-s.Counts[at])
}

// Merge counts all that other holds.
func (s *Sketch) Merge(other *Sketch) {
	if other == nil {
		return
	}
	for i, bin := range other.Bins {
		s.add(bin, other.Counts[i])
	}
}

// Count is how many values there are.
func (s *Sketch) Count() int64 {
	if s == nil {
		return 0
	}
	var n int64
	for _, c := range s.Counts {
		n += int64(c)
	}
	return n
}

// Quantile is the value below which the part q of the values lies, 0 to 1, or
// NaN of an empty sketch.
func (s *Sketch) Quantile(q float64) float64 {
	n := s.Count()
	if n == 0 {
		return math.NaN()
	}
	rank := int64(math.Round(q * float64(n-1)))
	for i, c := range s.Counts {
		if rank -= int64(c); rank < 0 {
			return valueOf(s.Bins[i])
		}
	}
	return valueOf(s.Bins[len(s.Bins)-1])
}

// Sum is about the sum of the values.
func (s *Sketch) Sum() float64 {
	sum := 0.0
	if s != nil {
		for i, c := range s.Counts {
			sum += float64(c) * valueOf(s.Bins[i])
		}
	}
	return sum
}

// Quantiles is what a sketch says, as JSON. Without values only Count is there.
type Quantiles struct {
	Count int64    `json:"count"`
	Mean  *float64 `json:"mean,omitempty"`
	P50   *float64 `json:"p50,omitempty"`
	P95   *float64 `json:"p95,omitempty"`
	P99   *float64 `json:"p99,omitempty"`
	Max   *float64 `json:"max,omitempty"`
}

// Quantiles gives the usual ones, rounded to a thousandth.
func (s *Sketch) Quantiles() Quantiles {
	q := Quantiles{Count: s.Count()}
	if q.Count == 0 {
		return q
	}
	at := func(part float64) *float64 { return new(round(s.Quantile(part))) }
	q.P50, q.P95, q.P99, q.Max = at(.5), at(.95), at(.99), at(1)
	q.Mean = new(round(s.Sum() / float64(q.Count)))
	return q
}

func round(v float64) float64 { return math.Round(v*1000) / 1000 }

package monitor

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Quantiles are within 1 % of the value that has their rank.
func TestSketchIsAccurate(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 10, 1000} {
		var s Sketch
		values := make([]float64, n)
		for i := range values {
			values[i] = math.Exp(random.Float64() * 18) // 1 ms to 18 hours
			s.Add(values[i])
		}
		slices.Sort(values)
		for _, q := range []float64{0, .01, .5, .95, .99, 1} {
			exact := values[int(math.Round(q*float64(n-1)))]
			if got := s.Quantile(q); math.Abs(got-exact) > 1.0001*accuracy*exact {
				t.Errorf("quantile %v of %d values is %v, want %v", q, n, got, exact)
			}
		}
		if s.Count() != int64(n) {
			t.Errorf("it counts %d values of %d", s.Count(), n)
		}
	}
}

// However values are spread over sketches, merged they are one.
func TestSketchesMergeWithoutLoss(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	var whole, merged Sketch
	parts := make([]Sketch, 7)
	for range 2000 {
		v := random.ExpFloat64() * 5000
		whole.Add(v)
		parts[random.IntN(len(parts))].Add(v)
	}
	for i := range parts {
		merged.Merge(&parts[i])
	}
	merged.Merge(nil)
	if diff := cmp.Diff(whole, merged); diff != "" {
		t.Error(diff)
	}
}

func TestSketchOfNothing(t *testing.T) {
	t.Parallel()
	var s *Sketch
	if got, _ := json.Marshal(s.Quantiles()); string(got) != `{"count":0}` {
		t.Errorf("%s", got)
	}
	if !math.IsNaN(s.Quantile(.5)) || s.Sum() != 0 {
		t.Error("nothing has a quantile or a sum")
	}
}

// What no duration can be does not break it: all of it counts somewhere.
func TestSketchTakesAnyNumber(t *testing.T) {
	t.Parallel()
	var s Sketch
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -5, 0, 1e300} {
		s.Add(v)
	}
	if s.Count() != 6 || len(s.Bins) != 2 {
		t.Errorf("%+v", s)
	}
}

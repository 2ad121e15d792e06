package alert

import (
	"math"
	"slices"
)

// tail is the chance of at least k successes in n tries that each succeed with
// chance p: the upper tail of the binomial distribution.
func tail(k, n int64, p float64) float64 {
	switch {
	case k <= 0:
		return 1
	case p <= 0:
		return 0
	case p >= 1:
		return 1
	}
	lf := func(v int64) float64 { l, _ := math.Lgamma(float64(v) + 1); return l }
	sum := 0.0
	for i := k; i <= n; i++ {
		term := math.Exp(lf(n) - lf(i) - lf(n-i) + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
		sum += term
		if i > k && term < sum*1e-12 {
			break
		}
	}
	return min(sum, 1)
}

// wilson is the lower bound of a rate that is believed with 95 %, of k in n
// (E. B. Wilson, 1927).
func wilson(k, n int64) float64 {
	if n == 0 {
		return 0
	}
	const z = 1.96
	rate, m := float64(k)/float64(n), float64(n)
	return (rate + z*z/(2*m) - z*math.Sqrt(rate*(1-rate)/m+z*z/(4*m*m))) / (1 + z*z/m)
}

// median of the values, and how far they lie from it usually: the median of
// their distances, times 1.4826, which is the standard deviation if they are
// normally distributed.
func median(values []float64) (middle, spread float64) {
	middle = middleOf(values)
	away := make([]float64, len(values))
	for i, v := range values {
		away[i] = math.Abs(v - middle)
	}
	return middle, 1.4826 * middleOf(away)
}

func middleOf(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

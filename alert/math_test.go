package alert

import (
	"math"
	"testing"
)

// Against values that R gives: pbinom(k-1, n, p, lower.tail = FALSE), and
// prop.test's Wilson interval without correction.
func TestStatistics(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k, n int64
		p    float64
		want float64
	}{{1, 1, .5, .5}, {3, 10, .1, .0701908264}, {10, 10, .01, 1e-20}, {0, 5, .3, 1}, {5, 5, 1, 1}, {1, 5, 0, 0}, {500, 1000, .5, .512612}} {
		if got := tail(c.k, c.n, c.p); math.Abs(got-c.want) > 1e-6*math.Max(c.want, 1e-14) {
			t.Errorf("tail(%d, %d, %g) = %g, want %g", c.k, c.n, c.p, got, c.want)
		}
	}
	if got := wilson(5, 10); math.Abs(got-.2366) > 1e-4 {
		t.Errorf("wilson(5, 10) = %g", got)
	}
	if got := wilson(0, 0); got != 0 {
		t.Errorf("wilson of nothing is %g", got)
	}
	middle, spread := median([]float64{1, 2, 3, 4, 1000})
	if middle != 3 || math.Abs(spread-1.4826) > 1e-9 {
		t.Errorf("median %g, spread %g", middle, spread)
	}
	if middle, _ := median(nil); !math.IsNaN(middle) {
		t.Errorf("the median of nothing is %g", middle)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	for attempts, want := range map[int]string{0: "1s", 1: "2s", 5: "32s", 8: "4m16s", 9: "5m0s", 1000: "5m0s"} {
		if got := backoff(attempts).String(); got != want {
			t.Errorf("after %d attempts it waits %s, want %s", attempts, got, want)
		}
	}
}

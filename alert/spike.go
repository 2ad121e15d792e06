package alert

import (
	"fmt"
	"math"
	"time"

	"tidings/monitor"
)

// errorRate finds names whose jobs fail more often than they did before, by more
// than chance explains: if jobs fail with the rate of the past, that many or more
// failures in the window are less likely than the setting says. It asks nothing
// of the rate itself, so one failure in two jobs at night is no spike.
var errorRate = &detector{
	name: "error_rate", help: "jobs of a name fail more often than in its own past, by more than chance", severity: Critical, keep: 5 * minute,
	defaults: map[string]any{"window": 15 * minute, "past": 48 * hour, "min": 10.0, "failures": 3.0, "chance": 0.001, "floor": 0.01},
	settings: map[string]string{
		"window": "in which failures are counted", "past": "that they are compared with", "min": "jobs that ended in the window, at least",
		"failures": "of them failed, at least", "chance": "of so many failures if nothing had changed", "floor": "the rate of the past is taken for at least so much"},
	eval: func(r *Rule, w *world) []finding {
		var list []finding
		for _, scope := range w.fold.Scopes(monitor.ByName) {
			if f, ok := spikeOf(r, w, scope); ok {
				list = append(list, f)
			}
		}
		return list
	},
}

func spikeOf(r *Rule, w *world, scope monitor.Scope) (finding, bool) {
	window := r.duration("window")
	now := w.fold.Window(scope, w.now.Add(-window), w.now)
	n, k := now.Ended(), now.Failed
	if n < int64(r.number("min")) || k < int64(r.number("failures")) {
		return finding{}, false
	}
	usual := w.pastRate(r, scope, window)
	if chance := tail(k, n, usual); chance >= r.number("chance") {
		return finding{}, false
	}
	rate := float64(k) / float64(n)
	return finding{key: scope.Value, labels: map[string]string{"name": scope.Value}, value: ptr(rate),
		summary: fmt.Sprintf("%d of %d jobs%s failed in %s (%.0f %%); usual is %.1f %%", k, n, named(scope.Value), span(window), 100*rate, 100*usual)}, true
}

// pastRate is the rate of failures before the window, in which days count for
// less the longer they are gone, and that of an alert which fires does not count: else
// it would become what is usual.
func (w *world) pastRate(r *Rule, scope monitor.Scope, window time.Duration) float64 {
	end := w.now.Add(-window)
	if m := w.memo[r.Name+"\x00"+scope.Value]; !m.Since.IsZero() && m.Since.Before(end) {
		end = m.Since.Add(-window)
	}
	failed, ended, weight := 0.0, 0.0, 1.0
	for step := 6 * hour; end.After(w.now.Add(-r.duration("past") - step)); end = end.Add(-step) {
		past := w.fold.Window(scope, end.Add(-step), end)
		failed += weight * float64(past.Failed)
		ended += weight * float64(past.Ended())
		weight *= 0.84 // a half in a day
	}
	if ended == 0 {
		return r.number("floor")
	}
	return max(failed/ended, r.number("floor"))
}

// latency finds names whose jobs, and tools and models whose calls, take longer
// than they did. The 95th percentile of the window is compared with the median
// of those at the same hour of the days before or, if there are too few, of the
// half hours of the last day; both the window and the one before must be over. The
// median and the median deviation hardly move for single outliers, and the same hour
// of other days is as busy.
var latency = &detector{
	name: "latency", help: "jobs of a name, or calls of a tool or model, take longer than in their own past", severity: Warning, keep: 10 * minute,
	defaults: map[string]any{"window": 30 * minute, "min": 20.0, "factor": 1.5, "deviations": 4.0, "least": 1 * second},
	settings: map[string]string{
		"window": "that is compared; the one before must be slow too", "min": "jobs or calls in a window, at least", "factor": "times the usual 95th percentile",
		"deviations": "so many median deviations over the usual", "least": "a smaller difference is none"},
	eval: func(r *Rule, w *world) []finding {
		var list []finding
		for _, kind := range []string{monitor.ByName, monitor.ByTool, monitor.ByModel} {
			for _, scope := range w.fold.Scopes(kind) {
				if f, ok := slowdownOf(r, w, scope); ok {
					list = append(list, f)
				}
			}
		}
		return list
	},
}

// sketchOf is what is measured of a scope.
func sketchOf(by string, m *monitor.Measures) *monitor.Sketch {
	switch by {
	case monitor.ByTool:
		return m.Tool
	case monitor.ByModel:
		return m.Model
	}
	return m.Duration
}

// p95 is NaN if there are too few.
func p95(w *world, scope monitor.Scope, from time.Time, d time.Duration, least float64) float64 {
	window := w.fold.Window(scope, from, from.Add(d))
	s := sketchOf(scope.By, &window.Measures)
	if float64(s.Count()) < least {
		return math.NaN()
	}
	return s.Quantile(.95)
}

const fewestPasts = 3

func slowdownOf(r *Rule, w *world, scope monitor.Scope) (finding, bool) {
	window, least := r.duration("window"), r.number("min")
	now := p95(w, scope, w.now.Add(-window), window, least)
	before := p95(w, scope, w.now.Add(-2*window), window, least)
	if math.IsNaN(now) || math.IsNaN(before) {
		return finding{}, false
	}
	past := pastQuantiles(w, scope, window, least)
	if len(past) < fewestPasts {
		return finding{}, false
	}
	usual, spread := median(past)
	limit := max(r.number("factor")*usual, usual+r.number("deviations")*spread, usual+float64(r.duration("least").Milliseconds()))
	if now <= limit || before <= limit {
		return finding{}, false
	}
	label := map[string]string{monitor.ByName: "name", monitor.ByTool: "tool", monitor.ByModel: "model"}[scope.By]
	return finding{key: scope.By + " " + scope.Value, labels: map[string]string{label: scope.Value}, value: ptr(now / 1000),
		summary: fmt.Sprintf("the slowest 5 %% of %s take over %s; usual is %s", scopeText(scope), span(ms(now)), span(ms(usual)))}, true
}

// pastQuantiles are those of the same hour of the last 7 days or, if there are
// too few, of the last day.
func pastQuantiles(w *world, scope monitor.Scope, window time.Duration, least float64) []float64 {
	var list []float64
	add := func(from time.Time, d time.Duration) {
		if q := p95(w, scope, from, d, least); !math.IsNaN(q) {
			list = append(list, q)
		}
	}
	for day := range 7 {
		add(w.now.Add(-time.Duration(day+1)*24*hour-30*minute), hour)
	}
	if len(list) >= fewestPasts {
		return list
	}
	list = nil
	for at := w.now.Add(-3 * window); at.After(w.now.Add(-24 * hour)); at = at.Add(-window) {
		add(at, window)
	}
	return list
}

func scopeText(scope monitor.Scope) string {
	switch scope.By {
	case monitor.ByTool:
		return "calls of the tool " + scope.Value
	case monitor.ByModel:
		return "calls of the model " + scope.Value
	}
	return "jobs" + named(scope.Value)
}

func ms(v float64) time.Duration { return time.Duration(v * float64(time.Millisecond)) }

// span is a duration as people say it.
func span(d time.Duration) string {
	switch {
	case d < second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*second && d%second != 0:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < 2*minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	case d < 2*hour:
		return fmt.Sprintf("%.0f min", d.Minutes())
	}
	return fmt.Sprintf("%.0f h", d.Hours())
}

package monitor

import (
	"math"
	"slices"
	"time"
)

// Window are the measures of a stretch of time.
type Window struct {
	From, To time.Time
	Measures
}

// metric is one number of a window; NaN where there is nothing to divide.
type metric struct {
	name, help string
	value      func(w *Window) float64
}

var metrics = func() []metric {
	count := func(get func(m *Measures) int64) func(*Window) float64 {
		return func(w *Window) float64 { return float64(get(&w.Measures)) }
	}
	list := []metric{
		{"created", "jobs seen for the first time", count(func(m *Measures) int64 { return m.Created })},
		{"started", "jobs that started", count(func(m *Measures) int64 { return m.Started })},
		{"ended", "jobs that ended", count((*Measures).Ended)},
		{"completed", "jobs that completed", count(func(m *Measures) int64 { return m.Completed })},
		{"failed", "jobs that failed", count(func(m *Measures) int64 { return m.Failed })},
		{"cancelled", "jobs that were cancelled", count(func(m *Measures) int64 { return m.Cancelled })},
		{"retried", "retries by a task queue", count(func(m *Measures) int64 { return m.Retried })},
		{"events", "events", count(func(m *Measures) int64 { return m.Events })},
		{"errors", "occurrences of errors", count(func(m *Measures) int64 { return m.Errors })},
		{"dropped", "events that publishers dropped", count(func(m *Measures) int64 { return m.Dropped })},
		{"tool_calls", "tool calls that ended", count(func(m *Measures) int64 { return m.ToolCalls })},
		{"tool_errors", "tool calls that failed", count(func(m *Measures) int64 { return m.ToolErrors })},
		{"model_calls", "model calls that ended", count(func(m *Measures) int64 { return m.ModelCalls })},
		{"model_errors", "model calls that failed", count(func(m *Measures) int64 { return m.ModelErrors })},
		{"input_tokens", "tokens given to models", count(func(m *Measures) int64 { return m.Tokens.InputTokens })},
		{"output_tokens", "tokens that models gave", count(func(m *Measures) int64 { return m.Tokens.OutputTokens })},
		{"tokens", "both", count(func(m *Measures) int64 { return m.Tokens.InputTokens + m.Tokens.OutputTokens })},
		{"cost", "money, of all currencies together", func(w *Window) float64 { return w.money() }},
		{"job_rate", "jobs that ended, a minute", func(w *Window) float64 { return float64(w.Ended()) / w.To.Sub(w.From).Minutes() }},
		{"event_rate", "events a second", func(w *Window) float64 { return float64(w.Events) / w.To.Sub(w.From).Seconds() }},
		{"error_rate", "jobs that failed, of those that ended, 0 to 1", func(w *Window) float64 { return ratio(w.Failed, w.Ended()) }},
		{"tool_error_rate", "tool calls that failed, of those that ended", func(w *Window) float64 { return ratio(w.ToolErrors, w.ToolCalls) }},
		{"model_error_rate", "model calls that failed, of those that ended", func(w *Window) float64 { return ratio(w.ModelErrors, w.ModelCalls) }},
	}
	for _, s := range []struct {
		name, help string
		sketch     func(m *Measures) *Sketch
	}{
		{"duration", "of jobs, ms", func(m *Measures) *Sketch { return m.Duration }},
		{"wait", "of jobs from creation to start, ms", func(m *Measures) *Sketch { return m.Wait }},
		{"tool", "of tool calls, ms", func(m *Measures) *Sketch { return m.Tool }},
		{"model", "of model calls, ms", func(m *Measures) *Sketch { return m.Model }},
		{"ttft", "of model calls to the first token, ms", func(m *Measures) *Sketch { return m.TTFT }},
		{"lag", "from an event's timestamp to its append, ms", func(m *Measures) *Sketch { return m.Lag }},
	} {
		for _, q := range []struct {
			name string
			part float64
		}{{"p50", .5}, {"p95", .95}, {"p99", .99}, {"max", 1}} {
			list = append(list, metric{s.name + "_" + q.name, s.help, func(w *Window) float64 { return s.sketch(&w.Measures).Quantile(q.part) }})
		}
	}
	return list
}()

func ratio(part, whole int64) float64 {
	if whole == 0 {
		return math.NaN()
	}
	return float64(part) / float64(whole)
}

func (w *Window) money() float64 {
	sum := 0.0
	for _, amount := range w.Cost {
		sum += amount
	}
	return sum
}

// Metrics lists the names that [Window.Metric] knows.
func Metrics() []string {
	names := make([]string, len(metrics))
	for i := range metrics {
		names[i] = metrics[i].name
	}
	return names
}

// Metric gives a number of the window by its name, as "error_rate" or
// "duration_p95". It is NaN where there is nothing to tell: a rate or a quantile
// of nothing. The second value is false if there is no such metric.
func (w *Window) Metric(name string) (float64, bool) {
	i := slices.IndexFunc(metrics, func(m metric) bool { return m.name == name })
	if i < 0 {
		return 0, false
	}
	return metrics[i].value(w), true
}

package monitor

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"tidings"
)

// ChartQuery says what to draw.
type ChartQuery struct {
	Metrics  []string // of [Metrics]
	From, To time.Time
	// Step is the time between two points, whole minutes, or whole half hours if
	// From is over three hours ago. Zero: so that there are at most 300 points.
	Step time.Duration
	By   string // [ByAll] (or empty), or one line for each name, label, tool or model
	// Value takes one line of them; nil: those with the most, at most Top.
	Value *string
	Top   int // zero: 10

	coarse bool // made of half hours
}

// Chart are lines over time, in the form that uPlot draws.
type Chart struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	StepMS int64     `json:"step_ms"`
	Times  []int64   `json:"times"` // seconds since 1970, of the beginning of each step
	Lines  []Line    `json:"lines"`
}

// Line is one metric of one scope.
type Line struct {
	Metric string `json:"metric"`
	Scope
	Values []*float64 `json:"values"` // null: nothing to tell
}

// MaxPoints bounds a line.
const MaxPoints = 2000

// Chart draws metrics over time. The error is an [*tidings.InvalidError].
func (f *Fold) Chart(q ChartQuery) (Chart, error) {
	if err := q.settle(f.now); err != nil {
		return Chart{}, err
	}
	c := Chart{From: q.From, To: q.To, StepMS: q.Step.Milliseconds(), Lines: []Line{}, Times: []int64{}}
	for at := q.From; at.Before(q.To); at = at.Add(q.Step) {
		c.Times = append(c.Times, at.Unix())
	}
	for _, scope := range f.chartScopes(&q) {
		windows := f.series[scope].steps(&q, latest(q.To, f.Now()))
		for _, name := range q.Metrics {
			c.Lines = append(c.Lines, line(name, scope, windows))
		}
	}
	return c, nil
}

// settle fills in and checks what was asked.
func (q *ChartQuery) settle(now int64) error {
	if len(q.Metrics) == 0 {
		return &tidings.InvalidError{Field: "metric", Reason: fmt.Sprintf("missing; give one or more of %v", Metrics())}
	}
	for _, name := range q.Metrics {
		if _, ok := (&Window{}).Metric(name); !ok {
			return &tidings.InvalidError{Field: "metric", Reason: fmt.Sprintf("%.64q is no metric; there are %v", name, Metrics())}
		}
	}
	if q.By = cmp.Or(q.By, ByAll); !slices.Contains([]string{ByAll, ByName, ByLabel, ByTool, ByModel}, q.By) {
		return &tidings.InvalidError{Field: "by", Reason: fmt.Sprintf("%.64q is not all, name, label, tool or model", q.By)}
	}
	orDefault(&q.Top, 10)
	return q.settleTime(now)
}

func (q *ChartQuery) settleTime(now int64) error {
	if !q.From.Before(q.To) {
		return &tidings.InvalidError{Field: "from", Reason: "must lie before to"}
	}
	unit := Fine
	if q.coarse = !fineHolds(q.From.UnixMilli(), now); q.coarse {
		unit = Coarse
	}
	if q.Step == 0 {
		q.Step = unit * time.Duration(1+int64(q.To.Sub(q.From)/unit)/300)
	}
	if q.Step < Fine || q.Step%Fine != 0 {
		return &tidings.InvalidError{Field: "step", Reason: "must be whole minutes"}
	}
	q.Step = (q.Step + unit - 1) / unit * unit
	q.From = time.UnixMilli(floor(q.From.UnixMilli(), q.Step)).UTC()
	q.To = q.To.UTC()
	if n := q.To.Sub(q.From) / q.Step; n >= MaxPoints {
		return &tidings.InvalidError{Field: "step", Reason: fmt.Sprintf("%d points are over %d; take a longer step or a shorter time", n, MaxPoints)}
	}
	return nil
}

// chartScopes are the lines: one that was named, or those with the most.
func (f *Fold) chartScopes(q *ChartQuery) []Scope {
	switch {
	case q.By == ByAll:
		return []Scope{All}
	case q.Value != nil:
		return []Scope{{q.By, *q.Value}}
	}
	weight := map[Scope]int64{}
	scopes := f.Scopes(q.By)
	for _, s := range scopes {
		w := f.Window(s, q.From, q.To)
		weight[s] = w.Events + w.ToolCalls + w.ModelCalls
	}
	scopes = slices.DeleteFunc(scopes, func(s Scope) bool { return weight[s] == 0 })
	slices.SortStableFunc(scopes, func(a, b Scope) int { return cmp.Compare(weight[b], weight[a]) })
	return scopes[:min(len(scopes), q.Top)]
}

// steps gives one window a step. The last ends now, if it is not over.
func (s *series) steps(q *ChartQuery, now time.Time) []Window {
	var out []Window
	for at := q.From; at.Before(q.To); at = at.Add(q.Step) {
		out = append(out, Window{From: at, To: earliest(at.Add(q.Step), now)})
	}
	if s == nil {
		return out
	}
	list := s.Fine
	if q.coarse {
		list = s.Coarse
	}
	for _, b := range list {
		if i := (b.At - q.From.UnixMilli()) / q.Step.Milliseconds(); b.At >= q.From.UnixMilli() && i < int64(len(out)) {
			out[i].add(b.Measures)
		}
	}
	return out
}

func line(name string, scope Scope, windows []Window) Line {
	l := Line{Metric: name, Scope: scope, Values: make([]*float64, len(windows))}
	for i := range windows {
		if v, _ := windows[i].Metric(name); !math.IsNaN(v) && !math.IsInf(v, 0) {
			l.Values[i] = new(round(v))
		}
	}
	return l
}

// Chart draws metrics over time: see [Fold.Chart].
func (m *Monitor) Chart(q ChartQuery) (c Chart, err error) {
	m.View(func(f *Fold) { c, err = f.Chart(q) })
	return c, err
}

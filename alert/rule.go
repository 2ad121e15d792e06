package alert

import (
	"fmt"
	"regexp"
	"time"

	"tidings/monitor"
)

// Rule says when there is an alert. It is either an expression over the
// monitor's metrics or one of the built-in detectors.
type Rule struct {
	Name     string
	Line     int // in its file; 0: built in
	Disabled bool

	// An expression, and what it is of.
	Expr   string
	By     string        // all, name, label, tool or model: one alert for each
	Window time.Duration // that the metrics are of
	Min    map[string]float64
	expr   *program

	// A detector, and its settings.
	Detector string
	With     map[string]any
	detector *detector
	patterns map[string]*regexp.Regexp // of settings

	Match         Matchers // on the labels of what is found
	For           time.Duration
	KeepFiringFor time.Duration
	Severity      string // empty: as the detector says
	Labels        map[string]string
	Summary       string // of expressions; {{label}} and {{value}} are filled in
	NoData        string // Keep, Resolve or Fire
	OnError       string
}

// What becomes of a rule's alerts when there is nothing to evaluate, or it can't
// be evaluated.
const (
	Keep    = "keep"    // as they are
	Resolve = "resolve" // as if the condition did not hold
	Fire    = "fire"    // and there is one that says so
)

// maxInstances of one rule are alerts; the rest is counted.
const maxInstances = 1000

func (r *Rule) duration(name string) time.Duration {
	d, _ := r.With[name].(time.Duration)
	return d
}

func (r *Rule) number(name string) float64 {
	n, _ := r.With[name].(float64)
	return n
}

func (r *Rule) text(name string) string {
	s, _ := r.With[name].(string)
	return s
}

// pattern compiles a setting that is one.
func (r *Rule) pattern(name string) error {
	re, err := regexp.Compile(r.text(name))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if r.patterns == nil {
		r.patterns = map[string]*regexp.Regexp{}
	}
	r.patterns[name] = re
	return nil
}

func (r *Rule) list(name string) []string {
	l, _ := r.With[name].([]string)
	return l
}

// finding is what a rule finds at one moment: a condition that holds.
type finding struct {
	key      string // what it is of, within the rule
	severity string
	labels   map[string]string
	job      string
	event    tidingsID
	summary  string
	value    *float64
}

// world is what rules look at.
type world struct {
	now     time.Time
	full    bool // not only what events brought about is to be evaluated
	fold    *monitor.Fold
	stuck   []monitor.Stuck
	jobs    monitor.JobCounts
	gaps    int64
	outside Outside
	tally   *tally
	// began is when the rules were first evaluated, by any node.
	began time.Time
	// memo is what rules remember from one evaluation to the next.
	memo map[string]memo
}

// detector is a built-in kind of rule. observe and eval are pure functions of
// what they are given; either may be nil.
type detector struct {
	name, help string
	severity   string
	wait, keep time.Duration
	every      time.Duration  // between two evaluations, if they cost much; 0: as the others
	defaults   map[string]any // also the type of each setting: duration, float64, string or []string
	settings   map[string]string
	check      func(r *Rule) error
	optional   bool // of no use without settings, so not on by itself
	// observe takes a change into what the rule remembers of events.
	observe func(r *Rule, t *tally, c *monitor.Folded)
	// eval gives everything that holds now.
	eval func(r *Rule, w *world) []finding
}

// minutes and so on keep the tables of defaults readable.
const (
	second = time.Second
	minute = time.Minute
	hour   = time.Hour
)

// evaluation is what became of a rule's last evaluation.
type evaluation struct {
	findings []finding
	noData   bool
	err      error
}

func (r *Rule) evaluate(w *world) evaluation {
	switch {
	case r.expr != nil:
		return r.expr.evaluate(r, w)
	case r.detector.eval == nil:
		return evaluation{findings: w.tally.findings(r, w.now)}
	}
	return evaluation{findings: r.detector.eval(r, w)}
}

// due reports whether the rule is to be evaluated now. What events bring about is
// each time: people who wait for a job should know soon.
func (s *state) due(r *Rule, w *world) bool {
	if r.detector != nil && r.detector.eval == nil {
		return true
	}
	if !w.full || r.detector == nil || r.detector.every == 0 {
		return w.full
	}
	status := s.Rules[r.Name]
	return status == nil || w.now.Sub(*status.EvaluatedAt) >= r.detector.every
}

func ptr(v float64) *float64 { return &v }

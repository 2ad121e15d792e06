package alert

import (
	"cmp"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// Config is what a rules file says: rules, who is told, and what hides what.
type Config struct {
	Rules     []*Rule
	Receivers []Receiver
	Route     Route
	Inhibit   []Inhibition
	// Every is the time between two evaluations; 10 s.
	Every time.Duration
	// AllowPrivate are the networks, besides public ones, that receivers may be in;
	// CIDR, or "all".
	AllowPrivate []string
}

// Receiver is who is told. Of what type it is decides what its settings mean.
type Receiver struct {
	Name, Type string
	Line       int
	// Settings are for whoever makes a [Notifier] of them.
	Settings *yaml.Node
	// NoResolved leaves out that alerts are resolved.
	NoResolved bool
	// MaxAlerts of a notice; the rest is counted. 50.
	MaxAlerts int
	// Resend tells a firing group again so often, and a resolved one for five
	// minutes; as an Alertmanager wants it. 0: no.
	Resend time.Duration
}

// Route says who is told of what, and how often.
type Route struct {
	Match     Matchers
	Receivers []string
	// GroupBy are labels; alerts that have the same go into one notice.
	GroupBy []string
	// GroupWait is how long the first alert of a group waits for others,
	// GroupInterval the least time between two notices of a group, and RepeatInterval when a
	// group that has not changed is told again.
	GroupWait, GroupInterval, RepeatInterval time.Duration
	Routes                                   []Route
	// Continue tries the routes after this one too.
	Continue bool
}

// Inhibition keeps people from being told of the alerts that Target matches
// while one fires that Source matches and that has the same labels Equal.
type Inhibition struct {
	Source, Target Matchers
	Equal          []string
}

// defaults of a route, which are those of Alertmanager but for the first: a job
// that failed should be known soon.
var defaultRoute = Route{GroupBy: []string{"alertname", "name"}, GroupWait: 10 * time.Second, GroupInterval: 5 * time.Minute, RepeatInterval: 4 * time.Hour}

// detectors that are on by themselves, and those that need settings.
var detectors = []*detector{
	lostWorker, stuckJob, jobFailed, jobsFailing, errorRate, latency, toolFailures, toolInJob, loop, budget, dayBudget,
	queueBacklog, noWorkers, deadMan, publisherLag, publisherDrops, storeHealth, trimmed, watchdog,
}

// builtIn makes a rule of a detector with its defaults.
func (d *detector) builtIn() *Rule {
	r := &Rule{Name: d.name, Detector: d.name, detector: d, With: map[string]any{}, For: d.wait, KeepFiringFor: d.keep}
	for k, v := range d.defaults {
		r.With[k] = v
	}
	if d.check != nil && !d.optional {
		_ = d.check(r) // compiles patterns; the defaults are right
	}
	return r
}

// DefaultConfig has every built-in rule that needs no settings, and no receiver.
func DefaultConfig() *Config {
	c := &Config{Route: defaultRoute, Inhibit: defaultInhibit(), Every: 10 * time.Second}
	for _, d := range detectors {
		if !d.optional {
			c.Rules = append(c.Rules, d.builtIn())
		}
	}
	return c
}

// defaultInhibit: who knows that all jobs of a name fail need not be told of each.
func defaultInhibit() []Inhibition {
	rule := func(name string) Matchers { return Matchers{{Label: "alertname", Op: "=", Value: name}} }
	wide := func(pattern string) Matchers {
		m := Matcher{Label: "alertname", Op: "=~", Value: pattern}
		_ = m.compile() // it is a constant
		return Matchers{m}
	}
	return []Inhibition{
		{Source: wide("error_rate|jobs_failing"), Target: rule("job_failed"), Equal: []string{"name"}},
		{Source: rule("tool_failures"), Target: rule("tool_failing"), Equal: []string{"tool"}},
		{Source: rule("no_workers"), Target: rule("queue_backlog"), Equal: []string{"queue"}},
		{Source: rule("lost_worker"), Target: rule("stuck_job"), Equal: []string{"job_id"}},
	}
}

// replaceRule puts a rule in the place of the one with its name, or at the end.
func (c *Config) replaceRule(r *Rule) {
	if i := slices.IndexFunc(c.Rules, func(old *Rule) bool { return old.Name == r.Name }); i >= 0 {
		c.Rules[i] = r
		return
	}
	c.Rules = append(c.Rules, r)
}

func detectorOf(name string) *detector {
	i := slices.IndexFunc(detectors, func(d *detector) bool { return d.name == name })
	if i < 0 {
		return nil
	}
	return detectors[i]
}

func detectorNames() []string {
	names := make([]string, len(detectors))
	for i, d := range detectors {
		names[i] = d.name
	}
	return names
}

// severityOf is the rule's own or, if it has none, that of the finding or the
// detector.
func (r *Rule) severityOf(f *finding) string {
	def := Warning
	if r.detector != nil {
		def = r.detector.severity
	}
	return cmp.Or(r.Severity, f.severity, def)
}

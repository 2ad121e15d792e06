package alert

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// instance is an alert as it is kept.
type instance struct {
	Alert
	Key string `json:"key"`
	// Seen is when the condition held last.
	Seen time.Time `json:"seen"`
}

// ruleStatus is how a rule is doing, as it is kept and shown.
type ruleStatus struct {
	Health      string     `json:"health"` // ok, no_data, error
	Error       string     `json:"error,omitempty"`
	EvaluatedAt *time.Time `json:"evaluated_at,omitempty"`
	Over        int64      `json:"over,omitempty"` // found, but over the limit
}

// Health of a rule.
const (
	HealthOK     = "ok"
	HealthNoData = "no_data"
	HealthError  = "error"
)

// keepResolved is how long a resolved alert is shown, and told to receivers that
// want it again.
const keepResolved = 15 * time.Minute

// keyHealth is that of the alert which says that a rule has no data or fails.
const keyHealth = "\x00health"

// advance brings the alerts of one rule to what an evaluation found: a pure
// function of the alerts before, the evaluation and the time. It tells what
// changed.
func (s *state) advance(r *Rule, e evaluation, now time.Time) []Transition {
	of := s.Alerts[r.Name]
	if of == nil {
		of = map[string]*instance{}
		s.Alerts[r.Name] = of
	}
	status := s.judge(r, &e, now)
	var changes []Transition
	holds := map[string]bool{}
	for i := range e.findings {
		f := &e.findings[i]
		labels := r.labelsOf(f)
		if !r.Match.Match(labels) || holds[f.key] {
			continue
		}
		if of[f.key] == nil && active(of) >= maxInstances {
			status.Over++
			continue
		}
		holds[f.key] = true
		changes = append(changes, s.hold(of, r, f, labels, now)...)
	}
	status.Over += s.Tally.Over[r.Name]
	for _, key := range slices.Sorted(maps.Keys(of)) {
		if holds[key] || status.keeps(r) && key != keyHealth {
			continue
		}
		if change, ok := of[key].fade(r, now); ok {
			changes = append(changes, change)
		}
		if of[key].State == Pending || of[key].State == Resolved && now.Sub(*of[key].ResolvedAt) > keepResolved {
			delete(of, key)
		}
	}
	return changes
}

func active(of map[string]*instance) int {
	n := 0
	for _, i := range of {
		if i.State != Resolved {
			n++
		}
	}
	return n
}

// judge notes how the rule is doing, and adds the alert that says so, if wanted.
func (s *state) judge(r *Rule, e *evaluation, now time.Time) *ruleStatus {
	status := &ruleStatus{Health: HealthOK, EvaluatedAt: &now}
	s.Rules[r.Name] = status
	switch {
	case e.err != nil:
		status.Health, status.Error = HealthError, clip(e.err.Error(), 500)
		if r.OnError == Fire {
			e.findings = append(e.findings, finding{key: keyHealth, labels: map[string]string{"problem": HealthError}, summary: "rule " + r.Name + " can't be evaluated: " + status.Error})
		}
	case e.noData:
		status.Health = HealthNoData
		if r.NoData == Fire {
			e.findings = append(e.findings, finding{key: keyHealth, labels: map[string]string{"problem": HealthNoData}, summary: "rule " + r.Name + " has no data"})
		}
	}
	return status
}

// keeps reports whether alerts stay as they are though the condition was not
// found to hold.
func (h *ruleStatus) keeps(r *Rule) bool {
	return h.Health == HealthError && r.OnError != Resolve || h.Health == HealthNoData && r.NoData != Resolve
}

func (r *Rule) labelsOf(f *finding) map[string]string {
	labels := maps.Clone(f.labels)
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, r.Labels)
	labels["alertname"], labels["severity"] = r.Name, r.severityOf(f)
	for k, v := range labels {
		if v == "" {
			delete(labels, k) // as Prometheus has it
		}
	}
	return labels
}

// hold: the condition holds.
func (s *state) hold(of map[string]*instance, r *Rule, f *finding, labels map[string]string, now time.Time) (changes []Transition) {
	i := of[f.key]
	if i == nil || i.State == Resolved {
		i = &instance{Key: f.key, Alert: Alert{ID: hashOf(r.Name, f.key), Rule: r.Name, State: Pending, Since: now}}
		of[f.key] = i
		if r.For > 0 {
			defer func() { changes = append([]Transition{{At: now, Alert: i.Alert}}, changes...) }()
		}
	}
	worse := i.State == Firing && slices.Index(severities, labels["severity"]) > slices.Index(severities, i.Severity)
	i.Severity, i.Labels, i.Summary, i.Value, i.Seen = labels["severity"], labels, clip(f.summary, 1000), f.value, now
	i.JobID, i.EventID = f.job, f.event
	switch {
	case i.State == Pending && now.Sub(i.Since) >= r.For:
		from := Pending
		if r.For == 0 {
			from = ""
		}
		i.State, i.FiredAt = Firing, &now
		changes = append(changes, Transition{At: now, From: from, Alert: i.Alert})
	case worse:
		changes = append(changes, Transition{At: now, From: Firing, Alert: i.Alert})
	}
	return changes
}

// fade: the condition does not hold any more.
func (i *instance) fade(r *Rule, now time.Time) (Transition, bool) {
	if i.State != Firing || now.Sub(i.Seen) < r.KeepFiringFor {
		return Transition{}, false
	}
	i.State, i.ResolvedAt = Resolved, &now
	i.SilencedBy, i.InhibitedBy = nil, nil
	return Transition{At: now, From: Firing, Alert: i.Alert}, true
}

// dropRules resolves the alerts of rules that are there no more.
func (s *state) dropRules(c *Config, now time.Time) (changes []Transition) {
	for _, name := range slices.Sorted(maps.Keys(s.Alerts)) {
		if slices.ContainsFunc(c.Rules, func(r *Rule) bool { return r.Name == name && !r.Disabled }) {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(s.Alerts[name])) {
			i := s.Alerts[name][key]
			if change, ok := i.fade(&Rule{}, now); ok {
				changes = append(changes, change)
			}
			if i.State != Resolved || now.Sub(*i.ResolvedAt) > keepResolved {
				delete(s.Alerts[name], key)
			}
		}
		if len(s.Alerts[name]) == 0 {
			delete(s.Alerts, name)
		}
		delete(s.Rules, name)
		delete(s.Tally.Found, name)
	}
	return changes
}

// suppress marks the firing alerts of which people are not told: silenced ones,
// and those that another one hides. One that is hidden hides none.
func (s *state) suppress(c *Config, silences []Silence, now time.Time) {
	all := s.firing()
	for _, i := range all {
		i.SilencedBy = silencesOf(silences, i.Labels, now)
		i.InhibitedBy = nil
	}
	hidden := map[*instance][]string{}
	for n := range c.Inhibit {
		c.Inhibit[n].apply(all, hidden)
	}
	for i, by := range hidden {
		slices.Sort(by)
		i.InhibitedBy = slices.Compact(by)
	}
}

func (in *Inhibition) apply(all []*instance, hidden map[*instance][]string) {
	sources := map[string][]string{}
	for _, i := range all {
		if in.Source.Match(i.Labels) && !in.Target.Match(i.Labels) {
			key := in.equalOf(i)
			sources[key] = append(sources[key], i.ID)
		}
	}
	for _, i := range all {
		if by := sources[in.equalOf(i)]; len(by) > 0 && in.Target.Match(i.Labels) {
			hidden[i] = append(hidden[i], by[:min(len(by), 3)]...)
		}
	}
}

func (in *Inhibition) equalOf(i *instance) string {
	key := ""
	for _, label := range in.Equal {
		key += i.Labels[label] + "\x00"
	}
	return key
}

// firing gives the alerts that fire, in one order.
func (s *state) firing() []*instance {
	var all []*instance
	for _, of := range s.Alerts {
		for _, i := range of {
			if i.State == Firing {
				all = append(all, i)
			}
		}
	}
	slices.SortFunc(all, func(a, b *instance) int {
		return cmp.Or(a.FiredAt.Compare(*b.FiredAt), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Key, b.Key))
	})
	return all
}

package alert

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"tidings"
	"tidings/monitor"
)

// View is what people see of the alerts: the same on every node, since the one
// that holds the lease shares it.
type View struct {
	At      time.Time    `json:"at"` // of the last evaluation; zero: there was none
	Alerts  []Alert      `json:"alerts"`
	Rules   []RuleView   `json:"rules"`
	History []Transition `json:"history"` // the newest first
	Notices Notices      `json:"notices"`
}

// RuleView is a rule and how it is doing.
type RuleView struct {
	Name     string         `json:"name"`
	BuiltIn  bool           `json:"built_in"`
	Disabled bool           `json:"disabled,omitempty"`
	Detector string         `json:"detector,omitempty"`
	Help     string         `json:"help,omitempty"`
	Expr     string         `json:"expr,omitempty"`
	By       string         `json:"by,omitempty"`
	WindowMS int64          `json:"window_ms,omitempty"`
	With     map[string]any `json:"with,omitempty"` // durations as "15m0s"

	ForMS           int64             `json:"for_ms"`
	KeepFiringForMS int64             `json:"keep_firing_for_ms"`
	Severity        string            `json:"severity"`
	Labels          map[string]string `json:"labels,omitempty"`
	Match           Matchers          `json:"match,omitempty"`

	Health      string     `json:"health"` // ok, no_data, error
	Error       string     `json:"error,omitempty"`
	EvaluatedAt *time.Time `json:"evaluated_at,omitempty"`
	Pending     int        `json:"pending"`
	Firing      int        `json:"firing"`
	Over        int64      `json:"over,omitempty"` // found, but more than can be alerts
}

// Notices is what becomes of notices.
type Notices struct {
	Outbox []NoticeView `json:"outbox"` // waiting, the oldest first
	Dead   []NoticeView `json:"dead"`   // given up, the newest first
	Sent   []NoticeView `json:"sent"`   // the newest first
}

// NoticeView is one notice to one receiver.
type NoticeView struct {
	ID          string            `json:"id"` // the webhook-id
	Receiver    string            `json:"receiver"`
	Reason      string            `json:"reason"`
	GroupLabels map[string]string `json:"group_labels"`
	Alerts      int               `json:"alerts"`
	Summary     string            `json:"summary,omitempty"` // of the first alert
	CreatedAt   time.Time         `json:"created_at"`
	Attempts    int               `json:"attempts"`
	NextAt      *time.Time        `json:"next_at,omitempty"`
	DoneAt      *time.Time        `json:"done_at,omitempty"`
	Error       string            `json:"error,omitempty"`
}

// maxShown alerts are in a view, the firing ones first.
const maxShown = 2000

func (s *state) view(c *Config, now time.Time) *View {
	v := &View{At: now, Alerts: []Alert{}, Rules: []RuleView{}, History: []Transition{}}
	for _, of := range s.Alerts {
		for _, i := range of {
			v.Alerts = append(v.Alerts, i.Alert)
		}
	}
	slices.SortFunc(v.Alerts, compareAlerts)
	v.Alerts = v.Alerts[:min(len(v.Alerts), maxShown)]
	for _, r := range c.Rules {
		v.Rules = append(v.Rules, s.ruleView(r))
	}
	for _, t := range slices.Backward(s.History) {
		v.History = append(v.History, t)
	}
	v.Notices = Notices{Outbox: noticeViews(s.Outbox), Dead: backwards(noticeViews(s.Dead)), Sent: backwards(noticeViews(s.Sent))}
	return v
}

var stateOrder = map[string]int{Firing: 0, Pending: 1, Resolved: 2}

// compareAlerts puts firing ones first, the worst, then the newest.
func compareAlerts(a, b Alert) int {
	return cmp.Or(cmp.Compare(stateOrder[a.State], stateOrder[b.State]),
		cmp.Compare(slices.Index(severities, b.Severity), slices.Index(severities, a.Severity)),
		b.Since.Compare(a.Since), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.ID, b.ID))
}

func (s *state) ruleView(r *Rule) RuleView {
	v := RuleView{Name: r.Name, BuiltIn: r.Line == 0, Disabled: r.Disabled, Expr: r.Expr, Detector: r.Detector,
		ForMS: r.For.Milliseconds(), KeepFiringForMS: r.KeepFiringFor.Milliseconds(), Severity: r.severityOf(&finding{}), Labels: r.Labels, Match: r.Match, Health: HealthOK}
	if r.detector != nil {
		v.Help = r.detector.help
		v.With = maps.Clone(r.With)
		for k, setting := range v.With {
			if d, ok := setting.(time.Duration); ok {
				v.With[k] = d.String()
			}
		}
	} else {
		v.By, v.WindowMS = r.By, r.Window.Milliseconds()
	}
	if status := s.Rules[r.Name]; status != nil {
		v.Health, v.Error, v.EvaluatedAt, v.Over = status.Health, status.Error, status.EvaluatedAt, status.Over
	}
	for _, i := range s.Alerts[r.Name] {
		switch i.State {
		case Pending:
			v.Pending++
		case Firing:
			v.Firing++
		}
	}
	return v
}

func noticeViews(rows []*row) []NoticeView {
	out := make([]NoticeView, len(rows))
	for i, r := range rows {
		v := NoticeView{ID: r.ID, Receiver: r.Receiver, Reason: r.Reason, GroupLabels: r.GroupLabels, Alerts: len(r.Alerts) + r.Truncated,
			CreatedAt: r.At, Attempts: r.Attempts, Error: r.Error}
		if len(r.Alerts) > 0 {
			v.Summary = r.Alerts[0].Summary
		}
		if r.DoneAt.IsZero() {
			v.NextAt = new(r.Next)
		} else {
			v.DoneAt = new(r.DoneAt)
		}
		out[i] = v
	}
	return out
}

func backwards(list []NoticeView) []NoticeView {
	slices.Reverse(list)
	return list
}

// viewDoc is the document in which the node that holds the lease shares its view.
const viewDoc = "alerts"

// exchangeView shares what this node shows, if it holds the lease, or takes over
// what the other one does.
func (e *Engine) exchangeView() {
	ctx, cancel := context.WithTimeout(e.ctx, tendTimeout)
	defer cancel()
	e.mu.Lock()
	leading, epoch := e.leading(), e.epoch
	if leading && e.viewDirty.Load() && !e.evaluated.IsZero() {
		e.view.Store(e.state.view(e.config, e.evaluated))
	}
	e.mu.Unlock()
	if !leading {
		e.takeView(ctx)
		return
	}
	if epoch == 0 || !e.viewDirty.Swap(false) {
		return
	}
	raw, err := json.Marshal(e.view.Load())
	if err == nil {
		_, err = e.opts.State.Save(ctx, viewDoc, raw, epoch)
	}
	if err != nil {
		e.viewDirty.Store(true)
	}
}

func (e *Engine) takeView(ctx context.Context) {
	raw, _, err := e.opts.State.Load(ctx, viewDoc)
	if err != nil || raw == nil {
		return
	}
	var v View
	if json.Unmarshal(raw, &v) == nil {
		e.view.Store(&v)
	}
}

// View gives what there is to see. It must not be changed.
func (e *Engine) View() *View {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.leading() && !e.evaluated.IsZero() {
		return e.state.view(e.config, e.evaluated)
	}
	return e.view.Load()
}

// FileStatus is how the rules file is doing on this node.
type FileStatus = fileStatus

// File tells how the rules file is doing.
func (e *Engine) File() FileStatus {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.file
}

// Silences lists the silences that hold or will, and those that ended lately,
// those that end last first.
func (e *Engine) Silences(ctx context.Context) ([]Silence, error) {
	list, _, err := readSilences(ctx, e.opts.State)
	return list, err
}

// AddSilence keeps people from being told of what the silence matches; every node
// knows within a few seconds. ID, CreatedAt and, if missing, StartsAt are set.
// The error is an [*tidings.InvalidError], or of the [monitor.State].
func (e *Engine) AddSilence(ctx context.Context, s Silence) (Silence, error) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	s.ID, s.CreatedAt = tidings.NewJobID(), now
	s.Comment, s.CreatedBy = trim(s.Comment), trim(s.CreatedBy)
	if s.StartsAt.IsZero() {
		s.StartsAt = now
	}
	if err := s.validate(now); err != nil {
		return s, err
	}
	list, err := changeSilences(ctx, e.opts.State, func(list []Silence) ([]Silence, error) { return addSilence(list, &s, now) })
	if err == nil {
		e.setSilences(list)
	}
	return s, err
}

// EndSilence makes a silence end now. The error is [ErrUnknownSilence], or of the
// [monitor.State].
func (e *Engine) EndSilence(ctx context.Context, id string) error {
	now := time.Now().UTC()
	list, err := changeSilences(ctx, e.opts.State, func(list []Silence) ([]Silence, error) { return endSilence(list, id, now) })
	if err == nil {
		e.setSilences(list)
	}
	return err
}

func (e *Engine) setSilences(list []Silence) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.silences, e.observed = list, true
}

var _ monitor.Observer = (*Engine)(nil)

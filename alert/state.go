package alert

import (
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// state is everything that outlives a restart: it is saved with the monitor's
// checkpoint, and each part is bounded.
type state struct {
	Format int       `json:"format"`
	Began  time.Time `json:"began"` // when rules were evaluated first

	Tally  *tally                          `json:"tally"`
	Memo   map[string]memo                 `json:"memo,omitempty"`
	Alerts map[string]map[string]*instance `json:"alerts,omitempty"` // by rule and key
	Rules  map[string]*ruleStatus          `json:"rules,omitempty"`

	History []Transition      `json:"history,omitempty"` // the newest last
	Groups  map[string]*group `json:"groups,omitempty"`
	Outbox  []*row            `json:"outbox,omitempty"` // the oldest first
	Dead    []*row            `json:"dead,omitempty"`   // the newest last
	Sent    []*row            `json:"sent,omitempty"`   // the newest last, without their alerts
}

const (
	stateFormat = 1
	maxHistory  = 500
	maxMemo     = 2000
)

func newState() *state {
	return &state{Format: stateFormat, Tally: newTally(), Memo: map[string]memo{}, Alerts: map[string]map[string]*instance{},
		Rules: map[string]*ruleStatus{}, Groups: map[string]*group{}}
}

// readState takes over what another node, or this one before, had saved. ok is
// false if it can't be read, and then all begins anew.
func readState(raw []byte) (s *state, ok bool) {
	s = newState()
	if len(raw) == 0 {
		return s, true
	}
	if err := json.Unmarshal(raw, s); err != nil || s.Format != stateFormat {
		return newState(), false
	}
	s.mend()
	for _, r := range s.Outbox {
		r.committed = true // it was saved
	}
	return s, true
}

// mend makes what was left out, and drops what is nothing.
func (s *state) mend() {
	fresh := newState()
	if s.Tally == nil {
		s.Tally = fresh.Tally
	}
	mendMap(&s.Tally.Jobs, func(j *jobTally) bool { return j == nil })
	mendMap(&s.Tally.Names, func(n *nameTally) bool { return n == nil })
	mendMap(&s.Tally.Found, func(of map[string]*found) bool { return of == nil })
	mendMap(&s.Tally.Over, func(int64) bool { return false })
	for _, of := range s.Tally.Found {
		maps.DeleteFunc(of, func(_ string, f *found) bool { return f == nil })
	}
	mendMap(&s.Memo, func(memo) bool { return false })
	mendMap(&s.Alerts, func(of map[string]*instance) bool { return of == nil })
	for _, of := range s.Alerts {
		maps.DeleteFunc(of, func(_ string, i *instance) bool {
			return i == nil || i.State != Pending && i.FiredAt == nil || i.State == Resolved && i.ResolvedAt == nil
		})
	}
	mendMap(&s.Rules, func(r *ruleStatus) bool { return r == nil || r.EvaluatedAt == nil })
	mendMap(&s.Groups, func(g *group) bool { return g == nil })
	for _, rows := range []*[]*row{&s.Outbox, &s.Dead, &s.Sent} {
		*rows = slices.DeleteFunc(*rows, func(r *row) bool { return r == nil })
	}
}

func mendMap[V any](m *map[string]V, drop func(V) bool) {
	if *m == nil {
		*m = map[string]V{}
	}
	maps.DeleteFunc(*m, func(_ string, v V) bool { return drop(v) })
}

// note keeps what changed.
func (s *state) note(changes []Transition) {
	s.History = append(s.History, changes...)
	if over := len(s.History) - maxHistory; over > 0 {
		s.History = append([]Transition(nil), s.History[over:]...)
	}
}

// remember keeps, of alerts that fire, since when: what is usual is taken from
// before.
func (s *state) remember() {
	for rule, of := range s.Alerts {
		for key, i := range of {
			id := rule + "\x00" + key
			switch m, known := s.Memo[id]; {
			case i.State == Firing && len(s.Memo) < maxMemo:
				m.Since = i.Since
				s.Memo[id] = m
			case known && m.Value == 0 && m.Grew == 0:
				delete(s.Memo, id)
			}
		}
	}
}

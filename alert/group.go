package alert

import (
	"cmp"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"crypto/sha256"
)

// group is what a receiver was told of alerts that have the same labels, as far
// as the route groups by them: the log of notices, so that neither a restart nor
// another node tells it again.
type group struct {
	Receiver string            `json:"receiver"`
	Labels   map[string]string `json:"labels"`

	Since time.Time `json:"since,omitzero"` // something fires; zero: nothing does
	// Seq counts the notices: with the group's name it makes their IDs.
	Seq    int64     `json:"seq"`
	SentAt time.Time `json:"sent_at,omitzero"`
	// Firing are the alerts, with their severities, that the last notice told as
	// firing, and Resolved those that it told as resolved.
	Firing   map[string]string    `json:"firing,omitempty"`
	Resolved map[string]time.Time `json:"resolved,omitempty"`
}

// Reasons of a notice.
const (
	ReasonFirst    = "first"    // nobody was told of the group
	ReasonNew      = "new"      // there are more alerts, or worse ones
	ReasonResolved = "resolved" // some or all of them are resolved
	ReasonRepeat   = "repeat"   // nothing changed for long
)

// member is an alert within its group.
type member struct {
	alert    *Alert
	firing   bool
	hidden   bool // silenced or inhibited
	severity string
}

// decide says whether the group's receiver is to be told now, and why. It is
// Alertmanager's table (notify/dedup_stage.go there):
//
//	firing now            | told last     | notify
//	none                  | nothing       | no: resolved before anyone was told
//	some                  | nothing       | first
//	not all were told     | some firing   | new
//	none                  | some firing   | resolved
//	the same              | more resolved | resolved
//	the same              | the same      | if the repeat interval has passed
func (g *group) decide(members []member, route *Route, rec *Receiver, now time.Time) (reason string, due bool) {
	fresh, gone, firing := g.compare(members)
	wait := g.SentAt.Add(min(route.GroupInterval, orEver(rec.Resend)))
	switch {
	case firing == 0 && len(g.Firing) == 0:
		return ReasonRepeat, rec.Resend > 0 && len(g.Resolved) > 0 && now.Sub(g.SentAt) >= rec.Resend
	case firing > 0 && g.SentAt.IsZero(), firing > 0 && len(g.Firing) == 0 && now.After(wait):
		return ReasonFirst, now.Sub(g.Since) >= route.GroupWait || rec.Resend > 0
	case now.Before(wait):
		return "", false
	case fresh:
		return ReasonNew, true
	case gone && (!rec.NoResolved || firing == 0):
		return ReasonResolved, true
	}
	repeat := min(route.RepeatInterval, orEver(rec.Resend))
	return ReasonRepeat, firing > 0 && now.Sub(g.SentAt) >= repeat
}

func orEver(d time.Duration) time.Duration {
	if d == 0 {
		return 1 << 62
	}
	return d
}

// begin notes since when there is something to tell: the wait for others begins
// anew each time.
func (g *group) begin(members []member, now time.Time) {
	switch _, _, firing := g.compare(members); {
	case firing == 0:
		g.Since = time.Time{}
	case g.Since.IsZero():
		g.Since = now
	}
}

// compare tells whether some firing alerts were not told, or are worse than
// told, whether some that were told are resolved, and how many fire.
func (g *group) compare(members []member) (fresh, gone bool, firing int) {
	for i := range members {
		m := &members[i]
		told, was := g.Firing[m.alert.ID]
		switch {
		case m.firing && !m.hidden:
			firing++
			fresh = fresh || !was || slices.Index(severities, m.severity) > slices.Index(severities, told)
		case !m.firing && was:
			gone = true
		}
	}
	return fresh, gone, firing
}

// id is that of the next notice: the same on every node and after every
// restart, since it follows from the state.
func (g *group) id(key string) string {
	sum := sha256.Sum256([]byte(key + "\x00" + strconv.FormatInt(g.Seq, 10)))
	return "msg_" + hex.EncodeToString(sum[:16])
}

// tell makes the notice and notes that it was made.
func (g *group) tell(key string, members []member, rec *Receiver, reason string, now time.Time) *row {
	g.Seq++
	r := &row{ID: g.id(key), Receiver: g.Receiver, GroupKey: key, GroupLabels: g.Labels, Reason: reason, At: now, Next: now}
	firing, resolved := map[string]string{}, map[string]time.Time{}
	for i := range members {
		m := &members[i]
		at, told := g.Resolved[m.alert.ID]
		_, was := g.Firing[m.alert.ID]
		switch {
		case m.firing && !m.hidden:
			firing[m.alert.ID] = m.severity
		case !m.firing && (was || told && rec.Resend > 0 && now.Sub(at) < resendResolved):
			if resolved[m.alert.ID] = at; !told {
				resolved[m.alert.ID] = now
			}
			if rec.NoResolved {
				continue
			}
		default:
			continue
		}
		r.Alerts = append(r.Alerts, *m.alert)
	}
	// One that is hidden now is still what the receiver knows.
	for i := range members {
		if m := &members[i]; m.firing && m.hidden && g.Firing[m.alert.ID] != "" {
			firing[m.alert.ID] = g.Firing[m.alert.ID]
		}
	}
	slices.SortStableFunc(r.Alerts, func(a, b Alert) int { return cmp.Compare(rankOf(&b), rankOf(&a)) })
	if over := len(r.Alerts) - rec.MaxAlerts; over > 0 {
		r.Truncated, r.Alerts = over, r.Alerts[:rec.MaxAlerts]
	}
	g.Firing, g.Resolved, g.SentAt = firing, resolved, now
	return r
}

// resendResolved is how long a resolved alert is told again to receivers that
// want so.
const resendResolved = 5 * time.Minute

// rankOf puts firing and severe alerts first.
func rankOf(a *Alert) int {
	rank := slices.Index(severities, a.Severity)
	if a.State == Firing {
		rank += len(severities)
	}
	return rank
}

// notify decides for every group, and puts the notices into the outbox: a pure
// function of the state, the configuration and the time.
func (s *state) notify(c *Config, now time.Time) (told bool) {
	members := s.members(c)
	for _, key := range sortedGroups(members) {
		g := members[key]
		g.begin(g.now, now)
		reason, due := g.decide(g.now, g.route, g.receiver, now)
		if !due {
			continue
		}
		r := g.tell(key, g.now, g.receiver, reason, now)
		if len(r.Alerts) > 0 {
			s.post(r)
			told = true
		}
	}
	s.dropGroups(members, now)
	return told
}

// grouped is a group with the alerts that belong to it now.
type grouped struct {
	*group
	route    *Route
	receiver *Receiver
	now      []member
}

func sortedGroups(m map[string]*grouped) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(a, b string) int {
		return cmp.Or(m[a].Since.Compare(m[b].Since), cmp.Compare(a, b))
	})
	return keys
}

// members puts every alert that fires or did into its groups.
func (s *state) members(c *Config) map[string]*grouped {
	out := map[string]*grouped{}
	for _, of := range s.Alerts {
		for _, i := range of {
			if i.State == Pending {
				continue
			}
			for _, route := range c.Route.routesOf(i.Labels) {
				for _, name := range route.Receivers {
					s.join(out, c, route, name, i)
				}
			}
		}
	}
	for _, g := range out {
		slices.SortFunc(g.now, func(a, b member) int {
			return cmp.Or(a.alert.FiredAt.Compare(*b.alert.FiredAt), cmp.Compare(a.alert.ID, b.alert.ID))
		})
	}
	return out
}

func (s *state) join(out map[string]*grouped, c *Config, route *Route, receiver string, i *instance) {
	n := slices.IndexFunc(c.Receivers, func(r Receiver) bool { return r.Name == receiver })
	if n < 0 {
		return
	}
	labels := map[string]string{}
	for _, label := range route.GroupBy {
		if v, ok := i.Labels[label]; ok {
			labels[label] = v
		}
	}
	key := groupKey(receiver, route, labels)
	g := s.Groups[key]
	if g == nil {
		if i.State != Firing || i.suppressed() {
			return // nobody was told
		}
		g = &group{Receiver: receiver, Labels: labels, Since: *i.FiredAt}
		s.Groups[key] = g
	}
	if out[key] == nil {
		out[key] = &grouped{group: g, route: route, receiver: &c.Receivers[n]}
	}
	out[key].now = append(out[key].now, member{alert: &i.Alert, firing: i.State == Firing, hidden: i.suppressed(), severity: i.Severity})
}

// groupKey names a group as Alertmanager does: the route's matchers, and the
// labels.
func groupKey(receiver string, route *Route, labels map[string]string) string {
	var match, pairs []string
	for _, m := range route.Match {
		match = append(match, m.String())
	}
	for k, v := range labels {
		pairs = append(pairs, k+"="+strconv.Quote(v))
	}
	slices.Sort(pairs)
	return receiver + "/{" + strings.Join(match, ",") + "}:{" + strings.Join(pairs, ", ") + "}"
}

// routesOf gives the innermost routes that match.
func (r *Route) routesOf(labels map[string]string) []*Route {
	if !r.Match.Match(labels) {
		return nil
	}
	var out []*Route
	for i := range r.Routes {
		found := r.Routes[i].routesOf(labels)
		out = append(out, found...)
		if len(found) > 0 && !r.Routes[i].Continue {
			break
		}
	}
	if len(out) == 0 {
		return []*Route{r}
	}
	return out
}

// dropGroups forgets groups of which all is told and nothing is left. The number
// of a group must not be used again, so it is kept for long.
func (s *state) dropGroups(now map[string]*grouped, at time.Time) {
	for key, g := range s.Groups {
		if now[key] == nil && at.Sub(g.SentAt) > keepGroups {
			delete(s.Groups, key)
		} else if now[key] == nil && len(g.Firing) > 0 && len(s.Groups) > maxGroups {
			delete(s.Groups, key)
		}
	}
}

const (
	keepGroups = 24 * time.Hour
	maxGroups  = 10_000
)

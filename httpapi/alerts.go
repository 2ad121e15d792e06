package httpapi

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"tidings"
	"tidings/alert"
)

// errNoAlerts refuses what a server without alerts can't know.
var errNoAlerts = &problem{status: http.StatusNotFound, name: "no-alerts", title: "No alerts",
	detail: "this server runs without alerts; start it without --no-alerts"}

// alerting is a handler of alerts, which tell of all jobs.
func (s *Server) alerting(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.opts.Alerts == nil {
			return errNoAlerts
		}
		if who := caller(r); !slices.Contains(who.Jobs, "*") {
			return notAllowed(Read, "alerts tell of all jobs, and the token is bound to "+patternsOf(who)+"; ?job= gives those of one")
		}
		return h(w, r)
	}
}

// listAlerts answers GET /v1/alerts. Whoever may read a job may read its alerts.
func (s *Server) listAlerts(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	if job := q.Get("job"); s.opts.Alerts != nil && job != "" && caller(r).May(Read, job) {
		return s.writeAlerts(w, r)
	}
	return s.alerting(s.writeAlerts)(w, r)
}

func (s *Server) writeAlerts(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	states := typesOf(q["state"])
	for _, state := range states {
		if !slices.Contains([]string{alert.Pending, alert.Firing, alert.Resolved}, state) {
			return &tidings.InvalidError{Field: "state", Reason: "must be pending, firing or resolved"}
		}
	}
	job := q.Get("job")
	view := s.opts.Alerts.View()
	body := struct {
		Alerts []alert.Alert    `json:"alerts"`
		Counts map[string]int   `json:"counts"` // by state; of all that firing is, suppressed ones are "suppressed"
		At     *time.Time       `json:"evaluated_at,omitempty"`
		File   alert.FileStatus `json:"file"`
	}{Alerts: []alert.Alert{}, Counts: map[string]int{alert.Pending: 0, alert.Firing: 0, alert.Resolved: 0, "suppressed": 0}, File: s.opts.Alerts.File()}
	if !view.At.IsZero() {
		body.At = &view.At
	}
	for i := range view.Alerts {
		a := &view.Alerts[i]
		if job != "" && a.JobID != job {
			continue
		}
		body.Counts[a.State]++
		if len(a.SilencedBy)+len(a.InhibitedBy) > 0 {
			body.Counts["suppressed"]++
		}
		if len(states) == 0 || slices.Contains(states, a.State) {
			body.Alerts = append(body.Alerts, *a)
		}
	}
	return writeJSON(w, http.StatusOK, body)
}

// listRules answers GET /v1/alerts/rules.
func (s *Server) listRules(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, struct {
		Rules []alert.RuleView `json:"rules"`
		File  alert.FileStatus `json:"file"`
	}{orEmpty(s.opts.Alerts.View().Rules), s.opts.Alerts.File()})
}

// alertHistory answers GET /v1/alerts/history.
func (s *Server) alertHistory(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	limit, err := intParam(q, "limit", 100, 1, 1000)
	if err != nil {
		return err
	}
	list := []alert.Transition{}
	for _, t := range s.opts.Alerts.View().History {
		if len(list) < limit && (q.Get("rule") == "" || t.Alert.Rule == q.Get("rule")) && (q.Get("job") == "" || t.Alert.JobID == q.Get("job")) {
			list = append(list, t)
		}
	}
	return writeJSON(w, http.StatusOK, map[string]any{"history": list})
}

// listNotices answers GET /v1/alerts/notifications.
func (s *Server) listNotices(w http.ResponseWriter, _ *http.Request) error {
	n := s.opts.Alerts.View().Notices
	return writeJSON(w, http.StatusOK, map[string]any{"outbox": orEmpty(n.Outbox), "dead": orEmpty(n.Dead), "sent": orEmpty(n.Sent)})
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// listSilences answers GET /v1/alerts/silences.
func (s *Server) listSilences(w http.ResponseWriter, r *http.Request) error {
	list, err := s.opts.Alerts.Silences(r.Context())
	if err != nil {
		return err
	}
	now := time.Now()
	out := []silenceView{}
	for _, silence := range list {
		out = append(out, viewOfSilence(silence, now))
	}
	return writeJSON(w, http.StatusOK, map[string]any{"silences": out})
}

// silenceView says besides whether a silence holds.
type silenceView struct {
	alert.Silence
	State string `json:"state"` // pending, active, expired
}

func viewOfSilence(s alert.Silence, now time.Time) silenceView {
	switch {
	case s.Active(now):
		return silenceView{s, "active"}
	case now.Before(s.StartsAt):
		return silenceView{s, "pending"}
	}
	return silenceView{s, "expired"}
}

// addSilence answers POST /v1/alerts/silences. Where there is authentication, the
// author is who calls.
func (s *Server) addSilence(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Matchers   []string  `json:"matchers"`
		StartsAt   time.Time `json:"starts_at"`
		EndsAt     time.Time `json:"ends_at"`
		DurationMS int64     `json:"duration_ms"`
		CreatedBy  string    `json:"created_by"`
		Comment    string    `json:"comment"`
	}
	if err := s.decodeBody(w, r, &body); err != nil {
		return err
	}
	silence := alert.Silence{StartsAt: body.StartsAt, EndsAt: body.EndsAt, CreatedBy: body.CreatedBy, Comment: body.Comment}
	for _, text := range body.Matchers {
		m, err := alert.ParseMatcher(text)
		if err != nil {
			return &tidings.InvalidError{Field: "matchers", Reason: err.Error()}
		}
		silence.Matchers = append(silence.Matchers, m)
	}
	if body.DurationMS < 0 {
		return &tidings.InvalidError{Field: "duration_ms", Reason: "can't be negative"}
	}
	if body.DurationMS > 0 && body.EndsAt.IsZero() {
		from := body.StartsAt
		if from.IsZero() {
			from = time.Now().UTC()
		}
		silence.EndsAt = from.Add(time.Duration(min(body.DurationMS, maxDurationMS)) * time.Millisecond)
	}
	if who := caller(r); who.Name != "" {
		silence.CreatedBy = who.Name
	}
	made, err := s.opts.Alerts.AddSilence(r.Context(), silence)
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/v1/alerts/silences/"+made.ID)
	return writeJSON(w, http.StatusCreated, viewOfSilence(made, time.Now()))
}

// maxDurationMS keeps a duration from overflowing; a silence may not be so long.
const maxDurationMS = int64(10 * 365 * 24 * time.Hour / time.Millisecond)

// endSilence answers DELETE /v1/alerts/silences/{silence}.
func (s *Server) endSilence(w http.ResponseWriter, r *http.Request) error {
	err := s.opts.Alerts.EndSilence(r.Context(), strings.TrimSpace(r.PathValue("silence")))
	if errors.Is(err, alert.ErrUnknownSilence) {
		return &problem{status: http.StatusNotFound, name: "unknown-silence", title: "Unknown silence", detail: err.Error()}
	}
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

package httpapi

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"tidings"
	"tidings/monitor"
)

// errNoMonitor refuses what a server without a monitor can't know.
var errNoMonitor = &problem{status: http.StatusNotFound, name: "no-monitor", title: "No monitor",
	detail: "this server runs without a monitor, so it has no statistics"}

// watched is a handler of the monitor's numbers, which tell of all jobs.
func (s *Server) watched(h handler) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.opts.Monitor == nil {
			return errNoMonitor
		}
		if who := caller(r); !slices.Contains(who.Jobs, "*") {
			return notAllowed(Read, "statistics tell of all jobs, and the token is bound to "+patternsOf(who)+"; /v1/stuck and /v1/jobs show those")
		}
		return h(w, r)
	}
}

const maxStatsWindow = 8 * 24 * time.Hour

// getStats answers GET /v1/stats.
func (s *Server) getStats(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	window, err := durationParam(q, "window", 15*time.Minute, time.Minute, maxStatsWindow)
	if err != nil {
		return err
	}
	by := q.Get("by")
	if by != "" && !slices.Contains([]string{monitor.ByName, monitor.ByLabel, monitor.ByTool, monitor.ByModel}, by) {
		return &tidings.InvalidError{Field: "by", Reason: "must be name, label, tool or model, or be left out"}
	}
	return writeJSON(w, http.StatusOK, s.opts.Monitor.Overview(window, by))
}

// durationParam is a duration of Go's form, such as 90s or 1h30m.
func durationParam(q url.Values, name string, def, low, high time.Duration) (time.Duration, error) {
	text := q.Get(name)
	if text == "" {
		return def, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < low || d > high {
		return 0, &tidings.InvalidError{Field: name, Reason: "must be a duration from " + low.String() + " to " + high.String() + ", such as 15m or 1h30m"}
	}
	return d, nil
}

// getSeries answers GET /v1/stats/series.
func (s *Server) getSeries(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	query := monitor.ChartQuery{Metrics: typesOf(q["metric"]), By: q.Get("by")}
	if q.Has("value") {
		query.Value = new(q.Get("value"))
	}
	var err error
	if query.To, err = timeParam(q, "to"); err != nil {
		return err
	}
	if query.To.IsZero() {
		query.To = time.Now()
	}
	if query.From, err = timeParam(q, "from"); err != nil {
		return err
	}
	if query.From.IsZero() {
		query.From = query.To.Add(-time.Hour)
	}
	if query.Step, err = durationParam(q, "step", 0, time.Minute, maxStatsWindow); err != nil {
		return err
	}
	if query.Top, err = intParam(q, "top", 10, 1, 100); err != nil {
		return err
	}
	chart, err := s.opts.Monitor.Chart(query)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, chart)
}

// getErrors answers GET /v1/errors.
func (s *Server) getErrors(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	states := typesOf(q["state"])
	for _, state := range states {
		if !slices.Contains([]string{monitor.Open, monitor.Resolved, monitor.Ignored}, state) {
			return &tidings.InvalidError{Field: "state", Reason: "must be open, resolved or ignored"}
		}
	}
	limit, err := intParam(q, "limit", 100, 1, 1000)
	if err != nil {
		return err
	}
	groups := slices.DeleteFunc(s.opts.Monitor.Errors(), func(g monitor.ErrorGroup) bool {
		return len(states) > 0 && !slices.Contains(states, g.State) || q.Has("name") && g.Name != q.Get("name")
	})
	return writeJSON(w, http.StatusOK, struct {
		Errors []monitor.ErrorGroup `json:"errors"`
		Total  int                  `json:"total"` // that match
	}{groups[:min(len(groups), limit)], len(groups)})
}

// patchError answers PATCH /v1/errors/{error}.
func (s *Server) patchError(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		State string `json:"state"`
	}
	if err := s.decodeBody(w, r, &body); err != nil {
		return err
	}
	group, err := s.opts.Monitor.SetErrorState(r.Context(), r.PathValue("error"), body.State, caller(r).Name)
	if errors.Is(err, monitor.ErrUnknownError) {
		return &problem{status: http.StatusNotFound, name: "unknown-error", title: "Unknown error group", detail: err.Error()}
	}
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, group)
}

// getStuck answers GET /v1/stuck with the jobs that the caller may read.
func (s *Server) getStuck(w http.ResponseWriter, r *http.Request) error {
	if s.opts.Monitor == nil {
		return errNoMonitor
	}
	q, who := r.URL.Query(), caller(r)
	limit, err := intParam(q, "limit", 100, 1, 1000)
	if err != nil {
		return err
	}
	jobs := s.opts.Monitor.Stuck(monitor.StuckQuery{
		JobID: q.Get("job"), Name: strings.TrimSpace(q.Get("name")), Limit: limit,
		May: func(id string) bool { return who.May(Read, id) },
	})
	return writeJSON(w, http.StatusOK, struct {
		Jobs []monitor.Stuck `json:"jobs"`
	}{jobs})
}

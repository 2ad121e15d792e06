package httpapi

import (
	"net/http"
	"path"
	"slices"
	"strings"

	"tidings"
)

// handler answers a request or returns an error, having written nothing.
type handler func(w http.ResponseWriter, r *http.Request) error

// jobHandler is a handler of a route that names a job, whose ID is valid and
// which the caller may use so.
type jobHandler func(w http.ResponseWriter, r *http.Request, jobID string) error

// route is one line of the API.
type route struct {
	method, path string
	need         Permission // empty: anyone
	serve        handler    // or
	serveJob     jobHandler // of {id}
}

func (s *Server) routes() []route {
	return []route{
		{method: "POST", path: "/v1/jobs", need: Publish, serve: s.createJob},
		{method: "GET", path: "/v1/jobs", need: Read, serve: s.listJobs},
		{method: "GET", path: "/v1/jobs/{id}", need: Read, serveJob: s.getJob},
		{method: "DELETE", path: "/v1/jobs/{id}", need: Admin, serveJob: s.deleteJob},
		{method: "POST", path: "/v1/jobs/{id}/events", need: Publish, serveJob: s.appendEvents},
		{method: "GET", path: "/v1/jobs/{id}/events", need: Read, serveJob: s.readEvents},
		{method: "POST", path: "/v1/jobs/{id}/heartbeat", need: Publish, serveJob: s.heartbeat},
		{method: "POST", path: "/v1/jobs/{id}/cancel", need: Cancel, serveJob: s.cancelJob},
		{method: "GET", path: "/v1/workers", need: Read, serve: s.listWorkers},
		{method: "GET", path: "/v1/queues", need: Read, serve: s.listQueues},
		{method: "GET", path: "/v1/events", need: Read, serve: s.serveFeed},
		{method: "GET", path: "/v1/stats", need: Read, serve: s.watched(s.getStats)},
		{method: "GET", path: "/v1/stats/series", need: Read, serve: s.watched(s.getSeries)},
		{method: "GET", path: "/v1/errors", need: Read, serve: s.watched(s.getErrors)},
		{method: "PATCH", path: "/v1/errors/{error}", need: Admin, serve: s.watched(s.patchError)},
		{method: "GET", path: "/v1/stuck", need: Read, serve: s.getStuck},
		{method: "GET", path: "/v1/alerts", need: Read, serve: s.listAlerts},
		{method: "GET", path: "/v1/alerts/rules", need: Read, serve: s.alerting(s.listRules)},
		{method: "GET", path: "/v1/alerts/history", need: Read, serve: s.alerting(s.alertHistory)},
		{method: "GET", path: "/v1/alerts/notifications", need: Read, serve: s.alerting(s.listNotices)},
		{method: "GET", path: "/v1/alerts/silences", need: Read, serve: s.alerting(s.listSilences)},
		{method: "POST", path: "/v1/alerts/silences", need: Admin, serve: s.alerting(s.addSilence)},
		{method: "DELETE", path: "/v1/alerts/silences/{silence}", need: Admin, serve: s.alerting(s.endSilence)},
		{method: "GET", path: "/healthz", serve: s.healthz},
		{method: "GET", path: "/readyz", serve: s.readyz},
		{method: "GET", path: "/metrics", need: Read, serve: s.serveMetrics},
		{method: "GET", path: "/openapi.json", serve: serveOpenAPI},
	}
}

func (s *Server) newMux() *http.ServeMux {
	mux := http.NewServeMux()
	for _, route := range s.routes() {
		mux.Handle(route.method+" "+route.path, s.handle(route.guarded(s)))
	}
	if s.opts.Panel {
		s.mountPanel(mux)
	}
	mux.Handle("/", s.handle(s.noRoute))
	return mux
}

// guarded is the route's handler behind its authorisation.
func (rt route) guarded(s *Server) handler {
	if rt.need == "" {
		return rt.serve
	}
	return func(w http.ResponseWriter, r *http.Request) error {
		who, r, err := s.authenticate(w, r)
		if err != nil {
			return err
		}
		if s.opts.ReadOnly && rt.need.changes() {
			return errReadOnly
		}
		if rt.serveJob == nil {
			if !who.Can(rt.need) {
				return forbidden(who, rt.need, "")
			}
			return rt.serve(w, r)
		}
		jobID := r.PathValue("id")
		if err := tidings.ValidateJobID(jobID); err != nil {
			return err
		}
		if !who.May(rt.need, jobID) {
			return forbidden(who, rt.need, jobID)
		}
		return rt.serveJob(w, r, jobID)
	}
}

// handle turns a handler's error into an answer.
func (s *Server) handle(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w.(*recorder), r, err) // ServeHTTP made it
		}
	})
}

// noRoute answers what no route matches: with 405 if another method would.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) error {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPatch, http.MethodDelete} {
		probe := r.Clone(r.Context())
		probe.Method = method
		if _, pattern := s.mux.Handler(probe); pattern != "/" && pattern != "" {
			allow = append(allow, method)
		}
	}
	if len(allow) == 0 {
		return &problem{status: http.StatusNotFound, name: "not-found", title: "No such route",
			detail: "there is nothing at this path; /openapi.json lists what there is"}
	}
	if slices.Contains(allow, http.MethodGet) {
		allow = append(allow, http.MethodHead)
	}
	list := strings.Join(allow, ", ")
	if r.Method == http.MethodOptions { // not a preflight
		w.Header().Set("Allow", list)
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
	return &problem{status: http.StatusMethodNotAllowed, name: "method-not-allowed", title: "Method not allowed",
		detail: "this path takes " + list + ", not " + r.Method,
		header: map[string]string{"Allow": list}, more: map[string]any{"allow": allow}}
}

// cleanPath refuses paths that ServeMux would redirect: a script whose job ID is
// empty must not land on another job.
func cleanPath(r *http.Request) error {
	escaped := r.URL.EscapedPath()
	if escaped == "" || escaped == "/" || r.Method == http.MethodConnect || path.Clean(escaped) == strings.TrimSuffix(escaped, "/") {
		return nil
	}
	return &problem{status: http.StatusNotFound, name: "not-found", title: "No such route",
		detail: "the path has an empty or a dot segment; is the job ID missing? Write its slashes as %2F"}
}

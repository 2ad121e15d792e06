package httpapi

import (
	"context"
	_ "embed"
	"net/http"
	"time"

	"tidings"
)

// healthz answers as long as the process can answer at all.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "version": s.opts.Version})
}

const healthTimeout = 5 * time.Second

// readyz says whether appends are taken now. Without a token, where tokens are
// asked for, it says no more than that.
func (s *Server) readyz(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	health := s.store.Health(ctx)
	if s.draining() {
		health.Ready = false
		health.Error = errDraining.Error()
	}
	if s.opts.Auth != nil {
		if _, _, err := s.authenticate(w, r); err != nil {
			w.Header().Del("WWW-Authenticate")
			health = tidings.Health{Ready: health.Ready, Store: health.Store}
		}
	}
	status := http.StatusOK
	if !health.Ready {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", retryAfterSeconds)
	}
	return writeJSON(w, status, health)
}

//go:embed openapi.json
var openAPI []byte

// serveOpenAPI answers with the description of this API for tools.
func serveOpenAPI(w http.ResponseWriter, _ *http.Request) error {
	w.Header().Set("Cache-Control", "max-age=300")
	return writeBytes(w, http.StatusOK, contentTypeJSON, openAPI)
}

package httpapi

import (
	"bufio"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"
)

// ServeHTTP answers a request, counts it and writes its line of the access log.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.enter()
	defer s.requests.leave()
	rec := &recorder{ResponseWriter: w}
	start := time.Now()
	defer func() { s.finish(rec, r, start, recover()) }()

	h := rec.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	answered, err := s.origins.admit(rec, r)
	if err == nil && !answered {
		err = cleanPath(r)
	}
	switch {
	case err != nil:
		s.fail(rec, r, err)
	case !answered:
		s.mux.ServeHTTP(rec, r)
	}
}

// finish ends every request: a panic becomes an answer, then the request is
// counted and logged. A response that broke off half-way is cut, so that the
// client can't take it for whole.
func (s *Server) finish(rec *recorder, r *http.Request, start time.Time, panicked any) {
	if panicked != nil && panicked != http.ErrAbortHandler {
		s.log.Error("panic while answering", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(panicked), "stack", string(debug.Stack()))
		s.fail(rec, r, fmt.Errorf("panic: %v", panicked))
	}
	if rec.status == 0 {
		rec.status = http.StatusOK
	}
	took := time.Since(start)
	s.metrics.observeRequest(r, rec.status, took)
	s.logRequest(rec, r, took)
	if rec.broken || panicked == http.ErrAbortHandler {
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) logRequest(rec *recorder, r *http.Request, took time.Duration) {
	level := slog.LevelInfo
	if isProbe(r.URL.Path) {
		level = slog.LevelDebug
	}
	if !s.log.Enabled(r.Context(), level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("method", r.Method),
		slog.String("path", r.URL.Path),
		slog.Int("status", rec.status),
		slog.Int64("bytes", rec.bytes),
		slog.Duration("duration", took.Round(time.Microsecond)),
		slog.String("remote", r.RemoteAddr),
	}
	if r.URL.RawQuery != "" {
		attrs = append(attrs, slog.String("query", redactQuery(r.URL.RawQuery)))
	}
	if rec.who != "" {
		attrs = append(attrs, slog.String("by", rec.who))
	}
	if rec.hijacked {
		attrs = append(attrs, slog.Bool("stream", true)) // its end is a line of its own
	}
	if rec.reason != "" {
		attrs = append(attrs, slog.String("error", rec.reason))
	}
	s.log.LogAttrs(r.Context(), level, "request", attrs...)
}

func isProbe(path string) bool {
	return path == "/healthz" || path == "/readyz" || path == "/metrics"
}

// redactQuery hides the value of access_token. It cuts the text instead of
// parsing it, so that a query that does not parse shows no token either.
func redactQuery(query string) string {
	parts := strings.FieldsFunc(query, func(c rune) bool { return c == '&' || c == ';' })
	for i, part := range parts {
		name, _, _ := strings.Cut(part, "=")
		plain, err := url.QueryUnescape(name)
		if err != nil || strings.EqualFold(strings.TrimSpace(plain), tokenParam) {
			parts[i] = tokenParam + "=REDACTED"
		}
	}
	return strings.Join(parts, "&")
}

// recorder remembers what the access log and the metrics want to know.
type recorder struct {
	http.ResponseWriter
	status   int
	bytes    int64
	hijacked bool
	bodyRead bool   // to its end
	broken   bool   // the response must not look complete
	who      string // as authenticated
	reason   string // why it failed
}

// WriteHeader implements [http.ResponseWriter].
func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

// Write implements [http.ResponseWriter].
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Hijack implements [http.Hijacker] so that a taken-over request is known to be
// one.
func (r *recorder) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(r.ResponseWriter).Hijack()
	if err == nil {
		r.hijacked = true
		r.status = http.StatusOK
	}
	return conn, rw, err
}

// Unwrap lets [http.ResponseController] reach the rest.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// started reports whether anything of the response was written.
func (r *recorder) started() bool { return r.status != 0 }

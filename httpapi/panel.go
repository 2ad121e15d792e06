package httpapi

import (
	"net/http"
	"strconv"
	"strings"

	"tidings/panel"
)

// panelPages are the paths of the panel's pages. They are listed, so that
// everything else stays a 404: a missing script answered with a page is a blank
// screen without an error.
var panelPages = []string{"/{$}", "/jobs", "/jobs/{id}", "/errors", "/alerts"}

// mountPanel adds the panel's pages and files. They are the same for everyone
// and need no token: what is on the pages comes from the API, which asks for one.
func (s *Server) mountPanel(mux *http.ServeMux) {
	for _, path := range panelPages {
		mux.Handle("GET "+path, s.handle(s.servePage))
	}
	mux.Handle("GET /assets/{file}", s.handle(s.serveAsset))
}

// servePage answers with the page. Its base is relative to the path, so that it
// works behind a proxy that takes a prefix away.
func (s *Server) servePage(w http.ResponseWriter, r *http.Request) error {
	depth := strings.Count(strings.TrimPrefix(r.URL.EscapedPath(), "/"), "/")
	base := "./"
	if depth > 0 {
		base = strings.Repeat("../", depth)
	}
	h := w.Header()
	h.Set("Content-Security-Policy", panel.ContentSecurityPolicy)
	h.Set("Referrer-Policy", "no-referrer") // job IDs stand in the path
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("X-Frame-Options", "DENY")
	writeFile(w, r, panel.Page{Base: base, ReadOnly: s.opts.ReadOnly}.HTML())
	return nil
}

// serveAsset answers with a file of the build.
func (s *Server) serveAsset(w http.ResponseWriter, r *http.Request) error {
	f, ok := panel.Asset(r.PathValue("file"))
	if !ok {
		return &problem{status: http.StatusNotFound, name: "not-found", title: "No such file",
			detail: "the panel has no file of this name; reload its page"}
	}
	writeFile(w, r, f)
	return nil
}

// writeFile lets browsers keep the file and ask whether it has changed: names
// are the same in every version.
func writeFile(w http.ResponseWriter, r *http.Request, f *panel.File) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", f.ETag)
	h.Add("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("If-None-Match"), f.ETag) {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := f.Body
	if f.Gzip != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		body = f.Gzip
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Type", f.ContentType)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // nobody is left to tell
	}
}

// errReadOnly refuses changes that people make on a server that takes none.
var errReadOnly = &problem{status: http.StatusForbidden, name: "read-only", title: "Read-only",
	detail: "this server takes no requests to stop, delete, submit or administer (it runs with --read-only); use another one"}

// changes reports whether the permission is for what people do to jobs. Jobs
// themselves go on publishing on a read-only server.
func (p Permission) changes() bool { return p == Cancel || p == Submit || p == Admin }

package httpapi

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// The page is served at its own paths, with a base that leads back to the root
// from each of them, and allows nothing from elsewhere.
func TestPanelPages(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Panel: true})
	for path, base := range map[string]string{
		"/": "./", "/jobs": "./", "/errors": "./", "/alerts": "./", "/jobs/job-42": "../", "/jobs/a%2Fb%20c": "../", "/jobs?status=failed": "./",
	} {
		got := a.do("GET", path, "")
		wantStatus(t, got, http.StatusOK)
		if !strings.Contains(got.body, `<base href="`+base+`"`) {
			t.Errorf("%s: the base is not %q:\n%s", path, base, got.body)
		}
		if kind := got.header.Get("Content-Type"); kind != "text/html; charset=utf-8" {
			t.Errorf("%s: Content-Type %q", path, kind)
		}
		csp := got.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(csp, "default-src 'none';") || strings.Contains(csp, "unsafe") || strings.Contains(csp, "*") {
			t.Errorf("%s: Content-Security-Policy %q", path, csp)
		}
		if strings.Contains(got.body, "<style") || regexp.MustCompile(`<script[^>]*>[^<]`).MatchString(got.body) || strings.Contains(got.body, "://") {
			t.Errorf("%s: the page has inline code or another origin's:\n%s", path, got.body)
		}
	}
}

// Every file that the page names is there; any other is missing, and never the
// page instead.
func TestPanelFiles(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Panel: true})
	page := a.do("GET", "/", "")
	names := regexp.MustCompile(`(?:src|href)="\./(assets/[^"]+)"`).FindAllStringSubmatch(page.body, -1)
	if len(names) < 3 {
		t.Fatalf("the page names %d files, not a script, a style sheet and an icon:\n%s", len(names), page.body)
	}
	for _, name := range names {
		got := a.do("GET", "/"+name[1], "")
		wantStatus(t, got, http.StatusOK)
		etag := got.header.Get("ETag")
		if etag == "" || got.header.Get("Cache-Control") != "no-cache" || got.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: headers %v", name[1], got.header)
		}
		again := a.do("GET", "/"+name[1], "", "If-None-Match", etag)
		wantStatus(t, again, http.StatusNotModified)
	}
	script := a.do("GET", "/assets/panel.js", "", "Accept-Encoding", "gzip")
	if script.header.Get("Content-Encoding") != "gzip" || script.header.Get("Vary") == "" {
		t.Errorf("the script is not compressed: %v", script.header)
	}
	for _, path := range []string{"/assets/missing.js", "/assets/", "/assets/..%2findex.html", "/panel.js", "/jobs/a/b", "/favicon.ico"} {
		wantProblem(t, a.do("GET", path, ""), http.StatusNotFound, "not-found")
	}
	wantProblem(t, a.do("POST", "/jobs", ""), http.StatusMethodNotAllowed, "method-not-allowed")
}

// Without the option there is the API alone.
func TestPanelCanBeLeftOut(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	for _, path := range []string{"/", "/jobs", "/assets/panel.js"} {
		wantProblem(t, a.do("GET", path, ""), http.StatusNotFound, "not-found")
	}
}

// The page holds nothing and needs no token; the API does.
func TestPanelNeedsNoToken(t *testing.T) {
	t.Parallel()
	auth, err := NewAuth(AuthConfig{Keys: []APIKey{{Name: "ops", Key: "0123456789abcdef", Permissions: []Permission{Admin}}}})
	if err != nil {
		t.Fatal(err)
	}
	a := serve(t, &Options{Panel: true, Auth: auth})
	wantStatus(t, a.do("GET", "/jobs/secret", ""), http.StatusOK)
	wantStatus(t, a.do("GET", "/assets/panel.js", ""), http.StatusOK)
	wantProblem(t, a.do("GET", "/v1/jobs", ""), http.StatusUnauthorized, "unauthorized")
}

// A read-only server goes on taking events and being read, but nobody stops or
// deletes jobs by it, and its panel does not offer to.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Panel: true, ReadOnly: true})
	a.publish("j", "started")
	wantStatus(t, a.do("GET", "/v1/jobs/j", ""), http.StatusOK)
	wantStatus(t, a.do("POST", "/v1/jobs/j/heartbeat", "{}"), http.StatusOK)
	wantProblem(t, a.do("POST", "/v1/jobs/j/cancel", "{}"), http.StatusForbidden, "read-only")
	wantProblem(t, a.do("DELETE", "/v1/jobs/j", ""), http.StatusForbidden, "read-only")
	wantProblem(t, a.do("PATCH", "/v1/errors/e", `{"state":"resolved"}`), http.StatusForbidden, "read-only")
	if got := a.types("j"); len(got) != 1 {
		t.Errorf("events %v, want the published one alone", got)
	}
	if page := a.do("GET", "/", ""); !strings.Contains(page.body, `data-read-only="true"`) {
		t.Errorf("the page does not know:\n%s", page.body)
	}
}

package httpapi

import (
	"net/http"
	"strings"
	"testing"
)

const webPage = "https://app.example.com"

func TestPagesOfAllowedOrigins(t *testing.T) {
	t.Parallel()
	for name, allowed := range map[string][]string{"named": {webPage}, "all": {"*"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := serve(t, &Options{AllowedOrigins: allowed})
			preflight := a.do("OPTIONS", "/v1/jobs/j/events", "", "Origin", webPage,
				"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "producer-id,last-event-id")
			wantStatus(t, preflight, http.StatusNoContent)
			for header, want := range map[string]string{
				"Access-Control-Allow-Methods": "POST",
				"Access-Control-Allow-Headers": "Last-Event-ID",
			} {
				if got := preflight.header.Get(header); !strings.Contains(got, want) {
					t.Errorf("%s: %q lacks %s", header, got, want)
				}
			}
			post := a.do("POST", "/v1/jobs/j/events", `{"event_type":"a"}`, "Origin", webPage, "Sec-Fetch-Site", "cross-site")
			wantStatus(t, post, http.StatusCreated)
			for _, got := range []*answer{preflight, post, a.do("GET", "/v1/jobs/nope", "", "Origin", webPage)} {
				if origin := got.header.Get("Access-Control-Allow-Origin"); origin != webPage && origin != "*" {
					t.Errorf("Access-Control-Allow-Origin %q", origin)
				}
				if got.header.Get("Access-Control-Allow-Credentials") != "" || got.header.Get("Vary") == "" {
					t.Errorf("headers %v", got.header)
				}
			}
			if exposed := post.header.Get("Access-Control-Expose-Headers"); !strings.Contains(exposed, "Producer-Expected-Seq") {
				t.Errorf("Access-Control-Expose-Headers %q", exposed)
			}
		})
	}
}

// Pages of other origins change nothing, read nothing and hold no stream open.
func TestPagesOfOtherOrigins(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{AllowedOrigins: []string{webPage}})
	a.publish("j", "a")
	for name, headers := range map[string][]string{
		"another origin":     {"Origin", "https://evil.example"},
		"another scheme":     {"Origin", "http://app.example.com"},
		"a longer name":      {"Origin", webPage + ".evil.example"},
		"no origin":          {"Origin", "null"},
		"another port":       {"Origin", "http://127.0.0.1:1"},
		"a same-site page":   {"Origin", "http://127.0.0.1:1", "Sec-Fetch-Site", "same-site"},
		"a cross-site fetch": {"Origin", a.url, "Sec-Fetch-Site", "cross-site"},
	} {
		for _, c := range []struct{ method, path, accept string }{
			{"POST", "/v1/jobs/j/events", ""}, {"DELETE", "/v1/jobs/j", ""}, {"POST", "/v1/jobs/j/cancel", ""},
			{"GET", "/v1/jobs/j/events", "text/event-stream"}, {"GET", "/v1/events", "text/event-stream"}, {"GET", "/v1/jobs", ""},
		} {
			got := a.do(c.method, c.path, `{"event_type":"a"}`, append(headers, "Accept", c.accept)...)
			wantProblem(t, got, http.StatusForbidden, "origin")
			if got.header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: the page may read the answer", name)
			}
		}
		preflight := a.do("OPTIONS", "/v1/jobs", "", append(headers, "Access-Control-Request-Method", "POST")...)
		wantProblem(t, preflight, http.StatusForbidden, "origin")
	}
	// A form post of an old browser has no Origin, that of a new one says so.
	wantProblem(t, a.do("POST", "/v1/jobs", "", "Sec-Fetch-Site", "cross-site"), http.StatusForbidden, "origin")
	// The server's own pages, and what is no browser, pass.
	wantStatus(t, a.do("POST", "/v1/jobs", "", "Origin", a.url), http.StatusCreated)
	wantStatus(t, a.do("POST", "/v1/jobs", "", "Origin", "https://proxy.example", "Sec-Fetch-Site", "same-origin"), http.StatusCreated)
	wantStatus(t, a.do("POST", "/v1/jobs", ""), http.StatusCreated)
	if got := len(a.types("j")); got != 1 {
		t.Errorf("%d events, want 1", got)
	}
}

// Without authentication, a name that was rebound to a loopback address opens
// nothing.
func TestForeignHostOnLoopback(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{AllowedHosts: []string{"proxy.internal"}})
	for host, ok := range map[string]bool{
		"evil.example": false, "evil.example:80": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "10.0.0.1": false,
		"localhost": true, "LOCALHOST:8080": true, "panel.localhost": true, "127.0.0.1:1": true, "[::1]:8080": true, "127.1.2.3": true, "proxy.internal": true, "proxy.internal:443": true,
	} {
		got := a.do("GET", "/v1/jobs", "", "Host", host)
		if ok {
			wantStatus(t, got, http.StatusOK)
			continue
		}
		wantProblem(t, got, http.StatusForbidden, "host")
	}
	// With authentication a page has no token, whatever its name.
	secured := serve(t, &Options{Auth: testAuth(t)})
	wantStatus(t, secured.do("GET", "/v1/jobs", "", "Host", "evil.example", "Authorization", "Bearer "+readerKey), http.StatusOK)
}

package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	publisherKey = "publisher-key-0123456789"
	readerKey    = "reader-key-0123456789"
	cancelKey    = "cancel-key-0123456789"
	adminKey     = "admin-key-0123456789"
	teamKey      = "team-key-0123456789"
)

func testAuth(t testing.TB) *Auth {
	t.Helper()
	hash := sha256.Sum256([]byte(adminKey))
	auth, err := NewAuth(AuthConfig{
		Keys: []APIKey{
			{Name: "publisher", Key: publisherKey, Permissions: []Permission{Publish}},
			{Name: "reader", Key: readerKey, Permissions: []Permission{Read}},
			{Name: "canceller", Key: cancelKey, Permissions: []Permission{Cancel}},
			{Name: "admin", SHA256: hex.EncodeToString(hash[:]), Permissions: []Permission{Admin}},
			{Name: "team", Key: teamKey, Permissions: []Permission{Publish, Read}, Jobs: []string{"team-*"}},
		},
		JWT: &JWTConfig{Secret: testSecret},
	})
	if err != nil {
		t.Fatal(err)
	}
	return auth
}

// Who may do what: every key at every route.
func TestPermissions(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Auth: testAuth(t)})
	admin := []string{"Authorization", "Bearer " + adminKey}
	for _, id := range []string{"j", "team-1"} {
		wantStatus(t, a.do("POST", "/v1/jobs/"+id+"/events", `{"event_type":"task_started"}`, admin...), http.StatusCreated)
	}
	routes := []struct {
		method, path, body string
		may                string // names of keys
	}{
		{"POST", "/v1/jobs", `{"id":"new"}`, "publisher admin"},
		{"POST", "/v1/jobs", `{"id":"team-new"}`, "publisher admin team"},
		{"GET", "/v1/jobs", "", "reader admin team"},
		{"GET", "/v1/jobs/j", "", "reader admin"},
		{"GET", "/v1/jobs/team-1", "", "reader admin team"},
		{"POST", "/v1/jobs/j/events", `{"event_type":"a"}`, "publisher admin"},
		{"POST", "/v1/jobs/team-1/events", `{"event_type":"a"}`, "publisher admin team"},
		{"GET", "/v1/jobs/j/events", "", "reader admin"},
		{"GET", "/v1/jobs/team-1/events", "", "reader admin team"},
		{"POST", "/v1/jobs/team-1/heartbeat", "", "publisher admin team"},
		{"POST", "/v1/jobs/j/heartbeat", "", "publisher admin"},
		{"POST", "/v1/jobs/team-1/cancel", "", "canceller admin"},
		{"GET", "/metrics", "", "reader admin team"},
		{"GET", "/healthz", "", "publisher reader canceller admin team nobody stranger"},
		{"GET", "/readyz", "", "publisher reader canceller admin team nobody stranger"},
		{"GET", "/openapi.json", "", "publisher reader canceller admin team nobody stranger"},
		{"DELETE", "/v1/jobs/team-1", "", "admin"},
	}
	keys := map[string]string{"publisher": publisherKey, "reader": readerKey, "canceller": cancelKey,
		"team": teamKey, "nobody": "", "stranger": "stranger-key-0123456789", "admin": adminKey}
	names := []string{"publisher", "reader", "canceller", "team", "nobody", "stranger", "admin"}
	for _, route := range routes {
		for _, name := range names {
			var headers []string
			if keys[name] != "" {
				headers = []string{"Authorization", "Bearer " + keys[name]}
			}
			got := a.do(route.method, route.path, route.body, headers...)
			what := name + " " + route.method + " " + route.path
			switch may := strings.Contains(" "+route.may+" ", " "+name+" "); {
			case may && got.status >= 300:
				t.Errorf("%s: %d %s", what, got.status, got.body)
			case may:
			case name == "nobody" || name == "stranger":
				if m := wantProblem(t, got, http.StatusUnauthorized, "unauthorized"); !strings.HasPrefix(got.header.Get("WWW-Authenticate"), "Bearer ") {
					t.Errorf("%s: no challenge: %v", what, m)
				}
			default:
				wantProblem(t, got, http.StatusForbidden, "forbidden")
			}
		}
	}
}

// Whoever may read some jobs is shown these only.
func TestListingAndFeedShowWhatMayBeRead(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Auth: testAuth(t)})
	for _, id := range []string{"a", "team-1", "b", "team-2", "c"} {
		wantStatus(t, a.do("POST", "/v1/jobs/"+id+"/events", `{"event_type":"e"}`, "Authorization", "Bearer "+adminKey), http.StatusCreated)
	}
	token := []string{"Authorization", "Bearer " + teamKey}
	if diff := cmp.Diff([]string{"team-2", "team-1"}, a.jobs("?limit=2", token...)); diff != "" {
		t.Error(diff)
	}
	f := a.feed(t, "", token...)
	for _, want := range []string{"team-1", "team-2"} {
		m, err := f.events.Next()
		if err != nil || !strings.Contains(string(m.Data), `"job_id":"`+want+`"`) {
			t.Errorf("%s %v; want an event of %s", m.Data, err, want)
		}
	}
}

// An EventSource can't set headers. What changes something must.
func TestTokenInTheQuery(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Auth: testAuth(t)})
	query := "?access_token=" + url.QueryEscape(adminKey)
	wantStatus(t, a.do("GET", "/v1/jobs"+query, ""), http.StatusOK)
	wantProblem(t, a.do("POST", "/v1/jobs"+query, ""), http.StatusUnauthorized, "unauthorized")
	wantProblem(t, a.do("DELETE", "/v1/jobs/j"+query, ""), http.StatusUnauthorized, "unauthorized")
	wantProblem(t, a.do("GET", "/v1/jobs", "", "Authorization", "Basic "+adminKey), http.StatusUnauthorized, "unauthorized")
}

// Without a token, /readyz says no more than it must.
func TestReadyzKeepsDetailsFromStrangers(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Auth: testAuth(t)})
	stranger := a.do("GET", "/readyz", "").members(t)
	known := a.do("GET", "/readyz", "", "Authorization", "Bearer "+adminKey).members(t)
	if stranger["details"] != nil || known["details"] == nil || stranger["ready"] != true {
		t.Errorf("a stranger sees %v, a caller %v", stranger, known)
	}
}

// Who asked a job to stop is known from the token, if nothing else says so.
func TestCancelKnowsWhoAsks(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Auth: testAuth(t)})
	token := []string{"Authorization", "Bearer " + adminKey}
	a.do("POST", "/v1/jobs/j/events", `{"event_type":"task_started"}`, token...)
	got := a.do("POST", "/v1/jobs/j/cancel", "", token...)
	wantStatus(t, got, http.StatusAccepted)
	if by := got.members(t)["cancel"].(map[string]any)["by"]; by != "admin" {
		t.Errorf("asked by %v, want admin", by)
	}
}

func TestAuthConfigIsChecked(t *testing.T) {
	t.Parallel()
	good := APIKey{Name: "n", Key: readerKey, Permissions: []Permission{Read}}
	with := func(change func(*APIKey)) AuthConfig {
		k := good
		change(&k)
		return AuthConfig{Keys: []APIKey{k}}
	}
	for name, c := range map[string]struct {
		config AuthConfig
		want   string
	}{
		"nothing":            {AuthConfig{}, "lets nobody in"},
		"no name":            {with(func(k *APIKey) { k.Name = "" }), "name"},
		"no permission":      {with(func(k *APIKey) { k.Permissions = nil }), "permissions"},
		"unknown permission": {with(func(k *APIKey) { k.Permissions = []Permission{"write"} }), "no permission"},
		"short key":          {with(func(k *APIKey) { k.Key = "short" }), "at least 16"},
		"no key":             {with(func(k *APIKey) { k.Key = "" }), "either key or sha256"},
		"both":               {with(func(k *APIKey) { k.SHA256 = "00" }), "either key or sha256"},
		"bad hash":           {with(func(k *APIKey) { k.Key, k.SHA256 = "", "zz" }), "64 hexadecimal"},
		"short secret":       {AuthConfig{JWT: &JWTConfig{Secret: "short"}}, "at least 32"},
		"no JWT key":         {AuthConfig{JWT: &JWTConfig{}}, "no key"},
		"no such file":       {AuthConfig{JWT: &JWTConfig{JWKSFile: "/does/not/exist"}}, "JWKS file"},
		"plain JWKS URL":     {AuthConfig{JWT: &JWTConfig{JWKSURL: "http://example.com/jwks"}}, "https"},
	} {
		if _, err := NewAuth(c.config); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
	}
}

func TestJobPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		pattern, id string
		want        bool
	}{
		{"*", "", true}, {"*", "anything/at all", true}, {"job-42", "job-42", true}, {"job-42", "job-421", false},
		{"team-*", "team-", true}, {"team-*", "steam-1", false}, {"*-prod", "a-prod", true}, {"*-prod", "a-prod-b", false},
		{"a*b*c", "aXXbYYc", true}, {"a*b*c", "abbbc", true}, {"a*b*c", "acb", false}, {"**x", "x", true},
		{"", "", true}, {"", "a", false}, {"a?", "ab", false}, {"*ab*ab*", "aab-aab", true},
	} {
		if got := matches(c.pattern, c.id); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.pattern, c.id, got)
		}
	}
	// A hostile pattern takes no more than its length times the ID's.
	if matches(strings.Repeat("*a", 500)+"b", strings.Repeat("a", 255)) {
		t.Error("matches what it should not")
	}
}

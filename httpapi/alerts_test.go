package httpapi

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"tidings/alert"
	"tidings/monitor"
	"tidings/pebblelog"
)

// serveAlerts starts a server whose built-in rules are evaluated.
func serveAlerts(t *testing.T, auth *Auth) *api {
	t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	store, err := pebblelog.Open(t.TempDir(), &pebblelog.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	state, err := monitor.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	config := alert.DefaultConfig()
	config.Every = time.Second
	alerts, err := alert.Start(t.Context(), alert.Options{State: state, Config: config, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(alerts.Stop)
	m, err := monitor.Start(t.Context(), store, &monitor.Options{State: state, Observer: alerts, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return serveStore(t, store, store, &Options{Monitor: m, Alerts: alerts, Auth: auth})
}

// awaitText asks until the answer holds the text.
func (a *api) awaitText(path, text string) *answer {
	a.t.Helper()
	var got *answer
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if got = a.do("GET", path, ""); strings.Contains(got.body, text) {
			return got
		}
	}
	a.t.Fatalf("within a minute %s has not said %s: %s", path, text, got.body)
	return nil
}

// fits fails the test unless the answer is as openapi.json says.
func fits(t *testing.T, got *answer, method, route string) {
	t.Helper()
	doc := openAPIDocument(t)
	responses := doc["paths"].(object)[route].(object)[method].(object)["responses"].(object)
	status := "200"
	if got.status == http.StatusCreated {
		status = "201"
	}
	schema := resolve(doc, responses[status])["content"].(object)["application/json"].(object)["schema"]
	for _, fault := range faults(doc, schema, any(got.members(t)), "") {
		t.Errorf("%s: %s\n%s", route, fault, got.body)
	}
}

func TestAlertsOverHTTP(t *testing.T) {
	t.Parallel()
	a := serveAlerts(t, nil)
	wantStatus(t, a.do("POST", "/v1/jobs/j/events", `{"event_type":"error","data":{"error":"it broke","fatal":true}}`), http.StatusCreated)
	got := a.awaitText("/v1/alerts?state=firing", `"rule":"job_failed"`)
	fits(t, got, "get", "/v1/alerts")
	fits(t, a.awaitText("/v1/alerts?job=j", `"job_id":"j"`), "get", "/v1/alerts")
	if got := a.do("GET", "/v1/alerts?job=other", ""); !strings.Contains(got.body, `"alerts":[]`) {
		t.Error(got.body)
	}
	fits(t, a.awaitText("/v1/alerts/rules", `"name":"watchdog"`), "get", "/v1/alerts/rules")
	fits(t, a.awaitText("/v1/alerts/history?job=j", `"state":"firing"`), "get", "/v1/alerts/history")
	fits(t, a.do("GET", "/v1/alerts/notifications", ""), "get", "/v1/alerts/notifications")
	a.awaitText("/metrics", `tidings_alerts{rule="watchdog",severity="info",state="firing"} 1`)
	wantProblem(t, a.do("GET", "/v1/alerts?state=burning", ""), http.StatusBadRequest, "invalid")
	wantProblem(t, a.do("GET", "/v1/alerts/history?limit=0", ""), http.StatusBadRequest, "invalid")
}

func TestSilencesOverHTTP(t *testing.T) {
	t.Parallel()
	a := serveAlerts(t, nil)
	made := a.do("POST", "/v1/alerts/silences", `{"matchers":["alertname=\"watchdog\"","severity=~\"info|warning\""],"duration_ms":60000,"created_by":"me","comment":"known"}`)
	wantStatus(t, made, http.StatusCreated)
	fits(t, made, "post", "/v1/alerts/silences")
	id := made.members(t)["id"].(string)
	fits(t, a.awaitText("/v1/alerts/silences", `"state":"active"`), "get", "/v1/alerts/silences")
	a.awaitText("/v1/alerts", `"silenced_by":["`+id+`"]`)
	wantStatus(t, a.do("DELETE", "/v1/alerts/silences/"+id, ""), http.StatusNoContent)
	a.awaitText("/v1/alerts/silences", `"state":"expired"`)
	a.awaitText("/v1/alerts", `"suppressed":0`)
	wantProblem(t, a.do("DELETE", "/v1/alerts/silences/"+id, ""), http.StatusNotFound, "unknown-silence")
	for _, body := range []string{`{}`, `{"matchers":[]}`, `{"matchers":["x"],"duration_ms":1}`, `{"matchers":["a=b"]}`, `{"matchers":["a=b"],"duration_ms":-1}`, `{"matchers":["a=~\"(\""],"duration_ms":1000}`,
		`{"matchers":["x=~\".*\""],"duration_ms":1000}`, `{"matchers":["a=b"],"duration_ms":9223372036854775807}`, `{"matchers":"a=b"}`, `{"who":1}`, `[]`} {
		if got := a.do("POST", "/v1/alerts/silences", body); got.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", body, got.status, got.body)
		}
	}
}

// Who may read some jobs alone learns of the alerts of those, and the author of a
// silence is who calls.
func TestWhoMaySeeAlerts(t *testing.T) {
	t.Parallel()
	auth, err := NewAuth(AuthConfig{Keys: []APIKey{
		{Name: "some", Key: "some-key-of-16-bytes", Permissions: []Permission{Read}, Jobs: []string{"mine-*"}},
		{Name: "reader", Key: "reader-key-of-16-bytes", Permissions: []Permission{Read}},
		{Name: "boss", Key: "boss-key-of-16-bytes", Permissions: []Permission{Admin}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	a := serveAlerts(t, auth)
	as := func(name, method, path, body string) *answer {
		return a.do(method, path, body, "Authorization", "Bearer "+name+"-key-of-16-bytes")
	}
	wantStatus(t, as("some", "GET", "/v1/alerts", ""), http.StatusForbidden)
	wantStatus(t, as("some", "GET", "/v1/alerts?job=theirs", ""), http.StatusForbidden)
	wantStatus(t, as("some", "GET", "/v1/alerts?job=mine-1", ""), http.StatusOK)
	wantStatus(t, as("some", "GET", "/v1/alerts/history", ""), http.StatusForbidden)
	wantStatus(t, as("reader", "GET", "/v1/alerts", ""), http.StatusOK)
	wantStatus(t, a.do("GET", "/v1/alerts", ""), http.StatusUnauthorized)
	silence := `{"matchers":["a=b"],"duration_ms":60000,"created_by":"someone else"}`
	wantStatus(t, as("reader", "POST", "/v1/alerts/silences", silence), http.StatusForbidden)
	if got := as("boss", "POST", "/v1/alerts/silences", silence); got.members(t)["created_by"] != "boss" {
		t.Error(got.body)
	}
}

func TestServerWithoutAlerts(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	for _, path := range []string{"/v1/alerts", "/v1/alerts?job=j", "/v1/alerts/rules", "/v1/alerts/history", "/v1/alerts/silences", "/v1/alerts/notifications"} {
		wantProblem(t, a.do("GET", path, ""), http.StatusNotFound, "no-alerts")
	}
}

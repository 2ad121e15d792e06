package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/alert"
	"tidings/notify/webhook"
)

// receiver is a process that takes notices, as far as HTTP is concerned.
type receiver struct {
	requests []*http.Request
	bodies   [][]byte
	status   int
	header   http.Header
}

func (rc *receiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	rc.requests, rc.bodies = append(rc.requests, r), append(rc.bodies, body)
	for k, v := range rc.header {
		w.Header()[k] = v
	}
	w.WriteHeader(rc.status)
}

var local = alert.Guard{All: true}

func notice() *alert.Notice {
	at := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	later := at.Add(time.Minute)
	value := 3.0
	labels := func(job string) map[string]string {
		return map[string]string{"alertname": "loop", "severity": "warning", "name": "report", "job_id": job}
	}
	return &alert.Notice{ID: "msg_1", Receiver: "ops", GroupKey: `ops/{}:{alertname="loop"}`, GroupLabels: map[string]string{"alertname": "loop"},
		Reason: alert.ReasonFirst, At: later, PanelURL: "https://tidings.example.com", Truncated: 2,
		Alerts: []alert.Alert{
			{ID: "a1", Rule: "loop", Severity: "warning", State: alert.Firing, JobID: "job/42", EventID: tidings.ID{Ms: 7, Seq: 1}, Labels: labels("job/42"), Summary: "it loops", Value: &value, Since: at, FiredAt: &at},
			{ID: "a2", Rule: "loop", Severity: "warning", State: alert.Resolved, JobID: "j2", Labels: labels("j2"), Summary: "it loops", Since: at, FiredAt: &at, ResolvedAt: &later},
		}}
}

// The body is Alertmanager's, version 4, member by member.
func TestAlertmanagerBody(t *testing.T) {
	t.Parallel()
	rc := &receiver{status: http.StatusOK}
	web := httptest.NewServer(rc)
	defer web.Close()
	n, err := webhook.New(webhook.Options{URL: web.URL, Client: local.Client(time.Minute), Headers: map[string]string{"Authorization": "Bearer x"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Notify(t.Context(), notice()); err != nil {
		t.Fatal(err)
	}
	var got, want any
	if err := json.Unmarshal(rc.bodies[0], &got); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal([]byte(`{"version":"4","groupKey":"ops/{}:{alertname=\"loop\"}","truncatedAlerts":2,"receiver":"ops","status":"firing",
		"alerts":[
		  {"status":"firing","labels":{"alertname":"loop","severity":"warning","name":"report","job_id":"job/42"},"annotations":{"summary":"it loops","value":"3"},
		   "startsAt":"2026-11-24T09:00:00Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"https://tidings.example.com/jobs/job%2F42?event=7-1","fingerprint":"a1"},
		  {"status":"resolved","labels":{"alertname":"loop","severity":"warning","name":"report","job_id":"j2"},"annotations":{"summary":"it loops"},
		   "startsAt":"2026-11-24T09:00:00Z","endsAt":"2026-11-24T09:01:00Z","generatorURL":"https://tidings.example.com/jobs/j2","fingerprint":"a2"}],
		"groupLabels":{"alertname":"loop"},"commonLabels":{"alertname":"loop","severity":"warning","name":"report"},"commonAnnotations":{"summary":"it loops"},
		"externalURL":"https://tidings.example.com"}`), &want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	h := rc.requests[0].Header
	if h.Get("Webhook-Id") != "msg_1" || h.Get("Webhook-Timestamp") == "" || h.Get("Webhook-Signature") != "" || h.Get("Authorization") != "Bearer x" || h.Get("Content-Type") != "application/json" {
		t.Errorf("headers %v", h)
	}
}

// A receiver can check who sent it, by either secret while they are rotated.
func TestStandardWebhooks(t *testing.T) {
	t.Parallel()
	rc := &receiver{status: http.StatusNoContent}
	web := httptest.NewServer(rc)
	defer web.Close()
	secrets := [][]byte{[]byte("an old secret of 24 bytes"), []byte("a new secret of 24 bytes!")}
	opts := webhook.Options{URL: web.URL, Format: webhook.FormatStandard, Client: local.Client(time.Minute)}
	for _, s := range secrets {
		opts.Secrets = append(opts.Secrets, "whsec_"+base64.StdEncoding.EncodeToString(s))
	}
	n, err := webhook.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := n.Notify(t.Context(), notice()); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range rc.requests {
		signatures := strings.Fields(r.Header.Get("Webhook-Signature"))
		if len(signatures) != 2 || r.Header.Get("Webhook-Id") != "msg_1" {
			t.Fatalf("headers %v", r.Header)
		}
		for j, secret := range secrets {
			mac := hmac.New(sha256.New, secret)
			mac.Write([]byte("msg_1." + r.Header.Get("Webhook-Timestamp") + "."))
			mac.Write(rc.bodies[i])
			if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); signatures[j] != want {
				t.Errorf("signature %s, want %s", signatures[j], want)
			}
		}
	}
	var body struct {
		Type string
		Data alert.Payload
	}
	if err := json.Unmarshal(rc.bodies[0], &body); err != nil || body.Type != "alert.firing" || len(body.Data.Alerts) != 2 {
		t.Errorf("%v %s", err, rc.bodies[0])
	}
}

// What a receiver answers says whether it is to be tried again.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status    int
		after     string
		permanent bool
		wait      time.Duration
	}{
		{500, "", false, 0}, {502, "", false, 0}, {503, "7", false, 7 * time.Second}, {429, "30", false, 30 * time.Second}, {408, "", false, 0},
		{400, "", true, 0}, {404, "", true, 0}, {410, "", true, 0}, {302, "", true, 0},
	} {
		rc := &receiver{status: c.status, header: http.Header{"Retry-After": {c.after}, "Location": {"/elsewhere"}}}
		web := httptest.NewServer(rc)
		n, err := webhook.New(webhook.Options{URL: web.URL, Client: local.Client(time.Minute)})
		if err != nil {
			t.Fatal(err)
		}
		err = n.Notify(t.Context(), notice())
		e, ok := err.(*alert.DeliveryError)
		if !ok || e.Permanent != c.permanent || e.RetryAfter != c.wait || len(rc.requests) != 1 {
			t.Errorf("%d: %#v after %d requests", c.status, err, len(rc.requests))
		}
		web.Close()
	}
}

func TestPrivateNetworksAreRefused(t *testing.T) {
	t.Parallel()
	rc := &receiver{status: http.StatusOK}
	web := httptest.NewServer(rc)
	defer web.Close()
	for _, url := range []string{web.URL, strings.Replace(web.URL, "127.0.0.1", "localhost", 1), "http://[::ffff:127.0.0.1]/"} {
		n, err := webhook.New(webhook.Options{URL: url})
		if err != nil {
			t.Fatal(err)
		}
		if err := n.Notify(t.Context(), notice()); err == nil || !strings.Contains(err.Error(), "private network") {
			t.Errorf("%s: %v", url, err)
		}
	}
	if len(rc.requests) != 0 {
		t.Error("it was reached")
	}
}

func TestWrongOptions(t *testing.T) {
	t.Parallel()
	for want, opts := range map[string]webhook.Options{
		"url is missing": {}, "24 to 64 bytes": {URL: "http://x", Secrets: []string{"whsec_c2hvcnQ="}}, "must be whsec_": {URL: "http://x", Secrets: []string{"secret"}},
		"set by Tidings": {URL: "http://x", Headers: map[string]string{"webhook-id": "x"}}, `format "xml"`: {URL: "http://x", Format: "xml"},
	} {
		if _, err := webhook.New(opts); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

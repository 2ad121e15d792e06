package app_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/app"
	"tidings/internal/redistest"
)

// inbox is a receiver of webhooks.
type inbox struct {
	*httptest.Server

	mu      sync.Mutex
	down    bool
	ids     []string // of every attempt that it took
	notices []string // "status alertname …", without those that came twice
}

func newInbox(t testing.TB) *inbox {
	in := &inbox{}
	in.Server = httptest.NewServer(http.HandlerFunc(in.serve))
	t.Cleanup(in.Close)
	return in
}

func (in *inbox) serve(w http.ResponseWriter, r *http.Request) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.down {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	var body struct {
		Status string
		Alerts []struct{ Labels, Annotations map[string]string }
	}
	raw, _ := io.ReadAll(r.Body)
	if err := json.Unmarshal(raw, &body); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	id := r.Header.Get("Webhook-Id")
	if !slices.Contains(in.ids, id) {
		text := body.Status
		for _, a := range body.Alerts {
			text += " " + a.Labels["alertname"] + "/" + a.Labels["job_id"]
		}
		in.notices = append(in.notices, text)
	}
	in.ids = append(in.ids, id)
}

func (in *inbox) set(down bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.down = down
}

func (in *inbox) got() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Clone(in.notices)
}

// await waits until the inbox has so many notices.
func (in *inbox) await(t testing.TB, n int) []string {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if len(in.got()) >= n {
			return in.got()
		}
	}
	t.Fatalf("within a minute came %v, not %d", in.got(), n)
	return nil
}

func rulesFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	writeFile(t, path, text)
	return path
}

func writeFile(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const fastRules = `
builtin: false
every: 1s
allow_private: [127.0.0.0/8, "::1/128"]
rules:
  - {name: job_failed}
  - {name: loop, keep_firing_for: 0s}
receivers:
  - {name: ops, webhook: {url: %q}}
route: {group_by: [alertname, job_id], group_wait: 0s, group_interval: 1s}
`

const loopingJob = `{"event_type":"tool_call","data":{"tool":"search","call_id":"a","input":{"q":1}}}
{"event_type":"tool_call","data":{"tool":"search","call_id":"b","input":{"q":1}}}
{"event_type":"tool_call","data":{"tool":"search","call_id":"c","input":{"q":1}}}`

func publish(t testing.TB, a *app.App, job, lines string) {
	t.Helper()
	r, _ := http.NewRequestWithContext(t.Context(), "POST", a.URL()+"/v1/jobs/"+job+"/events", strings.NewReader(lines))
	r.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatal(resp.Status)
	}
}

// A failed job and one in a loop reach a webhook, on both stores, and a restart
// tells nothing again.
func TestAlertsReachAWebhookOnce(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(t *testing.T) app.Config{
		"embedded": func(t *testing.T) app.Config { return app.Config{DataDir: t.TempDir()} },
		"redis":    func(t *testing.T) app.Config { return app.Config{RedisURL: redistest.Server(t).URL()} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in := newInbox(t)
			c := config(t)
			c.RulesFile = rulesFile(t, fmt.Sprintf(fastRules, in.URL))
			a := start(t, c)
			publish(t, a, "broken", brokenJob)
			in.await(t, 1)
			publish(t, a, "looping", loopingJob)
			if got := in.await(t, 2); got[0] != "firing job_failed/broken" || got[1] != "firing loop/looping" {
				t.Error(got)
			}
			await(t, a.URL()+"/v1/alerts?state=firing&job=looping", `"summary":"job looping called search with the same input 3 times in a row"`)
			await(t, a.URL()+"/v1/alerts/notifications", `"outbox":[]`)
			if err := a.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
			a = start(t, c)
			await(t, a.URL()+"/v1/alerts", `"firing":2`)
			publish(t, a, "looping", `{"event_type":"done","data":{}}`)
			if got := in.await(t, 3); got[2] != "resolved loop/looping" || len(got) != 3 {
				t.Error(got)
			}
			await(t, a.URL()+"/v1/alerts/history", `"state":"resolved"`)
			await(t, a.URL()+"/metrics", `tidings_alerts{rule="job_failed",severity="warning",state="firing"} 1`)
		})
	}
}

// Of two servers over one Redis one tells people; when it goes, the other goes on
// where it was, and nobody hears anything twice. Both show the same.
func TestAlertsMoveToAnotherNode(t *testing.T) {
	t.Parallel()
	in := newInbox(t)
	c := app.Config{RedisURL: redistest.Server(t).URL(), RulesFile: rulesFile(t, fmt.Sprintf(fastRules, in.URL))}
	one, two := start(t, c), start(t, c)
	publish(t, two, "a", brokenJob)
	in.await(t, 1)
	for _, a := range []*app.App{one, two} {
		await(t, a.URL()+"/v1/alerts", `"job_id":"a"`)
	}
	if status, body := call(t, http.DefaultClient, "POST", two.URL()+"/v1/alerts/silences", `{"matchers":["job_id=b"],"duration_ms":3600000}`); status != http.StatusCreated {
		t.Fatal(body)
	}
	if err := one.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	await(t, two.URL()+"/v1/stats", `"leader":true`)
	publish(t, two, "b", brokenJob)
	await(t, two.URL()+"/v1/alerts?job=b", `"silenced_by":["`)
	publish(t, two, "c", brokenJob)
	if got := in.await(t, 2); !slices.Equal(got, []string{"firing job_failed/a", "firing job_failed/c"}) {
		t.Error(got)
	}
}

// A receiver that is down loses nothing, gets nothing twice, and in order.
func TestReceiverThatIsDown(t *testing.T) {
	t.Parallel()
	in := newInbox(t)
	a := start(t, app.Config{RulesFile: rulesFile(t, fmt.Sprintf(fastRules, in.URL))})
	in.set(true)
	for i, job := range []string{"a", "b", "c"} {
		publish(t, a, job, brokenJob)
		await(t, a.URL()+"/metrics", fmt.Sprintf(`tidings_alert_outbox{receiver="ops"} %d`, i+1))
	}
	await(t, a.URL()+"/v1/alerts/notifications", `503 Service Unavailable`)
	in.set(false)
	if got := in.await(t, 3); !slices.Equal(got, []string{"firing job_failed/a", "firing job_failed/b", "firing job_failed/c"}) {
		t.Error(got)
	}
	await(t, a.URL()+"/v1/alerts/notifications", `"outbox":[]`)
	if len(in.ids) != 3 {
		t.Errorf("it came %d times: %v", len(in.ids), in.ids)
	}
}

// A file that becomes wrong changes nothing, and is told; one that is wrong at the
// start keeps the server from starting.
func TestRulesFileThatIsWrong(t *testing.T) {
	t.Parallel()
	in := newInbox(t)
	file := rulesFile(t, fmt.Sprintf(fastRules, in.URL))
	a := start(t, app.Config{RulesFile: file})
	writeFile(t, file, "rules: [{name: x}]")
	if err := a.ReloadRules(); err == nil || !strings.Contains(err.Error(), "rules.yaml:1:9: rule x needs expr") {
		t.Error(err)
	}
	await(t, a.URL()+"/v1/alerts/rules", `rule x needs expr`)
	await(t, a.URL()+"/metrics", `tidings_alert_rules_loaded 0`)
	publish(t, a, "a", brokenJob)
	in.await(t, 1)
	if _, err := app.Start(t.Context(), app.Config{Addr: "127.0.0.1:0", DataDir: t.TempDir(), RulesFile: file, LogOutput: io.Discard}); err == nil || !strings.Contains(err.Error(), "rules.yaml:1:9") {
		t.Error(err)
	}
}

// What is wrong with a receiver is told with its line; a secret may stand in the
// environment.
func TestReceiversOfARulesFile(t *testing.T) {
	t.Setenv("TEST_ALERT_URL", "https://hooks.example.com/x")
	for text, want := range map[string]string{
		`slack: {url: "${TEST_ALERT_URL}"}`:                             "",
		`webhook: {url: "${TEST_ALERT_URL}", headers: {a: b}}`:          "",
		`alertmanager: {url: "http://192.168.0.1:9093"}`:                "192.168.0.1 is in a private network",
		`webhook: {url: "${TEST_ALERT_NOT_SET}"}`:                       "the environment variable TEST_ALERT_NOT_SET is not set",
		`webhook: {url: "https://example.com", secrets: [x]}`:           "a secret must be whsec_",
		`webhook: {url: "https://example.com", secert: [x]}`:            "field secert not found",
		`email: {server: "smtp.example.com:587", from: a, to: []}`:      `from "a" is no address`,
		`email: {server: "smtp.example.com:587", from: a@b, to: [c@d]}`: "",
	} {
		_, err := app.CheckRules(rulesFile(t, "receivers:\n  - name: ops\n    "+text+"\n"))
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "rules.yaml:2:")) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

// The rules file that the documentation shows is right.
func TestRulesOfTheDocumentation(t *testing.T) {
	for name, value := range map[string]string{"SLACK_URL": "https://hooks.example.com/x", "HOOK_SECRET": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz", "SMTP_PASSWORD": "p"} {
		t.Setenv(name, value)
	}
	doc, err := os.ReadFile("../docs/alerts.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, part := range strings.Split(string(doc), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(part, "```")
		if _, err := app.CheckRules(rulesFile(t, text)); err != nil {
			t.Errorf("example %d: %v", i+1, err)
		}
	}
}

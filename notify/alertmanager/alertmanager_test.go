package alertmanager_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings/alert"
	"tidings/notify/alertmanager"
)

func notice(resolved bool) *alert.Notice {
	at := time.Now().Add(-time.Minute).UTC().Truncate(time.Millisecond)
	a := alert.Alert{ID: "1", Rule: "loop", State: alert.Firing, Severity: alert.Warning, JobID: "j", Since: at, Summary: "it loops",
		Labels: map[string]string{"alertname": "loop", "severity": "warning", "job_id": "j"}}
	if resolved {
		now := time.Now().UTC()
		a.State, a.ResolvedAt = alert.Resolved, &now
	}
	return &alert.Notice{ID: "msg_1", Alerts: []alert.Alert{a}, PanelURL: "https://t.example.com"}
}

func notifier(t *testing.T, url string) *alertmanager.Notifier {
	t.Helper()
	n, err := alertmanager.New(alertmanager.Options{URL: url, Client: alert.Guard{All: true}.Client(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWhatIsPosted(t *testing.T) {
	t.Parallel()
	var path string
	var list []struct {
		Labels, Annotations map[string]string
		StartsAt, EndsAt    time.Time
		GeneratorURL        string
	}
	web := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		path, list = r.URL.Path, nil
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
			t.Error(err)
		}
	}))
	defer web.Close()
	if err := notifier(t, web.URL+"/am/").Notify(t.Context(), notice(false)); err != nil {
		t.Fatal(err)
	}
	if path != "/am/api/v2/alerts" || len(list) != 1 || list[0].Annotations["summary"] != "it loops" || list[0].GeneratorURL != "https://t.example.com/jobs/j" {
		t.Errorf("%s %+v", path, list)
	}
	if !list[0].EndsAt.After(time.Now().Add(alertmanager.Resend)) {
		t.Errorf("it would be taken for resolved at %s, before it is told again", list[0].EndsAt)
	}
	if err := notifier(t, web.URL).Notify(t.Context(), notice(true)); err != nil || list[0].EndsAt.After(time.Now()) {
		t.Error(err, list)
	}
}

// The real Alertmanager shows what it was told.
func TestRealAlertmanager(t *testing.T) {
	t.Parallel()
	bin, err := exec.LookPath("prometheus-alertmanager")
	if err != nil {
		t.Skip("prometheus-alertmanager is not installed (Debian's package of that name)")
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	if err := os.WriteFile(config, []byte("route: {receiver: none}\nreceivers: [{name: none}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	addr := freeAddr(t)
	cmd := exec.CommandContext(t.Context(), bin, "--config.file="+config, "--storage.path="+dir, "--web.listen-address="+addr, "--cluster.listen-address=")
	cmd.Dir = dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	url := "http://" + addr
	await(t, url+"/-/ready", "")
	n := notifier(t, url)
	if err := n.Notify(t.Context(), notice(false)); err != nil {
		t.Fatal(err)
	}
	await(t, url+"/api/v2/alerts", `"summary":"it loops"`)
	if err := n.Notify(t.Context(), notice(true)); err != nil {
		t.Fatal(err)
	}
	await(t, url+"/api/v2/alerts", "[]\n")
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// await polls until the answer holds the text.
func await(t *testing.T, url, want string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		resp, err := http.Get(url)
		if err != nil {
			last = err.Error()
			continue
		}
		body := new(strings.Builder)
		_, _ = fmt.Fprint(body, readAll(resp))
		last = body.String()
		if resp.StatusCode == http.StatusOK && strings.Contains(last, want) {
			return
		}
	}
	t.Fatalf("within a minute %s has not said %q: %s", url, want, last)
}

func readAll(resp *http.Response) string {
	defer resp.Body.Close()
	var out strings.Builder
	buffer := make([]byte, 4096)
	for {
		n, err := resp.Body.Read(buffer)
		out.Write(buffer[:n])
		if err != nil {
			return out.String()
		}
	}
}

func TestPrivateNetworksAreRefused(t *testing.T) {
	t.Parallel()
	n, err := alertmanager.New(alertmanager.Options{URL: "http://10.0.0.1:9093"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Notify(t.Context(), notice(false)); err == nil || !strings.Contains(err.Error(), "private network") {
		t.Error(err)
	}
}

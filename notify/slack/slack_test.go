package slack_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings/alert"
	"tidings/notify/slack"
)

type block struct {
	Type string
	Text struct{ Type, Text string }
}

type message struct {
	Text   string
	Blocks []block
}

// send tells a receiver that answers with a status.
func send(t *testing.T, notice *alert.Notice, status int) error {
	t.Helper()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(status)
	}))
	defer web.Close()
	n, err := slack.New(slack.Options{URL: web.URL, Client: alert.Guard{All: true}.Client(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	return n.Notify(t.Context(), notice)
}

func notice(n int, state string) *alert.Notice {
	out := &alert.Notice{ID: "msg_1", GroupLabels: map[string]string{"alertname": "loop", "name": "report"}, PanelURL: "https://t.example.com"}
	for range n {
		out.Alerts = append(out.Alerts, alert.Alert{Rule: "loop", State: state, Severity: alert.Critical, JobID: "j", Summary: "says <!channel> & <b>"})
	}
	return out
}

func texts(m message) (out []string) {
	for _, b := range m.Blocks {
		out = append(out, b.Text.Text)
	}
	return out
}

// What an event says is no markup, and mentions nobody.
func TestMessage(t *testing.T) {
	t.Parallel()
	web := make(chan message, 1)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m message
		_ = json.NewDecoder(r.Body).Decode(&m)
		web <- m
	}))
	defer server.Close()
	n, err := slack.New(slack.Options{URL: server.URL, Client: alert.Guard{All: true}.Client(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		notice *alert.Notice
		want   []string
	}{
		{notice(1, alert.Firing), []string{"*FIRING: loop, report*", ":red_circle: says &lt;!channel&gt; &amp; &lt;b&gt;  <https://t.example.com/jobs/j|View>"}},
		{notice(1, alert.Resolved), []string{"*RESOLVED: loop, report*", ":large_green_circle: says &lt;!channel&gt; &amp; &lt;b&gt;  <https://t.example.com/jobs/j|View>"}},
	} {
		if err := n.Notify(t.Context(), c.notice); err != nil {
			t.Fatal(err)
		}
		m := <-web
		if diff := cmp.Diff(c.want, texts(m)); diff != "" || m.Text == "" {
			t.Error(diff)
		}
	}
	if err := n.Notify(t.Context(), notice(8, alert.Firing)); err != nil {
		t.Fatal(err)
	}
	m := <-web
	if got := texts(m); len(got) != 7 || got[0] != "*FIRING: loop, report (8)*" || got[6] != "and 3 more: <https://t.example.com/alerts|all alerts>" {
		t.Error(got)
	}
}

// Slack asks to wait after one message a second.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	err := send(t, notice(1, alert.Firing), http.StatusTooManyRequests)
	if e, ok := err.(*alert.DeliveryError); !ok || e.Permanent || e.RetryAfter != time.Second {
		t.Errorf("%#v", err)
	}
	if err := send(t, notice(1, alert.Firing), http.StatusNotFound); err == nil || !strings.Contains(err.Error(), "404") {
		t.Error(err)
	}
}

func TestPrivateNetworksAreRefused(t *testing.T) {
	t.Parallel()
	n, err := slack.New(slack.Options{URL: "http://127.0.0.1:9/"})
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Notify(t.Context(), notice(1, alert.Firing)); err == nil || !strings.Contains(err.Error(), "private network") {
		t.Error(err)
	}
}

// Package slack tells a channel of alerts by an incoming webhook of Slack, or of
// what understands the same, such as Mattermost and Rocket.Chat.
package slack

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"tidings/alert"
)

// Options of a [Notifier].
type Options struct {
	URL string
	// MaxItems are listed in a message; the rest is counted. Zero: 5.
	MaxItems int
	// Client connects; nil: that of the zero [alert.Guard], to public networks alone.
	Client *http.Client
}

// Notifier is a channel. Safe for concurrent use.
type Notifier struct {
	opts   Options
	client *http.Client
}

const (
	timeout  = 20 * time.Second
	maxItems = 5
	// maxText is what Slack takes in one block of text, with room for the rest.
	maxText = 2800
)

// New checks the options.
func New(opts Options) (*Notifier, error) {
	if opts.URL == "" {
		return nil, errors.New("url is missing")
	}
	if opts.MaxItems == 0 {
		opts.MaxItems = maxItems
	}
	if opts.MaxItems < 1 || opts.MaxItems > 40 {
		return nil, errors.New("max_items must be 1 to 40")
	}
	n := &Notifier{opts: opts, client: opts.Client}
	if n.client == nil {
		n.client = alert.Guard{}.Client(timeout)
	}
	return n, nil
}

// Notify implements [alert.Notifier]. A message can't be changed later, so that
// alerts are resolved is a message of its own.
func (n *Notifier) Notify(ctx context.Context, notice *alert.Notice) error {
	body, err := json.Marshal(n.message(notice))
	if err != nil {
		return &alert.DeliveryError{Reason: err.Error(), Permanent: true}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.opts.URL, bytes.NewReader(body))
	if err != nil {
		return &alert.DeliveryError{Reason: err.Error(), Permanent: true}
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := n.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return alert.CheckResponse(resp)
}

type message struct {
	Text   string  `json:"text"` // where blocks are not shown
	Blocks []block `json:"blocks"`
}

type block struct {
	Type string `json:"type"`
	Text *text  `json:"text,omitempty"`
}

type text struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

func section(s string) block {
	return block{Type: "section", Text: &text{Type: "mrkdwn", Text: s}}
}

var marks = map[string]string{alert.Critical: ":red_circle:", alert.Warning: ":large_orange_circle:", alert.Info: ":large_blue_circle:"}

func (n *Notifier) message(notice *alert.Notice) message {
	title := titleOf(notice)
	m := message{Text: escape(title), Blocks: []block{section("*" + escape(title) + "*")}}
	shown := notice.Alerts[:min(len(notice.Alerts), n.opts.MaxItems)]
	for i := range shown {
		a := &shown[i]
		mark := marks[a.Severity]
		if a.State == alert.Resolved {
			mark = ":large_green_circle:"
		}
		m.Blocks = append(m.Blocks, section(fmt.Sprintf("%s %s  <%s|View>", mark, escape(clip(a.Summary)), notice.Link(a))))
	}
	if more := len(notice.Alerts) - len(shown) + notice.Truncated; more > 0 {
		m.Blocks = append(m.Blocks, section(fmt.Sprintf("and %d more: <%s/alerts|all alerts>", more, notice.PanelURL)))
	}
	return m
}

// titleOf says what it is about: "FIRING: loop, report (3)".
func titleOf(notice *alert.Notice) string {
	state := "RESOLVED"
	if notice.Firing() {
		state = "FIRING"
	}
	what := []string{}
	for _, label := range []string{"alertname", "name", "tool", "queue"} {
		if v := notice.GroupLabels[label]; v != "" {
			what = append(what, v)
		}
	}
	if len(what) == 0 && len(notice.Alerts) > 0 {
		what = []string{notice.Alerts[0].Rule}
	}
	title := state + ": " + strings.Join(what, ", ")
	if n := len(notice.Alerts) + notice.Truncated; n > 1 {
		title += fmt.Sprintf(" (%d)", n)
	}
	return title
}

// escape keeps what an event says from being markup: Slack asks for these three.
// What mentions people, <!channel>, needs the brackets.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

func clip(s string) string {
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") + "…"
}

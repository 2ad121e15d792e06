// Package alertmanager hands alerts to a Prometheus Alertmanager, by its API
// version 2, which then groups, silences and tells people itself.
package alertmanager

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"tidings/alert"
)

// Resend is how often an Alertmanager wants to hear of an alert that fires: the
// route's repeat interval for such a receiver.
const Resend = time.Minute

// keepFor is when an Alertmanager takes an alert for resolved that it hears of no
// more: after three notices that did not get through.
const keepFor = 4 * Resend

// Options of a [Notifier].
type Options struct {
	// URL of the Alertmanager, as http://alertmanager:9093; the API's path is added.
	URL string
	// Headers are sent along, such as Authorization.
	Headers map[string]string
	// Client connects; nil: that of the zero [alert.Guard], to public networks alone.
	Client *http.Client
}

// Notifier is an Alertmanager. Safe for concurrent use.
type Notifier struct {
	opts   Options
	client *http.Client
}

const timeout = 20 * time.Second

// New checks the options.
func New(opts Options) (*Notifier, error) {
	if opts.URL == "" {
		return nil, errors.New("url is missing")
	}
	n := &Notifier{opts: opts, client: opts.Client}
	if n.client == nil {
		n.client = alert.Guard{}.Client(timeout)
	}
	return n, nil
}

// posted is an alert as the API takes it.
type posted struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
}

// Notify implements [alert.Notifier].
func (n *Notifier) Notify(ctx context.Context, notice *alert.Notice) error {
	list := []posted{}
	for i := range notice.Alerts {
		a := &notice.Alerts[i]
		// By the time of the attempt: a notice that waited says what holds until the next.
		ends := time.Now().UTC().Add(keepFor)
		if a.ResolvedAt != nil {
			ends = *a.ResolvedAt
		}
		list = append(list, posted{Labels: a.Labels, Annotations: alert.Annotations(a), StartsAt: a.Since, EndsAt: ends, GeneratorURL: notice.Link(a)})
	}
	body, err := json.Marshal(list)
	if err != nil {
		return &alert.DeliveryError{Reason: err.Error(), Permanent: true}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(n.opts.URL, "/")+"/api/v2/alerts", bytes.NewReader(body))
	if err != nil {
		return &alert.DeliveryError{Reason: err.Error(), Permanent: true}
	}
	for name, value := range n.opts.Headers {
		r.Header.Set(name, value)
	}
	r.Header.Set("Content-Type", "application/json")
	resp, err := n.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return alert.CheckResponse(resp)
}

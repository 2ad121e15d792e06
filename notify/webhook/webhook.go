// Package webhook tells a URL of alerts: Alertmanager's version-4 body, with the
// headers of Standard Webhooks (https://www.standardwebhooks.com).
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tidings/alert"
)

// Formats of the body.
const (
	// FormatAlertmanager is the bare version-4 body.
	FormatAlertmanager = "alertmanager"
	// FormatStandard wraps it as Standard Webhooks recommends: {"type":
	// "alert.firing", "timestamp", "data"}.
	FormatStandard = "standard"
)

// Options of a [Notifier].
type Options struct {
	URL string
	// Secrets sign: "whsec_" and the base64 of 24 to 64 bytes. Several while
	// they are rotated; the receiver accepts any. None: nothing is signed.
	Secrets []string
	// Format of the body; empty: [FormatAlertmanager].
	Format string
	// Headers are sent along, such as Authorization.
	Headers map[string]string
	// Client connects; nil: that of the zero [alert.Guard], to public networks alone.
	Client *http.Client
}

// Notifier is a webhook. Safe for concurrent use.
type Notifier struct {
	opts    Options
	secrets [][]byte
	client  *http.Client
}

const (
	timeout                      = 20 * time.Second
	minSecretBytes, maxSecretLen = 24, 64
)

// reserved are headers that the notifier sets.
var reserved = []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "Content-Type", "Content-Length", "Host"}

// New checks the options.
func New(opts Options) (*Notifier, error) {
	n := &Notifier{opts: opts, client: opts.Client}
	if n.client == nil {
		n.client = alert.Guard{}.Client(timeout)
	}
	if opts.URL == "" {
		return nil, errors.New("url is missing")
	}
	for _, text := range opts.Secrets {
		raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
		if !strings.HasPrefix(text, "whsec_") || err != nil || len(raw) < minSecretBytes || len(raw) > maxSecretLen {
			return nil, errors.New("a secret must be whsec_ and the base64 of 24 to 64 bytes, for example from: echo whsec_$(openssl rand -base64 32)")
		}
		n.secrets = append(n.secrets, raw)
	}
	for name := range opts.Headers {
		for _, own := range reserved {
			if http.CanonicalHeaderKey(name) == own {
				return nil, fmt.Errorf("the header %s is set by Tidings", own)
			}
		}
	}
	switch opts.Format {
	case "", FormatAlertmanager, FormatStandard:
		return n, nil
	}
	return nil, fmt.Errorf("format %q is not %s or %s", opts.Format, FormatAlertmanager, FormatStandard)
}

// Notify implements [alert.Notifier].
func (n *Notifier) Notify(ctx context.Context, notice *alert.Notice) error {
	body, err := json.Marshal(n.body(notice))
	if err != nil {
		return &alert.DeliveryError{Reason: err.Error(), Permanent: true}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, n.opts.URL, bytes.NewReader(body))
	if err != nil {
		return &alert.DeliveryError{Reason: err.Error(), Permanent: true}
	}
	for name, value := range n.opts.Headers {
		r.Header.Set(name, value)
	}
	maps.Copy(r.Header, n.sign(notice.ID, time.Now(), body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Tidings")
	resp, err := n.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return alert.CheckResponse(resp)
}

func (n *Notifier) body(notice *alert.Notice) any {
	if n.opts.Format != FormatStandard {
		return notice.Payload()
	}
	p := notice.Payload()
	return struct {
		Type      string        `json:"type"`
		Timestamp time.Time     `json:"timestamp"`
		Data      alert.Payload `json:"data"`
	}{"alert." + p.Status, notice.At, p}
}

// sign makes the headers of Standard Webhooks. The ID is that of the notice, the
// same for each attempt; the time is that of the attempt, so that a receiver can
// refuse what is replayed.
func (n *Notifier) sign(id string, at time.Time, body []byte) http.Header {
	seconds := strconv.FormatInt(at.Unix(), 10)
	h := http.Header{}
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", seconds)
	var signatures []string
	for _, secret := range n.secrets {
		mac := hmac.New(sha256.New, secret)
		fmt.Fprintf(mac, "%s.%s.%s", id, seconds, body) // a hash never fails
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if len(signatures) > 0 {
		h.Set("Webhook-Signature", strings.Join(signatures, " "))
	}
	return h
}

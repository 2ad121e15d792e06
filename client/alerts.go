package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"

	"tidings"
)

// Alert is one that fires, or will or did: see docs/alerts.md.
type Alert struct {
	ID          string            `json:"id"`
	Rule        string            `json:"rule"`
	Severity    string            `json:"severity"`
	State       string            `json:"state"` // pending, firing, resolved
	JobID       string            `json:"job_id,omitempty"`
	EventID     tidings.ID        `json:"event_id,omitzero"`
	Labels      map[string]string `json:"labels"`
	Summary     string            `json:"summary"`
	Value       *float64          `json:"value,omitempty"`
	Since       time.Time         `json:"since"`
	FiredAt     *time.Time        `json:"fired_at,omitempty"`
	ResolvedAt  *time.Time        `json:"resolved_at,omitempty"`
	SilencedBy  []string          `json:"silenced_by,omitempty"`
	InhibitedBy []string          `json:"inhibited_by,omitempty"`
}

// Alerts lists the alerts of these states; none is all.
func (c *Client) Alerts(ctx context.Context, states ...string) ([]Alert, error) {
	var out struct {
		Alerts []Alert `json:"alerts"`
	}
	err := c.do(ctx, &request{method: http.MethodGet, path: "/v1/alerts", query: url.Values{"state": states}}, &out)
	return out.Alerts, err
}

// Silence keeps people from being told of what it matches.
type Silence struct {
	ID        string    `json:"id,omitempty"`
	Matchers  []string  `json:"matchers"` // as alertname="loop"
	StartsAt  time.Time `json:"starts_at,omitzero"`
	EndsAt    time.Time `json:"ends_at"`
	CreatedBy string    `json:"created_by"`
	Comment   string    `json:"comment"`
	State     string    `json:"state,omitempty"` // pending, active, expired
}

// AddSilence asks for a silence, and gives it as it was made.
func (c *Client) AddSilence(ctx context.Context, s Silence) (made Silence, err error) {
	s.ID, s.State = "", ""
	body, err := json.Marshal(s)
	if err != nil {
		return made, err
	}
	err = c.do(ctx, &request{method: http.MethodPost, path: "/v1/alerts/silences", body: body}, &made)
	return made, err
}

// Silences lists those that hold or will, and those that ended lately.
func (c *Client) Silences(ctx context.Context) ([]Silence, error) {
	var out struct {
		Silences []Silence `json:"silences"`
	}
	err := c.do(ctx, &request{method: http.MethodGet, path: "/v1/alerts/silences"}, &out)
	return out.Silences, err
}

// EndSilence ends a silence now.
func (c *Client) EndSilence(ctx context.Context, id string) error {
	return c.do(ctx, &request{method: http.MethodDelete, path: "/v1/alerts/silences/" + url.PathEscape(id)}, nil)
}

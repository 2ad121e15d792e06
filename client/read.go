package client

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"tidings"
	"tidings/wire"
)

// page is a page of history as the server sends it. The events are kept as they
// came, for wire to read: encoding/json would be free to rewrite their data.
type page struct {
	Events      []json.RawMessage `json:"events"`
	LogLastID   tidings.ID        `json:"log_last_id"`
	FirstID     tidings.ID        `json:"first_id"`
	HasMore     bool              `json:"has_more"`
	Closed      bool              `json:"closed"`
	Incarnation string            `json:"incarnation"`
}

// The largest pages that a server gives.
const (
	maxPageEvents = 10_000
	maxPageBytes  = 8 << 20
	maxPageJobs   = 1000
)

// Read gives one page of a job's history. It implements [tidings.Reader].
func (c *Client) Read(ctx context.Context, jobID string, q tidings.Query) (tidings.Page, error) {
	if err := tidings.ValidateJobID(jobID); err != nil {
		return tidings.Page{}, err
	}
	var in page
	err := c.do(ctx, &request{method: http.MethodGet, path: jobPath(jobID, "events"), query: readQuery(&q), jobID: jobID}, &in)
	if err != nil {
		return tidings.Page{}, err
	}
	return in.public()
}

func readQuery(q *tidings.Query) url.Values {
	v := url.Values{}
	if q.After != (tidings.Cursor{}) {
		v.Set("after", q.After.String())
	}
	if !q.Before.IsZero() {
		v.Set("before", q.Before.String())
	}
	if q.Backward {
		v.Set("order", "desc")
	}
	// More is asked for page by page: a server refuses larger ones.
	setInt(v, "limit", min(q.Limit, maxPageEvents))
	setInt(v, "max_bytes", min(q.MaxBytes, maxPageBytes))
	return v
}

func (p *page) public() (tidings.Page, error) {
	out := tidings.Page{
		Events: make([]tidings.Event, len(p.Events)), More: p.HasMore, First: p.FirstID,
		LastID: p.LogLastID, Incarnation: p.Incarnation, Closed: p.Closed,
	}
	for i, text := range p.Events {
		e, err := wire.ReadEvent(text)
		if err != nil {
			return tidings.Page{}, fmt.Errorf("event %d of the server's answer: %w", i, err)
		}
		out.Events[i] = e
	}
	return out, nil
}

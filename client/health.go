package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"tidings"
)

// Health asks the server whether its store can take appends now, and what it
// warns of. A server that says no is no error: Ready is false then.
func (c *Client) Health(ctx context.Context) (tidings.Health, error) {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	r := &request{method: http.MethodGet, path: "/readyz"}
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return tidings.Health{}, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return tidings.Health{}, c.networkError(ctx, err)
	}
	defer drain(resp.Body)
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxProblemBytes))
	if err != nil {
		return tidings.Health{}, c.networkError(ctx, err)
	}
	var h tidings.Health
	if json.Unmarshal(text, &h) != nil || h.Store == "" {
		return tidings.Health{}, fmt.Errorf("%s answers %d to /readyz, but not as a Tidings server does", c.base, resp.StatusCode)
	}
	return h, nil
}

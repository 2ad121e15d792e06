package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"tidings"
)

// request is one call of the API.
type request struct {
	method   string
	path     string // under the base, escaped
	query    url.Values
	body     []byte            // JSON; nil: none
	producer *tidings.Producer // nil: none
	accept   string            // empty: JSON
	lastID   string            // Last-Event-ID; empty: none
	jobID    string            // for errors
}

// jobPath is the path of a job, or of a part of it if sub names one.
func jobPath(jobID, sub string) string {
	path := "/v1/jobs/" + url.PathEscape(jobID)
	if sub != "" {
		path += "/" + sub
	}
	return path
}

func (c *Client) newRequest(ctx context.Context, r *request) (*http.Request, error) {
	target := c.base + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		body = bytes.NewReader(r.body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, body)
	if err != nil {
		return nil, &tidings.InvalidError{Field: "url", Reason: err.Error()}
	}
	c.setHeaders(req.Header, r)
	return req, nil
}

func (c *Client) setHeaders(h http.Header, r *request) {
	h.Set("User-Agent", c.opts.UserAgent)
	if c.opts.Token != "" {
		h.Set("Authorization", "Bearer "+c.opts.Token)
	}
	h.Set("Accept", "application/json")
	if r.accept != "" {
		h.Set("Accept", r.accept)
		h.Set("Accept-Encoding", "identity") // compression would hold events back
	}
	if r.body != nil {
		h.Set("Content-Type", "application/json")
	}
	if r.lastID != "" {
		h.Set("Last-Event-ID", r.lastID)
	}
	if p := r.producer; p != nil {
		h.Set("Producer-Id", p.ID)
		h.Set("Producer-Epoch", strconv.FormatInt(p.Epoch, 10))
		h.Set("Producer-Seq", strconv.FormatInt(p.Seq, 10))
		// An empty value is not sent, but tells net/http that the request may
		// be repeated when a kept connection turns out to be closed.
		h["Idempotency-Key"] = []string{}
	}
}

// do sends the request, maps an answer that is no success to an error, and
// decodes the body into out unless that is nil.
func (c *Client) do(ctx context.Context, r *request, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Timeout)
	defer cancel()
	req, err := c.newRequest(ctx, r)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.networkError(req.Context(), err)
	}
	defer drain(resp.Body)
	if resp.StatusCode >= 300 {
		return responseError(resp, r)
	}
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return c.bodyError(req.Context(), err)
	}
	return nil
}

// drain reads what little is left of a body, so that its connection is reused.
func drain(body io.ReadCloser) {
	_, _ = io.CopyN(io.Discard, body, 64<<10)
	_ = body.Close() // nothing of it is used
}

// networkError is the error of a request that got no answer.
func (c *Client) networkError(ctx context.Context, err error) error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the URL may hold what is no one's business
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled):
		return context.Cause(ctx)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("%w: no answer from %s in time: %w", tidings.ErrUnavailable, c.base, context.Cause(ctx))
	}
	return fmt.Errorf("%w: can't reach %s: %w", tidings.ErrUnavailable, c.base, err)
}

// bodyError is the error of an answer that can't be read: the connection broke,
// or something else than a Tidings server answers there.
func (c *Client) bodyError(ctx context.Context, err error) error {
	var syntax *json.SyntaxError
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &syntax) || errors.As(err, &wrongType) {
		return fmt.Errorf("%s answers, but not as a Tidings server does: %w", c.base, err)
	}
	return c.networkError(ctx, err)
}

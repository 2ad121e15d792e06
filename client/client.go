package client

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tidings"
)

var (
	_ tidings.Appender = (*Client)(nil)
	_ tidings.Reader   = (*Client)(nil)
)

// Options of a [Client]. The zero value works.
type Options struct {
	// Token is sent as a bearer token: an API key or a JWT. Empty: none.
	Token string
	// HTTPClient makes the requests. Its Timeout should be zero, as it would
	// cut off streams (they resume, but for nothing). Nil: a client of our own
	// that keeps up to 64 connections open for reuse.
	HTTPClient *http.Client
	// UserAgent names the program. Empty: "tidings-go".
	UserAgent string
	// Logger is told of connections that break, at level debug, and of what a
	// server sends that can't be understood. Nil: nothing is logged.
	Logger *slog.Logger
	// Timeout bounds a request that is not a stream, and the wait for a
	// stream's response header. Zero: 30 s.
	Timeout time.Duration
	// ReadTimeout is how long a stream may be silent before its connection
	// counts as dead. Servers send a heartbeat every 15 s unless told
	// otherwise. Zero: 45 s.
	ReadTimeout time.Duration
	// MinBackoff and MaxBackoff bound the delay before a stream connects
	// again: it doubles with each failure in a row, is spread at random, and is
	// never shorter than the server asked for. Zero: 250 ms and 15 s.
	MinBackoff, MaxBackoff time.Duration
}

// Client sends requests to one server. Safe for concurrent use; it needs no
// closing.
type Client struct {
	base    string // without a slash at its end
	opts    Options
	http    *http.Client
	log     *slog.Logger
	backoff backoff
}

// New makes a client of the server at baseURL, such as
// "http://127.0.0.1:8080" or "https://example.com/tidings". It connects to
// nothing yet. opts may be nil. The error is a [*tidings.InvalidError].
func New(baseURL string, opts *Options) (*Client, error) {
	base, err := parseBase(baseURL)
	if err != nil {
		return nil, err
	}
	c := &Client{base: base}
	if opts != nil {
		c.opts = *opts
	}
	c.setDefaults()
	return c, nil
}

func parseBase(baseURL string) (string, error) {
	u, err := url.Parse(baseURL)
	switch {
	case err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		return "", &tidings.InvalidError{Field: "url", Reason: fmt.Sprintf("%q is no server address; one looks like http://127.0.0.1:8080", baseURL)}
	case u.RawQuery != "" || u.Fragment != "":
		return "", &tidings.InvalidError{Field: "url", Reason: fmt.Sprintf("%q has a query or a fragment; give the address alone", baseURL)}
	case u.User != nil:
		return "", &tidings.InvalidError{Field: "url", Reason: "has a user or password in it; servers take a bearer token instead (Options.Token)"}
	}
	return strings.TrimRight(u.String(), "/"), nil
}

func (c *Client) setDefaults() {
	o := &c.opts
	orDefault(&o.UserAgent, "tidings-go")
	orDefault(&o.Timeout, 30*time.Second)
	orDefault(&o.ReadTimeout, 45*time.Second)
	orDefault(&o.MinBackoff, 250*time.Millisecond)
	orDefault(&o.MaxBackoff, 15*time.Second)
	c.backoff = backoff{min: o.MinBackoff, max: max(o.MaxBackoff, o.MinBackoff)}
	if c.log = o.Logger; c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.http = o.HTTPClient; c.http == nil {
		c.http = newHTTPClient()
	}
}

func orDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// newHTTPClient keeps more connections to its one server than net/http's two,
// so that concurrent publishers don't open one for each append.
func newHTTPClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns = 64
	t.MaxIdleConnsPerHost = 64
	return &http.Client{Transport: t}
}

// URL is the address of the server, without a slash at its end.
func (c *Client) URL() string { return c.base }

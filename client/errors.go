package client

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"tidings"
)

// AuthError says that the server does not accept the token, or that the token
// does not allow what was asked. Repeating the request is of no use.
type AuthError struct {
	Status int    // 401: who are you? 403: you may not
	Detail string // the server's words
}

func (e *AuthError) Error() string {
	if e.Status == http.StatusUnauthorized {
		return "the server wants a valid token (401): " + e.Detail + "; give one as Options.Token, --token or TIDINGS_TOKEN"
	}
	return "the token does not allow this (403): " + e.Detail + "; use one whose permissions and job patterns cover it"
}

// Permanent tells a [tidings.Publisher] not to repeat the append.
func (e *AuthError) Permanent() bool { return true }

// Problem is an answer of the server that none of the other errors stands for
// (RFC 9457).
type Problem struct {
	Status int
	Type   string // such as "/problems/method-not-allowed"; may be empty
	Title  string
	Detail string
}

func (e *Problem) Error() string {
	text := e.Detail
	if text == "" {
		text = e.Title
	}
	return fmt.Sprintf("the server answers %d: %s", e.Status, text)
}

// Permanent tells a [tidings.Publisher] not to repeat the append.
func (e *Problem) Permanent() bool { return true }

// busyError is ErrUnavailable with the time that the server asks to be left
// alone for.
type busyError struct {
	status int
	detail string
	after  time.Duration
}

func (e *busyError) Error() string {
	return fmt.Sprintf("%v: the server answers %d: %s", tidings.ErrUnavailable, e.status, e.detail)
}

func (e *busyError) Unwrap() error { return tidings.ErrUnavailable }

// problem is the body of an answer that is no success: RFC 9457 with the members
// that the API adds.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Detail string `json:"detail"`

	Field       string     `json:"field"`
	Reason      string     `json:"reason"`
	What        string     `json:"what"`
	Limit       int64      `json:"limit"`
	LastID      tidings.ID `json:"last_id"`
	FirstID     tidings.ID `json:"first_id"`
	Incarnation string     `json:"incarnation"`
	ProducerID  string     `json:"producer_id"`
	Epoch       int64      `json:"epoch"`
	Current     int64      `json:"current_epoch"`
	Expected    int64      `json:"expected_seq"`
	Received    int64      `json:"received_seq"`
}

// maxProblemBytes is how much of an error's body is looked at.
const maxProblemBytes = 64 << 10

func readProblem(resp *http.Response) problem {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxProblemBytes)) // what came is enough
	p := problem{}
	mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type"))
	if strings.HasSuffix(mediaType, "json") {
		_ = json.Unmarshal(text, &p) // members of another type stay zero
	}
	if p.Title == "" {
		p.Title = http.StatusText(resp.StatusCode)
	}
	if p.Detail == "" {
		p.Detail = p.Title
	}
	return p
}

// name is the last part of the type: "closed" of "/problems/closed".
func (p *problem) name() string { return path.Base(p.Type) }

// responseError maps an answer that is no success to the error that a store
// would have given.
func responseError(resp *http.Response, r *request) error {
	p := readProblem(resp)
	if err := typedError(&p, resp, r); err != nil {
		return err
	}
	switch code := resp.StatusCode; {
	case code == http.StatusUnauthorized || code == http.StatusForbidden:
		return &AuthError{Status: code, Detail: p.Detail}
	case code >= 500 || code == http.StatusTooManyRequests || code == http.StatusRequestTimeout:
		return &busyError{status: code, detail: p.Detail, after: retryAfter(resp)}
	case code == http.StatusRequestEntityTooLarge:
		return &tidings.TooLargeError{What: "body", Limit: p.Limit}
	}
	return &Problem{Status: resp.StatusCode, Type: p.Type, Title: p.Title, Detail: p.Detail}
}

// typedError is the error that the problem's type names, or nil.
func typedError(p *problem, resp *http.Response, r *request) error {
	switch p.name() {
	case "invalid":
		return p.invalid()
	case "too-large":
		return &tidings.TooLargeError{What: p.What, Limit: p.Limit}
	case "unknown-job":
		return tidings.ErrUnknownJob
	case "closed":
		return &tidings.ClosedError{JobID: r.jobID, LastID: p.LastID}
	case "fenced":
		return p.fenced(resp, r)
	case "sequence":
		return p.sequence(resp, r)
	case "gap":
		return &tidings.GapError{JobID: r.jobID, Cursor: r.cursor(), First: p.FirstID, Incarnation: p.Incarnation}
	case "rewound":
		return &tidings.RewoundError{JobID: r.jobID, Cursor: r.cursor(), Last: p.LastID, Incarnation: p.Incarnation}
	}
	return nil
}

func (p *problem) invalid() error {
	if p.Reason != "" {
		return &tidings.InvalidError{Field: p.Field, Reason: p.Reason}
	}
	return &tidings.InvalidError{Field: p.Field, Reason: strings.TrimPrefix(p.Detail, p.Field+": ")}
}

func (p *problem) fenced(resp *http.Response, r *request) error {
	e := &tidings.FencedError{ProducerID: p.ProducerID, Epoch: p.Epoch, Current: headerInt(resp, "Producer-Epoch", p.Current)}
	if r.producer != nil {
		e.ProducerID, e.Epoch = r.producer.ID, r.producer.Epoch
	}
	return e
}

func (p *problem) sequence(resp *http.Response, r *request) error {
	e := &tidings.SequenceError{
		ProducerID: p.ProducerID,
		Expected:   headerInt(resp, "Producer-Expected-Seq", p.Expected),
		Received:   headerInt(resp, "Producer-Received-Seq", p.Received),
	}
	if r.producer != nil {
		e.ProducerID = r.producer.ID
	}
	return e
}

// cursor is what the request asked to read after.
func (r *request) cursor() tidings.Cursor {
	text := r.lastID
	if text == "" {
		text = r.query.Get("after")
	}
	c, _ := tidings.ParseCursor(text) // it was made from a cursor
	return c
}

func headerInt(resp *http.Response, name string, fallback int64) int64 {
	if n, err := strconv.ParseInt(resp.Header.Get(name), 10, 64); err == nil {
		return n
	}
	return fallback
}

// maxRetryAfter bounds what a server can ask for: a wrong date must not silence
// a viewer for days.
const maxRetryAfter = 5 * time.Minute

// retryAfter reads the header in both forms of RFC 9110, section 10.2.3.
func retryAfter(resp *http.Response) time.Duration {
	text := resp.Header.Get("Retry-After")
	var d time.Duration
	if seconds, err := strconv.Atoi(text); err == nil {
		d = time.Duration(min(seconds, 1<<20)) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		d = time.Until(at)
	}
	return min(max(d, 0), maxRetryAfter)
}

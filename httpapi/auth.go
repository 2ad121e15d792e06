package httpapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Permission is one thing that a caller may do.
type Permission string

// The permissions. Admin includes the others, and deleting jobs.
const (
	Publish Permission = "publish" // create jobs, append events, send heartbeats
	Read    Permission = "read"    // jobs, history, streams, the feed, metrics
	Cancel  Permission = "cancel"  // ask jobs to stop
	Submit  Permission = "submit"  // put jobs on a task queue
	Admin   Permission = "admin"
)

// Permissions lists every permission.
var Permissions = []Permission{Publish, Read, Cancel, Submit, Admin}

// APIKey is a secret of fixed permissions.
type APIKey struct {
	// Name is shown in the access log and as who asked a job to stop.
	Name string `json:"name" yaml:"name"`
	// Key is the secret itself, or SHA256 its SHA-256 in hex; one of them.
	Key    string `json:"key" yaml:"key"`
	SHA256 string `json:"sha256" yaml:"sha256"`
	// Permissions that the key gives.
	Permissions []Permission `json:"permissions" yaml:"permissions"`
	// Jobs are patterns of the job IDs that they are for; * stands for any
	// characters. Empty: all jobs.
	Jobs []string `json:"jobs" yaml:"jobs"`
}

// AuthConfig says whose requests are answered.
type AuthConfig struct {
	Keys []APIKey
	JWT  *JWTConfig // nil: no tokens
}

// Auth tells who a caller is. Safe for concurrent use.
type Auth struct {
	keys []storedKey
	jwt  *verifier // nil: no tokens
}

type storedKey struct {
	hash [sha256.Size]byte
	who  *Principal
}

const minKeyBytes = 16

// NewAuth checks the configuration and makes an Auth of it. It reads key files,
// but asks no JWKS URL before the first token.
func NewAuth(c AuthConfig) (*Auth, error) {
	a := &Auth{}
	for i := range c.Keys {
		stored, err := newStoredKey(&c.Keys[i])
		if err != nil {
			return nil, fmt.Errorf("API key %d (%q): %w", i+1, c.Keys[i].Name, err)
		}
		a.keys = append(a.keys, stored)
	}
	if c.JWT != nil {
		v, err := newVerifier(c.JWT)
		if err != nil {
			return nil, err
		}
		a.jwt = v
	}
	if len(a.keys) == 0 && a.jwt == nil {
		return nil, errors.New("authentication without a key lets nobody in; configure API keys or JWT")
	}
	return a, nil
}

func newStoredKey(k *APIKey) (storedKey, error) {
	if k.Name == "" {
		return storedKey{}, errors.New("name is missing; it stands in the log instead of the key")
	}
	if len(k.Permissions) == 0 {
		return storedKey{}, fmt.Errorf("permissions are missing; give some of %v", Permissions)
	}
	for _, p := range k.Permissions {
		if !slices.Contains(Permissions, p) {
			return storedKey{}, fmt.Errorf("%q is no permission; there are %v", p, Permissions)
		}
	}
	jobs := k.Jobs
	if len(jobs) == 0 {
		jobs = []string{"*"}
	}
	stored := storedKey{who: &Principal{Name: k.Name, Permissions: k.Permissions, Jobs: jobs}}
	switch {
	case (k.Key == "") == (k.SHA256 == ""):
		return storedKey{}, errors.New("give either key or sha256")
	case k.Key != "":
		if len(k.Key) < minKeyBytes {
			return storedKey{}, fmt.Errorf("the key has %d bytes; at least %d are needed, for example from: openssl rand -hex 24", len(k.Key), minKeyBytes)
		}
		stored.hash = sha256.Sum256([]byte(k.Key))
	default:
		raw, err := hex.DecodeString(k.SHA256)
		if err != nil || len(raw) != sha256.Size {
			return storedKey{}, errors.New("sha256 must be 64 hexadecimal digits, for example from: printf %s \"$KEY\" | sha256sum")
		}
		stored.hash = [sha256.Size]byte(raw)
	}
	return stored, nil
}

// Principal is an authenticated caller.
type Principal struct {
	Name        string
	Permissions []Permission
	Jobs        []string  // patterns
	Expires     time.Time // zero: never
}

// anyone is the caller where there is no authentication.
var anyone = &Principal{Permissions: []Permission{Admin}, Jobs: []string{"*"}}

// Can reports whether the caller may do it with some jobs.
func (p *Principal) Can(need Permission) bool {
	return slices.Contains(p.Permissions, need) || slices.Contains(p.Permissions, Admin)
}

// May reports whether the caller may do it with this job.
func (p *Principal) May(need Permission, jobID string) bool {
	return p.Can(need) && matchesAny(p.Jobs, jobID)
}

// bound ends a context with the caller's token. A quiet viewer whose token does
// not expire costs nothing for it.
func (p *Principal) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if p.Expires.IsZero() {
		return ctx, func() {}
	}
	return context.WithDeadline(ctx, p.Expires)
}

func matchesAny(patterns []string, jobID string) bool {
	for _, pattern := range patterns {
		if matches(pattern, jobID) {
			return true
		}
	}
	return false
}

// matches reports whether the pattern, in which * stands for any characters,
// covers the whole of s. It goes back to the last star only, so it takes at most
// len(pattern)*len(s) steps.
func matches(pattern, s string) bool {
	p, i, star, retry := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, i
			p++
		case p < len(pattern) && pattern[p] == s[i]:
			p++
			i++
		case star >= 0:
			retry++
			p, i = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// tokenParam is the query parameter for clients that can't set headers, such as
// a browser's EventSource.
const tokenParam = "access_token"

type callerKey struct{}

// caller is who authenticate found out.
func caller(r *http.Request) *Principal {
	if who, ok := r.Context().Value(callerKey{}).(*Principal); ok {
		return who
	}
	return anyone
}

// authenticate finds out who is calling, and returns the request that knows it.
func (s *Server) authenticate(w http.ResponseWriter, r *http.Request) (*Principal, *http.Request, error) {
	if s.opts.Auth == nil {
		return anyone, r, nil
	}
	who, err := s.opts.Auth.identify(r)
	if err != nil {
		return nil, r, err
	}
	if rec, ok := w.(*recorder); ok {
		rec.who = who.Name
	}
	return who, r.WithContext(context.WithValue(r.Context(), callerKey{}, who)), nil
}

func (a *Auth) identify(r *http.Request) (*Principal, error) {
	token, err := bearer(r)
	if err != nil {
		return nil, err
	}
	if token == "" {
		return nil, unauthorized("", "a token is needed; send Authorization: Bearer TOKEN, or ?access_token= with GET")
	}
	if who := a.byKey(token); who != nil {
		return who, nil
	}
	if a.jwt == nil || strings.Count(token, ".") != 2 {
		return nil, unauthorized("invalid_token", "the API key is not known; check it, or ask the operator for one")
	}
	return a.jwt.identify(r.Context(), token)
}

// byKey compares with every key, so that the time says nothing about which one
// was close.
func (a *Auth) byKey(token string) *Principal {
	hash := sha256.Sum256([]byte(token))
	var who *Principal
	for i := range a.keys {
		if subtle.ConstantTimeCompare(hash[:], a.keys[i].hash[:]) == 1 {
			who = a.keys[i].who
		}
	}
	return who
}

// bearer takes the token out of the request. In a query it is taken from reads
// only: such URLs are shared and logged.
func bearer(r *http.Request) (string, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		scheme, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", unauthorized("invalid_request", "the scheme of the Authorization header must be Bearer")
		}
		return strings.TrimSpace(token), nil
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return r.URL.Query().Get(tokenParam), nil
	}
	return "", nil
}

// unauthorized answers as RFC 6750, section 3, says.
func unauthorized(code, detail string) error {
	challenge := `Bearer realm="tidings"`
	if code != "" {
		challenge += `, error="` + code + `"`
	}
	return &problem{status: http.StatusUnauthorized, name: "unauthorized", title: "Who are you?", detail: detail,
		header: map[string]string{"WWW-Authenticate": challenge}}
}

func forbidden(who *Principal, need Permission, jobID string) error {
	detail := fmt.Sprintf("%q does not have the permission %q", who.Name, need)
	switch {
	case !who.Can(need) || jobID == "":
	case len(who.Jobs) == 0:
		detail = fmt.Sprintf("this needs the permission %q, and %q has it for no job", need, who.Name)
	default:
		detail = fmt.Sprintf("this needs the permission %q, and %q has it for jobs that match %s only, and %q does not", need, who.Name, patternsOf(who), jobID)
	}
	return notAllowed(need, detail+"; use a token that allows it")
}

// patternsOf puts the caller's job patterns into a sentence.
func patternsOf(who *Principal) string { return strings.Join(who.Jobs, " or ") }

func notAllowed(need Permission, detail string) error {
	return &problem{status: http.StatusForbidden, name: "forbidden", title: "Not allowed",
		detail: detail, more: map[string]any{"permission": need}}
}

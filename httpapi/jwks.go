package httpapi

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// errKeysUnavailable: the JWKS URL gave nothing, and there is nothing older.
var errKeysUnavailable = errors.New("the keys can't be fetched")

const (
	jwksMaxAge   = time.Hour
	jwksMinAge   = 30 * time.Second // between two requests, whatever the tokens say
	jwksTimeout  = 5 * time.Second
	jwksMaxBytes = 1 << 20
)

// keySource keeps the keys of a JWKS URL.
type keySource struct {
	url    string
	client *http.Client

	mu      sync.Mutex // held while fetching: one request serves all who wait
	known   []verifyKey
	fetched time.Time // of known
	tried   time.Time
}

func newKeySource(target string) (*keySource, error) {
	u, err := url.Parse(target)
	if err != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && isLoopbackName(u.Host)) {
		return nil, errors.New("JWT: the JWKS URL must be an https URL, or http on a loopback address")
	}
	return &keySource{url: target, client: &http.Client{Timeout: jwksTimeout}}, nil
}

// keys gives the keys, fetched anew if they are old or don't hold what is
// wanted. Old keys are better than none while the URL does not answer.
func (s *keySource) keys(ctx context.Context, wanted func([]verifyKey) bool) ([]verifyKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	fresh := now.Sub(s.fetched) < jwksMaxAge && wanted(s.known)
	if fresh || now.Sub(s.tried) < jwksMinAge {
		return s.current()
	}
	s.tried = now
	// The first who asks must not take the keys away from all by hanging up.
	keys, err := s.fetch(context.WithoutCancel(ctx))
	if err == nil {
		s.known, s.fetched = keys, now
	}
	return s.current()
}

func (s *keySource) current() ([]verifyKey, error) {
	if s.fetched.IsZero() {
		return nil, errKeysUnavailable
	}
	return s.known, nil
}

func (s *keySource) fetch(ctx context.Context) ([]verifyKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the JWKS URL answers %s", resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, jwksMaxBytes))
	if err != nil {
		return nil, err
	}
	return parseJWKS(text, false)
}

type jwk struct {
	Type  string `json:"kty"`
	ID    string `json:"kid"`
	Use   string `json:"use"`
	Alg   string `json:"alg"`
	Curve string `json:"crv"`
	N     string `json:"n"`
	E     string `json:"e"`
	X     string `json:"x"`
	K     string `json:"k"`
}

// parseJWKS reads a JSON Web Key Set (RFC 7517, RFC 8037) and leaves out keys
// that can't verify what is accepted here. Secrets are taken from files only.
func parseJWKS(text []byte, secrets bool) ([]verifyKey, error) {
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, fmt.Errorf("no JSON Web Key Set: %w", err)
	}
	var keys []verifyKey
	for i := range set.Keys {
		k := &set.Keys[i]
		if k.Use != "" && k.Use != "sig" {
			continue
		}
		key, err := k.parse(secrets)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", k.ID, err)
		}
		if key.key != nil && (k.Alg == "" || k.Alg == key.alg) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the set holds no key for RS256 or EdDSA")
	}
	return keys, nil
}

func (k *jwk) parse(secrets bool) (verifyKey, error) {
	switch {
	case k.Type == "RSA":
		return k.parseRSA()
	case k.Type == "OKP" && k.Curve == "Ed25519":
		x, err := base64.RawURLEncoding.DecodeString(k.X)
		if err != nil || len(x) != ed25519.PublicKeySize {
			return verifyKey{}, errors.New("x is not 32 bytes in base64url")
		}
		return publicKey(k.ID, ed25519.PublicKey(x))
	case k.Type == "oct" && secrets:
		secret, err := base64.RawURLEncoding.DecodeString(k.K)
		if err != nil || len(secret) < minSecretBytes {
			return verifyKey{}, fmt.Errorf("k is not at least %d bytes in base64url", minSecretBytes)
		}
		return verifyKey{id: k.ID, alg: "HS256", key: secret}, nil
	}
	return verifyKey{}, nil // of a kind that is not used here
}

func (k *jwk) parseRSA() (verifyKey, error) {
	n, err := base64.RawURLEncoding.DecodeString(k.N)
	if err != nil {
		return verifyKey{}, errors.New("n is not base64url")
	}
	e, err := base64.RawURLEncoding.DecodeString(k.E)
	if err != nil || len(e) == 0 || len(e) > 4 {
		return verifyKey{}, errors.New("e is not a small number in base64url")
	}
	exponent := new(big.Int).SetBytes(e).Int64()
	if exponent < 3 || exponent%2 == 0 {
		return verifyKey{}, errors.New("e is no RSA exponent")
	}
	return publicKey(k.ID, &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent)})
}

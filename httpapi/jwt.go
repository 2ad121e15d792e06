package httpapi

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// JWTConfig says which JSON Web Tokens (RFC 7519) are accepted. At least one of
// Secret, PublicKeyFile, JWKSFile and JWKSURL must be given.
type JWTConfig struct {
	// Secret verifies HS256; at least 32 bytes.
	Secret string
	// PublicKeyFile is a PEM file of an RSA (RS256) or Ed25519 (EdDSA) key.
	PublicKeyFile string
	// JWKSFile and JWKSURL are JSON Web Key Sets (RFC 7517). A URL is asked at
	// the first token, hourly, and when a token names an unknown key, but not
	// more often than every 30 s.
	JWKSFile string
	JWKSURL  string
	// Issuer and Audience, if given, must be the token's.
	Issuer   string
	Audience string
	// AllowNoExpiry accepts tokens without exp, which are valid for ever.
	AllowNoExpiry bool
}

// Claims of a token. In the token, what it may do stands under the name
// "tidings":
//
//	{"sub":"worker-7","exp":1795512001,
//	 "tidings":{"permissions":["publish"],"jobs":["job-42","team-*"]}}
type Claims struct {
	Subject     string
	Issuer      string
	Audience    string
	Permissions []Permission
	Jobs        []string  // patterns; * stands for any characters
	ExpiresAt   time.Time // zero: never
}

type grant struct {
	Permissions []Permission `json:"permissions"`
	Jobs        []string     `json:"jobs"`
}

type tokenClaims struct {
	jwt.RegisteredClaims
	Tidings *grant `json:"tidings,omitempty"`
}

const minSecretBytes = 32

// MintToken signs a token with HS256. A server accepts it whose JWT secret is the
// same.
func MintToken(secret string, c Claims) (string, error) {
	if len(secret) < minSecretBytes {
		return "", fmt.Errorf("the secret has %d bytes; at least %d are needed, for example from: openssl rand -hex 32", len(secret), minSecretBytes)
	}
	if len(c.Permissions) == 0 || len(c.Jobs) == 0 {
		return "", errors.New("a token needs permissions and job patterns (\"*\" for all jobs)")
	}
	for _, p := range c.Permissions {
		if !slices.Contains(Permissions, p) {
			return "", fmt.Errorf("%q is no permission; there are %v", p, Permissions)
		}
	}
	claims := tokenClaims{Tidings: &grant{c.Permissions, c.Jobs}}
	claims.Subject, claims.Issuer = c.Subject, c.Issuer
	claims.IssuedAt = jwt.NewNumericDate(time.Now())
	if c.Audience != "" {
		claims.Audience = jwt.ClaimStrings{c.Audience}
	}
	if !c.ExpiresAt.IsZero() {
		claims.ExpiresAt = jwt.NewNumericDate(c.ExpiresAt)
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString([]byte(secret))
}

// verifier checks tokens.
type verifier struct {
	parser *jwt.Parser
	fixed  []verifyKey
	remote *keySource // nil: no JWKS URL
}

// verifyKey is a key with the one algorithm that it is for: a public key must
// never be taken for a secret.
type verifyKey struct {
	id  string
	alg string
	key any
}

const clockSkew = 30 * time.Second

func newVerifier(c *JWTConfig) (*verifier, error) {
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{"HS256", "RS256", "EdDSA"}),
		jwt.WithLeeway(clockSkew),
		jwt.WithStrictDecoding(),
	}
	if !c.AllowNoExpiry {
		options = append(options, jwt.WithExpirationRequired())
	}
	if c.Issuer != "" {
		options = append(options, jwt.WithIssuer(c.Issuer))
	}
	if c.Audience != "" {
		options = append(options, jwt.WithAudience(c.Audience))
	}
	v := &verifier{parser: jwt.NewParser(options...)}
	if err := v.load(c); err != nil {
		return nil, err
	}
	if len(v.fixed) == 0 && v.remote == nil {
		return nil, errors.New("JWT: no key; give a secret, a public key file, or a JWKS file or URL")
	}
	return v, nil
}

func (v *verifier) load(c *JWTConfig) error {
	if c.Secret != "" {
		if len(c.Secret) < minSecretBytes {
			return fmt.Errorf("JWT: the secret has %d bytes; at least %d are needed, for example from: openssl rand -hex 32", len(c.Secret), minSecretBytes)
		}
		v.fixed = append(v.fixed, verifyKey{alg: "HS256", key: []byte(c.Secret)})
	}
	if c.PublicKeyFile != "" {
		key, err := readPublicKey(c.PublicKeyFile)
		if err != nil {
			return err
		}
		v.fixed = append(v.fixed, key)
	}
	if c.JWKSFile != "" {
		text, err := os.ReadFile(c.JWKSFile)
		if err != nil {
			return fmt.Errorf("JWT: can't read the JWKS file: %w", err)
		}
		keys, err := parseJWKS(text, true)
		if err != nil {
			return fmt.Errorf("JWT: JWKS file %s: %w", c.JWKSFile, err)
		}
		v.fixed = append(v.fixed, keys...)
	}
	if c.JWKSURL != "" {
		source, err := newKeySource(c.JWKSURL)
		if err != nil {
			return err
		}
		v.remote = source
	}
	return nil
}

func readPublicKey(file string) (verifyKey, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return verifyKey{}, fmt.Errorf("JWT: can't read the public key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return verifyKey{}, fmt.Errorf("JWT: %s is no PEM file", file)
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return verifyKey{}, fmt.Errorf("JWT: %s holds no public key (-----BEGIN PUBLIC KEY-----): %w", file, err)
	}
	return publicKey("", parsed)
}

func publicKey(id string, key crypto.PublicKey) (verifyKey, error) {
	switch k := key.(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return verifyKey{}, fmt.Errorf("JWT: an RSA key of %d bits is too short; use 2048 or more", k.N.BitLen())
		}
		return verifyKey{id: id, alg: "RS256", key: k}, nil
	case ed25519.PublicKey:
		return verifyKey{id: id, alg: "EdDSA", key: k}, nil
	}
	return verifyKey{}, fmt.Errorf("JWT: a key of type %T can't be used; use RSA or Ed25519", key)
}

// identify checks the token and says who it stands for.
func (v *verifier) identify(ctx context.Context, token string) (*Principal, error) {
	var claims tokenClaims
	_, err := v.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		if _, there := t.Header["crit"]; there {
			return nil, errCritical
		}
		id, _ := t.Header["kid"].(string)
		return v.candidates(ctx, id, t.Method.Alg())
	})
	if err != nil {
		return nil, tokenProblem(err)
	}
	if claims.Tidings == nil {
		return nil, unauthorized("invalid_token", `the token says nothing about this service; it needs a claim "tidings": {"permissions": […], "jobs": […]}`)
	}
	who := &Principal{Name: claims.Subject, Permissions: claims.Tidings.Permissions, Jobs: claims.Tidings.Jobs}
	if who.Name == "" {
		who.Name = "token"
	}
	if claims.ExpiresAt != nil {
		who.Expires = claims.ExpiresAt.Add(clockSkew)
	}
	return who, nil
}

// candidates are the keys that may have signed a token of this key ID and
// algorithm.
func (v *verifier) candidates(ctx context.Context, id, alg string) (any, error) {
	keys := pick(v.fixed, id, alg)
	if v.remote != nil {
		remote, err := v.remote.keys(ctx, func(all []verifyKey) bool { return len(pick(all, id, alg)) > 0 })
		if err != nil && len(keys) == 0 {
			return nil, err
		}
		keys = append(keys, pick(remote, id, alg)...)
	}
	if len(keys) == 0 {
		return nil, errNoKey
	}
	set := jwt.VerificationKeySet{}
	for _, key := range keys {
		set.Keys = append(set.Keys, key.key)
	}
	return set, nil
}

var errNoKey = errors.New("no key of this ID and algorithm is known")

// errCritical: the token's header names extensions that must be understood
// (RFC 7515, section 4.1.11), and none is.
var errCritical = errors.New("the header has a crit")

// pick takes the keys of the algorithm; if both sides name a key, the names must
// agree.
func pick(keys []verifyKey, id, alg string) []verifyKey {
	var out []verifyKey
	for _, key := range keys {
		if key.alg == alg && (id == "" || key.id == "" || key.id == id) {
			out = append(out, key)
		}
	}
	return out
}

// tokenProblem says what is wrong with a token, and nothing of its content.
func tokenProblem(err error) error {
	if errors.Is(err, errKeysUnavailable) {
		return &problem{status: 503, name: "unavailable", title: "The token can't be checked",
			detail: "the keys that tokens are checked with can't be fetched at the moment; try again later",
			header: map[string]string{"Retry-After": retryAfterSeconds}}
	}
	detail := "the token can't be accepted"
	switch {
	case errors.Is(err, errCritical):
		detail = "the token's header demands extensions (crit), and this server understands none; get one without"
	case errors.Is(err, jwt.ErrTokenExpired):
		detail = "the token has expired; get a new one"
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		detail = "the token is not valid yet; check the clocks"
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		detail = "the token is of another issuer"
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		detail = "the token is for another audience"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		detail = "the token lacks a required claim, such as exp"
	case errors.Is(err, jwt.ErrTokenMalformed):
		detail = "the token is malformed"
	case errors.Is(err, errNoKey), errors.Is(err, jwt.ErrTokenSignatureInvalid), errors.Is(err, jwt.ErrTokenUnverifiable):
		detail = "the token's signature can't be verified with the keys of this server"
	}
	return unauthorized("invalid_token", detail)
}

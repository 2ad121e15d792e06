package httpapi

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/go-cmp/cmp"
)

const testSecret = "a secret of at least thirty-two bytes"

func mint(t testing.TB, c Claims) string {
	t.Helper()
	token, err := MintToken(testSecret, c)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// sign makes a token as another issuer would.
func sign(t testing.TB, method jwt.SigningMethod, key any, kid string, claims jwt.MapClaims) string {
	t.Helper()
	token := jwt.NewWithClaims(method, claims)
	if kid != "" {
		token.Header["kid"] = kid
	}
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func grantAll(more jwt.MapClaims) jwt.MapClaims {
	claims := jwt.MapClaims{"sub": "w", "exp": time.Now().Add(time.Hour).Unix(),
		"tidings": map[string]any{"permissions": []string{"read"}, "jobs": []string{"*"}}}
	for name, value := range more {
		claims[name] = value
		if value == nil {
			delete(claims, name)
		}
	}
	return claims
}

func TestMintedTokenIsAccepted(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Auth: testAuth(t)})
	token := mint(t, Claims{Subject: "worker-7", Permissions: []Permission{Publish, Read}, Jobs: []string{"job-42", "team-*"}, ExpiresAt: time.Now().Add(time.Minute)})
	headers := []string{"Authorization", "Bearer " + token}
	for path, want := range map[string]int{"job-42": 201, "team-x": 201, "job-43": 403} {
		wantStatus(t, a.do("POST", "/v1/jobs/"+path+"/events", `{"event_type":"a"}`, headers...), want)
	}
	for _, c := range []struct{ method, path, body, detail string }{
		{"DELETE", "/v1/jobs/job-42", "", `"worker-7" does not have the permission "admin"`},
		{"POST", "/v1/jobs/job-43/events", `{"event_type":"a"}`, `"worker-7" has it for jobs that match job-42 or team-* only, and "job-43" does not`},
		{"POST", "/v1/jobs", `{"id":"job-43"}`, `"job-43" does not`},
		{"POST", "/v1/jobs", `{}`, "give an id that matches job-42 or team-*"},
	} {
		m := wantProblem(t, a.do(c.method, c.path, c.body, headers...), http.StatusForbidden, "forbidden")
		if !strings.Contains(m["detail"].(string), c.detail) {
			t.Errorf("%s %s %s: %q does not say %q", c.method, c.path, c.body, m["detail"], c.detail)
		}
	}

	for name, c := range map[string]Claims{
		"no permission": {Jobs: []string{"*"}}, "no jobs": {Permissions: []Permission{Read}},
		"unknown permission": {Permissions: []Permission{"all"}, Jobs: []string{"*"}},
	} {
		if _, err := MintToken(testSecret, c); err == nil {
			t.Errorf("%s: a token was made", name)
		}
	}
	if _, err := MintToken("short", Claims{Permissions: []Permission{Read}, Jobs: []string{"*"}}); err == nil {
		t.Error("a short secret was taken")
	}
}

func TestBadTokens(t *testing.T) {
	t.Parallel()
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	config := &JWTConfig{Secret: testSecret, PublicKeyFile: writePEM(t, public), Issuer: "https://issuer", Audience: "tidings"}
	auth, err := NewAuth(AuthConfig{JWT: config})
	if err != nil {
		t.Fatal(err)
	}
	a := serve(t, &Options{Auth: auth})
	right := jwt.MapClaims{"iss": "https://issuer", "aud": "tidings"}
	claims := func(more jwt.MapClaims) jwt.MapClaims {
		c := grantAll(right)
		for name, value := range more {
			c[name] = value
			if value == nil {
				delete(c, name)
			}
		}
		return c
	}
	hs := func(more jwt.MapClaims) string {
		return sign(t, jwt.SigningMethodHS256, []byte(testSecret), "", claims(more))
	}
	get := func(token string) *answer {
		return a.do("GET", "/v1/jobs", "", "Authorization", "Bearer "+token)
	}
	wantStatus(t, get(hs(nil)), http.StatusOK)
	wantStatus(t, get(sign(t, jwt.SigningMethodEdDSA, private, "", claims(nil))), http.StatusOK)

	// RFC 7515, section 4.1.11: what must be understood, and is not, is refused.
	critical := func(crit any) string {
		token := jwt.NewWithClaims(jwt.SigningMethodHS256, claims(nil))
		token.Header["crit"], token.Header["exp"] = crit, 1
		text, err := token.SignedString([]byte(testSecret))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}

	publicPEM, _ := os.ReadFile(config.PublicKeyFile)
	valid := hs(nil)
	for name, c := range map[string]struct{ token, detail string }{
		"expired":          {hs(jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}), "expired"},
		"without exp":      {hs(jwt.MapClaims{"exp": nil}), "exp"},
		"not yet valid":    {hs(jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()}), "not valid yet"},
		"another issuer":   {hs(jwt.MapClaims{"iss": "https://evil"}), "issuer"},
		"no issuer":        {hs(jwt.MapClaims{"iss": nil}), "claim"},
		"another audience": {hs(jwt.MapClaims{"aud": "else"}), "audience"},
		"no grant":         {hs(jwt.MapClaims{"tidings": nil}), "tidings"},
		"another secret":   {sign(t, jwt.SigningMethodHS256, []byte(strings.Repeat("x", 40)), "", claims(nil)), "signature"},
		"alg none":         {sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, "", claims(nil)), "signature"},
		"HS512":            {sign(t, jwt.SigningMethodHS512, []byte(testSecret), "", claims(nil)), "signature"},
		// The classic confusion: the public key as an HMAC secret.
		"public key as secret": {sign(t, jwt.SigningMethodHS256, publicPEM, "", claims(nil)), "signature"},
		"raw key as secret":    {sign(t, jwt.SigningMethodHS256, []byte(public), "", claims(nil)), "signature"},
		"critical extension":   {critical([]string{"exp"}), "crit"},
		"empty crit":           {critical([]string{}), "crit"},
		"null crit":            {critical(nil), "crit"},
		"cut":                  {valid[:len(valid)-4], "token"},
		"changed":              {strings.Replace(valid, ".", ".e", 1), ""},
		"garbage":              {"a.b.c", "malformed"},
		"no token at all":      {"nonsense", "API key"},
	} {
		t.Run(name, func(t *testing.T) {
			m := wantProblem(t, get(c.token), http.StatusUnauthorized, "unauthorized")
			if !strings.Contains(m["detail"].(string), c.detail) {
				t.Errorf("detail %q does not mention %q", m["detail"], c.detail)
			}
		})
	}
	// A grant of nothing is a valid token that may do nothing.
	empty := hs(jwt.MapClaims{"tidings": map[string]any{"permissions": []string{"read"}}})
	wantProblem(t, a.do("GET", "/v1/jobs/j", "", "Authorization", "Bearer "+empty), http.StatusForbidden, "forbidden")
}

// A stream does not outlive the token that opened it.
func TestStreamEndsWithItsToken(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{Auth: testAuth(t)})
	a.do("POST", "/v1/jobs/j/events", `{"event_type":"task_started"}`, "Authorization", "Bearer "+adminKey)
	token := mint(t, Claims{Permissions: []Permission{Read}, Jobs: []string{"*"}, ExpiresAt: time.Now().Add(time.Second - clockSkew)})
	for _, path := range []string{"/v1/jobs/j/events", "/v1/events"} {
		for _, client := range []*http.Client{{}, http2Client()} {
			resp, err := client.Do(a.request("GET", path, nil, "Authorization", "Bearer "+token, "Accept", "text/event-stream"))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(resp.Body) // the test's own deadline is far behind the token's
			resp.Body.Close()
			if resp.StatusCode == http.StatusUnauthorized {
				t.Skip("this machine is too slow for a token of a second")
			}
			if err != nil || !strings.Contains(string(body), "task_started") || strings.Contains(string(body), "event: end") {
				t.Errorf("%s: %v %s", path, err, body)
			}
			client.CloseIdleConnections()
			token = mint(t, Claims{Permissions: []Permission{Read}, Jobs: []string{"*"}, ExpiresAt: time.Now().Add(time.Second - clockSkew)})
		}
	}
}

func writePEM(t testing.TB, key crypto.PublicKey) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func b64(p []byte) string { return base64.RawURLEncoding.EncodeToString(p) }

func rsaJWK(key *rsa.PrivateKey, kid string) map[string]string {
	return map[string]string{"kty": "RSA", "kid": kid, "alg": "RS256", "use": "sig",
		"n": b64(key.N.Bytes()), "e": b64(big.NewInt(int64(key.E)).Bytes())}
}

func jwksJSON(keys ...map[string]string) []byte {
	text, _ := json.Marshal(map[string]any{"keys": keys}) // maps of strings
	return text
}

func rsaKey(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestJWKSFile(t *testing.T) {
	t.Parallel()
	key := rsaKey(t)
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	file := filepath.Join(t.TempDir(), "jwks.json")
	set := jwksJSON(rsaJWK(key, "r1"),
		map[string]string{"kty": "OKP", "crv": "Ed25519", "kid": "e1", "x": b64(public)},
		map[string]string{"kty": "oct", "kid": "s1", "k": b64([]byte(testSecret))},
		map[string]string{"kty": "EC", "crv": "P-256", "kid": "unused"})
	if err := os.WriteFile(file, set, 0o600); err != nil {
		t.Fatal(err)
	}
	auth, err := NewAuth(AuthConfig{JWT: &JWTConfig{JWKSFile: file}})
	if err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]bool{
		sign(t, jwt.SigningMethodRS256, key, "r1", grantAll(nil)):                  true,
		sign(t, jwt.SigningMethodRS256, key, "", grantAll(nil)):                    true,
		sign(t, jwt.SigningMethodRS256, key, "r2", grantAll(nil)):                  false,
		sign(t, jwt.SigningMethodEdDSA, private, "e1", grantAll(nil)):              true,
		sign(t, jwt.SigningMethodHS256, []byte(testSecret), "s1", grantAll(nil)):   true,
		sign(t, jwt.SigningMethodHS256, key.N.Bytes(), "r1", grantAll(nil)):        false,
		sign(t, jwt.SigningMethodRS256, rsaKey(t), "r1", grantAll(nil)):            false,
		sign(t, jwt.SigningMethodPS256, key, "r1", grantAll(nil)):                  false,
		sign(t, jwt.SigningMethodRS256, key, "e1", grantAll(nil)):                  false,
		sign(t, jwt.SigningMethodHS256, []byte(testSecret), "nope", grantAll(nil)): false,
	} {
		_, err := auth.jwt.identify(t.Context(), token)
		if (err == nil) != want {
			t.Errorf("accepted %v, want %v: %v", err == nil, want, err)
		}
	}
}

// A set behind a URL is fetched when it is needed and when a key is unknown, but
// tokens can't make the server ask often; while it does not answer, known keys go
// on.
func TestJWKSURL(t *testing.T) {
	t.Parallel()
	first, second := rsaKey(t), rsaKey(t)
	var asked atomic.Int32
	var answer atomic.Pointer[[]byte]
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if text := answer.Load(); text != nil {
			_, _ = w.Write(*text)
			return
		}
		w.WriteHeader(http.StatusInternalServerError)
	}))
	t.Cleanup(web.Close)
	auth, err := NewAuth(AuthConfig{JWT: &JWTConfig{JWKSURL: web.URL}})
	if err != nil {
		t.Fatal(err)
	}
	source := auth.jwt.remote
	check := func(key *rsa.PrivateKey, kid string, wantStatus int, wantAsked int32) {
		t.Helper()
		_, err := auth.jwt.identify(t.Context(), sign(t, jwt.SigningMethodRS256, key, kid, grantAll(nil)))
		status := http.StatusOK
		if err != nil {
			status = problemOf(err).status
		}
		if status != wantStatus || asked.Load() != wantAsked {
			t.Fatalf("%s: status %d after %d requests, want %d after %d: %v", kid, status, asked.Load(), wantStatus, wantAsked, err)
		}
	}
	later := func(d time.Duration) { // moves the source's clock
		source.mu.Lock()
		defer source.mu.Unlock()
		source.tried = source.tried.Add(-d)
		if !source.fetched.IsZero() {
			source.fetched = source.fetched.Add(-d)
		}
	}

	check(first, "k1", http.StatusServiceUnavailable, 1) // it does not answer, and nothing is known
	check(first, "k1", http.StatusServiceUnavailable, 1) // not asked again at once
	set := jwksJSON(rsaJWK(first, "k1"), map[string]string{"kty": "oct", "kid": "s", "k": b64([]byte(testSecret))})
	answer.Store(&set)
	later(time.Minute)
	check(first, "k1", http.StatusOK, 2)
	check(first, "k1", http.StatusOK, 2)
	check(second, "k2", http.StatusUnauthorized, 2) // unknown, but asked a moment ago
	set = jwksJSON(rsaJWK(first, "k1"), rsaJWK(second, "k2"))
	answer.Store(&set)
	later(time.Minute)
	check(second, "k2", http.StatusOK, 3) // a new key was published
	answer.Store(nil)
	later(2 * time.Hour)
	check(first, "k1", http.StatusOK, 4) // old keys while it fails
	if got := pick(source.known, "", "HS256"); got != nil {
		t.Errorf("a secret was taken from a URL")
	}
}

func TestShortRSAKeyIsRefused(t *testing.T) {
	t.Parallel()
	n := new(big.Int).SetBit(big.NewInt(1), 1023, 1)
	set := jwksJSON(map[string]string{"kty": "RSA", "n": b64(n.Bytes()), "e": "AQAB"})
	if _, err := parseJWKS(set, false); err == nil || !strings.Contains(err.Error(), "too short") {
		t.Errorf("error %v", err)
	}
}

// No token makes the verifier panic, and none but ours is accepted.
func FuzzToken(f *testing.F) {
	v, err := newVerifier(&JWTConfig{Secret: testSecret})
	if err != nil {
		f.Fatal(err)
	}
	valid := mint(f, Claims{Subject: "s", Permissions: []Permission{Read}, Jobs: []string{"*"}, ExpiresAt: time.Now().Add(24 * time.Hour)})
	for _, seed := range []string{valid, "", "..", "a.b.c", valid + "x", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJIUzI1NiIsImtpZCI6NX0.e30.AA",
		sign(f, jwt.SigningMethodHS256, []byte("another"), "", grantAll(nil))} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		who, err := v.identify(t.Context(), token)
		if (who == nil) == (err == nil) {
			t.Fatalf("caller %v and error %v", who, err)
		}
		if err != nil {
			if status := problemOf(err).status; status != http.StatusUnauthorized {
				t.Fatalf("status %d", status)
			}
			return
		}
		if body, _, _ := strings.Cut(token[strings.IndexByte(token, '.')+1:], "."); !strings.Contains(valid, body) {
			t.Fatalf("accepted %q", token)
		}
	})
}

// Neither does a key set.
func FuzzJWKS(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"RSA","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"Ed25519","x":"AA"},{"kty":"oct","k":"AA"}]}`))
	f.Add(jwksJSON(map[string]string{"kty": "oct", "k": b64([]byte(testSecret))}))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := parseJWKS(text, true)
		if (len(keys) > 0) != (err == nil) {
			t.Fatalf("%d keys and error %v", len(keys), err)
		}
		for _, key := range keys {
			if diff := cmp.Diff(1, len(pick([]verifyKey{key}, "", key.alg))); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

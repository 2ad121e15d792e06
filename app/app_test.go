package app_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/app"
	"tidings/httpapi"
	"tidings/internal/redistest"
)

func start(t testing.TB, c app.Config) *app.App {
	t.Helper()
	if c.Addr == "" {
		c.Addr = "127.0.0.1:0"
	}
	if c.DataDir == "" {
		c.DataDir = t.TempDir()
	}
	c.Logger = slog.New(slog.DiscardHandler)
	a, err := app.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Errorf("Stop: %v", err)
		}
	})
	return a
}

// call sends a request and gives the status and the body.
func call(t testing.TB, client *http.Client, method, url, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

const event = `{"event_type":"custom","data":{"n":1}}`

func TestServesEitherStore(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(*testing.T) app.Config{
		"embedded": func(*testing.T) app.Config { return app.Config{} },
		"redis": func(t *testing.T) app.Config {
			return app.Config{RedisURL: redistest.Server(t, "--appendonly", "yes").URL(), Durability: "none"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := start(t, config(t))
			if status, body := call(t, http.DefaultClient, "POST", a.URL()+"/v1/jobs/j/events", event); status != http.StatusCreated {
				t.Fatalf("append: %d %s", status, body)
			}
			if status, body := call(t, http.DefaultClient, "GET", a.URL()+"/v1/jobs/j/events", ""); status != http.StatusOK || !strings.Contains(body, `"data":{"n":1}`) {
				t.Errorf("history: %d %s", status, body)
			}
			if status, body := call(t, http.DefaultClient, "GET", a.URL()+"/readyz", ""); status != http.StatusOK {
				t.Errorf("readyz: %d %s", status, body)
			}
			job, err := a.Store().Job(t.Context(), "j")
			if err != nil || job.Events != 1 {
				t.Errorf("in the same process: %+v %v", job, err)
			}
		})
	}
}

// What is wrong with Redis' settings is told once at the start, and nothing that
// is right a moment later.
func TestWarningsOfRedisAtTheStart(t *testing.T) {
	t.Parallel()
	for setting, want := range map[string]int{"yes": 0, "no": 1} {
		var log strings.Builder
		logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
		a, err := app.Start(t.Context(), app.Config{Addr: "127.0.0.1:0", RedisURL: redistest.Server(t, "--appendonly", setting).URL(), Logger: logger})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		if n := strings.Count(log.String(), "level=WARN"); n != want {
			t.Errorf("appendonly %s: %d warnings, want %d:\n%s", setting, n, want, log.String())
		}
	}
}

// What was acknowledged before a stop is there after the next start.
func TestRestartKeepsEvents(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for i := range 3 {
		a := start(t, app.Config{DataDir: dir})
		call(t, http.DefaultClient, "POST", a.URL()+"/v1/jobs/j/events", event)
		job, err := a.Store().Job(t.Context(), "j")
		if err != nil || job.Events != int64(i+1) {
			t.Fatalf("start %d: %d events, %v", i, job.Events, err)
		}
		if err := a.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// Stop tells viewers to come back, finishes, and closes the store last.
func TestStop(t *testing.T) {
	t.Parallel()
	a := start(t, app.Config{})
	if _, err := a.Store().Append(t.Context(), "j", tidings.Batch{Events: []tidings.Event{{Type: "a"}}}); err != nil {
		t.Fatal(err)
	}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", a.URL()+"/v1/jobs/j/events", nil)
	r.Header.Set("Accept", "text/event-stream")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
	}
	waited := make(chan error, 1)
	go func() { waited <- a.Wait(context.Background()) }()
	if err := a.Stop(t.Context()); err != nil {
		t.Fatalf("Stop: %v", err)
	}
	if err := <-waited; err != nil {
		t.Errorf("Wait: %v", err)
	}
	rest := ""
	for lines.Scan() {
		rest += lines.Text() + "\n"
	}
	if !strings.Contains(rest, "retry: ") || strings.Contains(rest, "event: end") {
		t.Errorf("the viewer was told %q", rest)
	}
	if _, err := a.Store().Job(context.Background(), "j"); err == nil {
		t.Error("the store is still open")
	}
	if _, err := net.DialTimeout("tcp", strings.TrimPrefix(a.URL(), "http://"), time.Second); err == nil {
		t.Error("the listener is still open")
	}
	if err := a.Stop(t.Context()); err != nil { // again
		t.Error(err)
	}
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	cert, key, pool := certificate(t)
	clear := start(t, app.Config{})
	secure := start(t, app.Config{TLSCert: cert, TLSKey: key})

	h2c := new(http.Protocols)
	h2c.SetUnencryptedHTTP2(true)
	both := new(http.Protocols)
	both.SetHTTP2(true)
	for url, transport := range map[string]*http.Transport{
		clear.URL():  {Protocols: h2c},
		secure.URL(): {Protocols: both, TLSClientConfig: &tls.Config{RootCAs: pool}},
	} {
		resp, err := (&http.Client{Transport: transport}).Get(url + "/healthz")
		if err != nil {
			t.Fatalf("%s: %v", url, err)
		}
		resp.Body.Close()
		if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s %s", url, resp.Proto, resp.Status)
		}
		transport.CloseIdleConnections()
	}
	http1 := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	if status, _ := call(t, http1, "GET", secure.URL()+"/healthz", ""); status != http.StatusOK {
		t.Errorf("HTTP/1.1 over TLS: %d", status)
	}
	http1.CloseIdleConnections()
}

// certificate makes one for 127.0.0.1 that signs itself.
func certificate(t testing.TB) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tidings test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, der []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool = x509.NewCertPool()
	pool.AddCert(cert)
	return write("cert.pem", "CERTIFICATE", der), write("key.pem", "PRIVATE KEY", keyDER), pool
}

func TestTokensOfTheConfigurationAreAccepted(t *testing.T) {
	t.Parallel()
	const secret = "a secret of at least thirty-two bytes"
	a := start(t, app.Config{Auth: httpapi.AuthConfig{JWT: &app.JWTConfig{Secret: secret}}})
	token, err := app.MintToken(secret, app.Claims{Permissions: app.Permissions(), Jobs: []string{"*"}, ExpiresAt: time.Now().Add(time.Minute)})
	if err != nil {
		t.Fatal(err)
	}
	if status, _ := call(t, http.DefaultClient, "GET", a.URL()+"/v1/jobs", ""); status != http.StatusUnauthorized {
		t.Errorf("without a token: %d", status)
	}
	if status, body := call(t, http.DefaultClient, "GET", a.URL()+"/v1/jobs?access_token="+token, ""); status != http.StatusOK {
		t.Errorf("with a token: %d %s", status, body)
	}
}

func TestWrongConfigurationSaysWhatToDo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		config app.Config
		want   string
	}{
		"everyone":             {app.Config{Addr: "0.0.0.0:0"}, "insecure-no-auth"},
		"every interface":      {app.Config{Addr: ":0"}, "insecure-no-auth"},
		"a LAN address":        {app.Config{Addr: "192.168.1.2:80"}, "without authentication"},
		"a name":               {app.Config{Addr: "example.com:80"}, "without authentication"},
		"no port":              {app.Config{Addr: "localhost"}, "host:port"},
		"bad port":             {app.Config{Addr: "localhost:http"}, "no port"},
		"no certificate":       {app.Config{TLSCert: "/no/cert.pem", TLSKey: "/no/key.pem"}, "TLS certificate"},
		"half of TLS":          {app.Config{TLSCert: "cert.pem"}, "both"},
		"a level":              {app.Config{LogLevel: "loud"}, "debug, info, warn or error"},
		"a format":             {app.Config{LogFormat: "xml"}, "text or json"},
		"durability":           {app.Config{RedisURL: "redis://x", Durability: "fsync"}, "waitaof"},
		"durability of no one": {app.Config{RedisURL: "redis://x", Durability: "wait:0"}, "1 or more"},
		"durability embedded":  {app.Config{Durability: "wait:1"}, "setting of Redis"},
		"prefix embedded":      {app.Config{RedisPrefix: "x"}, "Redis URL"},
		"bridge embedded":      {app.Config{BridgeIn: true}, "Redis URL"},
		"channel of no bridge": {app.Config{RedisURL: "redis://x", BridgeChannel: "a*"}, "bridge in"},
		"an origin":            {app.Config{AllowedOrigins: []string{"app.example.com"}}, "https://app.example.com"},
		"a negative limit":     {app.Config{MaxViewers: -1}, "negative"},
		"a key":                {app.Config{Auth: httpapi.AuthConfig{Keys: []app.APIKey{{Name: "n"}}}}, "permissions"},
	} {
		if c.config.Addr == "" {
			c.config.Addr = "127.0.0.1:0"
		}
		c.config.DataDir = t.TempDir()
		_, err := app.Start(t.Context(), c.config)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
	}
	for name, c := range map[string]app.Config{
		"nothing":   {},
		"loopback":  {Addr: "127.0.0.2:1"},
		"IPv6":      {Addr: "[::1]:1"},
		"localhost": {Addr: "LOCALHOST:1"},
		"insecure":  {Addr: ":1", InsecureNoAuth: true},
		"redis":     {RedisURL: "redis://x", Durability: "waitaof:2", BridgeIn: true, BridgeOut: true},
	} {
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTakenAddress(t *testing.T) {
	t.Parallel()
	a := start(t, app.Config{})
	dir := t.TempDir()
	_, err := app.Start(t.Context(), app.Config{Addr: strings.TrimPrefix(a.URL(), "http://"), DataDir: dir})
	if err == nil || !strings.Contains(err.Error(), "can't listen on") {
		t.Errorf("error %v", err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("it has made %v", left)
	}
}

func TestFolderInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	start(t, app.Config{DataDir: dir})
	if _, err := app.Start(t.Context(), app.Config{Addr: "127.0.0.1:0", DataDir: dir, Logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Error("two servers have opened one folder")
	}
}

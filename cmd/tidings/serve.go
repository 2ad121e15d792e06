package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.yaml.in/yaml/v3"

	"tidings/app"
)

type serveCmd struct {
	Addr    string `help:"Address to listen on; port 0 takes a free one." default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	TLSCert string `name:"tls-cert" help:"PEM file of a certificate; serves HTTPS." type:"path" placeholder:"FILE"`
	TLSKey  string `name:"tls-key" help:"PEM file of its key." type:"path" placeholder:"FILE"`

	storeFlags
	bridgeFlags
	celeryFlags
	commandFlags
	retentionFlags
	authFlags
	limitFlags
	panelFlags
	alertFlags

	Heartbeat       time.Duration `help:"Time between signs of life on a quiet stream." default:"15s"`
	SSERetry        time.Duration `name:"sse-retry" help:"What viewers are told to wait before they reconnect." default:"2s"`
	SilentAfter     time.Duration `help:"When a running job that never had a lease counts as stalled; negative: never." default:"5m"`
	ShutdownTimeout time.Duration `help:"How long to wait for what is under way when stopping." default:"15s"`
	LogLevel        string        `help:"debug, info, warn or error." enum:"debug,info,warn,error" default:"info"`
	LogFormat       string        `help:"text or json." enum:"text,json" default:"text"`
}

// storeFlags say where the events are kept.
type storeFlags struct {
	Data              string        `help:"Folder of the embedded store." type:"path" default:"tidings-data" placeholder:"DIR"`
	Redis             string        `help:"Keep the events in Redis or Valkey instead: redis://host:6379, several hosts separated by commas for a Cluster, or redis-sentinel://host:26379/master." placeholder:"URL"`
	RedisPrefix       string        `help:"What the names of the streams begin with. Default: job_events:." placeholder:"TEXT"`
	Durability        string        `help:"What an append to Redis waits for: none, wait:N replicas, waitaof, or waitaof:N. Default: none." placeholder:"MODE"`
	DurabilityTimeout time.Duration `help:"How long it waits for that." default:"1s"`
}

// bridgeFlags join publishers and subscribers of the format before streams.
type bridgeFlags struct {
	Bridge        string `help:"Bridge the Pub/Sub channels that were in use before streams: in (their messages become events), out (events are published there too), or both. Needs --redis." enum:"none,in,out,both" default:"none"`
	BridgeChannel string `help:"Name of those channels, with one * for the job ID. Default: job:*:events." placeholder:"NAME"`
}

// retentionFlags say what may be forgotten.
type retentionFlags struct {
	KeepFor    time.Duration `help:"Delete jobs so long after they ended. 0: never." default:"0s"`
	KeepEvents int64         `help:"Keep about the newest so many events of each job. 0: all." default:"0"`
	KeepBytes  int64         `help:"Keep about the newest so many bytes of each job. 0: all." default:"0"`
}

// authFlags say who may do what.
type authFlags struct {
	APIKey           []string `name:"api-key" help:"Secret that may do everything; may be repeated. At least 16 bytes." placeholder:"SECRET"`
	APIKeys          string   `name:"api-keys" help:"YAML file with a list of keys: name, key or sha256, permissions (publish, read, cancel, admin), jobs (patterns)." type:"path" placeholder:"FILE"`
	JWTSecret        string   `name:"jwt-secret" help:"Accept JWTs signed with this secret (HS256, at least 32 bytes); \"tidings token\" makes them." placeholder:"SECRET"`
	JWTPublicKey     string   `name:"jwt-public-key" help:"Accept JWTs signed with the key of this PEM file (RS256 or EdDSA)." type:"path" placeholder:"FILE"`
	JWKS             string   `name:"jwks" help:"Accept JWTs signed with the keys of this JSON Web Key Set." placeholder:"FILE|URL"`
	JWTIssuer        string   `name:"jwt-issuer" help:"Issuer that a JWT must have." placeholder:"TEXT"`
	JWTAudience      string   `name:"jwt-audience" help:"Audience that a JWT must have." placeholder:"TEXT"`
	JWTAllowNoExpiry bool     `name:"jwt-allow-no-expiry" help:"Accept JWTs that are valid for ever."`
	InsecureNoAuth   bool     `help:"Listen on an address that others can reach without asking for keys or tokens."`
	AllowOrigin      []string `help:"Web origin whose pages may use the API, as https://app.example.com; may be repeated." placeholder:"ORIGIN"`
	AllowHost        []string `help:"Host name, besides localhost, under which a loopback address without authentication answers; may be repeated." placeholder:"NAME"`
}

// limitFlags bound what one request or one node takes.
type limitFlags struct {
	MaxBody          int64 `help:"Bytes of a request body." default:"16777216"`
	MaxEvent         int   `help:"Bytes of one event's data." default:"1048576"`
	MaxBatch         int   `help:"Events of one batch." default:"10000"`
	MaxViewers       int   `help:"Viewers of this node." default:"10000"`
	MaxViewersPerJob int   `help:"Viewers of one job. 0: as many as of the node." default:"0"`
}

func (serveCmd) Help() string {
	return `Serves the HTTP API until it is interrupted; then viewers are told to come back, appends under way finish, and it ends. A second signal ends it at once.

Examples:

    tidings serve
    tidings serve --redis redis://localhost:6379 --keep-for 168h
    tidings serve --redis redis://localhost:6379/1 --celery-broker redis://localhost:6379/0
    tidings serve --addr 0.0.0.0:8080 --jwt-secret "$(openssl rand -hex 32)"`
}

// Run serves until a signal comes.
func (s *serveCmd) Run(ctx context.Context, e *env) error {
	config, err := s.config(e.err)
	if err != nil {
		return err
	}
	a, err := app.Start(ctx, config)
	if err != nil {
		return err
	}
	// The first signal ends ctx. From then on signals act by themselves again:
	// the second one ends the process.
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt, syscall.SIGTERM) })
	reloadOnHangup(ctx, a)
	fmt.Fprintf(e.out, "Tidings serves on %s (Ctrl-C stops it)\n", a.URL())
	err = a.Wait(ctx)
	if stopErr := a.Stop(context.WithoutCancel(ctx)); err == nil {
		err = stopErr
	}
	return err
}

func (s *serveCmd) config(log io.Writer) (app.Config, error) {
	c := app.Config{
		Addr: s.Addr, TLSCert: s.TLSCert, TLSKey: s.TLSKey,
		Heartbeat: s.Heartbeat, Retry: s.SSERetry, SilentAfter: s.SilentAfter, ShutdownTimeout: s.ShutdownTimeout,
		LogLevel: s.LogLevel, LogFormat: s.LogFormat, LogOutput: log, Version: version(),
	}
	s.storeFlags.apply(&c)
	s.limitFlags.apply(&c)
	s.bridgeFlags.apply(&c)
	s.celeryFlags.apply(&c)
	if err := s.commandFlags.apply(&c); err != nil {
		return c, err
	}
	s.panelFlags.apply(&c)
	s.alertFlags.apply(&c)
	c.Retention.AfterEnd, c.Retention.EventsPerJob, c.Retention.BytesPerJob = s.KeepFor, s.KeepEvents, s.KeepBytes
	return c, s.authFlags.apply(&c)
}

func (s *storeFlags) apply(c *app.Config) {
	c.DataDir, c.RedisURL, c.RedisPrefix = s.Data, s.Redis, s.RedisPrefix
	c.Durability, c.DurabilityTimeout = s.Durability, s.DurabilityTimeout
}

func (b *bridgeFlags) apply(c *app.Config) {
	c.BridgeIn = b.Bridge == "in" || b.Bridge == "both"
	c.BridgeOut = b.Bridge == "out" || b.Bridge == "both"
	c.BridgeChannel = b.BridgeChannel
}

func (l *limitFlags) apply(c *app.Config) {
	c.Limits.BodyBytes, c.Limits.EventBytes, c.Limits.BatchEvents = l.MaxBody, l.MaxEvent, l.MaxBatch
	c.MaxViewers, c.MaxViewersPerJob = l.MaxViewers, l.MaxViewersPerJob
}

func (a *authFlags) apply(c *app.Config) error {
	c.InsecureNoAuth, c.AllowedOrigins, c.AllowedHosts = a.InsecureNoAuth, a.AllowOrigin, a.AllowHost
	for _, secret := range a.APIKey {
		c.Auth.Keys = append(c.Auth.Keys, app.APIKey{Name: "api-key", Key: secret, Permissions: app.Permissions()})
	}
	if a.APIKeys != "" {
		keys, err := readKeys(a.APIKeys)
		if err != nil {
			return err
		}
		c.Auth.Keys = append(c.Auth.Keys, keys...)
	}
	c.Auth.JWT = a.jwt()
	return nil
}

func (a *authFlags) jwt() *app.JWTConfig {
	if a.JWTSecret == "" && a.JWTPublicKey == "" && a.JWKS == "" {
		return nil
	}
	c := &app.JWTConfig{
		Secret: a.JWTSecret, PublicKeyFile: a.JWTPublicKey,
		Issuer: a.JWTIssuer, Audience: a.JWTAudience, AllowNoExpiry: a.JWTAllowNoExpiry,
	}
	if strings.HasPrefix(a.JWKS, "https://") || strings.HasPrefix(a.JWKS, "http://") {
		c.JWKSURL = a.JWKS
	} else {
		c.JWKSFile = a.JWKS
	}
	return c
}

// readKeys reads a list of keys. A file with nothing in it is a mistake: it
// would leave the server open to everyone.
func readKeys(path string) ([]app.APIKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("can't read the API keys: %w", err)
	}
	defer f.Close() // it was only read from
	var keys []app.APIKey
	dec := yaml.NewDecoder(f)
	dec.KnownFields(true)
	if err := dec.Decode(&keys); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s holds no keys; give a list of name, key, permissions and jobs", path)
	}
	return keys, nil
}

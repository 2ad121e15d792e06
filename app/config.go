package app

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"tidings"
	"tidings/celery"
	"tidings/httpapi"
	"tidings/redislog"
	"tidings/runner"
)

// Config is everything that can be set. Zero fields get the default named beside
// them.
type Config struct {
	// Addr is where to listen, host:port; 127.0.0.1:8080. Port 0 takes a free
	// one (see [App.URL]). Without Auth it must be a loopback address.
	Addr string
	// TLSCert and TLSKey are PEM files. Both or none; none is plain HTTP.
	TLSCert, TLSKey string

	// DataDir is the folder of the embedded store; "tidings-data". It is not
	// used with RedisURL.
	DataDir string
	// RedisURL makes Redis or Valkey the store; see [redislog.Options] for what
	// it may look like.
	RedisURL string
	// RedisPrefix of the streams' keys; "job_events:".
	RedisPrefix string
	// Durability is what an append to Redis waits for: "none" (the default),
	// "wait:N" replicas, "waitaof" for the master's fsync, "waitaof:N" for that
	// of N replicas too. The embedded store always waits for its disk.
	Durability string
	// DurabilityTimeout bounds that wait; 1 s.
	DurabilityTimeout time.Duration
	// BridgeIn appends what is published on the Pub/Sub channels of the format
	// before streams, and BridgeOut publishes every event there; see
	// [redislog.Bridge]. BridgeChannel is a channel's name with one * where the
	// job ID stands; "job:*:events".
	BridgeIn, BridgeOut bool
	BridgeChannel       string
	// Celery connects a Celery application, so that its tasks are jobs; it has
	// none without a BrokerURL. See [celery.Options].
	Celery celery.Options
	// Commands are programs that jobs may run on this machine, by name; none.
	// See [runner.Queue].
	Commands map[string]runner.Command
	// Retention says what may be forgotten; nothing.
	Retention tidings.Retention

	// Auth says who may do what. Neither keys nor JWT: everyone may everything.
	Auth httpapi.AuthConfig
	// InsecureNoAuth allows an address that is not loopback without Auth:
	// whoever reaches the port can read, write and delete everything.
	InsecureNoAuth bool
	// AllowedOrigins are web origins whose pages may use the API; none.
	AllowedOrigins []string
	// AllowedHosts are host names, besides localhost, under which a server
	// without Auth answers on a loopback address; none.
	AllowedHosts []string

	// Limits of requests.
	Limits httpapi.Limits
	// MaxViewers of this node, 10,000, and of one job, as many.
	MaxViewers, MaxViewersPerJob int
	// ReadHeaderTimeout is how long a client may take to send a request's
	// header; 10 s.
	ReadHeaderTimeout time.Duration

	// Heartbeat is the time between signs of life on a quiet stream; 15 s.
	Heartbeat time.Duration
	// Retry is what viewers are told to wait before they reconnect; 2 s.
	Retry time.Duration
	// SilentAfter is when a running job that never had a lease counts as
	// stalled; 5 min. Negative: never.
	SilentAfter time.Duration
	// ShutdownTimeout bounds Stop; 15 s.
	ShutdownTimeout time.Duration

	// RulesFile says what alerts there are besides the built-in ones, and who is
	// told: see docs/alerts.md; none. It is read again when it changes.
	RulesFile string
	// NoAlerts leaves the alerts out.
	NoAlerts bool
	// PublicURL is where people reach the server, as links in notices say; [App.URL].
	PublicURL string

	// LogLevel is debug, info, warn or error; info. LogFormat is text or json;
	// text. LogOutput takes the log; standard error.
	LogLevel, LogFormat string
	LogOutput           io.Writer
	// Logger is used instead of the three fields above, if set.
	Logger *slog.Logger

	// NoPanel leaves the web panel out.
	NoPanel bool
	// ReadOnly refuses what people do to jobs; see [httpapi.Options].
	ReadOnly bool
	// Prefix is the path beneath which everything is served, as "/tidings"; none.
	Prefix string

	// Version is shown by /healthz.
	Version string
}

// Defaults of a [Config].
const (
	DefaultAddr    = "127.0.0.1:8080"
	DefaultDataDir = "tidings-data"
)

func (c Config) withDefaults() Config {
	orDefault(&c.Addr, DefaultAddr)
	orDefault(&c.DataDir, DefaultDataDir)
	orDefault(&c.ReadHeaderTimeout, 10*time.Second)
	orDefault(&c.SilentAfter, 5*time.Minute)
	orDefault(&c.ShutdownTimeout, 15*time.Second)
	orDefault(&c.LogLevel, "info")
	orDefault(&c.LogFormat, "text")
	return c
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports everything that is wrong with the configuration, one line
// each, or nil. [Start] calls it.
func (c Config) Validate() error {
	c = c.withDefaults()
	_, durabilityErr := parseDurability(c.Durability, c.DurabilityTimeout)
	_, logErr := newLogger(&c)
	errs := []error{c.checkAddr(), durabilityErr, c.checkStore(), c.checkBridge(), c.checkQueues(), c.checkTLS(), c.checkPrefix(), logErr, c.checkNumbers()}
	for _, origin := range c.AllowedOrigins {
		if err := httpapi.ValidateOrigin(origin); err != nil {
			errs = append(errs, fmt.Errorf("allowed origins: %w; one looks like https://app.example.com", err))
		}
	}
	if c.hasAuth() {
		_, err := httpapi.NewAuth(c.Auth)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (c *Config) hasAuth() bool { return len(c.Auth.Keys) > 0 || c.Auth.JWT != nil }

// checkAddr refuses to serve everyone unless told so in so many words.
func (c *Config) checkAddr() error {
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return fmt.Errorf("address %q is not host:port, such as %s", c.Addr, DefaultAddr)
	}
	if n, err := strconv.Atoi(port); err != nil || n < 0 || n > 65535 {
		return fmt.Errorf("address %q: %q is no port", c.Addr, port)
	}
	if c.hasAuth() || c.InsecureNoAuth || isLoopback(host) {
		return nil
	}
	return fmt.Errorf("refusing to listen on %s without authentication: configure API keys or JWT, listen on 127.0.0.1, or say --insecure-no-auth to let everyone who reaches the port read, write and delete everything", c.Addr)
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func (c *Config) checkStore() error {
	if c.RedisURL == "" && c.Durability != "" && c.Durability != "none" {
		return errors.New("durability is a setting of Redis; the embedded store always waits for its disk")
	}
	if c.RedisURL == "" && c.RedisPrefix != "" {
		return errors.New("a Redis prefix needs a Redis URL")
	}
	return nil
}

func (c *Config) checkTLS() error {
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return errors.New("TLS needs both a certificate file and a key file")
	}
	return nil
}

func (c *Config) checkNumbers() error {
	for _, f := range []struct {
		name     string
		negative bool
	}{
		{"the shutdown timeout", c.ShutdownTimeout < 0},
		{"the read header timeout", c.ReadHeaderTimeout < 0},
		{"the heartbeat", c.Heartbeat < 0},
		{"the time before a reconnect", c.Retry < 0},
		{"the number of viewers", c.MaxViewers < 0 || c.MaxViewersPerJob < 0},
		{"a limit", c.Limits.BodyBytes < 0 || c.Limits.EventBytes < 0 || c.Limits.BatchEvents < 0 || c.Limits.FeedViewers < 0 ||
			c.Limits.BodyTimeout < 0 || c.Limits.StreamIdle < 0 || c.Limits.WriteTimeout < 0},
		{"retention", c.Retention.AfterEnd < 0 || c.Retention.EventsPerJob < 0 || c.Retention.BytesPerJob < 0},
	} {
		if f.negative {
			return errors.New(f.name + " can't be negative")
		}
	}
	return nil
}

// parseDurability reads [Config.Durability].
func parseDurability(text string, timeout time.Duration) (redislog.Durability, error) {
	d := redislog.Durability{Timeout: timeout}
	name, count, counted := strings.Cut(text, ":")
	n, err := strconv.Atoi(count)
	if counted && (err != nil || n < 1) {
		return d, fmt.Errorf("durability %q: the number of replicas must be 1 or more", text)
	}
	switch {
	case text == "" || text == "none":
	case name == "wait" && counted:
		d.Replicas = n
	case name == "waitaof":
		d.AOFLocal, d.AOFReplicas = true, n
	default:
		return d, fmt.Errorf("durability %q is not none, wait:N, waitaof or waitaof:N", text)
	}
	return d, nil
}

func newLogger(c *Config) (*slog.Logger, error) {
	if c.Logger != nil {
		return c.Logger, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, fmt.Errorf("log level %q is not debug, info, warn or error", c.LogLevel)
	}
	out := logOutput(c.LogOutput)
	opts := &slog.HandlerOptions{Level: level}
	switch c.LogFormat {
	case "text":
		return slog.New(slog.NewTextHandler(out, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(out, opts)), nil
	}
	return nil, fmt.Errorf("log format %q is not text or json", c.LogFormat)
}

package app

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"tidings"
	"tidings/alert"
	"tidings/celery"
	"tidings/httpapi"
	"tidings/hub"
	"tidings/monitor"
	"tidings/pebblelog"
	"tidings/redislog"
	"tidings/runner"
	"tidings/wire"
)

const (
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
)

// App is a running server.
type App struct {
	config  Config
	log     *slog.Logger
	store   tidings.Store
	bridge  *redislog.Bridge // nil: none
	celery  *celery.Bridge   // nil: none
	runner  *runner.Queue    // nil: none
	queues  map[string]tidings.TaskQueue
	state   monitor.State
	alerts  *alert.Engine // nil: none
	monitor *monitor.Monitor
	viewers atomic.Pointer[hub.Hub]
	api     *httpapi.Server
	http    *http.Server
	addr    net.Addr

	served   chan struct{} // closed when the listener has ended
	serveErr error         // why, if nobody asked it to

	stop    sync.Once
	stopped chan struct{} // closed when Stop is done
	stopErr error
}

// Start opens the store and serves until Stop. ctx bounds the start only. The
// error says what to do: the configuration is wrong, the store can't be opened,
// or the address is taken.
func Start(ctx context.Context, c Config) (*App, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	c = c.withDefaults()
	log, err := newLogger(&c)
	if err != nil {
		return nil, err
	}
	a := &App{config: c, log: log, served: make(chan struct{}), stopped: make(chan struct{})}
	// A taken address is found out before a store is opened for nothing.
	listener, err := listen(ctx, c.Addr)
	if err != nil {
		return nil, err
	}
	a.addr = listener.Addr()
	if a.store, err = openStore(ctx, &c, log); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	if a.bridge, err = startBridge(ctx, &c, a.store, log); err != nil {
		return nil, errors.Join(err, listener.Close(), a.store.Close())
	}
	if err := errors.Join(a.startQueues(ctx), a.startAlerts(ctx), a.startMonitor(ctx)); err != nil {
		return nil, errors.Join(err, listener.Close(), a.closeStore())
	}
	if err := a.build(); err != nil {
		return nil, errors.Join(err, listener.Close(), a.closeStore())
	}
	a.warn(ctx)
	go a.serve(listener)
	log.Info("serving", "url", a.URL(), "store", a.storeName(), "auth", c.hasAuth(), "version", c.Version)
	return a, nil
}

func listen(ctx context.Context, addr string) (net.Listener, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("can't listen on %s: %w", addr, err)
	}
	return listener, nil
}

func openStore(ctx context.Context, c *Config, log *slog.Logger) (tidings.Store, error) {
	if c.RedisURL == "" {
		return pebblelog.Open(c.DataDir, &pebblelog.Options{Retention: c.Retention, Logger: log})
	}
	durability, err := parseDurability(c.Durability, c.DurabilityTimeout)
	if err != nil {
		return nil, err
	}
	return redislog.Open(ctx, redislog.Options{
		URL: c.RedisURL, Prefix: c.RedisPrefix, Durability: durability, Retention: c.Retention, Logger: log,
	})
}

// build puts the hub and the API over the store.
func (a *App) build() error {
	c := &a.config
	var auth *httpapi.Auth
	if c.hasAuth() {
		var err error
		if auth, err = httpapi.NewAuth(c.Auth); err != nil {
			return err
		}
	}
	viewers := hub.New(a.store, wire.AppendFrame, &hub.Options{
		MaxViewers: c.MaxViewers, MaxViewersPerJob: c.MaxViewersPerJob,
		Heartbeat: c.Heartbeat, SilentAfter: max(c.SilentAfter, 0), Logger: a.log,
	})
	a.viewers.Store(viewers)
	a.api = httpapi.New(a.store, &httpapi.Options{
		Auth: auth, Hub: viewers, Monitor: a.monitor, Alerts: a.alerts, Queues: a.queues, Limits: c.Limits,
		AllowedOrigins: c.AllowedOrigins, AllowedHosts: c.AllowedHosts,
		Logger: a.log, SilentAfter: c.SilentAfter, Heartbeat: c.Heartbeat, Retry: c.Retry, Version: c.Version,
		Panel: !c.NoPanel, ReadOnly: c.ReadOnly,
	})
	a.http = newHTTPServer(c, underPrefix(c.Prefix, a.api), a.log)
	return a.loadCertificate()
}

// loadCertificate finds out at the start, not at the first connection, that the
// files are wrong.
func (a *App) loadCertificate() error {
	if a.config.TLSCert == "" {
		return nil
	}
	pair, err := tls.LoadX509KeyPair(a.config.TLSCert, a.config.TLSKey)
	if err != nil {
		return fmt.Errorf("can't use the TLS certificate and key: %w", err)
	}
	a.http.TLSConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
	return nil
}

// newHTTPServer speaks HTTP/1.1 and HTTP/2, in the clear by prior knowledge. It
// has no timeout for a whole request or answer: streams last. What could hang
// has its own deadlines in httpapi.
func newHTTPServer(c *Config, h http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler: h, Protocols: protocols,
		ReadHeaderTimeout: c.ReadHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // clients that break off
	}
}

// warn tells what weakens the store's promises. An unreachable store is told
// too, but does not keep the server from starting: it may come.
func (a *App) warn(ctx context.Context) {
	health := a.store.Health(ctx)
	for _, warning := range health.Warnings {
		a.log.Warn(warning, "store", health.Store)
	}
	if !health.Ready {
		a.log.Error("the store is not ready", "store", health.Store, "error", health.Error)
	}
	if !a.config.hasAuth() && !isLoopback(hostOf(a.config.Addr)) {
		a.log.Warn("serving without authentication: whoever reaches the port can read, write and delete everything", "addr", a.addr.String())
	}
}

func (a *App) serve(l net.Listener) {
	defer close(a.served)
	var err error
	if a.config.TLSCert != "" {
		err = a.http.ServeTLS(l, "", "")
	} else {
		err = a.http.Serve(l)
	}
	if !errors.Is(err, http.ErrServerClosed) {
		a.serveErr = fmt.Errorf("serving has ended: %w", err)
		a.log.Error("serving has ended", "error", err)
	}
}

// Wait returns when ctx ends (nil), when Stop has been called (nil), or when
// serving fails.
func (a *App) Wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-a.served:
		return a.serveErr
	}
}

// Stop ends the server: /readyz answers 503 and the listener closes, viewers are
// told to come back later, appends that are under way finish, and the store is
// closed last. ctx and the shutdown timeout bound the wait; after it connections
// are cut. Further calls wait for the first and return its error.
func (a *App) Stop(ctx context.Context) error {
	a.stop.Do(func() {
		defer close(a.stopped)
		a.stopErr = a.shutdown(ctx)
	})
	<-a.stopped
	return a.stopErr
}

func (a *App) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, a.config.ShutdownTimeout)
	defer cancel()
	a.log.Info("stopping")
	// Both at once: each waits for requests that the other ends.
	drained := make(chan error, 1)
	go func() { drained <- a.api.Shutdown(ctx) }()
	err := a.http.Shutdown(ctx)
	if drainErr := <-drained; err == nil {
		err = drainErr
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("not every connection ended in time: %w", err), a.http.Close())
	}
	<-a.served
	err = errors.Join(err, a.closeStore())
	a.log.Info("stopped")
	return err
}

// closeStore ends the store after what works with it.
func (a *App) closeStore() error {
	var err error
	if a.monitor != nil {
		a.monitor.Stop()
	}
	if a.alerts != nil {
		a.alerts.Stop()
	}
	err = errors.Join(err, a.closeQueues())
	if a.bridge != nil {
		err = errors.Join(err, a.bridge.Close())
	}
	return errors.Join(err, a.store.Close())
}

// URL is where the server is reached from this machine, without a slash at the
// end.
func (a *App) URL() string {
	scheme := "http"
	if a.config.TLSCert != "" {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(a.addr.String())
	if err != nil {
		return scheme + "://" + a.addr.String() + a.config.Prefix
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return scheme + "://" + net.JoinHostPort(host, port) + a.config.Prefix
}

// Store is the server's store, for use in the same process. Stop closes it.
func (a *App) Store() tidings.Store { return a.store }

// Handler is the API, for tests and for mounting it elsewhere.
func (a *App) Handler() http.Handler { return a.api }

func (a *App) storeName() string {
	if a.config.RedisURL != "" {
		return "redis"
	}
	return a.config.DataDir
}

func hostOf(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	return host
}

func logOutput(w io.Writer) io.Writer {
	if w == nil {
		return os.Stderr
	}
	return w
}

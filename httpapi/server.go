package httpapi

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tidings"
	"tidings/alert"
	"tidings/hub"
	"tidings/monitor"
	"tidings/wire"
)

// Options of a [Server]. The zero value works.
type Options struct {
	// Auth says who may do what. Nil: everyone may do everything, and requests
	// to a loopback address must name a loopback host (see AllowedHosts).
	Auth *Auth
	// Hub fans events out to viewers. Nil: one over the store with defaults.
	// Shutdown closes it.
	Hub *hub.Hub
	// Monitor knows the statistics, and its numbers are in the metrics. Nil: there
	// are none. The caller stops it.
	Monitor *monitor.Monitor
	// Alerts knows the alerts, and its numbers are in the metrics. Nil: there are
	// none. The caller stops it.
	Alerts *alert.Engine
	// Queues are the task queues on which jobs can be put, by their type, such
	// as "celery". Nil: none.
	Queues map[string]tidings.TaskQueue
	// Limits bound what a request may take.
	Limits Limits
	// AllowedOrigins are the web origins, as "https://app.example.com", whose
	// pages may use the API from another origin; "*" is all of them.
	AllowedOrigins []string
	// AllowedHosts are names besides localhost under which a server without
	// authentication may be asked on a loopback address, such as that of a proxy
	// on the same machine.
	AllowedHosts []string
	// Logger gets one line a request and what goes wrong. Nil: [slog.Default].
	Logger *slog.Logger
	// Registry is where the metrics are registered and what /metrics serves.
	// Nil: a new one.
	Registry *prometheus.Registry
	// SilentAfter is when a running job that never had a lease counts as
	// stalled. Zero: 5 minutes. Negative: never.
	SilentAfter time.Duration
	// Heartbeat is the time between two signs of life on a quiet feed. Zero:
	// 15 s. A job's stream has the hub's.
	Heartbeat time.Duration
	// Retry is what viewers are told to wait before they reconnect. Zero: 2 s.
	Retry time.Duration
	// Version is shown by /healthz.
	Version string
	// Panel serves the web UI at / besides the API.
	Panel bool
	// ReadOnly refuses what people do to jobs: stopping, deleting, submitting,
	// and everything that needs [Admin]. Publishing and reading go on.
	ReadOnly bool
}

func (o Options) withDefaults() Options {
	o.Limits = o.Limits.withDefaults()
	orDefault(&o.SilentAfter, 5*time.Minute)
	o.SilentAfter = max(o.SilentAfter, 0)
	orDefault(&o.Heartbeat, 15*time.Second)
	orDefault(&o.Retry, defaultSSE)
	orDefault(&o.Version, "devel")
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	return o
}

// Server is the API of one store, an [http.Handler]. Safe for concurrent use.
type Server struct {
	store   tidings.Store
	opts    Options
	limits  Limits
	log     *slog.Logger
	mux     *http.ServeMux
	origins *originPolicy
	metrics *metrics
	streams *streams

	drain     context.Context // ends when Shutdown begins
	drainNow  context.CancelFunc
	requests  tracker // those that are being answered
	feedSlots chan struct{}
}

// New makes the API of the store. Nothing runs until a request comes. nil
// options work. It panics if the registry holds metrics of another Server, or
// an allowed origin is not one.
func New(store tidings.Store, opts *Options) *Server {
	if opts == nil {
		opts = &Options{}
	}
	o := opts.withDefaults()
	if o.Hub == nil {
		o.Hub = hub.New(store, wire.AppendFrame, &hub.Options{SilentAfter: o.SilentAfter, Logger: o.Logger})
	}
	s := &Server{
		store: store, opts: o, limits: o.Limits, log: o.Logger,
		origins:   newOriginPolicy(o.AllowedOrigins, o.AllowedHosts, o.Auth == nil),
		feedSlots: make(chan struct{}, o.Limits.FeedViewers),
	}
	s.metrics = newMetrics(s)
	s.drain, s.drainNow = context.WithCancel(context.Background())
	s.streams = &streams{hub: o.Hub, retry: o.Retry, writeTimeout: o.Limits.WriteTimeout, log: o.Logger, lag: s.ObserveDeliveryLag, drain: s.drain}
	s.mux = s.newMux()
	return s
}

// Shutdown makes /readyz answer 503, tells viewers to come back later and waits
// for requests that are being answered: appends finish, NDJSON streams end after
// the lines that have arrived. It closes the hub, but not the store. The error
// is ctx's.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drainNow()
	s.opts.Hub.Close()
	if err := s.streams.waitAll(ctx); err != nil {
		return err
	}
	return s.requests.wait(ctx)
}

// draining reports whether Shutdown has begun.
func (s *Server) draining() bool { return s.drain.Err() != nil }

// hurryTime is what a reader who stands still is left when the node goes down.
const hurryTime = 2 * time.Second

// hurry bounds a write that is under way when the node goes down; the function
// it returns takes that back, and must be called before the handler returns.
func hurry(drain context.Context, setDeadline func(time.Time) error) func() {
	return onDrain(drain, func() {
		_ = setDeadline(time.Now().Add(hurryTime)) // where there are no deadlines, Shutdown's context bounds the wait
	})
}

// onDrain runs f when the node goes down, unless the function that it returns
// was called before. That waits for an f that runs: HTTP/2 panics at a deadline
// that is set behind the end of an answer.
func onDrain(drain context.Context, f func()) func() {
	ran := make(chan struct{})
	stop := context.AfterFunc(drain, func() {
		defer close(ran)
		f()
	})
	return sync.OnceFunc(func() {
		if !stop() {
			<-ran
		}
	})
}

// writeBy sets the deadline of a write that begins. It looks at drain after it
// has: else it might take back what hurry has just set.
func writeBy(drain context.Context, at time.Time, setDeadline func(time.Time) error) error {
	err := setDeadline(at)
	if soon := time.Now().Add(hurryTime); drain.Err() != nil && soon.Before(at) {
		err = setDeadline(soon)
	}
	return err
}

// tracker counts requests so that Shutdown can wait for them. A WaitGroup can't
// be used: requests still arrive while it is waited for.
type tracker struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n is 0; nil if nobody waits
}

func (t *tracker) enter() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n++
}

func (t *tracker) leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.n--
	if t.n == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

func (t *tracker) wait(ctx context.Context) error {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return nil
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tidings"
	"tidings/alert"
	"tidings/hub"
	"tidings/monitor"
)

// metrics are what /metrics shows besides the Go runtime. No label takes a value
// that a client can choose.
type metrics struct {
	appends         *prometheus.CounterVec
	appendEvents    prometheus.Counter
	appendSeconds   prometheus.Histogram
	lag             prometheus.Histogram
	requests        *prometheus.CounterVec
	requestSeconds  *prometheus.HistogramVec
	publisherLosses prometheus.Counter
	handler         http.Handler
}

var (
	appendBuckets  = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	requestBuckets = []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
)

func newMetrics(s *Server) *metrics {
	m := &metrics{
		appends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_appends_total", Help: "Batches that publishers sent, by what became of them."}, []string{"result"}),
		appendEvents: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tidings_append_events_total", Help: "Events accepted over HTTP."}),
		appendSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tidings_append_seconds", Help: "Time from a parsed batch to its durability in the store.", Buckets: appendBuckets}),
		lag: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "tidings_delivery_lag_seconds", Help: "Time from an event's ID to the socket of a viewer who waited for it.", Buckets: appendBuckets}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tidings_http_requests_total", Help: "Requests answered; streams count when they are taken over or end."}, []string{"route", "method", "code"}),
		requestSeconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tidings_http_request_seconds", Help: "Time to answer a request; for streams the time to the first byte or, on HTTP/2, to the end.", Buckets: requestBuckets}, []string{"route", "method"}),
		publisherLosses: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tidings_publisher_dropped_events_total", Help: "Events that publishers reported as dropped while the store was away."}),
	}
	for _, result := range appendResults {
		m.appends.WithLabelValues(result)
	}
	registry := s.opts.Registry
	registry.MustRegister(m.appends, m.appendEvents, m.appendSeconds, m.lag, m.requests, m.requestSeconds, m.publisherLosses,
		&storeCollector{s.store}, &hubCollector{s})
	if s.opts.Monitor != nil {
		registry.MustRegister(monitor.NewCollector(s.opts.Monitor))
	}
	if s.opts.Alerts != nil {
		registry.MustRegister(alert.NewCollector(s.opts.Alerts))
	}
	for _, c := range []prometheus.Collector{collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})} {
		_ = registry.Register(c) // a registry that is shared has them already
	}
	m.handler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	return m
}

func (s *Server) serveMetrics(w http.ResponseWriter, r *http.Request) error {
	s.metrics.handler.ServeHTTP(w, r)
	return nil
}

// ObserveDeliveryLag records the time between an event's append and its write to
// a viewer who waited for it.
func (s *Server) ObserveDeliveryLag(d time.Duration) { s.metrics.lag.Observe(max(d, 0).Seconds()) }

// appendResults are all values of the label result.
var appendResults = []string{"ok", "duplicate", "invalid", "closed", "fenced", "sequence", "unavailable", "error"}

func appendResult(r *tidings.Receipt, err error) string {
	if err == nil {
		if r.Duplicate {
			return "duplicate"
		}
		return "ok"
	}
	if _, ok := errors.AsType[*tidings.ClosedError](err); ok {
		return "closed"
	}
	if _, ok := errors.AsType[*tidings.FencedError](err); ok {
		return "fenced"
	}
	if _, ok := errors.AsType[*tidings.SequenceError](err); ok {
		return "sequence"
	}
	switch mapError(err).status {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		return "invalid"
	case http.StatusServiceUnavailable:
		return "unavailable"
	}
	return "error"
}

func (m *metrics) observeAppend(b *tidings.Batch, r *tidings.Receipt, err error, took time.Duration) {
	result := appendResult(r, err)
	m.appends.WithLabelValues(result).Inc()
	if result != "ok" {
		return
	}
	m.appendSeconds.Observe(took.Seconds())
	m.appendEvents.Add(float64(len(b.Events)))
	for i := range b.Events {
		if b.Events[i].Type == tidings.TypeCustom {
			m.publisherLosses.Add(droppedEvents(&b.Events[i]))
		}
	}
}

// droppedEvents is the number of events that a publisher says, by a custom event
// named tidings.dropped, it had to drop.
func droppedEvents(e *tidings.Event) float64 {
	var d struct {
		Name  string `json:"name"`
		Value struct {
			Events float64 `json:"events"`
		} `json:"value"`
	}
	if json.Unmarshal(e.Data, &d) != nil || d.Name != "tidings.dropped" {
		return 0
	}
	return max(d.Value.Events, 0)
}

func (m *metrics) observeRequest(r *http.Request, status int, took time.Duration) {
	route, method := routeLabel(r), methodLabel(r.Method)
	m.requests.WithLabelValues(route, method, strconv.Itoa(status)).Inc()
	m.requestSeconds.WithLabelValues(route, method).Observe(took.Seconds())
}

// routeLabel is the pattern that the mux matched, without the method.
func routeLabel(r *http.Request) string {
	_, path, _ := strings.Cut(r.Pattern, " ")
	if path == "" {
		return "none"
	}
	return path
}

func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodDelete, http.MethodOptions, http.MethodPut, http.MethodPatch:
		return method
	}
	return "other"
}

// storeCollector shows the store's own counters.
type storeCollector struct{ store tidings.Store }

var storeCounters = []struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*tidings.Stats) int64
}{
	{storeDesc("appends_total", "Batches written."), prometheus.CounterValue, func(s *tidings.Stats) int64 { return s.Appends }},
	{storeDesc("appended_events_total", "Events written."), prometheus.CounterValue, func(s *tidings.Stats) int64 { return s.AppendedEvents }},
	{storeDesc("duplicates_total", "Batches recognised as repeated."), prometheus.CounterValue, func(s *tidings.Stats) int64 { return s.Duplicates }},
	{storeDesc("refused_total", "Batches refused."), prometheus.CounterValue, func(s *tidings.Stats) int64 { return s.Refused }},
	{storeDesc("reads_total", "Reads of a log."), prometheus.CounterValue, func(s *tidings.Stats) int64 { return s.Reads }},
	{storeDesc("read_events_total", "Events read."), prometheus.CounterValue, func(s *tidings.Stats) int64 { return s.ReadEvents }},
	{storeDesc("followers", "Followers open now."), prometheus.GaugeValue, func(s *tidings.Stats) int64 { return s.Followers }},
	{storeDesc("trimmed_events_total", "Events that retention removed."), prometheus.CounterValue, func(s *tidings.Stats) int64 { return s.Trimmed }},
	{storeDesc("deleted_jobs_total", "Jobs deleted, by callers and by retention."), prometheus.CounterValue, func(s *tidings.Stats) int64 { return s.Deleted }},
}

func storeDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("tidings_store_"+name, help, nil, nil)
}

// Describe implements [prometheus.Collector].
func (c *storeCollector) Describe(out chan<- *prometheus.Desc) {
	for _, counter := range storeCounters {
		out <- counter.desc
	}
}

// Collect implements [prometheus.Collector].
func (c *storeCollector) Collect(out chan<- prometheus.Metric) {
	stats := c.store.Stats()
	for _, counter := range storeCounters {
		out <- prometheus.MustNewConstMetric(counter.desc, counter.kind, float64(counter.value(&stats)))
	}
}

// hubCollector shows who watches.
type hubCollector struct{ s *Server }

var (
	viewersDesc    = prometheus.NewDesc("tidings_viewers", "Connections that watch, by what they watch.", []string{"kind"}, nil)
	topicsDesc     = prometheus.NewDesc("tidings_hub_jobs", "Jobs that this node follows for its viewers.", nil, nil)
	hubReadsDesc   = prometheus.NewDesc("tidings_hub_reads_total", "Reads of the store for viewers.", nil, nil)
	deliveriesDesc = prometheus.NewDesc("tidings_deliveries_total", "Writes to viewers, each of one or more events.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (c *hubCollector) Describe(out chan<- *prometheus.Desc) {
	out <- viewersDesc
	out <- topicsDesc
	out <- hubReadsDesc
	out <- deliveriesDesc
}

// Collect implements [prometheus.Collector].
func (c *hubCollector) Collect(out chan<- prometheus.Metric) {
	var stats hub.Stats = c.s.opts.Hub.Stats()
	out <- prometheus.MustNewConstMetric(viewersDesc, prometheus.GaugeValue, float64(stats.Viewers), "job")
	out <- prometheus.MustNewConstMetric(viewersDesc, prometheus.GaugeValue, c.s.feedViewers(), "feed")
	out <- prometheus.MustNewConstMetric(topicsDesc, prometheus.GaugeValue, float64(stats.Topics))
	out <- prometheus.MustNewConstMetric(hubReadsDesc, prometheus.CounterValue, float64(stats.Reads))
	out <- prometheus.MustNewConstMetric(deliveriesDesc, prometheus.CounterValue, float64(stats.Deliveries))
}

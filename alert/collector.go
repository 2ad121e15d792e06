package alert

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are what the engine did since it started.
type counters struct {
	evaluations int64
	evaluating  time.Duration
	notices     map[[2]string]int64 // by receiver and result
}

func (c *counters) count(receiver, result string) {
	if c.notices == nil {
		c.notices = map[[2]string]int64{}
	}
	c.notices[[2]string{receiver, result}]++
}

type collector struct{ e *Engine }

// NewCollector shows the engine's numbers to Prometheus. Those of the alerts are
// from the node that holds the lease alone.
func NewCollector(e *Engine) prometheus.Collector { return &collector{e} }

var (
	descAlerts  = prometheus.NewDesc("tidings_alerts", "Alerts of a rule.", []string{"rule", "state", "severity"}, nil)
	descOver    = prometheus.NewDesc("tidings_alerts_over_limit", "What a rule found beyond its limit of alerts.", []string{"rule"}, nil)
	descHealth  = prometheus.NewDesc("tidings_alert_rule_health", "1 for the health that a rule has: ok, no_data or error.", []string{"rule", "health"}, nil)
	descOutbox  = prometheus.NewDesc("tidings_alert_outbox", "Notices that wait for a receiver.", []string{"receiver"}, nil)
	descOldest  = prometheus.NewDesc("tidings_alert_outbox_oldest_seconds", "How long the oldest of them waits.", []string{"receiver"}, nil)
	descNotices = prometheus.NewDesc("tidings_alert_notices_total", "Attempts to send notices by this node: sent, failed; and those given up.", []string{"receiver", "result"}, nil)
	descEvals   = prometheus.NewDesc("tidings_alert_evaluations_total", "Evaluations of all rules by this node.", nil, nil)
	descSeconds = prometheus.NewDesc("tidings_alert_evaluation_seconds_total", "Time that they took.", nil, nil)
	descFile    = prometheus.NewDesc("tidings_alert_rules_loaded", "1 if the rules file, as it is now, is in use on this node; 0 if it is wrong.", nil, nil)
)

// Describe implements [prometheus.Collector].
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descAlerts, descOver, descHealth, descOutbox, descOldest, descNotices, descEvals, descSeconds, descFile} {
		to <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(to chan<- prometheus.Metric) {
	e := c.e
	e.mu.Lock()
	defer e.mu.Unlock()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	count := func(d *prometheus.Desc, v float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}
	loaded := 1.0
	if e.file.Error != "" {
		loaded = 0
	}
	gauge(descFile, loaded)
	count(descEvals, float64(e.counters.evaluations))
	count(descSeconds, e.counters.evaluating.Seconds())
	for key, n := range e.counters.notices {
		count(descNotices, float64(n), key[0], key[1])
	}
	if e.leading() {
		e.collectState(gauge)
	}
}

func (e *Engine) collectState(gauge func(*prometheus.Desc, float64, ...string)) {
	for _, r := range e.config.Rules {
		n := map[[2]string]int{}
		for _, i := range e.state.Alerts[r.Name] {
			n[[2]string{i.State, i.Severity}]++
		}
		for key, v := range n {
			gauge(descAlerts, float64(v), r.Name, key[0], key[1])
		}
		if status := e.state.Rules[r.Name]; status != nil {
			gauge(descHealth, 1, r.Name, status.Health)
			gauge(descOver, float64(status.Over), r.Name)
		}
	}
	for name := range e.notifiers {
		waiting, oldest := 0, 0.0
		for _, r := range e.state.Outbox {
			if r.Receiver == name {
				waiting++
				oldest = max(oldest, time.Since(r.At).Seconds())
			}
		}
		gauge(descOutbox, float64(waiting), name)
		gauge(descOldest, oldest, name)
	}
}

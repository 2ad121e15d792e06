package monitor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// collector shows the monitor's numbers to Prometheus.
type collector struct{ m *Monitor }

// NewCollector shows the monitor's numbers to Prometheus: those of the monitor
// itself from every node, and those of the jobs from the node that holds the
// lease alone, so that a sum over nodes counts nothing twice. The values of the
// labels name, tool and model are as many as [Limits] allow.
func NewCollector(m *Monitor) prometheus.Collector { return &collector{m} }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("tidings_"+name, help, labels, nil)
}

var (
	lagDesc    = describe("monitor_lag_seconds", "How far the monitor's numbers are behind the store.")
	leaderDesc = describe("monitor_leader", "1 on the node that holds the monitor's lease.")
	gapsDesc   = describe("monitor_gaps_total", "Times that changes were trimmed away before the monitor read them.")
	foldedDesc = describe("monitor_changes_total", "Changes that this node has read from the feed.")

	jobsDesc     = describe("jobs", "Jobs that go on, by status.", "status")
	stalledDesc  = describe("jobs_stalled", "Jobs among those running or cancelling that give no sign of life.")
	createdDesc  = describe("jobs_created_total", "Jobs that were seen for the first time.", "name")
	endedDesc    = describe("jobs_ended_total", "Jobs that ended, by how.", "name", "status")
	durationDesc = describe("job_duration_seconds", "From a job's start to its end.", "name")
	waitDesc     = describe("job_wait_seconds", "From a job's creation to its start.", "name")
	errorsDesc   = describe("job_errors_total", "Errors, by the job's name.", "name")
	toolsDesc    = describe("tool_calls_total", "Tool calls that ended, by how.", "tool", "outcome")
	toolTimeDesc = describe("tool_duration_seconds", "How long tool calls took.", "tool")
	modelsDesc   = describe("model_calls_total", "Model calls that ended, by how.", "model", "outcome")
	modelTime    = describe("model_duration_seconds", "How long model calls took.", "model")
	ttftDesc     = describe("model_ttft_seconds", "How long model calls took to their first token.", "model")
	tokensDesc   = describe("tokens_total", "Tokens that models took and gave.", "model", "kind")
	costDesc     = describe("cost_total", "What model calls cost.", "model", "currency")
	lagsDesc     = describe("publish_lag_seconds", "From an event's timestamp to its append.")
	droppedDesc  = describe("dropped_events_total", "Events that publishers say they dropped.")
)

// Describe implements [prometheus.Collector].
func (c *collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{lagDesc, leaderDesc, gapsDesc, foldedDesc, jobsDesc, stalledDesc, createdDesc, endedDesc, durationDesc, waitDesc,
		errorsDesc, toolsDesc, toolTimeDesc, modelsDesc, modelTime, ttftDesc, tokensDesc, costDesc, lagsDesc, droppedDesc} {
		out <- d
	}
}

// Collect implements [prometheus.Collector].
func (c *collector) Collect(out chan<- prometheus.Metric) {
	p := c.m.Progress()
	s := sink{out}
	s.gauge(lagDesc, p.Lag.Seconds())
	s.counter(gapsDesc, float64(p.Gaps))
	s.counter(foldedDesc, float64(p.Folded))
	if !p.Leader {
		s.gauge(leaderDesc, 0)
		return
	}
	s.gauge(leaderDesc, 1)
	now := time.Now()
	c.m.View(func(f *Fold) {
		s.jobs(c.m.jobCounts(f, now))
		for scope, series := range f.series {
			s.scope(scope, &series.Total)
		}
	})
}

// sink takes metrics.
type sink struct{ out chan<- prometheus.Metric }

func (s sink) gauge(d *prometheus.Desc, v float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
}

func (s sink) counter(d *prometheus.Desc, v float64, labels ...string) {
	s.out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
}

func (s sink) jobs(c JobCounts) {
	for status, n := range map[string]int{"queued": c.Queued, "running": c.Running, "waiting": c.Waiting, "cancelling": c.Cancelling} {
		s.gauge(jobsDesc, float64(n), status)
	}
	s.gauge(stalledDesc, float64(c.Stalled))
}

func (s sink) scope(scope Scope, m *Measures) {
	switch v := scope.Value; scope.By {
	case ByAll:
		s.histogram(lagsDesc, m.Lag)
		s.counter(droppedDesc, float64(m.Dropped))
	case ByName:
		s.counter(createdDesc, float64(m.Created), v)
		s.counter(endedDesc, float64(m.Completed+m.CompletedBack), v, "completed")
		s.counter(endedDesc, float64(m.Failed+m.FailedBack), v, "failed")
		s.counter(endedDesc, float64(m.Cancelled), v, "cancelled")
		s.counter(errorsDesc, float64(m.Errors), v)
		s.histogram(durationDesc, m.Duration, v)
		s.histogram(waitDesc, m.Wait, v)
	case ByTool:
		s.counter(toolsDesc, float64(m.ToolCalls-m.ToolErrors), v, "ok")
		s.counter(toolsDesc, float64(m.ToolErrors), v, "error")
		s.histogram(toolTimeDesc, m.Tool, v)
	case ByModel:
		s.model(v, m)
	}
}

func (s sink) model(v string, m *Measures) {
	s.counter(modelsDesc, float64(m.ModelCalls-m.ModelErrors), v, "ok")
	s.counter(modelsDesc, float64(m.ModelErrors), v, "error")
	s.histogram(modelTime, m.Model, v)
	s.histogram(ttftDesc, m.TTFT, v)
	s.counter(tokensDesc, float64(m.Tokens.InputTokens), v, "input")
	s.counter(tokensDesc, float64(m.Tokens.OutputTokens), v, "output")
	for currency, amount := range m.Cost {
		s.counter(costDesc, amount, v, currency)
	}
}

// bounds of the histograms, seconds.
var bounds = []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600}

func (s sink) histogram(d *prometheus.Desc, sketch *Sketch, labels ...string) {
	count, sum, below := sketch.cumulative(bounds)
	s.out <- prometheus.MustNewConstHistogram(d, count, sum, below, labels...)
}

// cumulative counts the values, of milliseconds, that are at most so many
// seconds.
func (s *Sketch) cumulative(seconds []float64) (count uint64, sum float64, below map[float64]uint64) {
	below = make(map[float64]uint64, len(seconds))
	i := 0
	if s != nil {
		for at, bin := range s.Bins {
			for ; i < len(seconds) && valueOf(bin) > seconds[i]*1000; i++ {
				below[seconds[i]] = count
			}
			count += uint64(s.Counts[at])
		}
		sum = s.Sum() / 1000
	}
	for ; i < len(seconds); i++ {
		below[seconds[i]] = count
	}
	return count, sum, below
}

package alert

import (
	"fmt"
	"math"
	"slices"
	"time"

	"tidings"
	"tidings/monitor"
)

// Outside is what rules look at besides the changes of jobs: it is asked for
// from time to time on the node that holds the lease.
type Outside struct {
	Queues  []tidings.QueueDepth
	Workers []tidings.Worker
	Health  tidings.Health
	// ViewerGaps is how often viewers of this node were told that events had been
	// trimmed away before they read them.
	ViewerGaps int64
	// HasQueues says that there are task queues, and Known that the rest is known.
	HasQueues, Known bool
	// Error says what could not be asked.
	Error string
}

// queueBacklog finds jobs that wait in a queue for too long.
var queueBacklog = &detector{
	name: "queue_backlog", help: "a job waits in a queue for a worker for too long", severity: Warning, keep: 2 * minute,
	defaults: map[string]any{"after": 5 * minute},
	settings: map[string]string{"after": "that the oldest waits"},
	eval: func(r *Rule, w *world) []finding {
		oldest, n := map[string]*monitor.LiveJob{}, map[string]int{}
		w.fold.Live(func(j *monitor.LiveJob) bool {
			if j.Status == tidings.StatusQueued && w.now.Sub(j.SilentSince) >= r.duration("after") {
				queue := queueOf(j)
				n[queue]++
				if oldest[queue] == nil && len(oldest) < maxInstances {
					oldest[queue] = j
				}
			}
			return true
		})
		var list []finding
		for queue, j := range oldest {
			waits := w.now.Sub(j.SilentSince)
			list = append(list, finding{key: queue, labels: map[string]string{"queue": queue}, job: j.ID, value: ptr(waits.Seconds()),
				summary: fmt.Sprintf("%d jobs wait for a worker%s for over %s; the oldest, %s, for %s", n[queue], named(queue), span(r.duration("after")), j.ID, span(waits))})
		}
		return list
	},
}

func queueOf(j *monitor.LiveJob) string {
	if j.Task != nil {
		return j.Task.Queue
	}
	return ""
}

// noWorkers finds task queues in which something waits while no worker lives.
var noWorkers = &detector{
	name: "no_workers", help: "tasks wait in a queue and no worker is alive", severity: Critical, wait: 2 * minute, keep: 0,
	eval: func(_ *Rule, w *world) []finding {
		if !w.outside.Known || !w.outside.HasQueues {
			return nil
		}
		alive := map[string]bool{}
		for i := range w.outside.Workers {
			if w.outside.Workers[i].Alive {
				alive[w.outside.Workers[i].Type] = true
			}
		}
		var list []finding
		for _, q := range w.outside.Queues {
			if q.Waiting > 0 && !alive[q.Type] {
				list = append(list, finding{key: q.Type + " " + q.Name, labels: map[string]string{"queue": q.Name, "type": q.Type}, value: ptr(float64(q.Waiting)),
					summary: fmt.Sprintf("%d tasks wait in the queue %s of %s, and no worker is alive", q.Waiting, q.Name, q.Type)})
			}
		}
		return list
	},
}

// deadMan finds jobs that should have started, or ended, and did not.
var deadMan = &detector{
	name: "dead_man", help: "a job that is expected from time to time did not start, or did not end", severity: Critical, keep: 0, optional: true,
	defaults: map[string]any{"job": "", "every": 0 * minute, "grace": 5 * minute, "finish": 0 * minute},
	settings: map[string]string{"job": "name of the jobs", "every": "time between two starts", "grace": "that a start may be late", "finish": "in which it must end; 0: any"},
	check: func(r *Rule) error {
		switch {
		case r.text("job") == "":
			return fmt.Errorf("needs job, the name of the jobs that are expected")
		case r.duration("every") <= 0:
			return fmt.Errorf("needs every, the time between two starts, such as 24h")
		}
		return nil
	},
	observe: func(r *Rule, t *tally, c *monitor.Folded) {
		if c.Deleted || c.Job.Name != r.text("job") {
			return
		}
		n := t.name(c.Job.Name)
		if begins := c.Was == "" || c.Was == tidings.StatusQueued; begins && c.Job.Status != tidings.StatusQueued {
			n.Started = later(n.Started, c.At)
		}
		if c.Ended {
			n.Ended = later(n.Ended, c.At)
		}
	},
	eval: evalDeadMan,
}

func evalDeadMan(r *Rule, w *world) []finding {
	job := r.text("job")
	var n nameTally
	if known := w.tally.Names[job]; known != nil {
		n = *known
	}
	labels := map[string]string{"name": job}
	since := later(n.Started, w.began)
	if late := w.now.Sub(since); late > r.duration("every")+r.duration("grace") {
		return []finding{{key: "start", labels: labels, value: ptr(late.Seconds()),
			summary: fmt.Sprintf("no job%s started for %s; one is expected every %s", named(job), span(late), span(r.duration("every")))}}
	}
	finish := r.duration("finish")
	if runs := w.now.Sub(n.Started); finish > 0 && !n.Started.IsZero() && n.Ended.Before(n.Started) && runs > finish {
		return []finding{{key: "finish", labels: labels, value: ptr(runs.Seconds()),
			summary: fmt.Sprintf("a job%s started %s ago and has not ended; it should within %s", named(job), span(runs), span(finish))}}
	}
	return nil
}

// publisherLag finds that events reach the store late: publishers can't keep up,
// or spool because they could not reach it.
var publisherLag = &detector{
	name: "publisher_lag", help: "events reach the store late", severity: Warning, wait: 2 * minute, keep: 2 * minute,
	defaults: map[string]any{"lag": 5 * second, "window": 2 * minute, "min": 20.0},
	settings: map[string]string{"lag": "that a twentieth of the events have", "window": "in which they are looked at", "min": "events in it, at least"},
	eval: func(r *Rule, w *world) []finding {
		recent := w.fold.Window(monitor.All, w.now.Add(-r.duration("window")), w.now)
		if recent.Lag.Count() < int64(r.number("min")) {
			return nil
		}
		// A clock that is wrong by the same all the time is no lag.
		past := w.fold.Window(monitor.All, w.now.Add(-hour), w.now)
		lag := recent.Lag.Quantile(.95) - max(past.Lag.Quantile(0), 0)
		if math.IsNaN(lag) || lag <= float64(r.duration("lag").Milliseconds()) {
			return nil
		}
		return []finding{{labels: map[string]string{}, value: ptr(lag / 1000),
			summary: fmt.Sprintf("a twentieth of the events of the last %s reached the store over %s after they were made", span(r.duration("window")), span(ms(lag)))}}
	},
}

// publisherDrops finds that publishers had to drop events.
var publisherDrops = &detector{
	name: "publisher_drops", help: "publishers dropped events", severity: Critical, keep: 5 * minute,
	defaults: map[string]any{"window": 5 * minute},
	settings: map[string]string{"window": "in which they said so"},
	eval: func(r *Rule, w *world) []finding {
		var list []finding
		for _, scope := range w.fold.Scopes(monitor.ByName) {
			m := w.fold.Window(scope, w.now.Add(-r.duration("window")), w.now)
			if m.Dropped > 0 {
				list = append(list, finding{key: scope.Value, labels: map[string]string{"name": scope.Value}, value: ptr(float64(m.Dropped)),
					summary: fmt.Sprintf("publishers of jobs%s dropped %d events within %s", named(scope.Value), m.Dropped, span(r.duration("window")))})
			}
		}
		return list
	},
}

// storeHealth tells what the store says of itself.
var storeHealth = &detector{
	name: "store_health", help: "the store can't take appends, or its settings weaken what it promises", severity: Warning, wait: 30 * second, keep: 30 * second,
	defaults: map[string]any{"ignore": `^$`},
	settings: map[string]string{"ignore": "pattern of warnings that are no alert"},
	check:    func(r *Rule) error { return r.pattern("ignore") },
	eval: func(r *Rule, w *world) []finding {
		h := w.outside.Health
		if !w.outside.Known {
			return nil
		}
		var list []finding
		if !h.Ready {
			list = append(list, finding{key: "ready", severity: Critical, labels: map[string]string{"store": h.Store, "problem": "not ready"},
				summary: "the store can't take appends" + because(h.Error)})
		}
		for _, warning := range h.Warnings {
			problem := monitor.Normalise(warning)
			key := hashOf(problem)
			if r.patterns["ignore"].MatchString(warning) || slices.ContainsFunc(list, func(f finding) bool { return f.key == key }) {
				continue
			}
			list = append(list, finding{key: key, labels: map[string]string{"store": h.Store, "problem": clip(problem, 100)}, summary: "the store warns: " + clip(warning, 400)})
		}
		return list
	},
}

// trimmed finds that events were trimmed away before the monitor, or a viewer, read
// them.
var trimmed = &detector{
	name: "trimmed_unread", help: "events were trimmed away before they were read", severity: Warning, keep: 5 * minute,
	defaults: map[string]any{"hold": 5 * minute},
	settings: map[string]string{"hold": "how long it is told"},
	eval: func(r *Rule, w *world) []finding {
		var list []finding
		for _, reader := range []struct {
			who string
			n   int64
		}{{"the monitor", w.gaps}, {"viewers", w.outside.ViewerGaps}} {
			if n := w.grown(r, reader.who, reader.n, r.duration("hold")); n > 0 {
				list = append(list, finding{key: reader.who, labels: map[string]string{"reader": reader.who}, value: ptr(float64(n)),
					summary: fmt.Sprintf("events were trimmed away %d times before %s read them; keep more, or longer", n, reader.who)})
			}
		}
		return list
	},
}

// memo is what a rule remembers of something.
type memo struct {
	Value int64     `json:"value,omitempty"`
	Grew  int64     `json:"grew,omitempty"`
	Since time.Time `json:"since,omitzero"`
}

// watchdog always fires, so that who listens learns that alerts come through.
var watchdog = &detector{
	name: "watchdog", help: "always fires, so that its absence tells that alerts don't come through", severity: Info,
	eval: func(*Rule, *world) []finding {
		return []finding{{labels: map[string]string{}, summary: "alerts come through"}}
	},
}

// grown is by how much a counter has grown within the time. A counter of a
// process that began anew is taken as it is.
func (w *world) grown(r *Rule, key string, value int64, hold time.Duration) int64 {
	id := r.Name + "\x00grown\x00" + key
	m, known := w.memo[id]
	switch {
	case known && value > m.Value:
		m.Grew, m.Since = m.Grew+value-m.Value, w.now
	case w.now.Sub(m.Since) > hold:
		m.Grew = 0
	}
	m.Value = value
	w.memo[id] = m
	return m.Grew
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

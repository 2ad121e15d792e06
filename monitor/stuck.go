package monitor

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings"
)

// Stuck answers of one job that goes on: why does it not move?
type Stuck struct {
	JobID  string         `json:"job_id"`
	Name   string         `json:"name"`
	Status tidings.Status `json:"status"`
	Phase  string         `json:"phase,omitempty"`
	Since  time.Time      `json:"since"` // the job's first event

	Waits    *Waiting  `json:"waits_for,omitempty"` // what it waits for; left out: no run is open
	SilentMS int64     `json:"silent_ms"`           // since its last event
	Last     LastEvent `json:"last_event"`

	Worker     string     `json:"worker,omitempty"` // of a task queue
	LeaseUntil *time.Time `json:"lease_until,omitempty"`
	Stalled    bool       `json:"stalled"` // it gives no sign of life: its worker is gone
	// Overdue says that it waits, or is silent, for longer than is usual: over
	// four times the 99th percentile and over a minute.
	Overdue bool   `json:"overdue"`
	Says    string `json:"says"` // all that in a sentence
}

// Waiting is the innermost run that is open.
type Waiting struct {
	Run
	ForMS  int64     `json:"for_ms"`
	Others int       `json:"others"`   // innermost runs that are open besides
	Usual  Quantiles `json:"usual_ms"` // how long this step takes in jobs of this name
}

// LastEvent is a job's last sign.
type LastEvent struct {
	ID   tidings.ID `json:"id"`
	Type string     `json:"type"`
	At   time.Time  `json:"at"`
}

// StuckQuery says which jobs to explain.
type StuckQuery struct {
	JobID string // this one alone
	Name  string // of the job; empty: any
	Limit int    // zero: 100
	// May tells which jobs may be shown; nil: all.
	May func(jobID string) bool
}

// Stuck explains the jobs that go on: those that give no sign of life first,
// then the overdue, then those that were silent for longest.
func (m *Monitor) Stuck(q StuckQuery) (rows []Stuck) {
	m.View(func(f *Fold) { rows = m.stuck(f, q, time.Now()) })
	return rows
}

// Stuck explains by the fold alone, at any time, as for changes that were
// recorded: leases are not known to it, so a job is stalled once it is silent for
// five minutes.
func (f *Fold) Stuck(q StuckQuery, now time.Time) []Stuck {
	m := &Monitor{opts: Options{}.withDefaults()}
	return m.stuck(f, q, now)
}

func (m *Monitor) stuck(f *Fold, q StuckQuery, now time.Time) []Stuck {
	orDefault(&q.Limit, 100)
	rows := []Stuck{}
	if q.JobID != "" {
		if j, ok := f.jobs[q.JobID]; ok {
			rows = m.explain(rows, f, j, &q, now)
		}
	} else {
		for e := f.order.Front(); e != nil; e = e.Next() {
			rows = m.explain(rows, f, e.Value.(*live), &q, now)
		}
	}
	slices.SortStableFunc(rows, func(a, b Stuck) int {
		return cmp.Or(cmp.Compare(b.urgency(), a.urgency()), cmp.Compare(b.SilentMS, a.SilentMS), cmp.Compare(a.JobID, b.JobID))
	})
	rows = rows[:min(len(rows), q.Limit)]
	for i := range rows {
		rows[i].Says = rows[i].sentence(now)
	}
	return rows
}

func (s *Stuck) urgency() int {
	switch {
	case s.Stalled:
		return 2
	case s.Overdue:
		return 1
	}
	return 0
}

func (m *Monitor) explain(rows []Stuck, f *Fold, j *live, q *StuckQuery, now time.Time) []Stuck {
	job := &j.Job
	if job.Status.Ended() || q.Name != "" && q.Name != job.Name || q.May != nil && !q.May(job.ID) {
		return rows
	}
	last := j.heard()
	s := Stuck{
		JobID: job.ID, Name: job.Name, Status: job.Status, Phase: job.Phase, Since: job.CreatedAt,
		SilentMS: max(now.Sub(last).Milliseconds(), 0), Last: LastEvent{job.LastID, job.LastType, last},
		LeaseUntil: m.beats.lease(job.ID), Stalled: m.stalled(j, now),
	}
	if job.Task != nil {
		s.Worker = job.Task.Worker
	}
	live := j.public()
	var usual Usual
	if live.Waits != nil {
		usual, _ = f.Usual(job.Name, live.Waits.Kind, live.Waits.Name)
		s.Waits = &Waiting{Run: *live.Waits, Others: live.Others, Usual: usual.Duration.Quantiles(),
			ForMS: max(now.Sub(live.Waits.Since).Milliseconds(), 0)}
	} else {
		usual, _ = f.Usual(job.Name, "", "")
	}
	active := job.Status == tidings.StatusRunning || job.Status == tidings.StatusCancelling
	s.Overdue = active && Overdue(&usual.Silence, time.Duration(s.SilentMS)*time.Millisecond)
	return append(rows, s)
}

// What is not known well yet is left so long.
const (
	overdueUnknown = 5 * time.Minute
	overdueLeast   = time.Minute
	overdueTimes   = 4
	overdueSamples = 20
)

// OverdueAfter is how long a silence must be to be unusual: four times the 99th
// percentile of what was seen, at least a minute, and five minutes while fewer
// than 20 were seen.
func OverdueAfter(silence *Sketch) time.Duration {
	if silence.Count() < overdueSamples {
		return overdueUnknown
	}
	return max(overdueLeast, time.Duration(overdueTimes*silence.Quantile(.99))*time.Millisecond)
}

// Overdue reports whether a silence is longer than [OverdueAfter].
func Overdue(silence *Sketch, silent time.Duration) bool { return silent > OverdueAfter(silence) }

// sentence says why the job does not move, for people.
func (s *Stuck) sentence(now time.Time) string {
	var parts []string
	switch {
	case s.Status == tidings.StatusQueued:
		parts = append(parts, "waits in a queue for a worker since "+span(now.Sub(s.Last.At)))
	case s.Status == tidings.StatusWaiting:
		parts = append(parts, "waits for input since "+span(now.Sub(s.Last.At)))
	case s.Waits != nil:
		parts = append(parts, s.Waits.sentence())
	default:
		parts = append(parts, "no step is open")
	}
	if s.Stalled {
		parts = append(parts, "its worker gives no sign of life"+s.leaseText(now))
	}
	parts = append(parts, fmt.Sprintf("last event %s, %s ago", s.Last.Type, span(now.Sub(s.Last.At))))
	if s.Status == tidings.StatusCancelling {
		parts = append(parts, "it was asked to stop")
	}
	if s.Worker != "" {
		parts = append(parts, "worker "+s.Worker)
	}
	return strings.Join(parts, "; ")
}

func (s *Stuck) leaseText(now time.Time) string {
	if s.LeaseUntil == nil || s.LeaseUntil.After(now) {
		return ""
	}
	return ": its lease ran out " + span(now.Sub(*s.LeaseUntil)) + " ago"
}

func (w *Waiting) sentence() string {
	what := map[string]string{RunTool: "the tool ", RunModel: "the model ", RunPhase: ""}[w.Kind] + w.Name
	text := "waits for " + what + " since " + span(time.Duration(w.ForMS)*time.Millisecond)
	if w.Usual.P95 != nil {
		text += " (usually " + span(time.Duration(*w.Usual.P50*float64(time.Millisecond))) + ", p95 " + span(time.Duration(*w.Usual.P95*float64(time.Millisecond))) + ")"
	}
	if w.Others > 0 {
		text += fmt.Sprintf(" and for %d more", w.Others)
	}
	return text
}

// span is a duration as people say it, with two units at most.
func span(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

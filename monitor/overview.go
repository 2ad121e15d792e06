package monitor

import (
	"cmp"
	"slices"
	"time"

	"tidings"
)

// Overview is what happens now.
type Overview struct {
	Now      time.Time `json:"now"`
	Since    time.Time `json:"since,omitzero"` // the first change that was counted; left out: none was
	Jobs     JobCounts `json:"jobs"`
	Window   Summary   `json:"window"`
	Totals   Totals    `json:"totals"`
	By       []Row     `json:"by,omitempty"` // the most jobs or calls first
	Progress Progress  `json:"monitor"`
}

// JobCounts are the jobs that go on.
type JobCounts struct {
	Queued     int `json:"queued"`
	Running    int `json:"running"`
	Waiting    int `json:"waiting"`
	Cancelling int `json:"cancelling"`
	Stalled    int `json:"stalled"` // of those running or cancelling: no sign of life
	Overdue    int `json:"overdue"` // of those running or cancelling: silent for longer than usual
	// OldestQueuedMS is how long the job waits that has been queued for longest.
	OldestQueuedMS int64 `json:"oldest_queued_ms"`
	Forgotten      int64 `json:"forgotten"` // went on, but were too many to follow
}

// Totals are counts since the monitor began.
type Totals struct {
	Created   int64 `json:"created"`
	Completed int64 `json:"completed"`
	Failed    int64 `json:"failed"`
	Cancelled int64 `json:"cancelled"`
	Events    int64 `json:"events"`
	Dropped   int64 `json:"dropped"`
}

// Row is the part of one scope.
type Row struct {
	Scope
	Live   map[tidings.Status]int `json:"jobs,omitempty"` // that go on; of job names only
	Window Summary                `json:"window"`
}

// Overview gives the last stretch of time, and its parts by name, label, tool or
// model; "" is none.
func (m *Monitor) Overview(window time.Duration, by string) Overview {
	now := time.Now().UTC()
	o := Overview{Now: now, Progress: m.Progress()}
	m.View(func(f *Fold) {
		if f.since > 0 {
			o.Since = time.UnixMilli(f.since).UTC()
		}
		o.Jobs = m.jobCounts(f, now)
		w := f.Window(All, now.Add(-window), now)
		o.Window = w.Summary()
		t := f.Total(All)
		o.Totals = Totals{t.Created, t.Completed, t.Failed, t.Cancelled, t.Events, t.Dropped}
		if by != "" {
			o.By = rows(f, by, window, now)
		}
	})
	return o
}

func (m *Monitor) jobCounts(f *Fold, now time.Time) JobCounts {
	c := f.Counts()
	out := JobCounts{Queued: c[tidings.StatusQueued], Running: c[tidings.StatusRunning], Waiting: c[tidings.StatusWaiting],
		Cancelling: c[tidings.StatusCancelling], Forgotten: f.lost}
	for e := f.order.Front(); e != nil; e = e.Next() {
		j := e.Value.(*live)
		silent := now.Sub(j.heard())
		switch j.Job.Status {
		case tidings.StatusQueued:
			out.OldestQueuedMS = max(out.OldestQueuedMS, silent.Milliseconds())
		case tidings.StatusRunning, tidings.StatusCancelling:
			if silent < silentFor {
				continue
			}
			if m.stalled(j, now) {
				out.Stalled++
			}
			if silent > overdueLeast && f.overdue(j, silent) {
				out.Overdue++
			}
		}
	}
	return out
}

func (f *Fold) overdue(j *live, silent time.Duration) bool {
	key := stepKey{Job: j.Job.Name}
	if waits := j.public().Waits; waits != nil {
		key.Kind, key.Name = waits.Kind, waits.Name
	}
	var silence Sketch
	if s := f.steps[key]; s != nil {
		silence = s.Silence.recent()
	}
	return Overdue(&silence, silent)
}

func rows(f *Fold, by string, window time.Duration, now time.Time) []Row {
	var out []Row
	live := map[string]Counts{}
	if by == ByName {
		live = f.CountsByName()
	}
	for _, scope := range f.Scopes(by) {
		w := f.Window(scope, now.Add(-window), now)
		if w.Events+w.ToolCalls+w.ModelCalls == 0 && live[scope.Value] == nil {
			continue
		}
		out = append(out, Row{Scope: scope, Live: live[scope.Value], Window: w.Summary()})
	}
	weight := func(r *Row) int64 {
		return r.Window.Events + r.Window.Tool.Calls + r.Window.Model.Calls
	}
	slices.SortStableFunc(out, func(a, b Row) int { return cmp.Compare(weight(&b), weight(&a)) })
	return out
}

package alert

import (
	"fmt"
	"time"

	"tidings"
	"tidings/monitor"
)

// nameTally is what is remembered of the jobs of a name.
type nameTally struct {
	InARow  int       `json:"in_a_row,omitempty"` // failed since the last success
	Started time.Time `json:"started,omitzero"`   // the last that did
	Ended   time.Time `json:"ended,omitzero"`
	Last    string    `json:"last,omitempty"` // the job that failed last
}

// jobFailed finds each job that failed, until a job of its name completes or
// some time has passed: people are told of it, it can't get better by itself.
var jobFailed = &detector{
	name: "job_failed", help: "a job failed", severity: Warning,
	defaults: map[string]any{"hold": 15 * minute},
	settings: map[string]string{"hold": "how long the alert stays if no job of the name completes"},
	observe: func(r *Rule, t *tally, c *monitor.Folded) {
		switch {
		case c.Deleted:
			t.clear(r, c.Event.JobID)
		case c.Ended && c.Job.Status == tidings.StatusFailed:
			t.raise(r, c.Job.ID, found{Labels: jobLabels(c.Job), Job: c.Job.ID, Event: c.Event.ID, At: c.At, Until: c.At.Add(r.duration("hold")),
				Summary: "job " + c.Job.ID + named(c.Job.Name) + " failed" + because(c.Job.Error)})
		case c.Ended && c.Job.Status == tidings.StatusCompleted && c.Job.Name != "": // jobs without a name have nothing to do with each other
			for key, f := range t.Found[r.Name] {
				if f.Labels["name"] == c.Job.Name {
					t.clear(r, key)
				}
			}
		case c.Was == tidings.StatusFailed: // it went on after all
			t.clear(r, c.Job.ID)
		}
	},
}

// jobsFailing finds names whose jobs fail one after the other.
var jobsFailing = &detector{
	name: "jobs_failing", help: "the last jobs of a name all failed", severity: Critical,
	defaults: map[string]any{"count": 3.0, "hold": 24 * hour},
	settings: map[string]string{"count": "jobs in a row", "hold": "how long after the last of them it is forgotten"},
	observe: func(r *Rule, t *tally, c *monitor.Folded) {
		if c.Deleted || !c.Ended {
			return
		}
		n := t.name(c.Job.Name)
		switch c.Job.Status {
		case tidings.StatusCompleted:
			n.InARow = 0
			t.clear(r, c.Job.Name)
		case tidings.StatusFailed:
			if n.Last == c.Job.ID { // it failed before, and went on
				return
			}
			n.InARow, n.Last = n.InARow+1, c.Job.ID
		}
		if n.InARow >= int(r.number("count")) && c.Job.Status == tidings.StatusFailed {
			t.raise(r, c.Job.Name, found{Labels: map[string]string{"name": c.Job.Name}, At: c.At, Until: c.At.Add(r.duration("hold")),
				Value: ptr(float64(n.InARow)), Summary: fmt.Sprintf("the last %d jobs%s failed; the last one, %s, because of: %s", n.InARow, named(c.Job.Name), c.Job.ID, clip(c.Job.Error, 200))})
		}
	},
}

func named(name string) string {
	if name == "" {
		return ""
	}
	return " (" + name + ")"
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + clip(reason, 300)
}

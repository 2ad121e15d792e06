package alert

import (
	"cmp"
	"slices"
	"time"

	"tidings"
	"tidings/monitor"
)

type tidingsID = tidings.ID

// tally is what detectors remember of the changes that went by: for each job that
// goes on its last calls, for each name how its jobs ended, and what was found.
// It is part of the state that is saved.
type tally struct {
	Jobs  map[string]*jobTally  `json:"jobs,omitempty"`
	Names map[string]*nameTally `json:"names,omitempty"`
	// Found holds by rule and key what an event brought about and another will end.
	Found map[string]map[string]*found `json:"found,omitempty"`
	Over  map[string]int64             `json:"over,omitempty"` // found, but too many to keep
}

// found is a condition that holds until it is cleared or runs out.
type found struct {
	Severity string            `json:"severity,omitempty"`
	Labels   map[string]string `json:"labels"`
	Job      string            `json:"job,omitempty"`
	Event    tidings.ID        `json:"event,omitzero"`
	Summary  string            `json:"summary"`
	Value    *float64          `json:"value,omitempty"`
	At       time.Time         `json:"at"`
	Until    time.Time         `json:"until,omitzero"` // zero: until it is cleared
}

// Bounds of what is remembered.
const (
	maxTallyJobs  = 2000
	maxTallyNames = 500
)

func newTally() *tally {
	return &tally{Jobs: map[string]*jobTally{}, Names: map[string]*nameTally{}, Found: map[string]map[string]*found{}, Over: map[string]int64{}}
}

// job finds or makes what is remembered of a job. If there are too many, the one
// that was heard of longest ago is forgotten.
func (t *tally) job(c *monitor.Folded) *jobTally {
	id := c.Job.ID
	j := t.Jobs[id]
	if j == nil {
		if len(t.Jobs) >= maxTallyJobs {
			t.forgetJobs()
		}
		j = &jobTally{}
		t.Jobs[id] = j
	}
	j.At = c.At.UnixMilli()
	return j
}

// forgetJobs drops a tenth at once, since finding the oldest takes a sort.
func (t *tally) forgetJobs() {
	ids := make([]string, 0, len(t.Jobs))
	for id := range t.Jobs {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b string) int { return cmp.Or(cmp.Compare(t.Jobs[a].At, t.Jobs[b].At), cmp.Compare(a, b)) })
	for _, id := range ids[:len(ids)/10+1] {
		delete(t.Jobs, id)
	}
}

func (t *tally) name(name string) *nameTally {
	n := t.Names[name]
	if n == nil {
		if len(t.Names) >= maxTallyNames {
			name = monitor.Other
			if n = t.Names[name]; n != nil {
				return n
			}
		}
		n = &nameTally{}
		t.Names[name] = n
	}
	return n
}

// raise notes that a condition holds.
func (t *tally) raise(r *Rule, key string, f found) {
	of := t.Found[r.Name]
	if of == nil {
		of = map[string]*found{}
		t.Found[r.Name] = of
	}
	if old := of[key]; old != nil {
		f.At = old.At
	} else if len(of) >= maxInstances {
		t.Over[r.Name]++
		return
	}
	of[key] = &f
}

// clear notes that it holds no more.
func (t *tally) clear(r *Rule, key string) { delete(t.Found[r.Name], key) }

// findings gives what was found and holds, and forgets what ran out.
func (t *tally) findings(r *Rule, now time.Time) []finding {
	var list []finding
	of := t.Found[r.Name]
	for key, f := range of {
		if !f.Until.IsZero() && now.After(f.Until) {
			delete(of, key)
			continue
		}
		list = append(list, finding{key: key, severity: f.Severity, labels: f.Labels, job: f.Job, event: f.Event, summary: f.Summary, value: f.Value})
	}
	if len(of) < maxInstances {
		delete(t.Over, r.Name)
	}
	slices.SortFunc(list, func(a, b finding) int { return cmp.Compare(a.key, b.key) })
	return list
}

// observe takes a change in, by every rule that looks at changes.
func (t *tally) observe(rules []*Rule, c *monitor.Folded) {
	for _, r := range rules {
		if r.detector != nil && r.detector.observe != nil && !r.Disabled {
			r.detector.observe(r, t, c)
		}
	}
	if c.Deleted || c.Job != nil && c.Job.Status.Ended() {
		delete(t.Jobs, c.Event.JobID)
	}
}

// jobLabels are those of an alert about a job: its name and ID, and its own
// labels under another name, so that they can't pass for ours.
func jobLabels(job *tidings.Job) map[string]string {
	labels := map[string]string{"name": job.Name, "job_id": job.ID}
	for k, v := range job.Labels {
		labels["label_"+labelName(k)] = v
	}
	if job.Task != nil && job.Task.Queue != "" {
		labels["queue"] = job.Task.Queue
	}
	return labels
}

// labelName makes a name that Prometheus takes.
func labelName(s string) string {
	out := []byte(s)
	for i, c := range out {
		if !(c == '_' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z') {
			out[i] = '_'
		}
	}
	return string(out)
}

package monitor

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"tidings"
)

// Window gives the measures of a scope from from to to, made of the minutes that
// overlap it, or of half hours if it begins over three hours ago. From and To of
// it say what it is made of, so that a rate is of the time that was counted.
func (f *Fold) Window(scope Scope, from, to time.Time) Window {
	step := Fine
	if !fineHolds(from.UnixMilli(), f.now) {
		step = Coarse
	}
	w := Window{From: time.UnixMilli(floor(from.UnixMilli(), step)).UTC(), To: to}
	if over := to.UnixMilli() % step.Milliseconds(); over > 0 { // the rest of the last one counts as far as it has come
		end := to.Add(step - time.Duration(over)*time.Millisecond)
		w.To = latest(to, earliest(end, f.Now()))
	}
	w.Measures = f.series[scope].window(from.UnixMilli(), to.UnixMilli(), f.now)
	return w
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func earliest(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// Total gives the measures of a scope since the monitor began.
func (f *Fold) Total(scope Scope) Measures {
	var m Measures
	if s := f.series[scope]; s != nil {
		m.add(&s.Total)
	}
	return m
}

// Scopes lists the scopes of a kind, by value.
func (f *Fold) Scopes(by string) []Scope {
	var list []Scope
	for scope := range f.series {
		if scope.By == by {
			list = append(list, scope)
		}
	}
	slices.SortFunc(list, func(a, b Scope) int { return cmp.Compare(a.Value, b.Value) })
	return list
}

// Counts are the jobs that go on, by status.
type Counts map[tidings.Status]int

// Counts gives how many jobs have each status of those that go on.
func (f *Fold) Counts() Counts {
	c := Counts{}
	for _, s := range tidings.Statuses {
		if !s.Ended() {
			c[s] = f.byStatus[s]
		}
	}
	return c
}

// CountsByName gives the same for each job name that is measured apart.
func (f *Fold) CountsByName() map[string]Counts {
	out := map[string]Counts{}
	for _, j := range f.jobs {
		if j.Job.Status.Ended() {
			continue
		}
		name := j.Job.Name
		if _, apart := f.series[Scope{ByName, name}]; !apart {
			name = Other
		}
		if out[name] == nil {
			out[name] = Counts{}
		}
		out[name][j.Job.Status]++
	}
	return out
}

// Usual says what is usual for a step of a job name.
type Usual struct {
	Duration Sketch // from the step's beginning to its end, ms
	Silence  Sketch // between two events of the job meanwhile, ms
}

// Usual gives what was usual in the last one to two days for a step (a [Run]'s
// kind and name) in jobs of a name; both empty: while no run was open. ok is
// false if nothing is known.
func (f *Fold) Usual(jobName, kind, name string) (u Usual, ok bool) {
	s, ok := f.steps[stepKey{jobName, kind, name}]
	if !ok {
		return u, false
	}
	return Usual{s.Duration.recent(), s.Silence.recent()}, true
}

// LiveJob is a job that goes on and what it waits for.
type LiveJob struct {
	tidings.Job      // as the feed tells it: without metadata and lease, long texts cut
	Waits       *Run // the innermost run that is open; nil: none
	Others      int  // innermost runs that are open besides
	SilentSince time.Time
}

// Live calls yield with each job that goes on, those that were silent for
// longest first, until it returns false.
func (f *Fold) Live(yield func(*LiveJob) bool) {
	for e := f.order.Front(); e != nil; e = e.Next() {
		if j := e.Value.(*live); !j.Job.Status.Ended() && !yield(j.public()) {
			return
		}
	}
}

// LiveJob gives one job that goes on.
func (f *Fold) LiveJob(id string) (*LiveJob, bool) {
	j, ok := f.jobs[id]
	if !ok || j.Job.Status.Ended() {
		return nil, false
	}
	return j.public(), true
}

func (j *live) public() *LiveJob {
	out := &LiveJob{Job: j.Job, SilentSince: j.heard()}
	run, others := j.waits, j.others
	if !j.sure { // and it must not become so here: readers change nothing
		run, others = j.innermost()
	}
	if run != nil {
		out.Waits, out.Others = run.public(), others
	}
	return out
}

// Errors lists the error groups, those seen last first. What people said of
// them is not in the fold: see [Monitor.Errors].
func (f *Fold) Errors() []ErrorGroup {
	groups := slices.SortedFunc(maps.Values(f.groups), func(a, b *group) int {
		return cmp.Or(cmp.Compare(b.Last, a.Last), cmp.Compare(a.ID, b.ID))
	})
	out := make([]ErrorGroup, len(groups))
	for i, g := range groups {
		out[i] = g.public(f.now)
	}
	return out
}

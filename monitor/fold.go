package monitor

import (
	"container/list"
	"time"

	"tidings"
)

// Limits bound what a [Fold] keeps. Zero fields get the default named beside
// them.
type Limits struct {
	Jobs   int // that go on: 20,000. Those silent for longest are forgotten first.
	Names  int // job names that are measured apart: 100
	Labels int // label values: 100
	Tools  int // 100
	Models int // 50
	Steps  int // steps of which the usual duration is known: 1,000
	Errors int // error groups: 1,000. Those not seen for longest are forgotten first.
}

func (l Limits) withDefaults() Limits {
	orDefault(&l.Jobs, 20_000)
	orDefault(&l.Names, 100)
	orDefault(&l.Labels, 100)
	orDefault(&l.Tools, 100)
	orDefault(&l.Models, 50)
	orDefault(&l.Steps, 1000)
	orDefault(&l.Errors, 1000)
	return l
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Fold is the state that the feed adds up to. It is a pure function of the
// changes applied: no clock, no input or output. Not safe for concurrent use; a
// [Monitor] guards its own.
type Fold struct {
	limits  Limits
	now     int64 // the latest time of the store seen, ms
	since   int64 // the first
	horizon int64 // no change counts as later; 0: none

	jobs     map[string]*live
	order    *list.List // of *live that go on, the longest silent first
	over     *list.List // of *live that have ended, but whose logs are open
	byStatus map[tidings.Status]int
	lost     int64 // jobs that went on and were forgotten for the limit's sake

	series map[Scope]*series
	scopes map[string]int // how many there are of each kind
	sweeps int            // that took series away
	swept  map[string]int64

	steps      map[stepKey]*step
	sweptSteps int64

	groups    map[string]*group
	groupsOut int64 // forgotten for the limit's sake
}

// NewFold gives the empty state.
func NewFold(limits Limits) *Fold {
	return &Fold{
		limits: limits.withDefaults(),
		jobs:   map[string]*live{}, order: list.New(), over: list.New(), byStatus: map[tidings.Status]int{},
		series: map[Scope]*series{}, scopes: map[string]int{}, swept: map[string]int64{},
		steps: map[stepKey]*step{}, groups: map[string]*group{},
	}
}

// Folded is what one change did. What it points at is valid until the next
// change and must not be changed.
type Folded struct {
	Event   *tidings.Event // of a deletion only JobID is set
	Deleted bool
	Facts   *Facts
	At      time.Time // by the store's clock

	Job *tidings.Job // after the event, without metadata and with long texts cut; nil of a deleted job that was not known
	// Was is the job's status before; empty: it was not known.
	Was tidings.Status
	// Ended says that the job ended with this event. It may go on all the same
	// if the event was not terminal.
	Ended bool

	Began *Run // that the event began
	// EndedRun is the run that the event ended, if its beginning was seen, Took how
	// long it took, if that is known, and Failed that it failed. Kind is set if a run ended.
	EndedRun *Run
	Kind     string
	Took     *time.Duration
	Failed   bool

	ErrorID string // of the error group that the event counts for

	told *toldCall // the failed call that the event tells of again
}

// SetHorizon makes changes that claim to be from later than now count for now:
// IDs of foreign publishers may say anything.
func (f *Fold) SetHorizon(now time.Time) { f.horizon = now.UnixMilli() }

// Now is the latest time of the store that was seen.
func (f *Fold) Now() time.Time { return time.UnixMilli(f.now).UTC() }

// Apply folds the next change. The second value is false if it has nothing new:
// a change that was applied before.
func (f *Fold) Apply(c *tidings.Change) (Folded, bool) {
	if c.Deleted {
		return f.remove(c), true
	}
	e := &c.Event
	j, known := f.jobs[e.JobID]
	if known && e.ID.Compare(j.Job.LastID) <= 0 {
		return Folded{}, false
	}
	facts := factsOf(e)
	at := f.advance(e.ID)
	out := Folded{Event: e, Facts: &facts, At: time.UnixMilli(at).UTC()}
	if known {
		out.Was = j.Job.Status
		f.silence(j, at)
	} else {
		j = f.admit(e.JobID, at)
	}
	f.status(j, -1)
	told := usageOf(&j.Job)
	j.Job.Apply(e)
	if mayName(e) {
		slim(&j.Job)
		j.series = nil
	}
	j.Heard = at
	f.status(j, +1)
	out.Job = &j.Job

	f.countEvent(j, e, &facts, at, !known)
	f.countRuns(j, e, &facts, at, &out)
	f.countRest(j, e, &facts, at, told)
	f.countError(j, e, &facts, at, &out)
	f.countOutcome(j, at, &out)
	f.settle(j)
	return out, true
}

// mayName reports whether an event may change more of the summary than numbers and the
// status: its name, labels and texts.
func mayName(e *tidings.Event) bool {
	switch e.Type {
	case tidings.TypeThought, tidings.TypeToolCall, tidings.TypeToolResult, tidings.TypeState, tidings.TypeCustom:
		return false
	}
	return true
}

// advance gives the time that an ID counts for.
func (f *Fold) advance(id tidings.ID) int64 {
	at := clampMS(id)
	if f.horizon > 0 {
		at = min(at, f.horizon)
	}
	if f.since == 0 {
		f.since = at
	}
	f.now = max(f.now, at)
	return at
}

// admit makes room for a new job. Those that have ended go first, since nothing
// may ever follow in them; one that goes on and is silent is what people look for.
func (f *Fold) admit(id string, at int64) *live {
	if len(f.jobs) >= f.limits.Jobs {
		oldest := f.over.Front()
		if oldest == nil {
			oldest = f.order.Front()
			f.lost++
		}
		f.drop(oldest.Value.(*live))
	}
	j := &live{First: at}
	f.place(j)
	f.jobs[id] = j
	return j
}

// place puts the job at the end of the list where it belongs.
func (f *Fold) place(j *live) {
	in := f.order
	if j.Job.Status.Ended() {
		in = f.over
	}
	if j.in == in {
		in.MoveToBack(j.at)
		return
	}
	if j.in != nil {
		j.in.Remove(j.at)
	}
	j.in, j.at = in, in.PushBack(j)
}

// settle keeps the job, as the one that was heard of last, unless its log has
// ended: then nothing can follow.
func (f *Fold) settle(j *live) {
	if j.Job.Closed {
		f.drop(j)
		return
	}
	f.place(j)
}

// clampMS is the time of an ID, before the year 10000: what comes later is no
// time, and JSON can't tell it.
func clampMS(id tidings.ID) int64 { return int64(min(id.Ms, maxMS)) }

const maxMS = 253_402_300_799_999

func (f *Fold) drop(j *live) {
	f.status(j, -1)
	j.in.Remove(j.at)
	delete(f.jobs, j.Job.ID)
}

func (f *Fold) remove(c *tidings.Change) Folded {
	out := Folded{Event: &c.Event, Deleted: true, Facts: &Facts{}, At: f.Now()}
	if j, known := f.jobs[c.Event.JobID]; known {
		out.Job, out.Was = &j.Job, j.Job.Status
		f.drop(j)
	}
	return out
}

// status keeps count of the jobs that go on.
func (f *Fold) status(j *live, n int) {
	if s := j.Job.Status; s != "" && !s.Ended() {
		f.byStatus[s] += n
	}
}

// silence notes how long the job said nothing.
func (f *Fold) silence(j *live, at int64) {
	if j.Job.Status != tidings.StatusRunning && j.Job.Status != tidings.StatusCancelling {
		return
	}
	run, _ := j.waitsFor()
	f.stepOf(j, run).Silence.add(at, at-j.Heard)
}

package monitor

import "cmp"

// stepKey is a kind of step in jobs of one name.
type stepKey struct {
	Job  string `json:"job"`
	Kind string `json:"kind"` // of a Run; empty: no run was open
	Name string `json:"name"`
}

// step is what is usual for a step: of the last day and the one before.
type step struct {
	Key      stepKey `json:"key"`
	Duration ageing  `json:"duration"` // from its beginning to its end
	Silence  ageing  `json:"silence"`  // between two events while it was waited for
}

// ageing is a sketch that forgets what is older than one to two days.
type ageing struct {
	Day      int64  `json:"day"` // of Now, since 1970
	Now, Was Sketch `json:",omitzero"`
}

const dayMS = 24 * 60 * 60 * 1000

func (a *ageing) turn(at int64) {
	switch day := at / dayMS; {
	case day == a.Day+1:
		a.Day, a.Was, a.Now = day, a.Now, Sketch{}
	case day > a.Day:
		a.Day, a.Was, a.Now = day, Sketch{}, Sketch{}
	}
}

func (a *ageing) add(at, ms int64) {
	a.turn(at)
	a.Now.Add(float64(max(ms, 0)))
}

func (a *ageing) recent() Sketch {
	var s Sketch
	s.Merge(&a.Was)
	s.Merge(&a.Now)
	return s
}

func (a *ageing) empty(at int64) bool {
	a.turn(at)
	return len(a.Now.Bins)+len(a.Was.Bins) == 0
}

// step finds or makes the record of a step. If there are too many, those that
// were not seen for two days go, and then it is counted with the other ones.
func (f *Fold) step(key stepKey) *step {
	if s, ok := f.steps[key]; ok {
		return s
	}
	if len(f.steps) >= f.limits.Steps {
		f.sweepSteps()
	}
	if len(f.steps) >= f.limits.Steps {
		key = stepKey{Job: Other, Kind: key.Kind, Name: Other}
		if s, ok := f.steps[key]; ok {
			return s
		}
	}
	s := &step{Key: key}
	f.steps[key] = s
	return s
}

func (f *Fold) sweepSteps() {
	if f.now < f.sweptSteps+Coarse.Milliseconds() {
		return // it would find nothing new, each time
	}
	f.sweptSteps = f.now
	for key, s := range f.steps {
		if s.Duration.empty(f.now) && s.Silence.empty(f.now) {
			delete(f.steps, key)
		}
	}
}

func (f *Fold) stepOf(j *live, run *openRun) *step {
	if run == nil {
		return f.step(stepKey{Job: j.Job.Name})
	}
	return f.step(stepKey{Job: j.Job.Name, Kind: run.Kind, Name: run.Name})
}

func compareSteps(a, b *step) int {
	return cmp.Or(cmp.Compare(a.Key.Job, b.Key.Job), cmp.Compare(a.Key.Kind, b.Key.Kind), cmp.Compare(a.Key.Name, b.Key.Name))
}

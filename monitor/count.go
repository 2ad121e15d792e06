package monitor

import (
	"slices"
	"time"

	"tidings"
)

// count lets fn change the measures of every scope that the job is in.
func (f *Fold) count(j *live, at int64, fn func(*Measures)) {
	for _, s := range f.seriesOfJob(j) {
		s.count(at, f.now, fn)
	}
}

// seriesOfJob gives the series of every scope that the job is in, each once,
// though several labels of it may be counted with the other ones. They are found once,
// until the job gets a name or labels, or series go; but as long as one of them is
// that of the other ones, there may be room for it the next time.
func (f *Fold) seriesOfJob(j *live) []*series {
	if j.series != nil && j.sweeps == f.sweeps {
		return j.series
	}
	list := []*series{f.seriesOf(All), f.seriesOf(Scope{ByName, j.Job.Name})}
	for _, key := range sortedKeys(j.Job.Labels) {
		if s := f.seriesOf(Scope{ByLabel, key + "=" + j.Job.Labels[key]}); !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	j.series, j.sweeps = list, f.sweeps
	if slices.ContainsFunc(list, func(s *series) bool { return s.scope.Value == Other }) {
		j.series = nil
	}
	return list
}

func (f *Fold) scopesOf(j *live) []Scope {
	var scopes []Scope
	for _, s := range f.seriesOfJob(j) {
		scopes = append(scopes, s.scope)
	}
	return scopes
}

// seriesOf finds or makes the series of a scope. If there are too many of its
// kind, those of which nothing is kept any more go, and then it is counted with
// the other ones.
func (f *Fold) seriesOf(scope Scope) *series {
	if s, ok := f.series[scope]; ok {
		return s
	}
	if f.scopes[scope.By] >= f.limits.of(scope.By) {
		f.sweepSeries(scope.By)
	}
	if f.scopes[scope.By] >= f.limits.of(scope.By) {
		scope.Value = Other
		if s, ok := f.series[scope]; ok {
			return s
		}
	}
	s := &series{scope: scope}
	f.series[scope] = s
	f.scopes[scope.By]++
	return s
}

func (l *Limits) of(by string) int {
	switch by {
	case ByName:
		return l.Names
	case ByLabel:
		return l.Labels
	case ByTool:
		return l.Tools
	case ByModel:
		return l.Models
	}
	return 1
}

func (f *Fold) sweepSeries(by string) {
	if f.now < f.swept[by]+Coarse.Milliseconds() {
		return // it would find nothing new, each time
	}
	f.swept[by] = f.now
	for scope, s := range f.series {
		if scope.By == by && scope.Value != Other && s.expired(f.now) {
			delete(f.series, scope)
			f.scopes[by]--
			f.sweeps++
		}
	}
}

// countEvent counts what any event says.
func (f *Fold) countEvent(j *live, e *tidings.Event, facts *Facts, at int64, first bool) {
	begun := j.Started == 0 && j.Job.Status != tidings.StatusQueued
	if begun {
		j.Started = at
	}
	lag := binOf(float64(at - e.Time.UnixMilli()))
	f.count(j, at, func(m *Measures) {
		m.Events++
		observeBin(&m.Lag, lag)
		if first {
			m.Created++
		}
		if begun {
			m.Started++
			observe(&m.Wait, max(at-j.First, 0))
		}
		if e.Type == tidings.TypeTaskRetried {
			m.Retried++
		}
		m.Dropped += min(facts.Dropped, maxCount)
	})
}

// countRuns counts the calls that begin and end.
func (f *Fold) countRuns(j *live, e *tidings.Event, facts *Facts, at int64, out *Folded) {
	if run := j.begin(e, facts, at); run != nil {
		out.Began = run.public()
		return
	}
	kind, run := j.end(e, facts)
	if kind == "" {
		return
	}
	out.Kind = kind
	out.Failed = e.Type == tidings.TypeError || facts.Error != "" || e.Type == tidings.TypePhaseUpdate && facts.Status == "failed"
	name := endedName(kind, facts, run)
	var took *int64
	switch {
	case facts.DurationMS != nil:
		took = new(max(*facts.DurationMS, 0))
	case run != nil:
		took = new(max(at-run.At, 0))
	}
	if run != nil {
		out.EndedRun = run.public()
	}
	if took != nil {
		out.Took = new(time.Duration(min(*took, maxNumber)) * time.Millisecond)
		f.step(stepKey{j.Job.Name, kind, name}).Duration.add(at, *took)
	}
	switch kind {
	case RunTool:
		f.countTool(j, e, facts, at, name, took, out)
	case RunModel:
		if run != nil && run.Vague && facts.Model != "" {
			name = clip(facts.Model, maxName)
		}
		f.countModel(j, facts, at, name, took, out.Failed)
	}
}

func endedName(kind string, facts *Facts, run *openRun) string {
	name := facts.Tool
	switch {
	case run != nil:
		name = run.Name
	case kind == RunModel && facts.Model != "":
		name = facts.Model
	case kind == RunModel:
		name = facts.Name
	case kind == RunPhase && facts.Name != "":
		name = facts.Name
	case kind == RunPhase:
		name = facts.Phase
	}
	return clip(name, maxName)
}

// countTool counts a call once, although some publishers tell of a failure
// twice: by an error event and by the result.
func (f *Fold) countTool(j *live, e *tidings.Event, facts *Facts, at int64, name string, took *int64, out *Folded) {
	failed := out.Failed
	key := runKey(RunTool, facts)
	if told, twice := j.alsoTold(key, e.Type); twice {
		out.told = &told
		return
	}
	if failed {
		j.tell(toldCall{Key: key, Type: e.Type})
	}
	fn := func(m *Measures) {
		m.ToolCalls++
		if failed {
			m.ToolErrors++
		}
		if took != nil {
			observe(&m.Tool, *took)
		}
	}
	f.count(j, at, fn)
	f.seriesOf(Scope{ByTool, name}).count(at, f.now, fn)
}

func (f *Fold) countModel(j *live, facts *Facts, at int64, name string, took *int64, failed bool) {
	fn := func(m *Measures) {
		m.ModelCalls++
		if failed {
			m.ModelErrors++
		}
		if took != nil {
			observe(&m.Model, *took)
		}
		if facts.TTFTMS != nil {
			observe(&m.TTFT, max(*facts.TTFTMS, 0))
		}
		m.Tokens.Add(facts.Usage)
		for _, c := range facts.Cost {
			m.addCost(c.Currency, c.Amount)
		}
	}
	for _, c := range facts.Cost {
		addCost(&j.Cost, c.Currency, c.Amount)
	}
	f.count(j, at, fn)
	f.seriesOf(Scope{ByModel, name}).count(at, f.now, fn)
}

// countRest counts what the end of a job tells of tokens and money beyond what
// its model calls have told: some publishers tell the sums alone.
func (f *Fold) countRest(j *live, e *tidings.Event, facts *Facts, at int64, told tidings.Usage) {
	if !e.Terminal() {
		return
	}
	rest := tidings.Usage{
		InputTokens:       beyond(facts.Usage.InputTokens, told.InputTokens),
		OutputTokens:      beyond(facts.Usage.OutputTokens, told.OutputTokens),
		CachedInputTokens: beyond(facts.Usage.CachedInputTokens, told.CachedInputTokens),
		CacheWriteTokens:  beyond(facts.Usage.CacheWriteTokens, told.CacheWriteTokens),
		ReasoningTokens:   beyond(facts.Usage.ReasoningTokens, told.ReasoningTokens),
	}
	f.count(j, at, func(m *Measures) {
		m.Tokens.Add(rest)
		for _, c := range facts.Cost {
			if more := c.Amount - j.Cost[c.Currency]; more > 1e-9 {
				m.addCost(c.Currency, more)
			}
		}
	})
}

// beyond is what a sum has over what was told of it, which is as wild as events are.
func beyond(sum, told int64) int64 { return max(sum-max(told, 0), 0) }

func usageOf(job *tidings.Job) tidings.Usage {
	if job.Usage == nil {
		return tidings.Usage{}
	}
	return *job.Usage
}

// countOutcome counts the end of a job, and takes it back if the job goes on
// after all: the error of a publisher that knows nothing of Tidings is the last
// word only while nothing follows.
func (f *Fold) countOutcome(j *live, at int64, out *Folded) {
	now := j.Job.Status
	if j.Ended != nil && j.Ended.Status == now {
		return
	}
	if j.Ended != nil {
		f.takeBack(j)
		j.Ended = nil
	}
	if !now.Ended() {
		return
	}
	out.Ended = true
	j.Ended = &outcome{Status: now, At: at, Duration: max(at-j.Started, 0), Scopes: f.scopesOf(j)}
	f.count(j, at, func(m *Measures) {
		m.countEnd(now, 1)
		observe(&m.Duration, j.Ended.Duration)
	})
}

func (m *Measures) countEnd(s tidings.Status, n int64) {
	switch s {
	case tidings.StatusCompleted:
		m.Completed += n
	case tidings.StatusFailed:
		m.Failed += n
	case tidings.StatusCancelled:
		m.Cancelled += n
	}
}

// takeBack undoes the job's end in what is kept by time, where it was counted: the
// job may have got a name or labels since. Of the total, Prometheus expects that it
// never goes down, so what was taken back is counted there.
func (f *Fold) takeBack(j *live) {
	o := j.Ended
	for _, scope := range o.Scopes {
		s := f.series[scope]
		if s == nil {
			continue // nothing of it is kept any more
		}
		s.countKept(o.At, f.now, func(m *Measures) {
			m.countEnd(o.Status, -1)
			m.Duration.remove(float64(o.Duration))
		})
		s.Total.countEnd(o.Status, -1)
		if o.Status == tidings.StatusFailed {
			s.Total.FailedBack++
		} else {
			s.Total.CompletedBack++
		}
	}
}

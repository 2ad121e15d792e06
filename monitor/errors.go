package monitor

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"tidings"
)

// States of an [ErrorGroup].
const (
	Open     = "open"
	Resolved = "resolved" // open again when it comes back
	Ignored  = "ignored"
)

// ErrorGroup are the errors that are taken for one: see [Fingerprint].
type ErrorGroup struct {
	ID      string `json:"id"`
	Name    string `json:"name"` // of the jobs
	Kind    string `json:"kind,omitempty"`
	Tool    string `json:"tool,omitempty"`
	Scope   string `json:"scope,omitempty"`
	Message string `json:"message"` // normalised
	Sample  string `json:"sample"`  // as it came last, cut

	Count     int64        `json:"count"`
	Fatal     int64        `json:"fatal"` // jobs that it failed
	FirstSeen time.Time    `json:"first_seen"`
	LastSeen  time.Time    `json:"last_seen"`
	Jobs      []ErrorPlace `json:"jobs"`  // where it came last, the newest first
	Hours     []int64      `json:"hours"` // counts of the last 24 hours, the oldest first

	State     string     `json:"state"`
	ChangedBy string     `json:"changed_by,omitempty"` // who resolved or ignored it
	ChangedAt *time.Time `json:"changed_at,omitempty"`
	Reopened  bool       `json:"reopened,omitempty"` // it was resolved and came back
}

// ErrorPlace is one occurrence of an error.
type ErrorPlace struct {
	JobID   string     `json:"job_id"`
	EventID tidings.ID `json:"event_id"`
}

const (
	errorPlaces = 5
	errorHours  = 24
)

// group is what the fold keeps of an [ErrorGroup].
type group struct {
	ID      string            `json:"id"`
	Name    string            `json:"name"`
	Kind    string            `json:"kind,omitempty"`
	Tool    string            `json:"tool,omitempty"`
	Scope   string            `json:"scope,omitempty"`
	Message string            `json:"message"`
	Sample  string            `json:"sample"`
	Count   int64             `json:"count"`
	Fatal   int64             `json:"fatal,omitempty"`
	First   int64             `json:"first"`
	Last    int64             `json:"last"`
	Jobs    []ErrorPlace      `json:"jobs"`
	Hours   [errorHours]int64 `json:"hours"`
	Hour    int64             `json:"hour"` // of the last of Hours, since 1970
}

const hourMS = 60 * 60 * 1000

func (g *group) turn(at int64) {
	hour := at / hourMS
	for ; g.Hour < hour && g.Hour > hour-errorHours; g.Hour++ {
		copy(g.Hours[:], g.Hours[1:])
		g.Hours[errorHours-1] = 0
	}
	if g.Hour < hour {
		g.Hours, g.Hour = [errorHours]int64{}, hour
	}
}

func (g *group) note(e *tidings.Event, text string, at int64) {
	g.turn(at)
	if back := g.Hour - at/hourMS; back < errorHours {
		g.Hours[errorHours-1-back]++
	}
	g.Count++
	g.First, g.Last = min(g.First, at), max(g.Last, at)
	g.Sample = clip(text, maxText)
	g.Jobs = slices.DeleteFunc(g.Jobs, func(p ErrorPlace) bool { return p.JobID == e.JobID })
	g.Jobs = slices.Insert(g.Jobs, 0, ErrorPlace{e.JobID, e.ID})
	g.Jobs = g.Jobs[:min(len(g.Jobs), errorPlaces)]
}

// countError counts an event that tells of an error. An error that refers to
// the run where it happened first is no further one.
func (f *Fold) countError(j *live, e *tidings.Event, facts *Facts, at int64, out *Folded) {
	if !tellsError(e, facts) {
		return
	}
	fatal := out.Job.Status == tidings.StatusFailed && out.Was != tidings.StatusFailed
	if id := j.Causes[clip(facts.CauseRunID, 128)]; facts.CauseRunID != "" && id != "" {
		if g := f.groups[id]; g != nil && fatal {
			g.Fatal++
			out.ErrorID = id
		}
		return
	}
	if facts.CauseRunID != "" && e.Type != tidings.TypeError {
		return
	}
	if out.told != nil {
		if g := f.groups[out.told.Group]; g != nil && fatal {
			g.Fatal++
			out.ErrorID = g.ID
		}
		return
	}
	g := f.groupOf(j, e, facts, at)
	g.note(e, facts.Error, at)
	if fatal {
		g.Fatal++
	}
	out.ErrorID = g.ID
	j.caused(facts.RunID, g.ID)
	if n := len(j.Told); out.Kind == RunTool && n > 0 {
		j.Told[n-1].Group = g.ID // countTool has just put it there
	}
	f.count(j, at, func(m *Measures) { m.Errors++ })
}

func tellsError(e *tidings.Event, facts *Facts) bool {
	switch e.Type {
	case tidings.TypeError, tidings.TypeTaskFailed:
		return true
	case tidings.TypeToolResult:
		return facts.Error != ""
	case tidings.TypePhaseUpdate:
		return facts.Status == "failed" && facts.Error != ""
	}
	return false
}

const maxCauses = 16

// caused remembers what a run failed of; of many runs, any others go.
func (j *live) caused(runID, groupID string) {
	if runID == "" {
		return
	}
	if j.Causes == nil {
		j.Causes = map[string]string{}
	}
	if len(j.Causes) >= maxCauses {
		delete(j.Causes, sortedKeys(j.Causes)[0])
	}
	j.Causes[clip(runID, 128)] = groupID
}

func (f *Fold) groupOf(j *live, e *tidings.Event, facts *Facts, at int64) *group {
	print := Fingerprint{Name: j.Job.Name, Kind: clip(facts.ErrorKind, maxName), Tool: clip(facts.Tool, maxName), Message: Normalise(facts.Error)}
	if facts.Fingerprint != "" {
		print.Message = clip(facts.Fingerprint, maxText)
	}
	id := print.ID()
	if g, ok := f.groups[id]; ok {
		return g
	}
	if len(f.groups) >= f.limits.Errors {
		f.forgetGroups()
	}
	g := &group{ID: id, Name: print.Name, Kind: print.Kind, Tool: print.Tool, Message: print.Message,
		Scope: clip(facts.Scope, maxName), First: at, Hour: at / hourMS}
	f.groups[id] = g
	return g
}

// forgetGroups makes room for a few, since looking for the oldest takes time.
func (f *Fold) forgetGroups() {
	oldest := slices.SortedFunc(maps.Values(f.groups), func(a, b *group) int {
		if a.Last != b.Last {
			return cmp.Compare(a.Last, b.Last)
		}
		return cmp.Compare(a.ID, b.ID)
	})
	for _, g := range oldest[:1+f.limits.Errors/20] {
		delete(f.groups, g.ID)
		f.groupsOut++
	}
}

// public gives the group without what people said of it.
func (g *group) public(now int64) ErrorGroup {
	copied := *g
	copied.turn(now)
	return ErrorGroup{
		ID: g.ID, Name: g.Name, Kind: g.Kind, Tool: g.Tool, Scope: g.Scope, Message: g.Message, Sample: g.Sample,
		Count: g.Count, Fatal: g.Fatal, FirstSeen: time.UnixMilli(g.First).UTC(), LastSeen: time.UnixMilli(g.Last).UTC(),
		Jobs: slices.Clone(g.Jobs), Hours: slices.Clone(copied.Hours[:]), State: Open,
	}
}

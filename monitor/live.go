package monitor

import (
	"cmp"
	"container/list"
	"slices"
	"time"

	"tidings"
)

// Kinds of a [Run].
const (
	RunTool  = "tool"
	RunModel = "model"
	RunPhase = "phase"
)

// Run is a step of a job that has begun and not ended: a tool call, a model
// call, or a chain, graph or node.
type Run struct {
	Kind   string     `json:"kind"` // tool, model, phase
	Name   string     `json:"name"`
	RunID  string     `json:"run_id,omitempty"`
	CallID string     `json:"call_id,omitempty"` // of a tool call
	Event  tidings.ID `json:"event"`             // that began it
	Since  time.Time  `json:"since"`
}

// openRun is a run in the table of its job.
type openRun struct {
	Kind   string     `json:"kind"`
	Name   string     `json:"name"`
	ID     string     `json:"id,omitempty"`
	Parent string     `json:"parent,omitempty"`
	Call   string     `json:"call,omitempty"`
	Event  tidings.ID `json:"event"`
	At     int64      `json:"at,omitempty"`   // ms by the store's clock
	Left   bool       `json:"left,omitempty"` // the run that held it has ended
	// Vague says that the name of a model call is the run's: which model it is may
	// be told at its end.
	Vague bool `json:"vague,omitempty"`
}

func (r *openRun) public() *Run {
	return &Run{Kind: r.Kind, Name: r.Name, RunID: r.ID, CallID: r.Call, Event: r.Event, Since: time.UnixMilli(r.At).UTC()}
}

// maxOpenRuns of one job are followed.
const maxOpenRuns = 64

// live is a job that goes on, or has ended without a terminal event.
type live struct {
	Job     tidings.Job         `json:"job"`             // without what may be large
	First   int64               `json:"first,omitempty"` // when its first event came, ms by the store's clock
	Heard   int64               `json:"heard,omitempty"` // and its last
	Started int64               `json:"started,omitempty"`
	Runs    map[string]*openRun `json:"runs,omitempty"` // by runKey
	// Causes are the error groups of runs that failed, for errors that refer to
	// them.
	Causes map[string]string  `json:"causes,omitempty"`
	Told   []toldCall         `json:"told,omitempty"`  // tool calls that failed, the last ones
	Ended  *outcome           `json:"ended,omitempty"` // what was counted
	Cost   map[string]float64 `json:"cost,omitempty"`  // of its model calls, by currency

	series []*series  // what Fold.seriesOfJob gave; nil: to be found again
	sweeps int        // of the fold then
	in     *list.List // Fold.order or Fold.over
	at     *list.Element
	waits  *openRun // what waitsFor found, as long as sure
	others int
	sure   bool
}

// outcome is how a job was counted, so that it can be taken back when the job
// goes on.
type outcome struct {
	Status   tidings.Status `json:"status"`
	At       int64          `json:"at"`
	Duration int64          `json:"duration"`
	Scopes   []Scope        `json:"scopes"` // in which it was counted
}

// toldCall is a tool call whose failure was told by an event of one type:
// some publishers tell of it by the other as well.
type toldCall struct {
	Key   string `json:"key"` // runKey
	Type  string `json:"type"`
	Group string `json:"group,omitempty"` // of errors
}

// maxTold of them are known of a job: about as many as are tried at once.
const maxTold = 16

// alsoTold takes out the record of a failure that the other type of event told.
func (j *live) alsoTold(key, eventType string) (toldCall, bool) {
	i := slices.IndexFunc(j.Told, func(c toldCall) bool { return c.Key == key })
	if i < 0 {
		return toldCall{}, false
	}
	told := j.Told[i]
	j.Told = slices.Delete(j.Told, i, i+1)
	return told, told.Type != eventType
}

func (j *live) tell(call toldCall) {
	if len(j.Told) >= maxTold {
		j.Told = slices.Delete(j.Told, 0, 1)
	}
	j.Told = append(j.Told, call)
}

// waitsFor is the innermost open run: of those that hold no other, a call
// before a phase, and the one that began first, since it is the one that takes
// long. Of phases without a run ID the last is meant: their publishers tell of the
// next one and not of the end. What a run has left open within it when it ended comes
// last: its end may have been lost. others is how many there are besides.
func (j *live) waitsFor() (run *openRun, others int) {
	if !j.sure {
		j.waits, j.others = j.innermost()
		j.sure = true
	}
	return j.waits, j.others
}

func (j *live) innermost() (*openRun, int) {
	if len(j.Runs) == 0 {
		return nil, 0
	}
	holds := map[string]bool{}
	for _, r := range j.Runs {
		if r.Parent != "" {
			holds[r.Parent] = true
		}
	}
	var found []*openRun
	for _, r := range j.Runs {
		if r.ID == "" || !holds[r.ID] {
			found = append(found, r)
		}
	}
	if len(found) == 0 {
		return nil, 0
	}
	first := slices.MinFunc(found, compareRuns)
	others := 0
	for _, r := range found {
		if r != first && rank(r) <= rankPhase {
			others++
		}
	}
	return first, others
}

// compareRuns orders runs by how likely it is that they are waited for.
func compareRuns(a, b *openRun) int {
	began := a.Event.Compare(b.Event)
	if rank(a) == rankNameless {
		began = -began
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), began, cmp.Compare(a.ID+a.Call, b.ID+b.Call))
}

const (
	rankCall = iota
	rankPhase
	rankNameless
	rankLeft
)

func rank(r *openRun) int {
	switch {
	case r.Left:
		return rankLeft
	case r.Kind != RunPhase:
		return rankCall
	case r.ID == "":
		return rankNameless
	}
	return rankPhase
}

// begin notes the run that an event begins, or gives nil.
func (j *live) begin(e *tidings.Event, f *Facts, at int64) *openRun {
	r := beginning(e, f)
	if r == nil {
		return nil
	}
	r.At = at
	if j.Runs == nil {
		j.Runs = map[string]*openRun{}
	}
	key := runKey(r.Kind, f)
	if _, again := j.Runs[key]; !again && len(j.Runs) >= maxOpenRuns {
		j.forgetRun()
	}
	j.Runs[key] = r
	j.alsoTold(key, "") // of a call before, with the same ID
	j.sure = false
	return r
}

// forgetRun makes room: what is waited for least likely, and began first, has most
// likely ended without a word.
func (j *live) forgetRun() {
	delete(j.Runs, slices.MinFunc(sortedKeys(j.Runs), func(a, b string) int {
		x, y := j.Runs[a], j.Runs[b]
		return cmp.Or(cmp.Compare(rank(y), rank(x)), x.Event.Compare(y.Event))
	}))
}

func beginning(e *tidings.Event, f *Facts) *openRun {
	r := &openRun{ID: clip(f.RunID, 128), Parent: clip(f.ParentRunID, 128), Event: e.ID}
	switch {
	case e.Type == tidings.TypeToolCall:
		r.Kind, r.Name, r.Call = RunTool, f.Tool, clip(f.CallID, 128)
	case e.Type == tidings.TypeThought && f.Status == "started":
		r.Kind, r.Name, r.Vague = RunModel, cmp.Or(f.Model, f.Name), f.Model == ""
	case e.Type == tidings.TypePhaseUpdate && (f.Status == "started" || f.Status == "resumed") && f.Phase != "job":
		r.Kind, r.Name = RunPhase, cmp.Or(f.Name, f.Phase)
	default:
		return nil
	}
	r.Name = clip(r.Name, maxName)
	return r
}

// end takes out the run that an event ends. kind is empty if the event ends
// none; run is nil if it was not open.
func (j *live) end(e *tidings.Event, f *Facts) (kind string, run *openRun) {
	kind = ending(e, f)
	if kind == "" {
		return "", nil
	}
	key := runKey(kind, f)
	run = j.Runs[key]
	delete(j.Runs, key)
	if run != nil {
		j.leave(run.ID)
	}
	j.sure = false
	return kind, run
}

// leave marks what is still open within a run that has ended.
func (j *live) leave(id string) {
	if id == "" {
		return
	}
	for _, r := range j.Runs {
		if r.Parent == id && !r.Left {
			r.Left = true
			j.leave(r.ID)
		}
	}
}

func ending(e *tidings.Event, f *Facts) string {
	switch e.Type {
	case tidings.TypeToolResult:
		return RunTool
	case tidings.TypeThought:
		if f.Status == "completed" || f.Status == "" && f.Content != "" { // publishers of whole texts have no status
			return RunModel
		}
	case tidings.TypeError:
		switch f.Scope {
		case "llm":
			return RunModel
		case "tool":
			return RunTool
		}
	case tidings.TypePhaseUpdate:
		if f.Status == "completed" || f.Status == "failed" || f.Status == "interrupted" {
			return RunPhase
		}
	}
	return ""
}

// runKey finds a run again at its end: by its call, its run or, of publishers
// that tell neither, its name.
func runKey(kind string, f *Facts) string {
	switch {
	case kind == RunTool && f.CallID != "":
		return "call " + clip(f.CallID, 128)
	case f.RunID != "":
		return "run " + clip(f.RunID, 128)
	case kind == RunTool:
		return "tool " + clip(f.Tool, 128)
	case kind == RunModel:
		return "message " + clip(f.MessageID, 128)
	}
	return "phase " + clip(f.Phase, 128)
}

// slim drops from a summary what may be large: a monitor holds thousands.
func slim(job *tidings.Job) {
	job.Metadata, job.Cost = nil, nil
	job.Name = clip(job.Name, maxName)
	job.Phase = clip(job.Phase, maxName)
	job.Message, job.Error = clip(job.Message, maxText), clip(job.Error, maxText)
	if job.Cancel != nil && len(job.Cancel.By)+len(job.Cancel.Reason) > 2*maxText {
		job.Cancel = &tidings.CancelRequest{By: clip(job.Cancel.By, maxText), Reason: clip(job.Cancel.Reason, maxText), At: job.Cancel.At}
	}
	if t := job.Task; t != nil && len(t.Task)+len(t.Queue)+len(t.Worker) > 3*maxName {
		job.Task = &tidings.Task{Task: clip(t.Task, maxName), Queue: clip(t.Queue, maxName), Worker: clip(t.Worker, maxName), Attempt: t.Attempt, Verdict: t.Verdict}
	}
	slimLabels(job)
}

// The longest strings and the most labels of a job that are kept.
const (
	maxName      = 128
	maxText      = 512
	maxJobLabels = 16
)

func slimLabels(job *tidings.Job) {
	large := len(job.Labels) > maxJobLabels
	for k, v := range job.Labels {
		large = large || len(k) > maxName || len(v) > maxName
	}
	if !large {
		return
	}
	kept := map[string]string{}
	for _, k := range sortedKeys(job.Labels) {
		if len(kept) == maxJobLabels {
			break
		}
		kept[clip(k, maxName)] = clip(job.Labels[k], maxName)
	}
	job.Labels = kept
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// heard is when the job gave its last sign.
func (j *live) heard() time.Time { return time.UnixMilli(j.Heard).UTC() }

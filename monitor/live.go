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
}

func (r *openRun) public() *Run {
	return &Run{Kind: r.Kind, Name: r.Name, RunID: r.ID, CallID: r.Call, Event: r.Event, Since: timeOf(r.Event)}
}

// maxOpenRuns of one job are followed; what begins above it is not looked at.
const maxOpenRuns = 64

// live is a job that goes on, or has ended without a terminal event.
type live struct {
	Job     tidings.Job         `json:"job"` // without what may be large
	Started int64               `json:"started,omitempty"`
	Runs    map[string]*openRun `json:"runs,omitempty"` // by runKey
	// Causes are the error groups of runs that failed, for errors that refer to
	// them.
	Causes map[string]string  `json:"causes,omitempty"`
	Failed string             `json:"failed,omitempty"` // key of the tool call whose failure was told by an error event
	Ended  *outcome           `json:"ended,omitempty"`  // what was counted
	Cost   map[string]float64 `json:"cost,omitempty"`   // of its model calls, by currency

	place  *list.Element // in Fold.order
	waits  *openRun      // what waitsFor found, as long as sure
	others int
	sure   bool
}

// outcome is how a job was counted, so that it can be taken back when the job
// goes on.
type outcome struct {
	Status   tidings.Status `json:"status"`
	At       int64          `json:"at"`
	Duration int64          `json:"duration"`
}

// waitsFor is the innermost open run: of those that hold no other, a call
// before a phase, and the one that began first, since it is the one that takes
// long. others is how many there are besides.
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
	first := slices.MinFunc(found, func(a, b *openRun) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), a.Event.Compare(b.Event), cmp.Compare(a.ID+a.Call, b.ID+b.Call))
	})
	return first, len(found) - 1
}

func rank(r *openRun) int {
	if r.Kind == RunPhase {
		return 1
	}
	return 0
}

// begin notes the run that an event begins, or gives nil.
func (j *live) begin(e *tidings.Event, f *Facts) *openRun {
	r := beginning(e, f)
	if r == nil || len(j.Runs) >= maxOpenRuns {
		return nil
	}
	if j.Runs == nil {
		j.Runs = map[string]*openRun{}
	}
	j.Runs[runKey(r.Kind, f)] = r
	j.sure = false
	return r
}

func beginning(e *tidings.Event, f *Facts) *openRun {
	r := &openRun{ID: clip(f.RunID, 128), Parent: clip(f.ParentRunID, 128), Event: e.ID}
	switch {
	case e.Type == tidings.TypeToolCall:
		r.Kind, r.Name, r.Call = RunTool, f.Tool, clip(f.CallID, 128)
	case e.Type == tidings.TypeThought && f.Status == "started":
		r.Kind, r.Name = RunModel, cmp.Or(f.Model, f.Name)
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
	j.sure = false
	return kind, run
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

func timeOf(id tidings.ID) time.Time { return time.UnixMilli(int64(id.Ms)).UTC() }

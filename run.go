package tidings

import (
	"cmp"
	"context"
	"math"
	"time"
)

// RunInfo describes a run for [Handler.PhaseWith], [Handler.ModelWith] and
// [Handler.ToolWith]. Every field may be left out.
type RunInfo struct {
	ID   string // the framework's own, unique in the job; empty: a new UUIDv7
	Name string
	// Kind is what runs: agent, graph, node, chain, tool, llm, retriever,
	// embedding, guardrail, evaluator or another word. Empty: chain, or llm and
	// tool where the method says so.
	Kind      string
	Namespace []string // path of nested graphs, outermost first
	Step      int64    // of a graph; 0: none
	Attempt   int64    // of a retried run, from 1; 0: not told
	Input     any      // published as input, if not nil
	// Hidden runs publish nothing; the runs in them appear as children of the
	// nearest run that is not hidden.
	Hidden bool
	// Parent, if set, is used instead of the run that the context holds; for
	// frameworks that give parent IDs instead of a context.
	Parent *Run
}

// Run is one chain, graph, node or phase in the tree of a job, from its start
// to its End. Its methods are safe for concurrent use, never block or fail, and
// do nothing on a nil Run.
type Run struct {
	h      *Handler
	id     string
	name   string
	parent *Run // also a hidden one
	hidden bool
	leaf   bool // a model or tool call, never the root of a job
	began  time.Time
	tree   []byte // the members that place an event in the tree, as JSON
	placed int    // of them those of the place alone: run_id and parent_run_id

	// Under Handler.mu.
	ended       bool
	interrupted bool
	waiting     int // runs that wait for input: itself and those beneath
	output      field
}

// runKey is a key of each handler's own: two jobs may be told of the same work.
type runKey struct{ h *Handler }

// runFrom gives the run of this handler that the context holds, or nil.
func (h *Handler) runFrom(ctx context.Context) *Run {
	if ctx == nil {
		return nil
	}
	r, _ := ctx.Value(runKey{h}).(*Run)
	return r
}

func (r *Run) within(ctx context.Context) context.Context {
	if ctx == nil {
		ctx = context.Background()
	}
	return &runContext{ctx, r}
}

// runContext is a context that holds a run, and the job with it.
type runContext struct {
	context.Context
	run *Run
}

func (c *runContext) Value(key any) any {
	switch key := key.(type) {
	case runKey:
		if key.h == c.run.h {
			return c.run
		}
	case jobKey:
		return c.run.h
	}
	return c.Context.Value(key)
}

// Phase starts a phase of the job, beneath the run that ctx holds. What is
// started with the context it returns belongs to the phase. End the run it
// returns.
func (h *Handler) Phase(ctx context.Context, name string) (context.Context, *Run) {
	return h.PhaseWith(ctx, RunInfo{Name: name})
}

// PhaseWith is [Handler.Phase] with everything that an adapter may know.
func (h *Handler) PhaseWith(ctx context.Context, info RunInfo) (inner context.Context, run *Run) {
	inner = ctx
	if h == nil {
		return
	}
	defer h.guard("Phase")
	input := h.field(TypePhaseUpdate, "input", info.Input)
	r := &Run{}
	status := h.begin(r, ctx, &info, "chain", false)
	inner, run = r.within(ctx), r
	if info.Hidden {
		return
	}
	o := r.object(status, input.room())
	o = input.add(o)
	h.emit(TypePhaseUpdate, input.close(o))
	return
}

// ID is the run's ID, as events carry it in run_id.
func (r *Run) ID() string {
	if r == nil {
		return ""
	}
	return r.id
}

// begin enters the new run r into the tree and says whether it is "started" or
// "resumed".
func (h *Handler) begin(r *Run, ctx context.Context, info *RunInfo, kind string, leaf bool) string {
	info.Name = shortName(info.Name)
	*r = Run{h: h, id: info.ID, name: info.Name, hidden: info.Hidden, leaf: leaf, parent: info.Parent, began: time.Now()}
	if r.id == "" {
		r.id = newRunID(r.began)
	}
	if r.parent == nil || r.parent.h != h {
		r.parent = h.runFrom(ctx)
	}
	r.tree = r.appendTree(make([]byte, 0, len(info.Name)+160), info, cmp.Or(info.Kind, kind))
	return h.open(r)
}

// maxName bounds names and call IDs, some of which are the model's own invention.
const maxName = 1 << 10

func shortName(s string) string {
	if len(s) <= maxName {
		return s
	}
	return cutText(s, maxName)
}

// visible is the run itself or the nearest one around it that is not hidden,
// or nil.
func (r *Run) visible() *Run {
	for r != nil && r.hidden {
		r = r.parent
	}
	return r
}

// appendTree gives the members of the run's events that draw the tree.
func (r *Run) appendTree(dst []byte, info *RunInfo, kind string) []byte {
	o := append(object(dst), '{')
	o = o.str("run_id", r.id)
	if p := r.parent.visible(); p != nil {
		o = o.str("parent_run_id", p.id)
	}
	r.placed = len(o) - 1
	o = o.text("name", info.Name).text("kind", kind)
	if len(info.Namespace) > 0 {
		o = append(o.key("ns"), '[')
		for i, part := range info.Namespace {
			if i > 0 {
				o = append(o, ',')
			}
			o = appendString(o, part)
		}
		o = append(o, ']')
	}
	if info.Step != 0 {
		o = o.integer("step", info.Step)
	}
	if info.Attempt != 0 {
		o = o.integer("attempt", info.Attempt)
	}
	return o[1:]
}

// addTree adds all that draws the tree to the data of an event.
func (r *Run) addTree(o object) object { return append(o.next(), r.tree...) }

// addPlace adds the run's place in the tree alone.
func (r *Run) addPlace(o object) object { return append(o.next(), r.tree[:r.placed]...) }

// object begins the data of a phase_update of the run.
func (r *Run) object(status string, room int) object {
	o := newObject(len(r.tree) + len(r.name) + room + 96)
	return r.addTree(o.text("phase", r.name).str("status", status))
}

// Progress reports how far the run is, from 0 to 1, and what it does at the
// moment. A number that is none of these is left out, and so is an empty
// message.
func (r *Run) Progress(p float64, message string) {
	if r == nil || r.hidden {
		return
	}
	defer r.h.guard("Progress")
	m := r.h.textField(TypePhaseUpdate, "message", message)
	o := r.object("progress", m.room())
	if p >= 0 && !math.IsInf(p, 0) {
		o = o.number("progress", min(p, 1))
	}
	o = m.add(o)
	r.h.emit(TypePhaseUpdate, m.close(o))
}

// Interrupt says that the run waits for input; value is what it asks for. When
// the run goes on in this process, call Resume; when it ends here and another
// one resumes it, End it with a nil error.
func (r *Run) Interrupt(value any) {
	if r == nil {
		return
	}
	defer r.h.guard("Interrupt")
	v := r.h.field(TypePhaseUpdate, "value", value)
	ok, first := r.h.interrupt(r)
	visible := r.visible()
	if !ok || visible == nil || r.hidden && !first {
		return
	}
	o := visible.object("interrupted", v.room())
	if !first { // a run beneath has told what is asked for
		r.h.emit(TypePhaseUpdate, o.end())
		return
	}
	o = appendInterrupt(o, r.id, v)
	r.h.emit(TypePhaseUpdate, v.close(o))
}

func appendInterrupt(o object, id string, value field) object {
	o = append(o.key("interrupts"), '[')
	return append(value.add(append(o, '{').str("id", id)), '}', ']')
}

// Resume says that the run goes on after an Interrupt; value is the answer.
func (r *Run) Resume(value any) {
	if r == nil {
		return
	}
	defer r.h.guard("Resume")
	v := r.h.field(TypePhaseUpdate, "value", value)
	visible := r.visible()
	if !r.h.resume(r) || visible == nil {
		return
	}
	o := v.add(visible.object("resumed", v.room()))
	r.h.emit(TypePhaseUpdate, v.close(o))
}

// Output sets what the run's End publishes as output. The output of the root is
// that of an automatic end.
func (r *Run) Output(output any) {
	if r == nil {
		return
	}
	defer r.h.guard("Output")
	f := r.h.field(TypePhaseUpdate, "output", output)
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	r.output = f
}

// Custom publishes anything the run wants to say.
func (r *Run) Custom(name string, value any) {
	if r == nil {
		return
	}
	defer r.h.guard("Custom")
	r.h.custom(r.visible(), name, value)
}

// State publishes a snapshot of the run's state.
func (r *Run) State(snapshot any) {
	if r == nil {
		return
	}
	defer r.h.guard("State")
	r.h.state(r.visible(), "snapshot", snapshot)
}

// StatePatch publishes a change of the run's state: a JSON Patch (RFC 6902).
func (r *Run) StatePatch(patch any) {
	if r == nil {
		return
	}
	defer r.h.guard("StatePatch")
	r.h.state(r.visible(), "patch", patch)
}

// End ends the run: completed, or failed with err, or interrupted if err is
// [ErrInterrupted]. The second End of a run does nothing. An error that was reported by a run beneath is referred to by
// cause_run_id instead of being told again.
func (r *Run) End(err error) {
	if r == nil {
		return
	}
	defer r.h.guard("End")
	e, ok := r.h.close(r, err)
	if !ok {
		return
	}
	defer r.h.settle(r) // also if what follows panics
	if e.status != "failed" {
		err = nil
	}
	if e.status != "" && !r.hidden {
		r.h.emit(TypePhaseUpdate, r.ending(e, err))
	}
}

// ending is the data of the event that ends the run.
func (r *Run) ending(e ending, err error) []byte {
	f := r.h.explain(TypePhaseUpdate, err, r)
	o := r.object(e.status, f.text.room()+e.output.room())
	o = o.millis("duration_ms", time.Since(r.began))
	switch e.status {
	case "failed":
		return f.close(f.add(o, "error_kind"))
	case "completed":
		return e.output.close(e.output.add(o))
	}
	return o.end()
}

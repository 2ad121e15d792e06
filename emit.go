package tidings

import (
	"context"
	"time"
)

func (h *Handler) emit(eventType string, data []byte) {
	h.q.putEvent(item{eventType: eventType, at: time.Now(), data: data}, false)
}

func (h *Handler) emitTerminal(eventType string, data []byte) {
	h.q.putEvent(item{eventType: eventType, at: time.Now(), data: data}, true)
}

// Emit publishes an event as it is. A terminal one ends the job. An event that
// can't be appended is dropped, counted and logged.
func (h *Handler) Emit(e Event) {
	if h == nil {
		return
	}
	defer h.guard("Emit")
	if err := e.Validate(); err != nil {
		h.log.Error("an event that can't be published is dropped", "job", h.jobID, "error", err)
		h.q.mu.Lock()
		h.q.stats.Dropped++
		h.q.mu.Unlock()
		return
	}
	it := item{eventType: e.Type, at: e.Time, data: append([]byte(nil), e.Data...)}
	if it.at.IsZero() {
		it.at = time.Now()
	}
	if !e.Terminal() {
		h.q.putEvent(it, false)
		return
	}
	h.mu.Lock()
	h.tree.over = true
	h.stopTimer()
	h.mu.Unlock()
	defer h.over()
	h.q.putEvent(it, true)
}

// Custom publishes anything the agent wants to say.
func (h *Handler) Custom(name string, value any) {
	if h == nil {
		return
	}
	defer h.guard("Custom")
	h.custom(nil, name, value)
}

func (h *Handler) custom(r *Run, name string, value any) {
	f := h.field(TypeCustom, "value", value)
	o := f.add(newObject(f.room()+128).str("name", name))
	h.emit(TypeCustom, f.close(r.place(o)))
}

// State publishes a snapshot of the job's state.
func (h *Handler) State(snapshot any) {
	if h == nil {
		return
	}
	defer h.guard("State")
	h.state(nil, "snapshot", snapshot)
}

// StatePatch publishes a change of the job's state: a JSON Patch (RFC 6902).
func (h *Handler) StatePatch(patch any) {
	if h == nil {
		return
	}
	defer h.guard("StatePatch")
	h.state(nil, "patch", patch)
}

func (h *Handler) state(r *Run, name string, value any) {
	f := h.field(TypeState, name, value)
	h.emit(TypeState, f.close(r.place(f.add(newObject(f.room()+128)))))
}

// place adds where in the tree an event belongs whose own members use the names
// of the tree's others.
func (r *Run) place(o object) object {
	if r == nil {
		return o
	}
	return r.addPlace(o)
}

// Error publishes an error that does not end the job, in the run that ctx
// holds. Scope is chain, tool, llm or job.
func (h *Handler) Error(ctx context.Context, err error, scope string) {
	if h == nil || err == nil {
		return
	}
	defer h.guard("Error")
	h.emitError(err, scope, h.runFrom(ctx).visible(), "")
}

func (h *Handler) emitError(err error, scope string, r *Run, messageID string) {
	f := h.explain(TypeError, err, r)
	o := f.add(newObject(f.text.room()+256), "kind")
	o = o.text("scope", scope).boolean("fatal", false).text("message_id", messageID)
	h.emit(TypeError, f.close(r.place(o)))
}

// Interrupt says that the whole job waits for input; value is what it asks for.
// [Run.Interrupt] is for one run of it.
func (h *Handler) Interrupt(value any) {
	if h == nil {
		return
	}
	defer h.guard("Interrupt")
	v := h.field(TypePhaseUpdate, "value", value)
	h.wait(true)
	o := newObject(v.room()+128).str("phase", "job").str("status", "interrupted")
	h.emit(TypePhaseUpdate, v.close(appendInterrupt(o, "job", v)))
}

// Resume says that the job goes on after an Interrupt; value is the answer.
func (h *Handler) Resume(value any) {
	if h == nil {
		return
	}
	defer h.guard("Resume")
	v := h.field(TypePhaseUpdate, "value", value)
	h.wait(false)
	o := newObject(v.room()+128).str("phase", "job").str("status", "resumed")
	h.emit(TypePhaseUpdate, v.close(v.add(o)))
}

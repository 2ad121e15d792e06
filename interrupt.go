package tidings

import "errors"

// ErrInterrupted is what an agent returns that has asked for input, by
// [Run.Interrupt] or [Handler.Interrupt], and can't wait for it in this process.
// Returned through tools, runs and [Handler.Run], or given to their ends, also
// wrapped, it leaves the job waiting: no run fails of it and the log stays open.
// The job goes on when it is started again, in any process.
var ErrInterrupted = errors.New("the job waits for input")

// wait notes that the job as a whole waits for input, or does no more.
func (h *Handler) wait(waits bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tree.waits = waits
}

// pause leaves the job waiting, and says so unless it was told.
func (h *Handler) pause() {
	h.mu.Lock()
	told := h.tree.waits || h.tree.suspended || h.tree.over
	h.tree.waits = true
	h.mu.Unlock()
	if !told {
		h.emit(TypePhaseUpdate, newObject(64).str("phase", "job").str("status", "interrupted").end())
	}
}

package redislog

import (
	"sync"

	"tidings"
)

// watches are the jobs that are followed on this node, each with its followers.
type watches struct {
	mu    sync.Mutex
	byJob map[string]*watch
}

// watch is one followed job.
type watch struct {
	jobID     string
	followers map[*follower]struct{}
	known     tidings.Cursor // the furthest event that this node knows of
	over      bool           // the log has ended: nothing more will come
}

func newWatches() *watches { return &watches{byJob: map[string]*watch{}} }

// add registers a follower and reports whether it is the first of its job.
func (ws *watches) add(f *follower) (first bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byJob[f.jobID]
	if w == nil {
		w = &watch{jobID: f.jobID, followers: map[*follower]struct{}{}}
		ws.byJob[f.jobID] = w
		first = true
	}
	w.followers[f] = struct{}{}
	return first
}

// remove reports whether it was the last follower of its job.
func (ws *watches) remove(f *follower) (last bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byJob[f.jobID]
	if w == nil {
		return false
	}
	delete(w.followers, f)
	if len(w.followers) > 0 {
		return false
	}
	delete(ws.byJob, f.jobID)
	return true
}

// followed reports whether the job has followers.
func (ws *watches) followed(jobID string) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return ws.byJob[jobID] != nil
}

// open lists what is followed and has not ended.
func (ws *watches) open() []watch {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	out := make([]watch, 0, len(ws.byJob))
	for _, w := range ws.byJob {
		if !w.over {
			out = append(out, watch{jobID: w.jobID, known: w.known})
		}
	}
	return out
}

// deliver hands an announcement to the job's followers.
func (ws *watches) deliver(jobID string, a *announcement) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byJob[jobID]
	if w == nil {
		return
	}
	if !a.deleted {
		w.reach(tidings.Cursor{ID: a.last, Incarnation: a.incarnation})
	}
	for f := range w.followers {
		f.announce(a)
	}
}

// reach notes an event that the node has seen.
func (w *watch) reach(c tidings.Cursor) {
	if w.known.Incarnation != c.Incarnation || w.known.ID.Less(c.ID) {
		w.known = c
	}
}

// read notes how far a follower has read, and whether that is the end.
func (ws *watches) read(f *follower, c tidings.Cursor, over bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w := ws.byJob[f.jobID]; w != nil {
		w.reach(c)
		w.over = over
	}
}

// found notes an event that was found in the stream rather than announced, and
// makes the followers read.
func (ws *watches) found(jobID string, id tidings.ID) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.byJob[jobID]
	if w == nil {
		return
	}
	w.reach(tidings.Cursor{ID: id, Incarnation: w.known.Incarnation})
	w.check()
}

// check makes the followers of a job look at its stream.
func (ws *watches) check(jobID string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	if w := ws.byJob[jobID]; w != nil {
		w.check()
	}
}

func (ws *watches) checkAll() {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, w := range ws.byJob {
		w.check()
	}
}

func (w *watch) check() {
	w.over = false
	for f := range w.followers {
		f.check()
	}
}

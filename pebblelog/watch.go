package pebblelog

import "sync"

// watch lets any number of goroutines wait for the next of something.
type watch struct {
	mu   sync.Mutex
	next chan struct{}
	refs int // guarded by watches.mu
}

func (w *watch) init() { w.next = make(chan struct{}) }

// wait gives a channel that is closed by the next wake.
func (w *watch) wait() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.next
}

func (w *watch) wake() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.next)
	w.next = make(chan struct{})
}

// watches are the jobs that have followers.
type watches struct {
	mu   sync.Mutex
	jobs map[string]*watch
}

// join gives the watch of a job, until leave.
func (ws *watches) join(jobID string) *watch {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.jobs[jobID]
	if w == nil {
		if ws.jobs == nil {
			ws.jobs = make(map[string]*watch)
		}
		w = new(watch)
		w.init()
		ws.jobs[jobID] = w
	}
	w.refs++
	return w
}

func (ws *watches) leave(jobID string) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.jobs[jobID]
	if w.refs--; w.refs == 0 {
		delete(ws.jobs, jobID)
	}
}

// wake wakes the followers of the jobs.
func (ws *watches) wake(entries []*entry) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for _, e := range entries {
		if w := ws.jobs[e.jobID]; w != nil {
			w.wake()
		}
	}
}

func (ws *watches) len() int {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	return len(ws.jobs)
}

package celery

import (
	"slices"
	"strings"
	"sync"
	"time"

	"tidings"
)

// workers are those that were heard of.
type workers struct {
	now func() time.Time
	mu  sync.Mutex
	all map[string]*worker
}

type worker struct {
	tidings.Worker
	freq time.Duration // between heartbeats; zero: it sends none
	pid  int64
	// since is when it was first heard of with this pid, by its own clock: what it
	// had begun before is lost.
	since time.Time
}

const (
	// keepLost is how long a worker that was lost is shown.
	keepLost = time.Hour
	// missed is how many heartbeats a worker may miss. Celery's own rule is
	// two, which a busy machine breaks.
	missed = 6
	// maxWorkers bounds the memory: a name that changes with every start must
	// not fill it.
	maxWorkers = 10_000
)

func newWorkers(now func() time.Time) *workers { return &workers{now: now, all: map[string]*worker{}} }

// heard takes a worker's sign of life: anything that it says. Only one that
// sends heartbeats is a worker; task-sent comes from clients. It reports whether
// the worker is new.
func (ws *workers) heard(e *event) (isNew bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	now := ws.now()
	w := ws.all[e.Hostname]
	if !strings.HasPrefix(e.Type, "worker-") {
		if w != nil && w.LostAt == nil {
			w.SeenAt = now
		}
		return false
	}
	if w == nil {
		if len(ws.all) >= maxWorkers {
			return false
		}
		w = &worker{Worker: tidings.Worker{Name: e.Hostname, Type: queueType}}
		ws.all[e.Hostname] = w
	}
	w.SeenAt = now
	if e.Active != nil { // a heartbeat that was asked for says nothing of it
		w.Active, w.Processed, w.Load = *e.Active, e.Processed, e.Loadavg
	}
	if e.PID != w.pid {
		if w.pid != 0 || e.Type == "worker-online" {
			w.since = e.at()
		}
		w.pid = e.PID
	}
	if e.Software != "" {
		w.Software = strings.TrimSpace(e.Software + " " + e.Version)
	}
	if e.Freq > 0 && e.Freq < 3600 && (e.Active != nil || w.freq == 0) {
		w.freq = time.Duration(e.Freq * float64(time.Second))
	}
	isNew = !w.Alive
	w.Alive, w.LostAt = true, nil
	if e.Type == "worker-offline" {
		w.Alive, w.LostAt = false, &now
	}
	return isNew && w.Alive
}

// alive reports whether the worker gave a sign of life lately; known is false if
// it was never heard of.
func (ws *workers) alive(name string) (alive, known bool) {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.look()
	w := ws.all[name]
	return w != nil && w.Alive, w != nil
}

// restarted reports whether the worker is another process than the one that it
// was at the time, by its own clock.
func (ws *workers) restarted(name string, at time.Time) bool {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	w := ws.all[name]
	return w != nil && !at.IsZero() && w.since.After(at)
}

// look gives up workers that were silent for too long, with ws locked.
func (ws *workers) look() {
	now := ws.now()
	for name, w := range ws.all {
		patience := missed * w.freq
		if w.freq == 0 {
			patience = time.Minute
		}
		if w.Alive && now.Sub(w.SeenAt) > patience {
			lost := now
			w.Alive, w.LostAt = false, &lost
		}
		if w.LostAt != nil && now.Sub(*w.LostAt) > keepLost {
			delete(ws.all, name)
		}
	}
}

func (ws *workers) list() []tidings.Worker {
	ws.mu.Lock()
	defer ws.mu.Unlock()
	ws.look()
	out := make([]tidings.Worker, 0, len(ws.all))
	for _, w := range ws.all {
		out = append(out, w.Worker)
	}
	slices.SortFunc(out, func(a, b tidings.Worker) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// living is how many workers are alive.
func (ws *workers) living() int {
	n := 0
	for _, w := range ws.list() {
		if w.Alive {
			n++
		}
	}
	return n
}

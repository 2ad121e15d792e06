package alert

import (
	"time"

	"tidings"
	"tidings/monitor"
)

// Replay plays recorded changes to rules, on a clock that follows their IDs: what
// would have fired. Leases, queues and the store's health are not in a
// recording, so rules that need them find nothing. Not safe for concurrent use.
type Replay struct {
	config *Config
	state  *state
	fold   *monitor.Fold
	now    time.Time
	ticked time.Time
	full   time.Time
}

// NewReplay begins with nothing.
func NewReplay(c *Config) *Replay {
	return &Replay{config: c, state: newState(), fold: monitor.NewFold(monitor.Limits{})}
}

// replayPatience is how long nothing may happen before the clock jumps.
const replayPatience = 30 * time.Minute

// Apply takes the next change, which must not be earlier than the last, and gives
// what changed until then.
func (r *Replay) Apply(c *tidings.Change) []Transition {
	at := time.UnixMilli(int64(c.Event.ID.Ms)).UTC()
	var changes []Transition
	if r.now.IsZero() {
		r.now = at
	}
	changes = r.Wait(min(at.Sub(r.now), replayPatience))
	r.now = at
	done, fresh := r.fold.Apply(c)
	if !fresh {
		return changes
	}
	r.state.Tally.observe(r.config.Rules, &done)
	if at.Sub(r.ticked) >= time.Second || done.Ended {
		changes = append(changes, r.tick()...)
	}
	return changes
}

// Wait lets time pass in which nothing happens.
func (r *Replay) Wait(d time.Duration) (changes []Transition) {
	for until := r.now.Add(d); r.ticked.Add(r.config.Every).Before(until); {
		r.now = later(r.now, r.ticked.Add(r.config.Every))
		changes = append(changes, r.tick()...)
	}
	return changes
}

func (r *Replay) tick() []Transition {
	r.ticked = r.now
	w := &world{now: r.now, fold: r.fold, full: r.now.Sub(r.full) >= r.config.Every}
	if w.full {
		r.full = r.now
		w.stuck = r.fold.Stuck(monitor.StuckQuery{Limit: mostStuck}, r.now)
	}
	changes, _ := r.state.step(r.config, nil, w)
	return changes
}

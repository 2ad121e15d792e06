package alert

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"tidings/monitor"
)

// Options of an [Engine].
type Options struct {
	// State is where silences, and what all nodes show, are kept: that of the
	// monitor. It is needed.
	State monitor.State
	// Config is used if File is empty. Nil: [DefaultConfig].
	Config *Config
	// File is a rules file. It is read again when it changes, and by Reload.
	File string
	// Notifier makes the notifier of a receiver; the error says what is wrong with
	// its settings. Nil: there can be no receivers.
	Notifier func(r *Receiver, c *Config) (Notifier, error)
	// Outside asks for what rules look at besides changes. Nil: nothing is known.
	Outside func(ctx context.Context) Outside
	// PanelURL is where people look at alerts, as links in notices say.
	PanelURL string
	// Logger gets what goes wrong. Nil: [slog.Default].
	Logger *slog.Logger
}

// Engine evaluates the rules. It is the [monitor.Observer] of a monitor, which
// is started after it and stopped before it. Safe for concurrent use.
type Engine struct {
	opts Options
	log  *slog.Logger

	ctx   context.Context // ends with Stop
	stop  context.CancelFunc
	group sync.WaitGroup

	mu        sync.Mutex
	config    *Config
	notifiers map[string]Notifier
	file      fileStatus
	seen      fileStatus // of the file at the last look
	state     *state
	held      context.Context // of the lease; nil: never had it
	epoch     int64
	evaluated time.Time
	full      time.Time // when all rules were evaluated
	observed  bool      // changes came since
	dirty     bool      // there is something that should be saved soon
	silences  []Silence
	outside   Outside
	counters  counters

	view      atomic.Pointer[View]
	viewDirty atomic.Bool
	wake      chan struct{} // holds one: the outbox has changed
}

// Start makes an engine and reads its rules. The error says what is wrong with
// them: a server does not start on rules that it can't read, but once it runs,
// a wrong file changes nothing.
func Start(ctx context.Context, opts Options) (*Engine, error) {
	e := &Engine{opts: opts, log: opts.Logger, state: newState(), wake: make(chan struct{}, 1)}
	if e.log == nil {
		e.log = slog.Default()
	}
	e.view.Store(&View{})
	config := opts.Config
	if config == nil {
		config = DefaultConfig()
	}
	var status fileStatus
	if opts.File != "" {
		var err error
		if config, status, err = readFile(opts.File); err != nil {
			return nil, err
		}
	}
	notifiers, err := e.makeNotifiers(config)
	if err != nil {
		return nil, err
	}
	e.config, e.notifiers, e.file = config, notifiers, status
	e.ctx, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	e.group.Go(e.tend)
	return e, nil
}

// Stop ends what the engine does and waits for it. Notices that are not sent yet
// are sent by the next process, or another node.
func (e *Engine) Stop() {
	e.stop()
	e.group.Wait()
}

// Lead implements [monitor.Observer].
func (e *Engine) Lead(ctx context.Context, raw []byte) error {
	s, ok := readState(raw)
	if !ok {
		e.log.Error("alerts: the saved state can't be read; alerts begin anew")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state, e.held, e.observed, e.evaluated, e.full = s, ctx, true, time.Time{}, time.Time{}
	e.group.Go(func() { e.deliver(ctx) })
	return nil
}

// Observe implements [monitor.Observer].
func (e *Engine) Observe(c *monitor.Folded, _ *monitor.Fold) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.state.Tally.observe(e.config.Rules, c)
	e.observed = true
}

// catchUp is how far the monitor may be behind the store for rules to be
// evaluated: what it did not read yet is no silence.
const catchUp = 30 * time.Second

// mostStuck of one evaluation are looked at.
const mostStuck = 2 * maxInstances

// Tick implements [monitor.Observer].
func (e *Engine) Tick(now time.Time, m *monitor.Monitor) (save bool) {
	now = now.UTC()
	progress := m.Progress()
	if !e.due(now) || progress.Lag > catchUp {
		return e.takeDirty()
	}
	w := &world{now: now, full: e.fullDue(now), gaps: progress.Gaps}
	if w.full {
		w.stuck = m.Stuck(monitor.StuckQuery{Limit: mostStuck})
		w.jobs = m.Overview(time.Minute, "").Jobs
	}
	e.mu.Lock()
	e.epoch, w.outside = progress.Epoch, e.outside
	m.View(func(f *monitor.Fold) {
		w.fold = f
		e.evaluate(w)
	})
	e.mu.Unlock()
	return e.takeDirty()
}

// fullDue reports whether rules that look at windows are to be evaluated too.
func (e *Engine) fullDue(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return now.Sub(e.full) >= e.config.Every
}

// due reports whether rules are to be evaluated: from time to time, and at once
// if events came.
func (e *Engine) due(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return now.Sub(e.full) >= e.config.Every || e.observed
}

func (e *Engine) takeDirty() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.dirty
}

// evaluate is called with mu held.
func (e *Engine) evaluate(w *world) {
	began := time.Now()
	changes, told := e.state.step(e.config, e.silences, w)
	for i := range changes {
		e.logTransition(&changes[i])
	}
	e.evaluated, e.observed = w.now, false
	if w.full {
		e.full = w.now
	}
	if len(changes) > 0 || told {
		e.dirty = true
	}
	e.counters.evaluations++
	e.counters.evaluating += time.Since(began)
	e.viewDirty.Store(true)
}

// step is one round of everything: evaluate each rule, bring its alerts to what it
// found, see who hides whom, and put into the outbox what people are to be told.
func (s *state) step(c *Config, silences []Silence, w *world) (changes []Transition, told bool) {
	if s.Began.IsZero() {
		s.Began = w.now
	}
	w.tally, w.memo, w.began = s.Tally, s.Memo, s.Began
	for _, r := range c.Rules {
		if !r.Disabled && s.due(r, w) {
			changes = append(changes, s.advance(r, r.safely(w), w.now)...)
		}
	}
	changes = append(changes, s.dropRules(c, w.now)...)
	s.note(changes)
	s.remember()
	s.suppress(c, silences, w.now)
	s.orphans(c, w.now)
	return changes, s.notify(c, w.now)
}

func (e *Engine) logTransition(t *Transition) {
	level := slog.LevelInfo
	if t.Alert.State == Pending {
		level = slog.LevelDebug
	}
	e.log.Log(context.Background(), level, "alert", "state", t.Alert.State, "rule", t.Alert.Rule, "severity", t.Alert.Severity, "job", t.Alert.JobID, "summary", t.Alert.Summary)
}

// Snapshot implements [monitor.Observer].
func (e *Engine) Snapshot() ([]byte, func(), error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	raw, err := json.Marshal(e.state)
	if err != nil {
		return nil, nil, err
	}
	e.dirty = false
	rows := append([]*row(nil), e.state.Outbox...)
	return raw, func() { e.commit(rows) }, nil
}

// commit: the notices are saved, so they may leave.
func (e *Engine) commit(rows []*row) {
	e.mu.Lock()
	for _, r := range rows {
		r.committed = true
	}
	e.mu.Unlock()
	e.poke()
}

func (e *Engine) poke() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// leading reports whether this node holds the lease. mu is held.
func (e *Engine) leading() bool { return e.held != nil && e.held.Err() == nil }

package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings"
	"tidings/monitor"
	"tidings/pebblelog"
)

// mailbox takes notices, or refuses them.
type mailbox struct {
	mu    sync.Mutex
	err   error
	ids   []string // of all that came, also again
	told  []string // "reason rule/key state …" of each that came first
	block chan struct{}
}

func (m *mailbox) Notify(ctx context.Context, n *Notice) error {
	m.mu.Lock()
	err, block := m.err, m.block
	m.mu.Unlock()
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !slices.Contains(m.ids, n.ID) {
		text := n.Reason
		for i := range n.Alerts {
			text += " " + n.Alerts[i].JobID + ":" + n.Alerts[i].State
		}
		m.told = append(m.told, text)
	}
	m.ids = append(m.ids, n.ID)
	return nil
}

func (m *mailbox) set(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func (m *mailbox) got() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.told)
}

// site is a store with a folder for what outlives a process.
type site struct {
	t     testing.TB
	store *pebblelog.Store
	state monitor.State
	box   *mailbox
	file  string
}

func newSite(t testing.TB, rules string) *site {
	t.Helper()
	store, err := pebblelog.Open(t.TempDir(), &pebblelog.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	folder, err := monitor.OpenFolder(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s := &site{t: t, store: store, state: folder, box: &mailbox{}, file: filepath.Join(t.TempDir(), "rules.yaml")}
	s.write(rules)
	return s
}

func (s *site) write(rules string) {
	s.t.Helper()
	if err := os.WriteFile(s.file, []byte(rules), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// node is a process that may evaluate.
type node struct {
	*Engine
	monitor *monitor.Monitor
	stop    func()
}

func (s *site) start() *node {
	s.t.Helper()
	e, err := Start(s.t.Context(), Options{State: s.state, File: s.file, Logger: slog.New(slog.DiscardHandler),
		Notifier: func(*Receiver, *Config) (Notifier, error) { return s.box, nil }})
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := monitor.Start(s.t.Context(), s.store, &monitor.Options{State: s.state, Observer: e, CheckpointEvery: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.t.Fatal(err)
	}
	n := &node{Engine: e, monitor: m, stop: sync.OnceFunc(func() { m.Stop(); e.Stop() })}
	s.t.Cleanup(n.stop)
	return n
}

func (s *site) append(job, eventType, data string) {
	s.t.Helper()
	if _, err := s.store.Append(s.t.Context(), job, tidings.Batch{Events: []tidings.Event{{Type: eventType, Data: json.RawMessage(data)}}}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) fail(job string) { s.append(job, "error", `{"error":"broke","fatal":true}`) }

// eventually polls until ok or a deadline that only a broken program reaches.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func (s *site) awaitTold(n int) []string {
	s.t.Helper()
	eventually(s.t, fmt.Sprintf("%d notices", n), func() bool { return len(s.box.got()) >= n })
	return s.box.got()
}

const siteRules = `
builtin: false
every: 1s
rules: [{name: job_failed}, {name: loop, keep_firing_for: 0s}]
receivers: [{name: ops, webhook: {}}]
route: {group_by: [alertname, job_id], group_wait: 0s, group_interval: 1s}
`

func TestRestartTellsNothingTwice(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteRules)
	n := s.start()
	s.fail("a")
	s.awaitTold(1)
	for range 2 {
		n.stop()
		n = s.start()
		eventually(t, "the alert is known after the restart", func() bool { return len(n.View().Alerts) == 1 })
	}
	s.fail("b")
	s.awaitTold(2)
	if got := s.box.got(); !slices.Equal(got, []string{"first a:firing", "first b:firing"}) || len(s.box.ids) != 2 {
		t.Errorf("told %v, IDs %v", got, s.box.ids)
	}
}

// A process that dies between sending and saving sends again, with the same ID.
func TestCrashAfterSendingSendsTheSameID(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteRules)
	n := s.start()
	s.box.block = make(chan struct{})
	s.fail("a")
	eventually(t, "the notice is saved", func() bool {
		raw, _, _ := s.state.Load(t.Context(), "checkpoint")
		n.mu.Lock()
		defer n.mu.Unlock()
		return raw != nil && len(n.state.Outbox) == 1 && n.state.Outbox[0].sending
	})
	saved, _, err := s.state.Load(t.Context(), "checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	close(s.box.block)
	s.awaitTold(1)
	n.stop()
	// The disk is as if the process had died before it could note that it was sent.
	if ok, err := s.state.Save(t.Context(), "checkpoint", saved, 1); !ok || err != nil {
		t.Fatal(ok, err)
	}
	s.start()
	eventually(t, "it is sent again", func() bool { s.box.mu.Lock(); defer s.box.mu.Unlock(); return len(s.box.ids) == 2 })
	if s.box.ids[0] != s.box.ids[1] || len(s.box.told) != 1 {
		t.Errorf("IDs %v", s.box.ids)
	}
}

// stubborn is a State that saves nothing.
type stubborn struct {
	monitor.State
	mu  sync.Mutex
	off bool
}

func (s *stubborn) Save(ctx context.Context, name string, data []byte, epoch int64) (bool, error) {
	s.mu.Lock()
	off := s.off
	s.mu.Unlock()
	if off {
		return false, errors.New("the disk is full")
	}
	return s.State.Save(ctx, name, data, epoch)
}

func TestNoticeLeavesOnlyWhenSaved(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteRules)
	disk := &stubborn{State: s.state, off: true}
	s.state = disk
	n := s.start()
	s.fail("a")
	eventually(t, "there is a notice", func() bool { return len(n.View().Notices.Outbox) == 1 })
	eventually(t, "saving failed", func() bool { p := n.monitor.Progress().Checkpoint; return p != nil && p.Error != "" })
	if got := s.box.got(); len(got) != 0 {
		t.Errorf("told %v", got)
	}
	disk.mu.Lock()
	disk.off = false
	disk.mu.Unlock()
	s.awaitTold(1)
}

// Nothing is lost, nothing comes twice, and the order is kept.
func TestReceiverDownForAMinute(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteRules)
	n := s.start()
	s.box.set(&DeliveryError{Reason: "down"})
	for i, job := range []string{"a", "b", "c", "d"} {
		s.fail(job)
		eventually(t, "the notice waits", func() bool { return len(n.View().Notices.Outbox) == i+1 })
	}
	eventually(t, "it was tried", func() bool { return n.View().Notices.Outbox[0].Attempts > 0 })
	if tried := n.View().Notices.Outbox[1].Attempts; tried != 0 {
		t.Errorf("the second was tried %d times before the first came through", tried)
	}
	n.stop() // and the process goes away meanwhile
	n = s.start()
	s.box.set(nil)
	n.hurry()
	if got := s.awaitTold(4); !slices.Equal(got, []string{"first a:firing", "first b:firing", "first c:firing", "first d:firing"}) {
		t.Error(got)
	}
	eventually(t, "the outbox is empty", func() bool { v := n.View().Notices; return len(v.Outbox) == 0 && len(v.Sent) == 4 })
	if len(s.box.ids) != 4 {
		t.Errorf("IDs %v", s.box.ids)
	}
}

// hurry makes what waits for another try due.
func (e *Engine) hurry() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range e.state.Outbox {
		r.Next = time.Time{}
	}
	e.poke()
}

// What a receiver refuses for good does not hold up the rest, and is shown.
func TestDeadLetters(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteRules)
	n := s.start()
	s.box.set(&DeliveryError{Reason: "the receiver answered 410 Gone", Permanent: true})
	s.fail("a")
	eventually(t, "it is given up", func() bool { return len(n.View().Notices.Dead) == 1 })
	s.box.set(nil)
	s.fail("b")
	s.awaitTold(1)
	dead := n.View().Notices.Dead[0]
	if dead.Error != "the receiver refused it; at last: the receiver answered 410 Gone" || dead.Summary == "" || dead.DoneAt == nil {
		t.Errorf("%+v", dead)
	}
}

func TestBadFileKeepsTheRules(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteRules)
	n := s.start()
	s.write("rules: [{name: nonsense}]")
	eventually(t, "the error is shown", func() bool { return strings.Contains(n.File().Error, ":1:9: rule nonsense needs expr, or detector") })
	s.fail("a")
	s.awaitTold(1)
	if err := os.Remove(s.file); err != nil {
		t.Fatal(err)
	}
	eventually(t, "that it is gone is shown", func() bool { return strings.Contains(n.File().Error, "no such file") })
	s.write(strings.Replace(siteRules, "{name: job_failed}", "{name: mine, detector: job_failed}", 1))
	eventually(t, "the file is used", func() bool { return n.File().Error == "" })
	s.fail("b")
	eventually(t, "the new rule fires", func() bool {
		return slices.ContainsFunc(n.View().Alerts, func(a Alert) bool { return a.Rule == "mine" && a.JobID == "b" })
	})
	// The alert of the rule that is gone is over, and its receiver knows.
	eventually(t, "all are told", func() bool {
		got := s.box.got()
		return slices.Contains(got, "resolved a:resolved") && slices.Contains(got, "first b:firing")
	})
}

// A file that is being written, and is empty at the moment, is not read: no rules
// at all would be good rules.
func TestFileIsReadWhenItIsWritten(t *testing.T) {
	t.Parallel()
	e := &Engine{opts: Options{File: filepath.Join(t.TempDir(), "rules.yaml")}}
	for i, step := range []struct {
		text    string
		changed bool
	}{{"rules: []", false}, {"", false}, {"builtin: false", false}, {"", true}, {"", true}} {
		if i != 3 && i != 4 { // and at these nobody writes
			if err := os.WriteFile(e.opts.File, []byte(step.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := e.changedFile(); got != step.changed {
			t.Errorf("look %d: changed is %v", i, got)
		}
	}
}

// A server does not start on rules that it can't read.
func TestWrongRulesAtTheStart(t *testing.T) {
	t.Parallel()
	s := newSite(t, "rules: [{name: x, expr: '1 +'}]")
	_, err := Start(t.Context(), Options{State: s.state, File: s.file})
	if place, ok := errors.AsType[*FileError](err); !ok || place.Line != 1 {
		t.Error(err)
	}
}

func TestSilence(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteRules)
	n := s.start()
	m, err := ParseMatcher(`job_id=~"a|b"`)
	if err != nil {
		t.Fatal(err)
	}
	made, err := n.AddSilence(t.Context(), Silence{Matchers: Matchers{m}, EndsAt: time.Now().Add(time.Hour), CreatedBy: "me", Comment: "known"})
	if err != nil {
		t.Fatal(err)
	}
	s.fail("a")
	s.fail("other")
	s.awaitTold(1)
	eventually(t, "it is silenced", func() bool {
		return slices.ContainsFunc(n.View().Alerts, func(a Alert) bool { return a.JobID == "a" && slices.Equal(a.SilencedBy, []string{made.ID}) })
	})
	if err := n.EndSilence(t.Context(), made.ID); err != nil {
		t.Fatal(err)
	}
	if got := s.awaitTold(2); !slices.Equal(got, []string{"first other:firing", "first a:firing"}) {
		t.Error(got)
	}
	if err := n.EndSilence(t.Context(), made.ID); !errors.Is(err, ErrUnknownSilence) {
		t.Error(err)
	}
}

func TestWrongSilences(t *testing.T) {
	t.Parallel()
	n := newSite(t, siteRules).start()
	hour := time.Now().Add(time.Hour)
	match := func(texts ...string) (ms Matchers) {
		for _, text := range texts {
			m, err := ParseMatcher(text)
			if err != nil {
				t.Fatal(err)
			}
			ms = append(ms, m)
		}
		return ms
	}
	for want, s := range map[string]Silence{
		"must be 1 to":     {EndsAt: hour},
		"would match ever": {Matchers: match(`x=~".*"`), EndsAt: hour},
		"missing":          {Matchers: match("a=b")},
		"in the future":    {Matchers: match("a=b"), EndsAt: time.Now().Add(-time.Hour)},
		"over a year":      {Matchers: match("a=b"), EndsAt: hour.Add(10000 * time.Hour)},
	} {
		if _, err := n.AddSilence(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", want, err)
		}
	}
}

// The other nodes show what the one that holds the lease evaluates.
func TestOtherNodesShowTheSame(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteRules)
	s.start()
	other, err := Start(t.Context(), Options{State: s.state, File: s.file, Logger: slog.New(slog.DiscardHandler),
		Notifier: func(*Receiver, *Config) (Notifier, error) { return s.box, nil }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Stop)
	s.fail("a")
	eventually(t, "the other node shows it", func() bool {
		v := other.View()
		return len(v.Alerts) == 1 && v.Alerts[0].JobID == "a" && len(v.Rules) == 2 && len(v.Notices.Sent) == 1
	})
}

// A state that can't be read is begun anew.
func TestDamagedState(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"", "{}", "null", "[]", `{"format":1}`, `{"format":1,"tally":null,"alerts":null}`, `{"format":9}`, "{", `{"format":1,"alerts":{"job_failed":{"x":null}}}`} {
		e, err := Start(t.Context(), Options{State: newSite(t, "").state, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		if err := e.Lead(ctx, []byte(raw)); err != nil {
			t.Errorf("%s: %v", raw, err)
		}
		e.mu.Lock()
		e.evaluate(&world{now: time.Now(), full: true, fold: monitor.NewFold(monitor.Limits{})})
		e.mu.Unlock()
		cancel()
		e.Stop()
	}
}

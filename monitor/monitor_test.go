package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/pebblelog"
)

var quiet = slog.New(slog.DiscardHandler)

func openStore(t testing.TB) *pebblelog.Store {
	t.Helper()
	s, err := pebblelog.Open(t.TempDir(), &pebblelog.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// watch starts a monitor; it ends with the test at the latest.
func watch(t testing.TB, store tidings.Store, opts Options) *Monitor {
	t.Helper()
	opts.Logger = quiet
	orDefault(&opts.tick, 20*time.Millisecond)
	m, err := Start(t.Context(), store, &opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Stop)
	return m
}

func publish(t testing.TB, store tidings.Store, job string, events ...string) {
	t.Helper()
	for _, text := range events {
		var e tidings.Event
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Append(t.Context(), job, tidings.Batch{Events: []tidings.Event{{Type: e.Type, Data: e.Data}}}); err != nil {
			t.Fatal(err)
		}
	}
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("a minute has passed, and not yet: %s", what)
		}
	}
}

const (
	started = `{"event_type":"phase_update","data":{"phase":"job","status":"started","name":"report","labels":{"env":"prod"}}}`
	search  = `{"event_type":"tool_call","data":{"tool":"search","call_id":"c","run_id":"t"}}`
	found   = `{"event_type":"tool_result","data":{"tool":"search","call_id":"c","run_id":"t","duration_ms":40}}`
	broken  = `{"event_type":"error","data":{"error":"it broke","fatal":true}}`
	done    = `{"event_type":"done","data":{}}`
)

func events(m *Monitor) int64 { return m.Overview(time.Hour, "").Totals.Events }

// asFromTheStart checks that the monitor's state is that of one who has read the
// feed from its start.
func asFromTheStart(t testing.TB, m *Monitor, store tidings.Store, total int64) {
	t.Helper()
	other := watch(t, store, Options{})
	await(t, "both have read the feed", func() bool { return events(other) == total && events(m) == total })
	other.Stop()
	m.Stop()
	if diff := cmp.Diff(encoded(t, other.fold), encoded(t, m.fold)); diff != "" {
		t.Error(diff)
	}
}

func TestMonitorFollowsTheFeed(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	publish(t, store, "before", started, search)
	m := watch(t, store, Options{})
	publish(t, store, "after", started, search, found, done)
	await(t, "all events are counted", func() bool { return events(m) == 6 })
	o := m.Overview(15*time.Minute, ByName)
	if o.Jobs.Running != 1 || o.Window.Completed != 1 || o.Window.Tool.Calls != 1 || len(o.By) != 1 || o.By[0].Live[tidings.StatusRunning] != 1 {
		t.Errorf("%+v", o)
	}
	rows := m.Stuck(StuckQuery{})
	if len(rows) != 1 || rows[0].Waits == nil || rows[0].Waits.Name != "search" || rows[0].Waits.Usual.Count != 1 {
		t.Errorf("%+v", rows)
	}
	if err := store.Delete(t.Context(), "before"); err != nil {
		t.Fatal(err)
	}
	await(t, "the deleted job is forgotten", func() bool { return m.Overview(time.Minute, "").Jobs.Running == 0 })
}

// A monitor that is stopped and started goes on where it was, in a folder.
func TestMonitorGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	store, dir := openStore(t), t.TempDir()
	open := func() *Folder {
		f, err := OpenFolder(dir)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for round := range 3 {
		m := watch(t, store, Options{State: open()})
		publish(t, store, fmt.Sprint("job-", round), started, search, found, broken)
		publish(t, store, "long", search, found)
		await(t, "all is counted", func() bool { return events(m) == int64(6*(round+1)) })
		if p := m.Progress(); p.Folded != 6 {
			t.Errorf("round %d: %d changes were read; those of rounds before had been saved", round, p.Folded)
		}
		m.Stop()
	}
	asFromTheStart(t, watch(t, store, Options{State: open()}), store, 18)
}

// A damaged checkpoint is put aside, and the feed is read from its start.
func TestDamagedCheckpointIsMadeAgain(t *testing.T) {
	t.Parallel()
	store, dir := openStore(t), t.TempDir()
	publish(t, store, "a", started, done)
	state, err := OpenFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	m := watch(t, store, Options{State: state})
	await(t, "all is counted", func() bool { return events(m) == 2 })
	m.Stop()
	file := filepath.Join(dir, checkpointDoc)
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-3] ^= 1
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	m = watch(t, store, Options{State: state})
	await(t, "all is counted again", func() bool { return events(m) == 2 && m.Progress().Folded == 2 })
	if _, err := os.Stat(file + ".damaged"); err != nil {
		t.Error("the damaged file was not kept: ", err)
	}
}

// The checkpoint of another store does not keep a monitor from starting.
func TestCheckpointOfAnotherStore(t *testing.T) {
	t.Parallel()
	one, two, state := openStore(t), openStore(t), &memory{}
	publish(t, one, "a", started)
	m := watch(t, one, Options{State: state})
	await(t, "it is counted", func() bool { return events(m) == 1 })
	m.Stop()
	publish(t, two, "b", started)
	m = watch(t, two, Options{State: state})
	await(t, "the other store's job is there", func() bool { return len(m.Stuck(StuckQuery{JobID: "b"})) == 1 })
	if m.Progress().Gaps != 1 || len(m.Stuck(StuckQuery{JobID: "a"})) != 0 {
		t.Errorf("%+v, %+v", m.Progress(), m.Stuck(StuckQuery{}))
	}
}

// A store that is put back to an older state has what was counted before: nothing of it
// counts twice.
func TestStorePutBackCountsOnce(t *testing.T) {
	t.Parallel()
	store, state := openStore(t), &memory{}
	publish(t, store, "a", started, done)
	backup := filepath.Join(t.TempDir(), "backup")
	if err := store.Backup(backup); err != nil {
		t.Fatal(err)
	}
	m := watch(t, store, Options{State: state})
	publish(t, store, "b", started, done)
	await(t, "both are counted", func() bool { return events(m) == 4 })
	m.Stop()
	older, err := pebblelog.Open(backup, &pebblelog.Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer older.Close()
	m = watch(t, older, Options{State: state})
	await(t, "the feed was read", func() bool { return m.Progress().Folded == 2 })
	if o := m.Overview(time.Hour, ""); o.Totals.Events != 2 || o.Totals.Completed != 1 || o.Progress.Gaps != 1 {
		t.Errorf("%+v", o)
	}
}

// copy is the state as a crash of the node would leave it.
func (s *memory) copy() *memory {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &memory{docs: maps.Clone(s.docs)}
}

// recorder is an observer that keeps the IDs that it was told of.
type recorder struct {
	mu        sync.Mutex
	seen      []string
	committed int // of seen
	leads     int
	held      context.Context
	save      bool
	fail      error
}

func (r *recorder) Lead(held context.Context, state []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.leads++
	r.held, r.seen, r.committed = held, nil, 0
	if state == nil {
		return r.fail
	}
	err := json.Unmarshal(state, &r.seen)
	r.committed = len(r.seen)
	return errors.Join(err, r.fail)
}

func (r *recorder) Observe(c *Folded, _ *Fold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, c.Event.JobID+" "+c.Event.ID.String())
}

func (r *recorder) Tick(_ time.Time, m *Monitor) bool {
	m.Overview(time.Minute, "") // it may be asked
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.save
}

func (r *recorder) Snapshot() ([]byte, func(), error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	data, err := json.Marshal(r.seen)
	n := len(r.seen)
	return data, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.committed = n
	}, err
}

func (r *recorder) state() (seen, committed int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.seen), r.committed
}

// However the process ends, what the observer knows and what the fold has
// counted belong together, and the observer sees each change once, in effect.
func TestObserverSeesEachChangeOnce(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	state := &memory{}
	total := 0
	for round := range 4 {
		r := &recorder{save: round%2 == 0}
		m := watch(t, store, Options{State: state, Observer: r, CheckpointEvery: time.Millisecond})
		publish(t, store, fmt.Sprint("job-", round), started, search, found, done)
		total += 4
		await(t, "the observer has seen all", func() bool { seen, _ := r.state(); return seen == total })
		await(t, "a checkpoint was made", func() bool { _, committed := r.state(); return committed == total })
		publish(t, store, "late", found)
		total++
		if round%2 == 0 {
			state = state.copy() // a crash: what came late may be saved or not
		}
		m.Stop()
		if r.held.Err() == nil {
			t.Error("the observer was not told to end")
		}
	}
	r := &recorder{}
	m := watch(t, store, Options{State: state, Observer: r})
	await(t, "all is seen", func() bool { seen, _ := r.state(); return seen == total })
	asFromTheStart(t, m, store, int64(total))
	slices.Sort(r.seen)
	if got := slices.Compact(slices.Clone(r.seen)); len(got) != total {
		t.Errorf("%d changes were seen, %d of them different", total, len(got))
	}
}

// An observer that can't read its state keeps following from starting; it is
// tried again.
func TestObserverThatFailsIsTriedAgain(t *testing.T) {
	t.Parallel()
	store, r := openStore(t), &recorder{fail: errors.New("no")}
	publish(t, store, "a", started)
	m := watch(t, store, Options{Observer: r})
	await(t, "it was tried twice", func() bool { r.mu.Lock(); defer r.mu.Unlock(); return r.leads >= 2 })
	if m.Progress().Lag == 0 {
		t.Error("that nothing is followed meanwhile is not told")
	}
	r.mu.Lock()
	r.fail = nil
	r.mu.Unlock()
	await(t, "it is counted", func() bool { return events(m) == 1 })
}

// A node that could not reach the state for a while, and finds the lease still
// its own, leads anew: the observer had been told to end.
func TestLeaseLostForAWhile(t *testing.T) {
	t.Parallel()
	store, r := openStore(t), &recorder{}
	all := &table{}
	state := &seat{table: all}
	m := watch(t, store, Options{State: state, Observer: r, LeaseTTL: 200 * time.Millisecond})
	leads := func() (int, error) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.held == nil {
			return r.leads, nil
		}
		return r.leads, r.held.Err()
	}
	reach := func(yes bool) {
		all.mu.Lock()
		defer all.mu.Unlock()
		state.away = !yes
	}
	publish(t, store, "a", started)
	await(t, "it leads", func() bool { n, _ := leads(); return n >= 1 })
	for range 3 {
		was, _ := leads()
		reach(false)
		await(t, "it is told to end", func() bool { _, err := leads(); return err != nil })
		publish(t, store, "a", found)
		reach(true)
		await(t, "it leads again", func() bool { n, err := leads(); return n > was && err == nil })
	}
	await(t, "all is seen once", func() bool { seen, _ := r.state(); return seen == 4 && events(m) == 4 })
}

func TestErrorStatesAreKept(t *testing.T) {
	t.Parallel()
	store, state := openStore(t), &memory{}
	m := watch(t, store, Options{State: state})
	publish(t, store, "a", started, broken)
	await(t, "the error is there", func() bool { return len(m.Errors()) == 1 })
	id := m.Errors()[0].ID
	if _, err := m.SetErrorState(t.Context(), id, "fixed", "me"); err == nil {
		t.Error("a state that is none was taken")
	}
	if _, err := m.SetErrorState(t.Context(), "v1-0", Resolved, "me"); !errors.Is(err, ErrUnknownError) {
		t.Errorf("an unknown group: %v", err)
	}
	g, err := m.SetErrorState(t.Context(), id, Resolved, "me")
	if err != nil || g.State != Resolved || g.ChangedBy != "me" {
		t.Fatalf("%+v, %v", g, err)
	}
	m.Stop()
	// Another node, or the same after a restart, knows it.
	m = watch(t, store, Options{State: state})
	await(t, "it is resolved", func() bool { return len(m.Errors()) == 1 && m.Errors()[0].State == Resolved })
	publish(t, store, "b", started, broken)
	await(t, "it is open again", func() bool { g := m.Errors()[0]; return g.State == Open && g.Reopened })
	if _, err := m.SetErrorState(t.Context(), id, Ignored, "me"); err != nil {
		t.Fatal(err)
	}
	publish(t, store, "c", started, broken)
	await(t, "it came a third time", func() bool { return m.Errors()[0].Count == 3 })
	if g := m.Errors()[0]; g.State != Ignored || g.Fatal != 3 {
		t.Errorf("%+v", g)
	}
}

// The store knows the leases of silent jobs; a lost worker shows.
func TestLostWorkerShows(t *testing.T) {
	t.Parallel()
	store := openStore(t)
	publish(t, store, "a", started, search)
	if err := store.Heartbeat(t.Context(), "a", tidings.Lease{TTL: time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	m := watch(t, store, Options{})
	await(t, "it is counted", func() bool { return events(m) == 2 })
	later := time.Now().Add(time.Minute) // the test does not wait for it
	m.askLeases(later)
	m.View(func(f *Fold) {
		if c := m.jobCounts(f, later); c.Stalled != 1 || c.Running != 1 {
			t.Errorf("%+v", c)
		}
		rows := m.explain(nil, f, f.jobs["a"], &StuckQuery{}, later)
		if len(rows) != 1 || !rows[0].Stalled || rows[0].LeaseUntil == nil {
			t.Errorf("%+v", rows)
		}
	})
}

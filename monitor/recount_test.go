package monitor

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"tidings"
)

// wild makes a feed as bad publishers and clocks would: jobs that fail and go on,
// that are deleted and made again, that get their name and labels late; IDs in
// a far past and future, timestamps anywhere, failures told twice and in any order,
// numbers beyond reason, data of any shape.
type wild struct {
	random *rand.Rand
	at     int64
	seq    uint64
	lives  map[string]int // of a job ID
	last   map[string]tidings.ID
	closed map[string]bool
}

func newWild(seed uint64) *wild {
	return &wild{random: rand.New(rand.NewPCG(seed, 7)), at: tapeStart.UnixMilli(),
		lives: map[string]int{}, last: map[string]tidings.ID{}, closed: map[string]bool{}}
}

func (w *wild) one(of ...string) string { return of[w.random.IntN(len(of))] }

func (w *wild) change() tidings.Change {
	w.at += int64(w.random.ExpFloat64() * 2000)
	id := fmt.Sprintf("job-%d", w.random.IntN(30))
	if w.closed[id] || w.random.IntN(150) == 0 {
		delete(w.last, id)
		delete(w.closed, id)
		w.lives[id]++
		return tidings.Change{Event: tidings.Event{JobID: id}, Deleted: true}
	}
	e := tidings.Event{JobID: id, ID: w.id(id), Time: w.time()}
	e.Type, e.Data = w.event()
	w.last[id], w.closed[id] = e.ID, e.Terminal()
	return tidings.Change{Event: e}
}

// id is mostly of now, sometimes of the clock of a publisher that sets IDs.
func (w *wild) id(job string) tidings.ID {
	w.seq++
	ms := uint64(w.at)
	switch w.random.IntN(400) {
	case 0:
		ms = 1
	case 1:
		ms = uint64(w.at) + 1<<uint(w.random.IntN(63))
	case 2:
		ms = math.MaxUint64 - 1<<20 + w.seq
	}
	id := tidings.ID{Ms: ms, Seq: w.seq}
	if last := w.last[job]; id.Compare(last) <= 0 {
		id = last.Next()
	}
	return id
}

func (w *wild) time() time.Time {
	at := time.UnixMilli(w.at)
	switch w.random.IntN(20) {
	case 0:
		return at.Add(-time.Duration(w.random.Int64N(int64(1000 * time.Hour))))
	case 1:
		return at.Add(time.Duration(w.random.Int64N(int64(1000 * time.Hour))))
	case 2:
		return time.Time{}
	}
	return at.Add(-time.Duration(w.random.IntN(3000)) * time.Millisecond)
}

func (w *wild) number() string {
	return w.one("0", "1", "250", "12345", "-4", "1e3", "9000000000000000000", "9223372036854775807", "1e400", "0.5", `"7"`, "null", "{}")
}

func (w *wild) event() (string, json.RawMessage) {
	call, run := w.random.IntN(4), w.random.IntN(6)
	naming := ""
	if w.random.IntN(4) == 0 {
		naming = fmt.Sprintf(`"name":"n%d","labels":{"env":"e%d","user":"u%d"},`, w.random.IntN(9), w.random.IntN(4), w.random.IntN(300))
	}
	format := func(f string, args ...any) json.RawMessage {
		data := json.RawMessage(fmt.Sprintf(f, args...))
		if !json.Valid(data) {
			panic(string(data))
		}
		return data
	}
	failure := w.one(`"error":"bad thing"`, `"error":{"message":"bad thing"}`, `"output":"fine"`, `"error":null`)
	switch w.random.IntN(16) {
	case 0, 1:
		return "phase_update", format(`{%s"phase":"%s","status":"%s"}`, naming, w.one("job", "plan"), w.one("queued", "started", "progress", "completed", "interrupted", "resumed"))
	case 2, 3:
		return "phase_update", format(`{"phase":"p","status":"%s","run_id":"r%d","parent_run_id":"r%d"}`, w.one("started", "completed", "failed"), run, run/2)
	case 4, 5, 6:
		return "tool_call", format(`{"tool":"t%d","call_id":"c%d","parent_run_id":"r%d","input":{"a":1}}`, call, call, run)
	case 7, 8:
		return "tool_result", format(`{"tool":"t%d","call_id":"c%d","duration_ms":%s,%s}`, call, call, w.number(), failure)
	case 9:
		return "error", format(`{"scope":"tool","tool":"t%d","call_id":"c%d","error":"bad thing"}`, call, call)
	case 10:
		return "thought", format(`{"status":"%s","run_id":"m%d","model":"g%d","content":"x","usage":{"input_tokens":%s,"output_tokens":%s},"cost":{"amount":%s,"currency":"%s"}}`,
			w.one("started", "completed", ""), run, run%3, w.number(), w.number(), w.number(), w.one("usd", "EUR", ""))
	case 11:
		return "error", format(`{%s"error":"legacy %d"}`, naming, run)
	case 12:
		return w.one("task_queued", "task_started", "task_retried", "task_completed", "task_failed"), format(`{"task":"work","worker":"w%d","error":"x"}`, run)
	case 13:
		return "custom", format(`{"name":"tidings.dropped","value":{"events":%s}}`, w.number())
	case 14:
		return w.one("cancel_requested", "mine", "state", "phase_update"), format(`%s`, w.one("{}", "[]", "null", `"text"`, "7", `{"labels":[1],"status":[]}`))
	}
	if w.random.IntN(3) > 0 {
		return "mine", format(`{}`)
	}
	return w.one("done", "cancelled", "error"), format(`{"fatal":true,"error":"the end","usage":{"input_tokens":%s}}`, w.number())
}

// recount is the plainest way to count: everything is kept and looked through
// again at the end.
type recount struct {
	logs [][]tidings.Event // of one life of a job each
	open map[string]int    // its place in logs
	at   map[tidings.ID]int64
}

func (r *recount) note(c *tidings.Change, at int64) {
	id := c.Event.JobID
	if c.Deleted {
		delete(r.open, id)
		return
	}
	i, ok := r.open[id]
	if !ok {
		i = len(r.logs)
		r.logs = append(r.logs, nil)
		r.open[id] = i
	}
	r.logs[i] = append(r.logs[i], c.Event)
	r.at[c.Event.ID] = at
}

// sums are what can be had without knowing how the fold does it.
type sums struct {
	created, events, completed, failed, cancelled, retried int64
	durations                                              []int64
}

func (r *recount) sums() sums {
	var s sums
	for _, log := range r.logs {
		var job tidings.Job
		started, ended := int64(-1), int64(-1)
		was := tidings.Status("")
		for i := range log {
			e := &log[i]
			s.events++
			job.Apply(e)
			if e.Type == "task_retried" {
				s.retried++
			}
			if started < 0 && job.Status != tidings.StatusQueued {
				started = r.at[e.ID]
			}
			if job.Status != was {
				ended = r.at[e.ID]
			}
			was = job.Status
		}
		s.created++
		switch job.Status {
		case tidings.StatusCompleted:
			s.completed++
		case tidings.StatusFailed:
			s.failed++
		case tidings.StatusCancelled:
			s.cancelled++
		default:
			continue
		}
		s.durations = append(s.durations, max(ended-started, 0))
	}
	return s
}

// Whatever publishers write, the counts are those that reading all logs again
// gives, in every scope they add up, no number is negative, and all of it can be told as
// JSON, at any time, and after a restart.
func TestCountsAreThoseOfTheLogs(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		w, f := newWild(seed), NewFold(Limits{})
		again := &recount{open: map[string]int{}, at: map[tidings.ID]int64{}}
		for i := range 1500 {
			c := w.change()
			f.SetHorizon(time.UnixMilli(w.at).Add(time.Minute))
			done, fresh := f.Apply(&c)
			if !fresh {
				t.Fatalf("seed %d: change %d counts as known: %+v", seed, i, c)
			}
			again.note(&c, done.At.UnixMilli())
			if i%500 == 499 {
				f = roundTrip(t, f, Limits{})
				allCanBeTold(t, f)
			}
		}
		want, got := again.sums(), f.Total(All)
		for what, n := range map[string][2]int64{
			"created": {got.Created, want.created}, "events": {got.Events, want.events}, "completed": {got.Completed, want.completed},
			"failed": {got.Failed, want.failed}, "cancelled": {got.Cancelled, want.cancelled}, "retried": {got.Retried, want.retried},
		} {
			if n[0] != n[1] {
				t.Errorf("seed %d: %s is %d, the logs say %d", seed, what, n[0], n[1])
			}
		}
		window := f.Window(All, time.UnixMilli(w.at).Add(-7*24*time.Hour), time.UnixMilli(w.at).Add(time.Minute))
		compareQuantiles(t, seed, window.Duration, want.durations)
		scopesAddUp(t, seed, f)
	}
}

func compareQuantiles(t *testing.T, seed uint64, s *Sketch, exact []int64) {
	t.Helper()
	slices.Sort(exact)
	for _, q := range []float64{0, .5, .95, .99, 1} {
		want := min(float64(exact[int(math.Round(q*float64(len(exact)-1)))]), valueOf(maxBin))
		if got := s.Quantile(q); math.Abs(got-want) > .0101*want {
			t.Errorf("seed %d: of %d durations (the sketch has %d), the %v quantile is %v, want %v", seed, len(exact), s.Count(), q, got, want)
		}
	}
}

// scopesAddUp checks that names and one label's values together have what all
// has, and that no count in any bucket went below zero.
func scopesAddUp(t *testing.T, seed uint64, f *Fold) {
	t.Helper()
	all, names, tools := f.Total(All), Measures{}, Measures{}
	for _, s := range f.Scopes(ByName) {
		m := f.Total(s)
		names.add(&m)
	}
	for _, s := range f.Scopes(ByTool) {
		m := f.Total(s)
		tools.add(&m)
	}
	if all.Events != names.Events || all.Ended() != names.Ended() || all.ToolCalls != tools.ToolCalls || all.ToolErrors != tools.ToolErrors || all.Tokens != names.Tokens {
		t.Errorf("seed %d: all %+v, by name %+v, by tool %+v", seed, all, names, tools)
	}
	for scope, s := range f.series {
		for _, m := range append(measuresOf(s.Fine), append(measuresOf(s.Coarse), &s.Total)...) {
			if min(m.Created, m.Completed, m.Failed, m.Cancelled, m.Events, m.Dropped, m.ToolErrors, m.Tokens.InputTokens, m.Tokens.OutputTokens) < 0 || m.ToolErrors > m.ToolCalls {
				t.Fatalf("seed %d, %v: %+v", seed, scope, m)
			}
			if m.Duration.Count() > m.Ended()+m.FailedBack+m.CompletedBack {
				t.Fatalf("seed %d, %v: %d durations of %d jobs that ended", seed, scope, m.Duration.Count(), m.Ended())
			}
		}
	}
}

func measuresOf(list []bucket) []*Measures {
	var out []*Measures
	for _, b := range list {
		out = append(out, b.Measures)
	}
	return out
}

// allCanBeTold makes everything that readers are given.
func allCanBeTold(t *testing.T, f *Fold) {
	t.Helper()
	m := &Monitor{fold: f, opts: Options{}.withDefaults()}
	m.lease = newLease(&memory{}, time.Second, quiet)
	chart, err := f.Chart(ChartQuery{Metrics: []string{"duration_p95", "error_rate", "cost", "lag_max"}, From: f.Now().Add(-24 * time.Hour), To: f.Now(), By: ByName})
	if err != nil {
		t.Fatal(err)
	}
	var live []LiveJob
	f.Live(func(j *LiveJob) bool { live = append(live, *j); return true })
	for _, v := range []any{m.Overview(time.Hour, ByName), m.Overview(100*time.Hour, ByLabel), m.Stuck(StuckQuery{}), m.Errors(), chart, live} {
		if _, err := json.Marshal(v); err != nil {
			t.Fatal(err)
		}
	}
}

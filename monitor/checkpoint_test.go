package monitor

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings"
)

// scramble makes a feed of many jobs at once, with all kinds of events.
func scramble(t testing.TB, seed uint64, n int) []tidings.Change {
	random := rand.New(rand.NewPCG(seed, 1))
	r := newTape(t)
	events := []func(run int) (string, string){
		func(run int) (string, string) {
			return "phase_update", fmt.Sprintf(`{"status":"started","phase":"p","run_id":"r%d","name":"n%d","labels":{"env":"e%d"}}`, run, run%7, run%5)
		},
		func(run int) (string, string) {
			return "phase_update", fmt.Sprintf(`{"status":"completed","phase":"p","run_id":"r%d"}`, run)
		},
		func(run int) (string, string) {
			return "tool_call", fmt.Sprintf(`{"tool":"t%d","call_id":"c%d","parent_run_id":"r%d"}`, run%9, run, run/2)
		},
		func(run int) (string, string) {
			return "tool_result", fmt.Sprintf(`{"tool":"t%d","call_id":"c%d","duration_ms":%d}`, run%9, run, run*37)
		},
		func(run int) (string, string) {
			return "tool_result", fmt.Sprintf(`{"tool":"t%d","call_id":"c%d","run_id":"x%d","error":"e %d"}`, run%9, run, run, run)
		},
		func(run int) (string, string) {
			return "thought", fmt.Sprintf(`{"status":"started","run_id":"m%d","model":"g%d"}`, run, run%4)
		},
		func(run int) (string, string) {
			return "thought", fmt.Sprintf(`{"status":"completed","run_id":"m%d","usage":{"input_tokens":%d},"cost":{"amount":0.25,"currency":"USD"}}`, run, run)
		},
		func(run int) (string, string) {
			return "error", fmt.Sprintf(`{"error":"broken","scope":"llm","run_id":"m%d"}`, run)
		},
		func(int) (string, string) { return "error", `{"error":"legacy"}` },
		func(run int) (string, string) {
			return "error", fmt.Sprintf(`{"error":"end","fatal":true,"cause_run_id":"x%d"}`, run)
		},
		func(int) (string, string) { return "done", `{}` },
		func(int) (string, string) { return "cancel_requested", `{}` },
		func(int) (string, string) {
			return "custom", `{"name":"tidings.dropped","value":{"events":2}}`
		},
		func(int) (string, string) { return "task_retried", `{"task":"t","worker":"w"}` },
	}
	generation := map[int]int{}
	for range n {
		job := random.IntN(40)
		id := func() string { return fmt.Sprintf("job-%d-%d", job, generation[job]) }
		if random.IntN(200) == 0 {
			r.remove(id())
			generation[job]++
			continue
		}
		eventType, data := events[random.IntN(len(events))](random.IntN(20))
		r.add(id(), eventType, data)
		r.wait(time.Duration(random.IntN(100)) * time.Second)
		if e := &r.changes[len(r.changes)-1].Event; e.Terminal() {
			generation[job]++
		}
	}
	return r.changes
}

// small limits are reached by a scramble.
var small = Limits{Jobs: 12, Names: 4, Labels: 3, Tools: 5, Models: 2, Steps: 20, Errors: 6}

// The same feed, cut at any places by a checkpoint and a restart, adds up to
// the same bytes as without.
func TestRestartChangesNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		for _, limits := range []Limits{{}, small} {
			changes := scramble(t, seed, 700)
			random := rand.New(rand.NewPCG(seed, 2))
			whole, cut := NewFold(limits), NewFold(limits)
			for i := range changes {
				a, freshA := whole.Apply(&changes[i])
				b, freshB := cut.Apply(&changes[i])
				if freshA != freshB || a.ErrorID != b.ErrorID || a.Ended != b.Ended || a.Failed != b.Failed || !cmp.Equal(a.Began, b.Began) || !cmp.Equal(a.EndedRun, b.EndedRun) {
					t.Fatalf("seed %d: change %d did %+v without a restart, %+v with one", seed, i, a, b)
				}
				if random.IntN(100) == 0 {
					cut = roundTrip(t, cut, limits)
				}
			}
			if diff := cmp.Diff(encoded(t, whole), encoded(t, cut)); diff != "" {
				t.Fatalf("seed %d: %s", seed, diff)
			}
		}
	}
}

func roundTrip(t testing.TB, f *Fold, limits Limits) *Fold {
	t.Helper()
	data, err := (&checkpoint{Format: checkpointFormat, Fold: f.state()}).encode()
	if err != nil {
		t.Fatal(err)
	}
	c, err := decodeCheckpoint(data)
	if err != nil {
		t.Fatal(err)
	}
	return restore(&c.Fold, limits)
}

// The counts by status that are kept are those that a recount gives.
func TestCountsAgree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		f := NewFold(small)
		for i, c := range scramble(t, seed, 700) {
			if f.Apply(&c); i%100 > 0 {
				continue
			}
			if again := roundTrip(t, f, small); !cmp.Equal(f.Counts(), again.Counts()) {
				t.Fatalf("seed %d, change %d: %v, recounted %v", seed, i, f.Counts(), again.Counts())
			}
		}
	}
}

// Whatever names, labels, tools, models and errors jobs bring, what is kept is
// bounded, and nothing goes uncounted.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	const jobs, kept = 20_000, 2000
	f := NewFold(Limits{Jobs: kept, Errors: 200})
	at := tapeStart
	apply := func(job, eventType, data string) {
		at = at.Add(time.Millisecond)
		e := tidings.Event{ID: tidings.ID{Ms: uint64(at.UnixMilli())}, JobID: job, Type: eventType, Time: at, Data: json.RawMessage(data)}
		f.Apply(&tidings.Change{Event: e})
	}
	for i := range jobs {
		job := fmt.Sprintf("job-%d", i)
		apply(job, "phase_update", fmt.Sprintf(`{"status":"started","phase":"p","run_id":"r","name":"name-%d","labels":{"user":"%d"}}`, i, i))
		if i%10 > 0 {
			continue
		}
		apply(job, "tool_result", fmt.Sprintf(`{"tool":"tool-%d","call_id":"c","error":"%s"}`, i, letters(i)))
		apply(job, "thought", fmt.Sprintf(`{"status":"completed","model":"model-%d","content":"x"}`, i))
	}
	for by, counted := range map[string]func(Measures) int64{
		ByName: func(m Measures) int64 { return m.Created }, ByLabel: func(m Measures) int64 { return m.Created },
		ByTool: func(m Measures) int64 { return 10 * m.ToolCalls }, ByModel: func(m Measures) int64 { return 10 * m.ModelCalls },
	} {
		scopes := f.Scopes(by)
		if len(scopes) > 101 {
			t.Errorf("%d scopes by %s are kept", len(scopes), by)
		}
		sum := int64(0)
		for _, s := range scopes {
			sum += counted(f.Total(s))
		}
		if sum != jobs {
			t.Errorf("by %s, %d of %d are counted", by, sum, jobs)
		}
	}
	if len(f.jobs) != kept || f.lost != jobs-kept || len(f.steps) > 1010 || len(f.groups) > 200 || int(f.groupsOut) != jobs/10-len(f.groups) {
		t.Errorf("%d jobs, %d forgotten, %d steps, %d groups", len(f.jobs), f.lost, len(f.steps), len(f.groups))
	}
}

// letters is a word of its own for each number; digits would be taken out.
func letters(n int) string {
	out := []byte{'q'}
	for ; n > 0; n /= 20 {
		out = append(out, byte('g'+n%20))
	}
	return string(out)
}

// Real runs of an agent: what they hold is known.
func TestRecordedRuns(t *testing.T) {
	t.Parallel()
	changes := recordedRuns(t)
	f := NewFold(Limits{})
	for i := range changes {
		if _, fresh := f.Apply(&changes[i]); !fresh {
			t.Fatalf("change %d counts as known", i)
		}
	}
	w := f.Window(Scope{ByName, "airline_agent"}, tapeStart, tapeStart.Add(time.Hour))
	got := fmt.Sprint(w.Created, w.Started, w.Completed, w.Events, w.ToolCalls, w.ToolErrors, w.ModelCalls, w.Errors)
	if want := "50 50 50 1456 282 17 382 17"; got != want {
		t.Errorf("created, started, completed, events, tool calls, failed ones, model calls, errors: %s, want %s", got, want)
	}
	if len(f.jobs) != 0 || len(f.Scopes(ByTool)) != 14 || len(f.Errors()) == 0 {
		t.Errorf("%d jobs go on, %d tools, %d groups of errors", len(f.jobs), len(f.Scopes(ByTool)), len(f.Errors()))
	}
}

// recordedRuns gives the runs of ../shared/data, one after the other, an event
// a second.
func recordedRuns(t testing.TB) []tidings.Change {
	files, _ := filepath.Glob("../../shared/data/agent-runs/*.jsonl")
	if len(files) == 0 {
		t.Skip("the recorded runs are not there (../shared/data/agent-runs)")
	}
	r := newTape(t)
	for _, name := range files {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			var e tidings.Event
			if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
				t.Fatal(err)
			}
			r.add(e.JobID, e.Type, string(e.Data))
		}
		_ = file.Close()
	}
	return r.changes
}

// What is no checkpoint of this version is told apart.
func TestForeignCheckpointIsRefused(t *testing.T) {
	t.Parallel()
	for name, data := range map[string][]byte{"nothing": {}, "text": []byte("hello"), "another format": another(t)} {
		if _, err := decodeCheckpoint(data); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func another(t *testing.T) []byte {
	data, err := (&checkpoint{Format: checkpointFormat + 1}).encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// After a gap in the feed the jobs that go on are those of the listing.
func TestReplaceAfterAGap(t *testing.T) {
	t.Parallel()
	r := newTape(t).
		add("gone", "phase_update", `{"status":"started","name":"n"}`).
		add("same", "phase_update", `{"status":"started","name":"n"}`).
		add("same", "tool_call", `{"tool":"x","call_id":"1"}`).
		add("moved", "tool_call", `{"tool":"x","call_id":"1"}`)
	f, _ := r.fold(Limits{})
	same, _ := f.LiveJob("same")
	moved, _ := f.LiveJob("moved")
	moved.LastID.Seq += 5
	fresh := tidings.Job{ID: "new", Name: "n", Status: tidings.StatusWaiting, LastID: tidings.ID{Ms: moved.LastID.Ms + 1}, CreatedAt: r.at}
	f.Replace([]tidings.Job{fresh, same.Job, moved.Job})
	if c := f.Counts(); c[tidings.StatusRunning] != 2 || c[tidings.StatusWaiting] != 1 || len(f.jobs) != 3 {
		t.Errorf("%v", c)
	}
	if j, _ := f.LiveJob("same"); j == nil || j.Waits == nil {
		t.Error("what an unchanged job waits for was forgotten")
	}
	if j, _ := f.LiveJob("moved"); j == nil || j.Waits != nil {
		t.Error("what a job waited for before is still shown")
	}
}

package alert

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/wire"
)

// run is a recorded run: the events of one job.
type run []tidings.Event

// recordedRuns are 50 runs of a real agent that books flights.
func recordedRuns(t *testing.T) []run {
	t.Helper()
	files, err := filepath.Glob("../../shared/data/agent-runs/*.jsonl")
	if err != nil || len(files) == 0 {
		t.Skip("the recorded runs are not there: ../shared/data/agent-runs")
	}
	var runs []run
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var events run
		for lines := wire.NewEventReader(f, 1<<20); ; {
			e, err := lines.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			events = append(events, e)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		runs = append(runs, events)
	}
	return runs
}

// player plays runs one after the other, a second an event.
type player struct {
	*Replay
	at    time.Time
	seq   uint64
	step  time.Duration
	found []string // "rule job"
}

func newPlayer(t *testing.T, rules string) *player {
	t.Helper()
	c, err := ParseConfig("rules.yaml", []byte(rules))
	if err != nil {
		t.Fatal(err)
	}
	return &player{Replay: NewReplay(c), at: tapeStart, step: time.Second}
}

func (p *player) note(changes []Transition) {
	for i := range changes {
		if a := &changes[i].Alert; a.State == Firing && a.Rule != "watchdog" {
			p.found = append(p.found, a.Rule+" "+a.JobID)
		}
	}
}

func (p *player) play(events run) {
	for _, e := range events {
		p.at = p.at.Add(p.step)
		p.seq++
		e.ID, e.Time = tidings.ID{Ms: uint64(p.at.UnixMilli()), Seq: p.seq}, p.at
		p.note(p.Apply(&tidings.Change{Event: e}))
	}
}

// wait lets time pass after the last event.
func (p *player) wait(d time.Duration) {
	p.note(p.Wait(d))
	p.at = p.at.Add(d)
}

// rules are how often each was found.
func (p *player) rules() map[string]int {
	n := map[string]int{}
	for _, f := range p.found {
		rule, _, _ := strings.Cut(f, " ")
		n[rule]++
	}
	return n
}

// What the built-in rules find on the runs as they are. docs/alerts.md tells it,
// with what is a false alarm: none of it.
func TestRecordedRunsAsTheyAre(t *testing.T) {
	t.Parallel()
	p := newPlayer(t, "")
	for _, r := range recordedRuns(t) {
		p.play(r)
	}
	p.wait(time.Hour)
	want := []string{"tool_failing airline-03-0", "tool_failures ", "tool_failing airline-13-0"}
	if diff := cmp.Diff(want, p.found); diff != "" {
		t.Error(diff)
	}
}

// eachRun plays each run alone, after it was changed, and gives in how many of
// those that could be changed the rule found the job, and what else was found.
func eachRun(t *testing.T, rule string, after time.Duration, change func(run) run) (runs, hits int, others map[string]int) {
	t.Helper()
	others = map[string]int{}
	for _, original := range recordedRuns(t) {
		changed := change(slices.Clone(original))
		if changed == nil {
			continue
		}
		runs++
		p := newPlayer(t, "")
		p.play(changed)
		p.wait(after)
		hit := false
		for _, f := range p.found {
			name, job, _ := strings.Cut(f, " ")
			if name == rule && (job == "" || job == changed[0].JobID) {
				hit = true
			} else {
				others[name]++
			}
		}
		if hit {
			hits++
		}
	}
	return runs, hits, others
}

func wantHits(t *testing.T, rule string, runs, hits int, others map[string]int, allowed ...string) {
	t.Helper()
	if runs < 40 || hits != runs {
		t.Errorf("%s was found in %d of %d runs", rule, hits, runs)
	}
	maps.DeleteFunc(others, func(name string, _ int) bool { return slices.Contains(allowed, name) })
	if len(others) > 0 {
		t.Errorf("besides %s was found %v", rule, others)
	}
}

// place of the last event of a type, or -1.
func last(r run, eventType string) int {
	for i := len(r) - 1; i >= 0; i-- {
		if r[i].Type == eventType {
			return i
		}
	}
	return -1
}

// A run that ends in the middle of its last tool call is stuck.
func TestRecordedRunsThatStop(t *testing.T) {
	t.Parallel()
	runs, hits, others := eachRun(t, "stuck_job", 10*time.Minute, func(r run) run {
		if i := last(r, tidings.TypeToolCall); i >= 0 {
			return r[:i+1]
		}
		return nil
	})
	wantHits(t, "stuck_job", runs, hits, others, "tool_failing")
}

// A run in which the agent does not get further than its last tool call, and makes it
// again and again.
func TestRecordedRunsThatLoop(t *testing.T) {
	t.Parallel()
	for _, times := range []int{2, 3} {
		runs, hits, others := eachRun(t, "loop", time.Minute, func(r run) run {
			i := last(r, tidings.TypeToolCall)
			if i < 0 || i+1 >= len(r) {
				return nil
			}
			looping := slices.Clone(r[:i])
			for n := range times {
				for _, e := range r[i : i+2] { // the call and its result
					e.Data = json.RawMessage(strings.ReplaceAll(string(e.Data), `"call_id": "`, fmt.Sprintf(`"call_id": "%d`, n)))
					looping = append(looping, e)
				}
			}
			return append(looping, r[i+2:]...)
		})
		if times == 3 {
			wantHits(t, "loop", runs, hits, others, "tool_failing", "tool_failures")
		} else if hits > 1 { // one run does it a third time by itself
			t.Errorf("twice the same call is taken for a loop in %d of %d runs", hits, runs)
		}
	}
}

// A run in which one tool fails five times, each time with another input.
func TestRecordedRunsWhoseToolFails(t *testing.T) {
	t.Parallel()
	runs, hits, others := eachRun(t, "tool_failing", time.Minute, func(r run) run {
		failing := slices.Clone(r[:len(r)-1])
		for n := range 5 {
			failing = append(failing,
				tidings.Event{JobID: r[0].JobID, Type: tidings.TypeToolCall, Data: json.RawMessage(fmt.Sprintf(`{"tool":"broken","call_id":"x%d","arguments":{"try":%d}}`, n, n))},
				tidings.Event{JobID: r[0].JobID, Type: tidings.TypeError, Data: json.RawMessage(fmt.Sprintf(`{"tool":"broken","call_id":"x%d","error":"no","scope":"tool"}`, n))})
		}
		return append(failing, r[len(r)-1])
	})
	wantHits(t, "tool_failing", runs, hits, others)
}

// A run that ends with an error instead.
func TestRecordedRunsThatFail(t *testing.T) {
	t.Parallel()
	runs, hits, others := eachRun(t, "job_failed", time.Minute, func(r run) run { return failing(r) })
	wantHits(t, "job_failed", runs, hits, others, "tool_failing")
}

func failing(r run) run {
	out := slices.Clone(r)
	out[len(out)-1] = tidings.Event{JobID: r[0].JobID, Type: tidings.TypeError, Data: json.RawMessage(`{"error":"out of tokens","fatal":true}`)}
	return out
}

// rename gives a run that was recorded once another ID, to play it again.
func rename(r run, id string) run {
	out := slices.Clone(r)
	for i := range out {
		out[i].JobID = id
	}
	return out
}

// The runs come again and again for hours; then half of them fail.
func TestRecordedRunsAgainAndAgain(t *testing.T) {
	t.Parallel()
	runs := recordedRuns(t)
	p := newPlayer(t, "builtin: false\nrules: [{name: error_rate}, {name: jobs_failing}, {name: latency}, {name: budget}, {name: loop}, {name: stuck_job}]")
	for n := range 400 {
		p.play(rename(runs[n%len(runs)], fmt.Sprint("day-", n)))
	}
	if len(p.found) > 0 {
		t.Errorf("false alarms on a usual day: %v", p.rules())
	}
	for n := range 20 {
		r := rename(runs[n], fmt.Sprint("bad-", n))
		if n%2 == 0 {
			r = failing(r)
		}
		p.play(r)
	}
	if got := p.rules(); got["error_rate"] != 1 || len(got) != 1 {
		t.Errorf("when half of them fail: %v", got)
	}
	for n := range 3 {
		p.play(failing(rename(runs[n], fmt.Sprint("all-", n))))
	}
	if got := p.rules(); got["jobs_failing"] != 1 {
		t.Errorf("when all of them fail: %v", got)
	}
}

// The same, but everything takes twice as long.
func TestRecordedRunsThatGetSlow(t *testing.T) {
	t.Parallel()
	runs := recordedRuns(t)
	p := newPlayer(t, "builtin: false\nrules: [{name: latency}, {name: error_rate}]")
	for n := range 400 {
		p.play(rename(runs[n%len(runs)], fmt.Sprint("day-", n)))
	}
	if len(p.found) > 0 {
		t.Errorf("false alarms on a usual day: %v", p.rules())
	}
	p.step = 2 * time.Second
	for n := range 80 {
		p.play(rename(runs[n%len(runs)], fmt.Sprint("slow-", n)))
	}
	if got := p.rules(); got["latency"] == 0 || got["error_rate"] > 0 {
		t.Errorf("found %v", got)
	}
}

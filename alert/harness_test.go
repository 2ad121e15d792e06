package alert

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/monitor"
)

// tape plays changes to the rules as a monitor would, on a clock of its own.
type tape struct {
	t     testing.TB
	c     *Config
	s     *state
	f     *monitor.Fold
	at    time.Time
	seq   uint64
	out   Outside
	gaps  int64
	hush  []Silence
	story []Transition
}

var tapeStart = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// newTape plays to the rules that a file names; "" is all that are built in.
func newTape(t testing.TB, file string) *tape {
	t.Helper()
	c, err := ParseConfig("rules.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return &tape{t: t, c: c, s: newState(), f: monitor.NewFold(monitor.Limits{}), at: tapeStart}
}

// only plays to one detector alone.
func only(t testing.TB, rule string) *tape {
	t.Helper()
	return newTape(t, "builtin: false\nrules:\n  - "+strings.ReplaceAll(strings.TrimSpace(rule), "\n", "\n    ")+"\n")
}

// add is one event, a second after what came before, and what the rules say then.
func (r *tape) add(job, eventType, data string) *tape {
	r.t.Helper()
	if !json.Valid([]byte(data)) {
		r.t.Fatalf("not JSON: %s", data)
	}
	r.at = r.at.Add(time.Second)
	r.put(&tidings.Change{Event: tidings.Event{JobID: job, Type: eventType, Time: r.at, Data: json.RawMessage(data)}})
	r.tick()
	return r
}

func (r *tape) put(c *tidings.Change) {
	r.seq++
	c.Event.ID = tidings.ID{Ms: uint64(r.at.UnixMilli()), Seq: r.seq}
	if done, fresh := r.f.Apply(c); fresh {
		r.s.Tally.observe(r.c.Rules, &done)
	}
}

// job is a whole job that took so long.
func (r *tape) job(id, name string, took time.Duration, ok bool) *tape {
	r.put(&tidings.Change{Event: tidings.Event{JobID: id, Type: "phase_update", Time: r.at, Data: json.RawMessage(fmt.Sprintf(`{"phase":"job","status":"started","name":%q}`, name))}})
	r.at = r.at.Add(took)
	end, data := "done", `{"status":"completed"}`
	if !ok {
		end, data = "error", `{"error":"it broke","fatal":true}`
	}
	r.put(&tidings.Change{Event: tidings.Event{JobID: id, Type: end, Time: r.at, Data: json.RawMessage(data)}})
	return r
}

func (r *tape) tool(job, tool, input, output string) *tape {
	r.t.Helper()
	r.add(job, "tool_call", fmt.Sprintf(`{"tool":%q,"call_id":"c%d","input":%s}`, tool, r.seq, input))
	return r.add(job, "tool_result", fmt.Sprintf(`{"tool":%q,"call_id":"c%d","output":%s}`, tool, r.seq-1, output))
}

// tick evaluates the rules now.
func (r *tape) tick() *tape {
	w := &world{now: r.at, full: true, fold: r.f, stuck: r.f.Stuck(monitor.StuckQuery{Limit: mostStuck}, r.at), gaps: r.gaps, outside: r.out}
	changes, _ := r.s.step(r.c, r.hush, w)
	r.story = append(r.story, changes...)
	return r
}

// wait lets time pass, in steps in which the rules are evaluated.
func (r *tape) wait(d time.Duration) *tape {
	for step := 10 * time.Second; d > 0; d -= step {
		r.at = r.at.Add(min(step, d))
		r.tick()
	}
	return r
}

// firing are the alerts that fire now, as "rule severity: summary".
func (r *tape) firing() []string {
	var out []string
	for _, i := range r.s.firing() {
		out = append(out, i.Rule+" "+i.Severity+": "+i.Summary)
	}
	return out
}

// want fails the test unless exactly these alerts fire: what is given must stand
// in them, in order.
func (r *tape) want(alerts ...string) *tape {
	r.t.Helper()
	got := r.firing()
	ok := len(got) == len(alerts)
	for i := 0; ok && i < len(got); i++ {
		ok = strings.Contains(got[i], alerts[i])
	}
	if !ok {
		r.t.Fatalf("at %s fire:\n  %s\nwant:\n  %s", r.at.Format(time.TimeOnly), strings.Join(got, "\n  "), strings.Join(alerts, "\n  "))
	}
	return r
}

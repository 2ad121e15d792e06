package alert

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// told gives the notices that are in the outbox, and takes them out.
func (r *tape) told() []string {
	var out []string
	for _, o := range r.s.Outbox {
		text := o.Receiver + " " + o.Reason
		for i := range o.Alerts {
			text += " " + o.Alerts[i].JobID + ":" + o.Alerts[i].State
		}
		if o.Truncated > 0 {
			text += fmt.Sprintf(" +%d", o.Truncated)
		}
		out = append(out, text)
	}
	r.s.Outbox = nil
	return out
}

// wantTold fails the test unless these notices were made since it was asked last.
func (r *tape) wantTold(notices ...string) *tape {
	r.t.Helper()
	if got := r.told(); !slices.Equal(got, notices) {
		r.t.Fatalf("at %s were told:\n  %s\nwant:\n  %s", r.at.Format(time.TimeOnly), strings.Join(got, "\n  "), strings.Join(notices, "\n  "))
	}
	return r
}

func grouping(t *testing.T, receiver, route string) *tape {
	t.Helper()
	return newTape(t, `
builtin: false
rules: [{name: job_failed, with: {hold: 1h}}]
receivers: [{name: ops, `+receiver+`}]
route: {group_by: [alertname], group_wait: 30s, group_interval: 5m, repeat_interval: 4h`+route+`}`)
}

func (r *tape) fail(job string) *tape {
	return r.add(job, "error", `{"error":"x"}`)
}

// mend makes a job go on after all.
func (r *tape) mend(job string) *tape { return r.add(job, "custom", `{}`) }

// Alertmanager's table, line by line.
func TestWhenPeopleAreTold(t *testing.T) {
	t.Parallel()
	r := grouping(t, "slack: {}", "")
	r.fail("a").mend("a").wait(10 * time.Minute).wantTold() // resolved before anyone was told

	r.fail("a").wait(20 * time.Second).wantTold() // others may come
	r.fail("b").wait(20 * time.Second).wantTold("ops first a:firing b:firing")

	r.fail("c").wait(3 * time.Minute).wantTold() // not so often
	r.wait(2 * time.Minute).wantTold("ops new a:firing b:firing c:firing")

	r.mend("a").wait(6 * time.Minute).wantTold("ops resolved b:firing c:firing a:resolved")
	r.wait(20 * time.Minute).wantTold() // nothing changed

	r.mend("b").mend("c").wait(6*time.Minute).wantTold("ops resolved c:firing b:resolved", "ops resolved c:resolved")
	r.wait(20 * time.Minute).wantTold()
	r.fail("d").wait(time.Minute).wantTold("ops first d:firing")
}

func TestRepeat(t *testing.T) {
	t.Parallel()
	r := grouping(t, "slack: {}", "")
	r.c.Rules[0].With["hold"] = 24 * time.Hour
	r.fail("a").wait(time.Minute).wantTold("ops first a:firing")
	r.wait(3*time.Hour + 50*time.Minute).wantTold()
	r.wait(10 * time.Minute).wantTold("ops repeat a:firing")
}

func TestWithoutResolved(t *testing.T) {
	t.Parallel()
	r := grouping(t, "slack: {}, send_resolved: false", "")
	r.fail("a").wait(time.Minute).wantTold("ops first a:firing")
	r.mend("a").wait(10 * time.Minute).wantTold()
	r.fail("a").wait(10 * time.Minute).wantTold("ops first a:firing") // what was told is known to be over
}

// An Alertmanager hears of what fires each minute, and of what is resolved for five.
func TestResend(t *testing.T) {
	t.Parallel()
	r := grouping(t, "alertmanager: {}", "")
	r.fail("a").wantTold("ops first a:firing")
	r.wait(3*time.Minute+10*time.Second).wantTold("ops repeat a:firing", "ops repeat a:firing", "ops repeat a:firing")
	r.mend("a").wait(10 * time.Minute)
	got := r.told()
	if len(got) < 5 || len(got) > 7 || got[0] != "ops resolved a:resolved" || got[4] != "ops repeat a:resolved" {
		t.Error(got)
	}
}

// Many alerts make one notice of bounded size.
func TestDigest(t *testing.T) {
	t.Parallel()
	r := grouping(t, "slack: {}, max_alerts: 3", "")
	for n := range 10 {
		r.fail(fmt.Sprint("j", n))
	}
	r.wait(time.Minute).wantTold("ops first j0:firing j1:firing j2:firing +7")
}

// One that is silenced after it was told is neither told again nor told to be
// resolved.
func TestSilencedAfterItWasTold(t *testing.T) {
	t.Parallel()
	r := grouping(t, "slack: {}", "")
	r.fail("a").fail("b").wait(time.Minute).wantTold("ops first a:firing b:firing")
	r.hush = []Silence{{ID: "s", Matchers: Matchers{{Label: "job_id", Op: "=", Value: "a"}}, StartsAt: r.at, EndsAt: r.at.Add(time.Hour)}}
	r.wait(20 * time.Minute).wantTold()
	r.mend("b").wait(10 * time.Minute).wantTold("ops resolved b:resolved")
}

// Two routes, of which the first matches and goes on.
func TestRoutes(t *testing.T) {
	t.Parallel()
	r := newTape(t, `
builtin: false
rules: [{name: job_failed}]
receivers: [{name: all, slack: {}}, {name: one, slack: {}}, {name: never, slack: {}}]
route:
  receivers: [never]
  group_wait: 0s
  routes:
    - {match: ['name=""'], receivers: [one], continue: true}
    - {match: ['alertname=job_failed'], receivers: [all]}
    - {match: ['alertname=job_failed'], receivers: [never]}`)
	r.fail("a")
	got := r.told()
	slices.Sort(got)
	if !slices.Equal(got, []string{"all first a:firing", "one first a:firing"}) {
		t.Error(got)
	}
}

// The ID of a notice follows from the state alone.
func TestNoticeIDs(t *testing.T) {
	t.Parallel()
	ids := func() (out []string) {
		r := grouping(t, "slack: {}", "")
		r.fail("a").wait(time.Minute).fail("b").wait(10 * time.Minute)
		for _, o := range r.s.Outbox {
			out = append(out, o.ID)
		}
		return out
	}
	one, two := ids(), ids()
	if len(one) != 2 || one[0] == one[1] || !slices.Equal(one, two) || strings.Contains(one[0], ".") {
		t.Error(one, two)
	}
}

func TestWorseIsNew(t *testing.T) {
	t.Parallel()
	r := newTape(t, `
builtin: false
rules: [{name: loop}]
receivers: [{name: ops, slack: {}}]
route: {group_by: [job_id], group_wait: 0s, group_interval: 1s}`)
	for range 3 {
		r.tool("j", "t", `{}`, `1`)
	}
	r.wantTold("ops first j:firing")
	r.tool("j", "t", `{}`, `1`).wantTold()
	r.tool("j", "t", `{}`, `1`).wantTold("ops new j:firing")
}

// The outbox is bounded; what is given up is shown.
func TestOutboxIsBounded(t *testing.T) {
	t.Parallel()
	s := newState()
	for n := range maxOutbox + 30 {
		s.post(&row{ID: fmt.Sprint(n), Receiver: "ops"})
	}
	if len(s.Outbox) != maxOutbox || len(s.Dead) != 30 || s.Dead[0].ID != "0" || s.Outbox[0].ID != "30" {
		t.Errorf("%d wait, %d given up", len(s.Outbox), len(s.Dead))
	}
}

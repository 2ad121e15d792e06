package alert

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/monitor"
)

func newPlayerFold() *monitor.Fold { return monitor.NewFold(monitor.Limits{}) }

func TestExpressionByName(t *testing.T) {
	t.Parallel()
	r := only(t, `
name: failing
expr: error_rate > 0.5
by: name
min: {ended: 2}
summary: "{{name}} fails: {{value}}"`)
	r.job("a", "good", time.Second, true).job("b", "bad", time.Second, false).tick().want() // too few
	r.job("c", "bad", time.Second, false).job("d", "good", time.Second, true).tick().want("failing warning: bad fails: 1")
	if a := r.s.Alerts["failing"]["bad"]; a.Labels["name"] != "bad" || *a.Value != 1 {
		t.Errorf("%+v", a.Alert)
	}
	r.wait(16 * time.Minute).want() // the window has passed
	if health := r.s.Rules["failing"].Health; health != HealthNoData {
		t.Errorf("the rule is %s when there is nothing to evaluate", health)
	}
}

func TestExpressionForAndKeepFiringFor(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: busy, expr: running > 0, for: 1m, keep_firing_for: 2m}`)
	running := func() *tape { return r }
	_ = running
	r.add("j", "custom", `{}`)
	tickWith := func(n int, d time.Duration) {
		for range int(d / (10 * time.Second)) {
			r.at = r.at.Add(10 * time.Second)
			w := &world{now: r.at, full: true, fold: r.f, jobs: monitor.JobCounts{Running: n}}
			changes, _ := r.s.step(r.c, nil, w)
			r.story = append(r.story, changes...)
		}
	}
	tickWith(1, 50*time.Second)
	r.want()
	tickWith(0, 10*time.Second) // it begins again
	tickWith(1, 60*time.Second)
	r.want()
	tickWith(1, 10*time.Second)
	r.want("busy")
	tickWith(0, 100*time.Second)
	r.want("busy") // it may come back
	tickWith(0, 30*time.Second)
	r.want()
	var story []string
	for _, s := range r.story {
		story = append(story, s.From+">"+s.Alert.State)
	}
	if got := strings.Join(story, " "); got != ">pending >pending pending>firing firing>resolved" {
		t.Errorf("the story is %s", got)
	}
}

// A division by zero and a metric of nothing are no alert, and are shown.
func TestExpressionThatCannotBeEvaluated(t *testing.T) {
	t.Parallel()
	r := newTape(t, `
builtin: false
rules:
  - {name: zero, expr: errors / (ended - ended) > 0.1}
  - {name: modulo, expr: "round(errors) % 0 > 1"}
  - {name: nothing, expr: duration_p95 > 1}
  - {name: told, expr: duration_p95 > 1, no_data: fire}
  - {name: failed, expr: errors / 0 > 0.1, on_error: fire}`)
	r.add("j", "custom", `{}`)
	for rule, want := range map[string]string{"zero": HealthError, "modulo": HealthError, "nothing": HealthNoData, "told": HealthNoData, "failed": HealthError} {
		status := r.s.Rules[rule]
		if status.Health != want || want == HealthError && !strings.Contains(status.Error, "division by zero") {
			t.Errorf("%s: %+v", rule, status)
		}
	}
	r.want("failed warning: rule failed can't be evaluated", "told warning: rule told has no data")
}

// What was firing stays so while the rule can't be evaluated, if it is to.
func TestKeepOnNoData(t *testing.T) {
	t.Parallel()
	r := newTape(t, "builtin: false\nrules: [{name: keeps, expr: error_rate > 0.5, no_data: keep}, {name: resolves, expr: error_rate > 0.5}]")
	r.job("a", "n", time.Second, false).tick().want("keeps", "resolves")
	r.wait(20 * time.Minute).want("keeps")
	r.job("b", "n", time.Second, true).tick().want()
}

// The window before, as prev_.
func TestExpressionComparesWithBefore(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: more, expr: created > 2 * prev_created && prev_created > 0, window: 10m}`)
	for n := range 20 {
		r.job(fmt.Sprint(n), "n", time.Minute, true)
	}
	r.tick().want()
	for n := range 30 {
		r.job(fmt.Sprint("b", n), "n", 10*time.Second, true)
	}
	r.tick().want("more")
}

func TestExpressionOfQueues(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: q, expr: queue_waiting / workers > 10}`)
	r.tick().want()
	r.out = Outside{Known: true, HasQueues: true, Queues: []tidings.QueueDepth{{Waiting: 15}, {Waiting: 16}}, Workers: []tidings.Worker{{Alive: true}, {Alive: true}, {}}}
	r.tick().want("q warning")
}

// Labels of a job are labels of the alert, under names that can't pass for ours,
// however many and large they are.
func TestHugeLabels(t *testing.T) {
	t.Parallel()
	r := newTape(t, "")
	var labels []string
	for n := range 5000 {
		labels = append(labels, fmt.Sprintf(`"severity-%d":%q`, n, strings.Repeat("x", 500)))
	}
	r.add("j", "phase_update", `{"phase":"job","status":"started","name":"`+strings.Repeat("n", 5000)+`","labels":{"severity":"none",`+strings.Join(labels, ",")+`}}`)
	r.add("j", "error", `{"error":"`+strings.Repeat("e", 100_000)+`","fatal":true}`)
	var a *instance
	for _, i := range r.s.Alerts["job_failed"] {
		a = i
	}
	size := len(a.Summary)
	for k, v := range a.Labels {
		size += len(k) + len(v)
	}
	if a.Labels["severity"] != Warning || len(a.Labels) > 30 || size > 10_000 {
		t.Errorf("severity %q, %d labels, %d bytes", a.Labels["severity"], len(a.Labels), size)
	}
}

package alert

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// Each mistake is told with its line and column, and all of them at once.
func TestMistakesAndTheirPlaces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ file, want string }{
		{"rules: [", "1:1: this is no YAML: did not find expected node content"},
		{"- a", "1:1: a mapping is expected here, with allow_private, builtin, every, inhibit, receivers, route, rules"},
		{"rule: []", `1:1: "rule" is not known here; there is allow_private, builtin, every, inhibit, receivers, route, rules`},
		{"rules: 5", "1:8: a list of rules is expected here"},
		{"every: 1ms", `1:8: "1ms" is no duration from 1s to 10m0s, such as 90s, 15m or 2d`},
		{"rules:\n  - {name: a, expr: 1 > 0}\n  - {name: a, expr: 1 > 0}", `3:5: there are two rules "a"`},
		{"rules: [{expr: 1 > 0}]", `1:9: a rule needs a name of letters, digits, _ and -; this one has ""`},
		{"rules: [{name: x}]", "1:9: rule x needs expr, or detector with one of " + strings.Join(detectorNames(), ", ")},
		{"rules: [{name: x, expr: 1 > 0, detector: loop}]", "1:9: rule x has both expr and detector; give one"},
		{"rules: [{name: x, detector: lop}]", `1:9: "lop" is no detector; there is ` + strings.Join(detectorNames(), ", ")},
		{"rules: [{name: loop, window: 5m}]", "1:9: window is for expressions; the detector loop has its own under with"},
		{"rules: [{name: loop, with: {count: x}}]", `1:36: "x" is no number of 0 or more`},
		{"rules: [{name: loop, with: {polling: '('}}]", "1:9: rule loop: polling: error parsing regexp: missing closing ): `(`"},
		{"rules: [{name: x, expr: 5}]", "1:25: expected bool, but got int"},
		{"rules: [{name: x, expr: error_rate > }]", "1:36: unexpected token EOF"},
		{"rules:\n - name: x\n   expr: |\n     error_rate >\n     true", "4:12: invalid operation: > (mismatched types float64 and bool)"},
		{"rules: [{name: x, expr: 'env(1) > 0'}]", "1:26: unknown name env; there are the metrics"},
		{"rules: [{name: x, expr: 1 > 0, with: {a: 1}}]", "1:38: with is for detectors; an expression has none"},
		{"rules: [{name: x, expr: 1 > 0, min: {jobs: 1}}]", `1:38: "jobs" is no metric`},
		{"rules: [{name: x, expr: 1 > 0, labels: {severity: x}}]", `1:41: the label "severity" follows from the rule`},
		{"rules: [{name: x, expr: 1 > 0, labels: {a-b: x}}]", `1:41: "a-b" is no name of a label; letters, digits and _ are`},
		{"rules: [{name: x, expr: 1 > 0, match: 'name'}]", `1:39: "name" is no matcher; write label="value", label!="value", label=~"pattern" or label!~"pattern"`},
		{"rules: [{name: x, expr: 1 > 0, match: 'name=~\"(\"'}]", `1:39: name: "(" is no pattern`},
		{"rules: [{name: nightly, detector: dead_man}]", "1:9: rule nightly: needs job, the name of the jobs that are expected"},
		{"receivers: [{name: a}]", "1:13: a receiver needs one of webhook, slack, alertmanager, email"},
		{"receivers: [{name: a, slack: {}, email: {}}]", "1:41: a receiver has one type, and this one is slack already"},
		{"route: {receivers: [x]}", `1:1: the route names the receiver "x", which there is not`},
		{"route: {routes: [{receivers: []}]}", "1:18: a route beneath another needs match"},
		{"inhibit: [{source: a=b}]", "1:11: an inhibition needs source and target"},
		{"allow_private: [10.0.0.1]", `1:17: "10.0.0.1" is no network such as 10.0.0.0/8, nor all`},
	} {
		_, err := ParseConfig("f", []byte(c.file))
		if err == nil || !strings.HasPrefix(err.Error(), "f:"+c.want) {
			t.Errorf("%s\n got  %v\n want f:%s", c.file, err, c.want)
		}
		if _, ok := errors.AsType[*FileError](err); !ok {
			t.Errorf("%s: %T is no FileError", c.file, err)
		}
	}
	_, err := ParseConfig("f", []byte("every: x\nrules: [{name: x}, {name: y}]\nroute: {receivers: 5}"))
	if err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Errorf("not all at once: %v", err)
	}
}

func TestFileIsRead(t *testing.T) {
	t.Parallel()
	c, err := ParseConfig("f", []byte(`
every: 5s
rules:
  - name: loop
    with: {count: 4, ignore: [seed]}
    severity: critical
  - {name: watchdog, disabled: true}
  - name: slow
    expr: duration_p95 > 30000
    by: name
    window: 1h
    min: {ended: 10}
    for: 5m
    keep_firing_for: 2m
    labels: {team: data}
    match: 'name=~"rep.*"'
    summary: "{{name}} takes {{value}} ms"
    no_data: keep
receivers:
  - {name: ops, webhook: {url: x}, send_resolved: false, max_alerts: 7}
  - {name: am, alertmanager: {url: x}}
route:
  receivers: [ops]
  group_wait: 30s
  routes:
    - {match: ['severity="critical"', 'team="data"'], receivers: [am], repeat_interval: 1d}
allow_private: [10.0.0.0/8]
`))
	if err != nil {
		t.Fatal(err)
	}
	rules := map[string]*Rule{}
	for _, r := range c.Rules {
		rules[r.Name] = r
	}
	if l := rules["loop"]; l.number("count") != 4 || l.number("critical") != 5 || l.Severity != Critical || l.KeepFiringFor != 2*time.Minute || !cmp.Equal(l.list("ignore"), []string{"seed"}) {
		t.Errorf("loop %+v", l)
	}
	if s := rules["slow"]; s.For != 5*time.Minute || s.Window != time.Hour || s.Min["ended"] != 10 || s.Labels["team"] != "data" || s.NoData != Keep || s.Line != 8 {
		t.Errorf("slow %+v", s)
	}
	if !rules["watchdog"].Disabled || rules["job_failed"] == nil || rules["dead_man"] != nil || c.Every != 5*time.Second {
		t.Error("the built-in rules are wrong")
	}
	if ops, am := c.Receivers[0], c.Receivers[1]; !ops.NoResolved || ops.MaxAlerts != 7 || am.Resend != time.Minute {
		t.Errorf("receivers %+v %+v", ops, am)
	}
	critical := c.Route.routesOf(map[string]string{"severity": "critical", "team": "data"})
	if len(critical) != 1 || critical[0].Receivers[0] != "am" || critical[0].GroupWait != 30*time.Second || critical[0].RepeatInterval != 24*time.Hour {
		t.Errorf("route %+v", critical)
	}
	if other := c.Route.routesOf(map[string]string{"severity": "critical"}); other[0].Receivers[0] != "ops" {
		t.Errorf("route %+v", other)
	}
}

// Without a route everybody is told of everything.
func TestWithoutARoute(t *testing.T) {
	t.Parallel()
	c, err := ParseConfig("f", []byte("receivers: [{name: a, slack: {}}, {name: b, slack: {}}]"))
	if err != nil || !cmp.Equal(c.Route.Receivers, []string{"a", "b"}) {
		t.Errorf("%v %+v", err, c.Route)
	}
}

// No file, whatever is in it, makes it panic, and what it takes can be evaluated.
func FuzzParseConfig(f *testing.F) {
	f.Add([]byte(siteRules))
	f.Add([]byte("rules: [{name: x, expr: a/0 > 1, by: label}]"))
	f.Add([]byte("rules: &a [*a]"))
	f.Add([]byte("a: &a [*a]\nrules: *a"))
	f.Add([]byte("rules: [{name: loop, with: {count: 1e999}}]"))
	f.Fuzz(func(t *testing.T, text []byte) {
		c, err := ParseConfig("f", text)
		if err != nil {
			if strings.TrimSpace(err.Error()) == "" {
				t.Error("an error that says nothing")
			}
			return
		}
		r := &tape{t: t, c: c, s: newState(), f: newPlayerFold(), at: tapeStart}
		r.job("j", "n", time.Second, false).tick().tick()
		_ = fmt.Sprint(r.firing())
	})
}

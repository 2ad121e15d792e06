package alert

import (
	"fmt"

	"tidings"
	"tidings/monitor"
)

// toolFailures finds tools of which a good part of the calls fails, whatever
// calls them.
var toolFailures = &detector{
	name: "tool_failures", help: "many calls of a tool fail", severity: Warning, keep: 5 * minute,
	defaults: map[string]any{"window": 15 * minute, "min": 10.0, "rate": 0.2},
	settings: map[string]string{"window": "in which calls are counted", "min": "calls in it, at least", "rate": "that fail, believed with 95 %"},
	eval: func(r *Rule, w *world) []finding {
		var list []finding
		window := r.duration("window")
		for _, scope := range w.fold.Scopes(monitor.ByTool) {
			m := w.fold.Window(scope, w.now.Add(-window), w.now)
			if m.ToolCalls < int64(r.number("min")) || wilson(m.ToolErrors, m.ToolCalls) <= r.number("rate") {
				continue
			}
			rate := float64(m.ToolErrors) / float64(m.ToolCalls)
			list = append(list, finding{key: scope.Value, labels: map[string]string{"tool": scope.Value}, value: ptr(rate),
				summary: fmt.Sprintf("%d of %d calls of %s failed in %s (%.0f %%)", m.ToolErrors, m.ToolCalls, scope.Value, span(window), 100*rate)})
		}
		return list
	},
}

// toolInJob finds jobs in which a tool fails again and again.
var toolInJob = &detector{
	name: "tool_failing", help: "a tool fails in a job several times in a row", severity: Warning, keep: 2 * minute,
	defaults: map[string]any{"count": 5.0},
	settings: map[string]string{"count": "calls of it in a row"},
	observe:  observeToolInJob,
}

const maxTools = 32 // of a job whose failures are counted

func observeToolInJob(r *Rule, t *tally, c *monitor.Folded) {
	if c.Deleted || c.Job.Status.Ended() {
		for key := range t.Found[r.Name] {
			if t.Found[r.Name][key].Job == c.Event.JobID {
				t.clear(r, key)
			}
		}
		return
	}
	tool := toolOf(c)
	if c.Kind != monitor.RunTool || tool == "" {
		return
	}
	j := t.job(c)
	key := c.Job.ID + " " + tool
	if !c.Failed {
		delete(j.Fails, tool)
		t.clear(r, key)
		return
	}
	if j.Fails == nil {
		j.Fails = map[string]int{}
	}
	if _, known := j.Fails[tool]; known || len(j.Fails) < maxTools {
		j.Fails[tool]++
	}
	if n := j.Fails[tool]; n >= int(r.number("count")) {
		labels := jobLabels(c.Job)
		labels["tool"] = tool
		t.raise(r, key, found{Labels: labels, Job: c.Job.ID, Event: c.Event.ID, At: c.At, Value: ptr(float64(n)),
			Summary: fmt.Sprintf("%s failed %d times in a row in job %s%s%s", tool, n, c.Job.ID, named(c.Job.Name), because(c.Facts.Error))})
	}
}

func toolOf(c *monitor.Folded) string {
	if c.EndedRun != nil && c.EndedRun.Kind == monitor.RunTool {
		return c.EndedRun.Name
	}
	return clip(c.Facts.Tool, 128)
}

// budget finds jobs that took more tokens or money than they may.
var budget = &detector{
	name: "budget", help: "a job takes more tokens or money than it may", severity: Warning, keep: 0,
	defaults: map[string]any{"tokens": 2e6, "cost": 0.0, "warn": 0.8},
	settings: map[string]string{"tokens": "input and output of a job; 0: any", "cost": "of a job, in its currency; 0: any", "warn": "this part of it is a warning, all of it critical"},
	observe:  observeBudget,
}

func observeBudget(r *Rule, t *tally, c *monitor.Folded) {
	if c.Deleted || c.Job.Status.Ended() {
		t.clear(r, c.Event.JobID)
		return
	}
	if c.Job.Usage == nil && len(c.Facts.Cost) == 0 || c.Event.Type != tidings.TypeThought {
		return
	}
	j := t.job(c)
	if u := c.Job.Usage; u != nil {
		j.Tokens = u.InputTokens + u.OutputTokens
	}
	for _, cost := range c.Facts.Cost {
		if j.Cost == nil {
			j.Cost = map[string]float64{}
		}
		if _, known := j.Cost[cost.Currency]; known || len(j.Cost) < 8 {
			j.Cost[cost.Currency] += cost.Amount
		}
	}
	part, what := j.spent(r)
	if part < r.number("warn") {
		return
	}
	severity := ""
	if part >= 1 {
		severity = Critical
	}
	t.raise(r, c.Job.ID, found{Severity: severity, Labels: jobLabels(c.Job), Job: c.Job.ID, Event: c.Event.ID, At: c.At, Value: ptr(part),
		Summary: fmt.Sprintf("job %s%s took %s, which is %.0f %% of its budget", c.Job.ID, named(c.Job.Name), what, 100*part)})
}

// spent is which part of its budget a job took, of that which is nearer.
func (j *jobTally) spent(r *Rule) (part float64, what string) {
	if limit := r.number("tokens"); limit > 0 {
		part, what = float64(j.Tokens)/limit, fmt.Sprintf("%d tokens", j.Tokens)
	}
	for currency, amount := range j.Cost {
		if limit := r.number("cost"); limit > 0 && amount/limit > part {
			part, what = amount/limit, fmt.Sprintf("%.2f %s", amount, currency)
		}
	}
	return part, what
}

// dayBudget finds names whose jobs took more in a day than they may, or will by
// its end if they go on so.
var dayBudget = &detector{
	name: "day_budget", help: "the jobs of a name take more tokens or money in a day than they may", severity: Warning, keep: 5 * minute, optional: true,
	defaults: map[string]any{"tokens": 0.0, "cost": 0.0, "warn": 0.8},
	settings: map[string]string{"tokens": "of a name's jobs in 24 hours; 0: any", "cost": "the same in money; 0: any", "warn": "this part of it is a warning, all of it critical; a warning too if the pace of the last hour leads over it within 6 hours"},
	check: func(r *Rule) error {
		if r.number("tokens") <= 0 && r.number("cost") <= 0 {
			return fmt.Errorf("needs tokens or cost")
		}
		return nil
	},
	eval: func(r *Rule, w *world) []finding {
		var list []finding
		for _, scope := range w.fold.Scopes(monitor.ByName) {
			if f, ok := dayBudgetOf(r, w, scope); ok {
				list = append(list, f)
			}
		}
		return list
	},
}

func dayBudgetOf(r *Rule, w *world, scope monitor.Scope) (finding, bool) {
	day := w.fold.Window(scope, w.now.Add(-24*hour), w.now)
	last := w.fold.Window(scope, w.now.Add(-hour), w.now)
	part, soon, what := 0.0, 0.0, ""
	for _, m := range []struct{ metric, limit, unit string }{{"tokens", "tokens", "tokens"}, {"cost", "cost", ""}} {
		limit := r.number(m.limit)
		if limit <= 0 {
			continue
		}
		spent, _ := day.Metric(m.metric)
		pace, _ := last.Metric(m.metric)
		if spent/limit > part {
			part, what = spent/limit, trim(fmt.Sprintf("%.6g %s", spent, m.unit))
		}
		soon = max(soon, (spent+6*pace)/limit)
	}
	if part < r.number("warn") && soon < 1 {
		return finding{}, false
	}
	f := finding{key: scope.Value, labels: map[string]string{"name": scope.Value}, value: ptr(part),
		summary: fmt.Sprintf("jobs%s took %s in 24 hours, which is %.0f %% of the budget", named(scope.Value), what, 100*part)}
	if part >= 1 {
		f.severity = Critical
	} else if soon >= 1 {
		f.summary += "; at the pace of the last hour it is used up within 6 hours"
	}
	return f, true
}

package alert

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/monitor"
)

func TestLoopSameCall(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: loop}`)
	r.tool("j", "search", `{"q":"cats","page":1}`, `"nothing"`).tool("j", "search", `{"page":1.0,"q":" cats "}`, `"nothing"`).want()
	r.tool("j", "search", `{"q":"cats","page":1}`, `"nothing"`).want(`loop warning: job j called search with the same input 3 times in a row`)
	r.tool("j", "search", `{"q":"cats","page":1}`, `"nothing"`).tool("j", "search", `{"q":"cats","page":1}`, `"nothing"`).
		want(`loop critical: job j called search with the same input 5 times in a row`)
	// It moves on, and the alert goes when it has not come back for two minutes.
	r.tool("j", "search", `{"q":"dogs"}`, `"a dog"`).want(`5 times`).wait(2 * time.Minute).want()
}

// What a call is not made another by: an ID that is new each time.
func TestLoopIgnoresWhatChangesEachTime(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: loop}`)
	for n := range 3 {
		r.tool("j", "search", fmt.Sprintf(`{"q":"cats","request_id":"%d"}`, n), `"nothing"`)
	}
	r.want("3 times in a row")
}

// Other publishers name the input otherwise, or put JSON into a string.
func TestLoopOfForeignPublishers(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: loop}`)
	for range 3 {
		r.add("a", "tool_call", `{"tool":"t","arguments":{"x":1}}`)
		r.add("b", "tool_call", `{"tool":"t","args":"{\"x\": 1}"}`)
	}
	r.want("job a", "job b")
}

func TestLoopPingPong(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: loop}`)
	for n := range 3 {
		r.want()
		r.tool("j", "open", `{"f":1}`, fmt.Sprint(n)).tool("j", "close", `{"f":1}`, fmt.Sprint(n))
	}
	r.want("loop warning: job j calls open and close in turn, the same each time, 3 times")
}

// Calls that run at once are one round, in whichever order they come.
func TestLoopOfBatches(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: loop}`)
	for _, order := range []string{"abc", "bca", "cab"} {
		r.want()
		for _, tool := range order {
			r.add("j", "tool_call", fmt.Sprintf(`{"tool":"%c","call_id":"%c%s","input":{}}`, tool, tool, order))
		}
		for _, tool := range order {
			r.add("j", "tool_result", fmt.Sprintf(`{"tool":"%c","call_id":"%c%s","output":%q}`, tool, tool, order, order))
		}
	}
	r.want("3 times in a row")
}

// The same call with the same result, over and over, with others between.
func TestLoopWithoutProgress(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: loop}`)
	for n := range 6 {
		r.want()
		r.tool("j", "read", `{"f":"a"}`, `"same"`).tool("j", fmt.Sprintf("other%d", n), `{}`, `1`)
	}
	r.wait(0).want("called")
}

func TestPollingIsNoLoopBeforeItIsMuch(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: loop}`)
	for range 9 {
		r.tool("j", "get_status", `{"id":7}`, `"running"`).want()
	}
	r.tool("j", "get_status", `{"id":7}`, `"running"`).want("loop warning: job j called get_status with the same input 10 times in a row")
}

func TestLoopOfTexts(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: loop}`)
	say := func(text string) { r.add("j", "thought", fmt.Sprintf(`{"content":%q}`, text)) }
	for range 5 {
		say("OK.") // short texts say nothing
	}
	say("I will now look for the file.")
	say("I will now  look for the file.")
	r.want()
	say("I will now look for the file.")
	r.want("said the same 3 times in a row")
	say("I have found the file at last.")
	r.wait(2 * time.Minute).want()
}

// A loop ends with its job, whatever was found.
func TestLoopEndsWithTheJob(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: loop, keep_firing_for: 0s}`)
	for range 3 {
		r.tool("j", "t", `{}`, `1`)
	}
	r.want("loop").add("j", "done", `{}`).want()
}

func TestFailedJobs(t *testing.T) {
	t.Parallel()
	r := newTape(t, "builtin: false\nrules: [{name: job_failed}, {name: jobs_failing}]")
	r.job("a", "report", time.Second, false).tick().want("job_failed warning: job a (report) failed: it broke")
	r.job("b", "report", time.Second, false).tick().want("job a", "job b")
	r.job("c", "report", time.Second, false).tick().want("job a", "job b", "job c", "jobs_failing critical: the last 3 jobs (report) failed; the last one, c")
	// Who is told of the name is not told of each job.
	for _, i := range r.s.firing() {
		if hidden := len(i.InhibitedBy) > 0; hidden != (i.Rule == "job_failed") {
			t.Errorf("%s is inhibited by %v", i.Rule, i.InhibitedBy)
		}
	}
	r.job("x", "other", time.Second, true).tick()
	if len(r.firing()) != 4 {
		t.Error("a job of another name changed", r.firing())
	}
	r.job("d", "report", time.Second, true).tick().want()
}

func TestFailedJobIsForgottenAfterAWhile(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: job_failed, with: {hold: 5m}}`)
	r.job("a", "report", time.Second, false).tick().want("job a").wait(4 * time.Minute).want("job a").wait(2 * time.Minute).want()
}

// An error without scope fails the job until it goes on.
func TestJobThatGoesOnAfterAnError(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: job_failed}`)
	r.add("j", "error", `{"error":"hm"}`).want("job j failed: hm").add("j", "custom", `{}`).want()
}

func TestStuckJobSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: stuck_job}`)
	for n := range 30 { // searches take two seconds usually
		job := fmt.Sprint("past", n)
		r.add(job, "phase_update", `{"phase":"job","status":"started","name":"report"}`)
		r.add(job, "tool_call", `{"tool":"search","call_id":"c"}`)
		r.at = r.at.Add(time.Second)
		r.add(job, "tool_result", `{"tool":"search","call_id":"c","output":1}`).add(job, "done", `{}`)
	}
	r.add("j", "phase_update", `{"phase":"job","status":"started","name":"report"}`)
	r.add("j", "tool_call", `{"tool":"search","call_id":"c"}`).wait(50 * time.Second).want()
	r.wait(time.Minute).want("stuck_job warning: job j (report) waits for the tool search since 1 min 50 s (usually 2.0 s")
	r.add("j", "tool_result", `{"tool":"search","call_id":"c","output":1}`).want()
}

// A job that waits for a person is not stuck, nor is one in a queue.
func TestWaitingIsNotStuck(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: stuck_job}`)
	r.add("human", "phase_update", `{"phase":"ask","status":"interrupted","name":"ask"}`)
	r.add("queued", "phase_update", `{"phase":"job","status":"queued"}`)
	r.wait(20 * time.Minute).want()
}

func TestLostWorkerIsNotAStuckJob(t *testing.T) {
	t.Parallel()
	r := newTape(t, "builtin: false\nrules: [{name: lost_worker, for: 0s}, {name: stuck_job, for: 0s}]")
	r.add("a", "custom", `{}`).add("b", "custom", `{}`)
	ended := r.at
	w := &world{now: r.at.Add(time.Minute), full: true, fold: r.f, stuck: []monitor.Stuck{
		{JobID: "a", Stalled: true, LeaseUntil: &ended, Worker: "w1", SilentMS: 90_000, Says: "no step is open"},
		{JobID: "b", Stalled: true, SilentMS: 400_000, Says: "no step is open"}}}
	r.s.step(r.c, nil, w)
	r.want("lost_worker critical: job a", "stuck_job warning: job b")
	if worker := r.s.Alerts["lost_worker"]["a"].Labels["worker"]; worker != "w1" {
		t.Errorf("worker %q", worker)
	}
}

func TestErrorRateSpike(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: error_rate, keep_firing_for: 0s}`)
	hours := func(n int, failEvery int) {
		for i := range n * 60 {
			r.job(fmt.Sprintf("%d-%d", r.at.Unix(), i), "report", time.Minute, failEvery == 0 || i%failEvery != 0)
		}
	}
	hours(12, 20) // one in twenty fails
	r.tick().want()
	for i := range 15 {
		r.job(fmt.Sprint("bad", i), "report", time.Minute, i%2 == 0)
	}
	r.tick().want("error_rate critical: 7 of 1")
	hours(1, 20)
	r.tick().want()
}

// Few failures are no spike, whatever their rate.
func TestErrorRateNeedsSamples(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: error_rate}`)
	for i := range 9 {
		r.job(fmt.Sprint(i), "rare", time.Second, false)
	}
	r.tick().want()
	r.job("tenth", "rare", time.Second, false).tick().want("10 of 10 jobs (rare) failed")
}

func TestLatencyRegression(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: latency}`)
	for range 12 * 60 { // twelve hours of jobs that take about ten seconds
		r.job(fmt.Sprint(r.seq), "report", 10*time.Second+time.Duration(r.seq%5)*time.Second, true)
		r.at = r.at.Add(48 * time.Second)
		if r.seq%400 == 0 { // single slow ones move nothing
			r.job(fmt.Sprint("slow", r.seq), "report", 90*time.Second, true)
		}
	}
	r.tick().want()
	slow := func(d time.Duration) {
		for until := r.at.Add(d); r.at.Before(until); {
			r.job(fmt.Sprint(r.seq), "report", 40*time.Second, true)
		}
		r.tick()
	}
	slow(20 * time.Minute)
	r.want() // one window alone is not
	slow(40 * time.Minute)
	r.want("latency warning: the slowest 5 % of jobs (report) take over 40 s; usual is 1")
}

func TestToolFailures(t *testing.T) {
	t.Parallel()
	r := newTape(t, "builtin: false\nrules: [{name: tool_failures}, {name: tool_failing}]")
	fail := func(job string) {
		r.add(job, "tool_call", fmt.Sprintf(`{"tool":"fetch","call_id":"%d"}`, r.seq))
		r.add(job, "tool_result", fmt.Sprintf(`{"tool":"fetch","call_id":"%d","error":"no route"}`, r.seq-1))
	}
	for range 4 {
		fail("j")
	}
	r.want()
	fail("j")
	r.want("tool_failing warning: fetch failed 5 times in a row in job j: no route")
	for range 5 {
		fail("k")
	}
	r.want("job j", "job k", "tool_failures warning: 10 of 10 calls of fetch failed")
	r.tool("j", "fetch", `{}`, `1`).wait(2 * time.Minute)
	r.want("job k", "tool_failures")
}

func TestBudget(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: budget, with: {tokens: 1000, cost: 2}}`)
	use := func(tokens int, cost float64) {
		r.add("j", "thought", fmt.Sprintf(`{"status":"completed","usage":{"input_tokens":%d,"output_tokens":0},"cost":{"amount":%g,"currency":"USD"}}`, tokens, cost))
	}
	use(700, .1)
	r.want()
	use(150, .1)
	r.want("budget warning: job j took 850 tokens, which is 85 % of its budget")
	use(10, 2)
	r.want("budget critical: job j took 2.20 USD, which is 110 % of its budget")
	r.add("j", "done", `{}`).want()
}

func TestDayBudget(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: day_budget, with: {tokens: 1000}}`)
	use := func(tokens int) {
		r.add("j", "phase_update", `{"phase":"job","status":"started","name":"report"}`)
		r.add("j", "thought", fmt.Sprintf(`{"status":"completed","usage":{"input_tokens":%d}}`, tokens))
	}
	use(100)
	r.want()
	use(100)
	r.want("day_budget warning: jobs (report) took 200 tokens in 24 hours, which is 20 % of the budget; at the pace of the last hour it is used up within 6 hours")
	use(900)
	r.want("day_budget critical: jobs (report) took 1100 tokens")
}

func TestQueueBacklogAndNoWorkers(t *testing.T) {
	t.Parallel()
	r := newTape(t, "builtin: false\nrules: [{name: queue_backlog}, {name: no_workers}]")
	r.out = Outside{Known: true, HasQueues: true, Queues: []tidings.QueueDepth{{Name: "emails", Type: "celery", Waiting: 3}},
		Workers: []tidings.Worker{{Name: "w1", Type: "celery", Alive: true}, {Name: "r", Type: "runner", Alive: true}}}
	r.add("j", "task_queued", `{"task":"send","queue":"emails"}`).wait(4 * time.Minute).want()
	r.wait(2 * time.Minute).want("queue_backlog warning: 1 jobs wait for a worker (emails) for over 5 min; the oldest, j")
	r.out.Workers[0].Alive = false
	r.wait(time.Minute).want("queue_backlog").wait(2*time.Minute).want("queue_backlog", "no_workers critical: 3 tasks wait in the queue emails of celery, and no worker is alive")
	if hidden := r.s.Alerts["queue_backlog"]["emails"].InhibitedBy; len(hidden) != 1 {
		t.Errorf("the backlog is inhibited by %v", hidden)
	}
	r.out.Queues[0].Waiting = 0
	r.add("j", "task_started", `{"task":"send","queue":"emails"}`).wait(2 * time.Minute).want()
}

func TestDeadMan(t *testing.T) {
	t.Parallel()
	r := only(t, `
name: nightly
detector: dead_man
for: 0s
with: {job: backup, every: 1h, grace: 5m, finish: 20m}`)
	r.tick().wait(64 * time.Minute).want()
	r.wait(2 * time.Minute).want("nightly critical: no job (backup) started for")
	r.job("a", "backup", time.Minute, true).tick().want()
	r.wait(40 * time.Minute).want()
	r.add("b", "phase_update", `{"phase":"job","status":"started","name":"backup"}`).wait(19 * time.Minute).want()
	r.wait(2 * time.Minute).want("a job (backup) started")
}

func TestPublishers(t *testing.T) {
	t.Parallel()
	r := newTape(t, "builtin: false\nrules: [{name: publisher_lag}, {name: publisher_drops}]")
	late := func(n int, lag time.Duration) {
		for range n {
			r.at = r.at.Add(time.Second)
			r.put(&tidings.Change{Event: tidings.Event{JobID: "j", Type: "custom", Time: r.at.Add(-lag), Data: []byte(`{}`)}})
			r.tick()
		}
	}
	late(300, 200*time.Millisecond)
	r.want()
	late(300, 20*time.Second)
	r.want("publisher_lag warning: a twentieth of the events of the last 2 min reached the store over 2")
	late(300, 200*time.Millisecond)
	r.want()
	r.add("j", "custom", `{"name":"tidings.dropped","value":{"events":7}}`).want("publisher_drops critical: publishers of jobs dropped 7 events")
}

// A clock that is wrong all the time is no lag.
func TestWrongClockIsNoLag(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: publisher_lag}`)
	for range 600 {
		r.at = r.at.Add(time.Second)
		r.put(&tidings.Change{Event: tidings.Event{JobID: "j", Type: "custom", Time: r.at.Add(-time.Hour), Data: []byte(`{}`)}})
		r.tick()
	}
	r.want()
}

func TestStoreHealth(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: store_health, keep_firing_for: 0s}`)
	r.wait(time.Minute).want() // nothing is known yet
	r.out = Outside{Known: true, Health: tidings.Health{Ready: true, Store: "redis", Warnings: []string{"appendonly is off: a restart loses everything"}}}
	r.wait(time.Minute).want("store_health warning: the store warns: appendonly is off")
	r.out.Health.Ready, r.out.Health.Error = false, "connection refused"
	r.wait(time.Minute).want("appendonly", "store_health critical: the store can't take appends: connection refused")
	r.out = Outside{Known: true, Health: tidings.Health{Ready: true, Store: "redis"}}
	r.tick().want()
}

func TestTrimmedUnread(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: trimmed_unread, keep_firing_for: 0s}`)
	r.out.ViewerGaps = 5 // from before the rule was there
	r.wait(time.Minute).want()
	r.gaps = 2
	r.tick().want("trimmed_unread warning: events were trimmed away 2 times before the monitor read them")
	r.wait(6 * time.Minute).want()
}

func TestWatchdogAlwaysFires(t *testing.T) {
	t.Parallel()
	only(t, `{name: watchdog}`).tick().want("watchdog info").wait(time.Hour).want("watchdog info")
}

// A rule sees what it matches only, and its labels are on what it finds.
func TestRuleMatchesAndLabels(t *testing.T) {
	t.Parallel()
	r := only(t, `
name: mine
detector: job_failed
match: ['name=~"rep.*"']
labels: {team: data}
severity: critical`)
	r.job("a", "report", time.Second, false).job("b", "other", time.Second, false).tick().want("mine critical: job a")
	labels := r.s.Alerts["mine"]["a"].Labels
	if labels["team"] != "data" || labels["alertname"] != "mine" || labels["severity"] != "critical" || labels["job_id"] != "a" {
		t.Errorf("labels %v", labels)
	}
}

func TestInstancesAreBounded(t *testing.T) {
	t.Parallel()
	r := only(t, `{name: job_failed}`)
	for i := range maxInstances + 25 {
		r.put(&tidings.Change{Event: tidings.Event{JobID: fmt.Sprint("j", i), Type: "error", Time: r.at, Data: []byte(`{"error":"x","fatal":true}`)}})
	}
	r.tick()
	if n, over := len(r.firing()), r.s.Rules["job_failed"].Over; n != maxInstances || over != 25 {
		t.Errorf("%d alerts, %d over", n, over)
	}
	if !strings.HasPrefix(r.firing()[0], "job_failed") {
		t.Error(r.firing()[0])
	}
}

package logtest

import (
	stdcmp "cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings"

	"github.com/google/go-cmp/cmp"
)

// Jobs: the summary is the fold over the log; the listing finds every job.
var jobCases = []testCase{
	{name: "job/fold", run: jobFold},
	{name: "job/status-at-once", run: jobStatusAtOnce},
	{name: "job/create-and-cancel", run: jobCreateAndCancel},
	{name: "jobs/newest-first", run: jobsNewestFirst, own: &Options{}},
	{name: "jobs/filters", run: jobsFilters},
	{name: "jobs/paging-while-jobs-come", run: jobsPaging, own: &Options{}},
	{name: "jobs/malformed-cursor", run: jobsMalformedCursor},
	{name: "jobs/ten-thousand", run: jobsTenThousand, own: &Options{}},
}

// list reads every page of a listing, but only jobs whose IDs begin with prefix.
func (e *env) list(q tidings.JobsQuery, prefix string) []tidings.Job {
	e.Helper()
	var all []tidings.Job
	for {
		p, err := e.store.Jobs(e.ctx, q)
		if err != nil {
			e.Fatalf("jobs %+v: %v", q, err)
		}
		if limit := stdcmp.Or(q.Limit, tidings.DefaultJobsLimit); len(p.Jobs) > limit {
			e.Errorf("a page of %d jobs; the limit is %d", len(p.Jobs), limit)
		}
		for _, j := range p.Jobs {
			if strings.HasPrefix(j.ID, prefix) {
				all = append(all, j)
			}
		}
		if p.NextCursor == "" {
			return all
		}
		if p.NextCursor == q.Cursor {
			e.Fatalf("the page after cursor %q names the same cursor", q.Cursor)
		}
		q.Cursor = p.NextCursor
	}
}

// story is a log in which most of what the fold looks at occurs.
func story() []tidings.Event {
	return []tidings.Event{
		event("phase_update", `{"phase":"job","status":"queued","name":"study","labels":{"team":"a","env":"test"},"metadata":{"n":1e400}}`),
		event("task_queued", `{"task":"study.run","queue":"slow"}`),
		event("task_started", `{"task":"study.run","worker":"w1","attempt":1}`),
		event("phase_update", `{"phase":"plan","status":"started","run_id":"r1","name":"agent"}`),
		event("phase_update", `{"phase":"plan","status":"progress","run_id":"r2","parent_run_id":"r1","name":"node","progress":0.25,"message":"half of the half"}`),
		event("thought", `{"status":"delta","delta":"to\u0000ken"}`),
		event("thought", `{"status":"completed","usage":{"input_tokens":120,"output_tokens":30,"reasoning_tokens":10}}`),
		event("tool_call", `{"tool":"search","call_id":"c1","input":{"q":"x"}}`),
		event("tool_result", `{"tool":"search","call_id":"c1","error":"not found"}`),
		event("error", `{"error":"not found","scope":"tool"}`),
		event("error", `{"error":"from an existing publisher"}`),
		event("phase_update", `{"phase":"plan","status":"interrupted","run_id":"r1"}`),
		event("phase_update", `{"phase":"plan","status":"resumed","run_id":"r3"}`),
		event("cancel_requested", `{"by":"me","reason":"enough"}`),
		event("thought", `{"status":"completed","usage":{"input_tokens":1,"output_tokens":1}}`),
		event("error", `{"error":"stopped","kind":"cancelled","scope":"job","fatal":true}`),
	}
}

// After every append the store's summary is what the log folds to.
func jobFold(e *env) {
	job := e.job()
	for i, ev := range story() {
		ev.Time = time.Date(2026, 11, 24, 9, 0, i, 1000*i, time.UTC)
		e.append(job, ev)
		got, want := e.get(job), tidings.Job{}
		log := e.log(job)
		for n := range log {
			want.Apply(&log[n])
		}
		want.Incarnation = got.Incarnation // the store's own
		if diff := cmp.Diff(want, got); diff != "" {
			e.Fatalf("summary after %d events (-fold of the log +store):\n%s", i+1, diff)
		}
		if got.Incarnation == "" {
			e.Error("the summary has no incarnation")
		}
	}
}

func jobStatusAtOnce(e *env) {
	job := e.job()
	for _, step := range []struct {
		ev   tidings.Event
		want tidings.Status
	}{
		{event("phase_update", `{"status":"queued"}`), tidings.StatusQueued},
		{event("phase_update", `{"status":"started"}`), tidings.StatusRunning},
		{event("phase_update", `{"status":"interrupted"}`), tidings.StatusWaiting},
		{event("phase_update", `{"status":"resumed"}`), tidings.StatusRunning},
		{event("error", `{"error":"x"}`), tidings.StatusFailed},
		{event("custom", `{}`), tidings.StatusRunning},
		{event("cancel_requested", `{}`), tidings.StatusCancelling},
		{event("cancelled", `{}`), tidings.StatusCancelled},
	} {
		e.append(job, step.ev)
		if got := e.get(job).Status; got != step.want {
			e.Errorf("status right after %s %s is %s; want %s", step.ev.Type, step.ev.Data, got, step.want)
		}
	}
	e.eventually("the listing shows the last status", func() bool {
		return len(e.list(tidings.JobsQuery{Status: []tidings.Status{tidings.StatusCancelled}}, job)) == 1 &&
			len(e.list(tidings.JobsQuery{Status: []tidings.Status{tidings.StatusRunning, tidings.StatusQueued}}, job)) == 0
	})
}

func jobCreateAndCancel(e *env) {
	job := e.job()
	e.want("cancel of an unknown job", tidings.RequestCancel(e.ctx, e.store, job, "me", "x"), tidings.ErrUnknownJob)
	awaited := make(chan error, 1)
	go func() { awaited <- tidings.AwaitCancel(e.ctx, e.store, job) }()
	if _, _, err := tidings.Create(e.ctx, e.store, tidings.JobSpec{ID: job, Metadata: []byte(`{"a":[1]}`)}); err != nil {
		e.Fatal(err)
	}
	for range 2 { // the second changes nothing
		if err := tidings.RequestCancel(e.ctx, e.store, job, "me", "enough"); err != nil {
			e.Fatal(err)
		}
	}
	if err := <-awaited; err != nil {
		e.Errorf("awaiting the request: %v", err)
	}
	j := e.get(job)
	if j.Events != 2 || j.Cancel == nil || j.Cancel.By != "me" || j.Cancel.Reason != "enough" || string(j.Metadata) != `{"a":[1]}` {
		e.Errorf("job asked to stop: %+v", j)
	}
}

func jobsNewestFirst(e *env) {
	var want []string
	for n := range 30 {
		job := e.job()
		e.append(job, notes(0, 1+n%3)...)
		want = append(want, job)
	}
	e.append(want[7], done()) // later events do not move a job
	slices.Reverse(want)
	e.eventually("all jobs are listed", func() bool { return len(e.list(tidings.JobsQuery{}, "")) == len(want) })
	for _, limit := range []int{0, 1, 7, 30, 31} {
		if diff := cmp.Diff(want, jobIDs(e.list(tidings.JobsQuery{Limit: limit}, ""))); diff != "" {
			e.Errorf("pages of %d (-want +got):\n%s", limit, diff)
		}
	}
	for _, j := range e.list(tidings.JobsQuery{}, "") {
		e.eventually("the listing says what the job says", func() bool {
			listed := e.list(tidings.JobsQuery{}, j.ID)
			return len(listed) == 1 && cmp.Equal(listed[0], e.get(j.ID))
		})
	}
}

func jobIDs(jobs []tidings.Job) []string {
	var ids []string
	for i := range jobs {
		ids = append(ids, jobs[i].ID)
	}
	return ids
}

func jobsFilters(e *env) {
	base := e.job() + "/"
	day := func(n int) time.Time { return time.Date(2031, 1, n, 0, 0, 0, 0, time.UTC) }
	create := func(name, data string, n int, more ...tidings.Event) {
		first := event("phase_update", data)
		first.Time = day(n)
		e.append(base+name, append([]tidings.Event{first}, more...)...)
	}
	create("a", `{"status":"queued","name":"x","labels":{"team":"1","env":"p"}}`, 1)
	create("b", `{"status":"started","name":"x","labels":{"team":"1","env":"q"}}`, 2)
	create("c", `{"status":"started","name":"y","labels":{"team":"2"}}`, 3, done())
	create("d", `{"status":"started"}`, 4, event("error", `{"error":"e"}`))
	create("e", `{"status":"started","labels":{"team":""}}`, 5, event("phase_update", `{"status":"interrupted"}`))
	e.eventually("all five are listed", func() bool { return len(e.list(tidings.JobsQuery{}, base)) == 5 })

	for _, c := range []struct {
		q    tidings.JobsQuery
		want string
	}{
		{tidings.JobsQuery{Status: []tidings.Status{tidings.StatusRunning}}, "b"},
		{tidings.JobsQuery{Status: []tidings.Status{tidings.StatusCompleted, tidings.StatusFailed}}, "cd"},
		{tidings.JobsQuery{Status: []tidings.Status{tidings.StatusCancelled}}, ""},
		{tidings.JobsQuery{Status: []tidings.Status{tidings.StatusWaiting}}, "e"},
		{tidings.JobsQuery{Name: "x"}, "ab"},
		{tidings.JobsQuery{Name: "X"}, ""},
		{tidings.JobsQuery{Labels: map[string]string{"team": "1"}}, "ab"},
		{tidings.JobsQuery{Labels: map[string]string{"team": "1", "env": "q"}}, "b"},
		{tidings.JobsQuery{Labels: map[string]string{"team": ""}}, "e"},
		{tidings.JobsQuery{Since: day(3)}, "cde"},
		{tidings.JobsQuery{Until: day(3), Since: day(1)}, "ab"},
		{tidings.JobsQuery{Since: day(2), Until: day(5), Labels: map[string]string{"team": "1"}}, "b"},
		{tidings.JobsQuery{Since: day(1), Limit: 1}, "abcde"},
		{tidings.JobsQuery{Name: "x", Status: []tidings.Status{tidings.StatusQueued}}, "a"},
	} {
		got := ""
		e.eventually(fmt.Sprintf("%+v lists %q", c.q, c.want), func() bool {
			names := jobIDs(e.list(c.q, base))
			slices.Sort(names)
			got = strings.ReplaceAll(strings.Join(names, ""), base, "")
			return got == c.want
		})
	}
}

// Paging gives every job that was there before once, while others come.
func jobsPaging(e *env) {
	want := map[string]int{}
	for range 40 {
		job := e.job()
		e.append(job, note(0))
		want[job] = 1
	}
	e.eventually("all jobs are listed", func() bool { return len(e.list(tidings.JobsQuery{}, "")) == len(want) })
	got := map[string]int{}
	q := tidings.JobsQuery{Limit: 3}
	for {
		p, err := e.store.Jobs(e.ctx, q)
		if err != nil {
			e.Fatal(err)
		}
		for _, j := range p.Jobs {
			if want[j.ID] == 1 {
				got[j.ID]++
			}
		}
		if q.Cursor = p.NextCursor; q.Cursor == "" {
			break
		}
		e.append(e.job(), note(0)) // a new one at the front
		for job := range want {
			e.append(job, note(1)) // and any of the old ones moves on
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		e.Errorf("how often each job was listed (-want +got):\n%s", diff)
	}
}

func jobsMalformedCursor(e *env) {
	for _, cursor := range []string{"nonsense", "\x00", "{}", strings.Repeat("9", 300)} {
		_, err := e.store.Jobs(e.ctx, tidings.JobsQuery{Cursor: cursor})
		wantType[*tidings.InvalidError](e, fmt.Sprintf("cursor %.20q", cursor), err)
	}
}

func jobsTenThousand(e *env) {
	jobs, writers := 10_000, 50
	if testing.Short() {
		jobs = 1000
	}
	want := make(map[string]int, jobs)
	var mu sync.Mutex
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for n := w; n < jobs; n += writers {
				job := e.job()
				events := []tidings.Event{event("phase_update", fmt.Sprintf(`{"status":"started","name":"n%d","labels":{"tenth":"%t"}}`, n%7, n%10 == 0))}
				if n%10 == 0 {
					events = append(events, done())
				}
				if _, err := e.store.Append(e.ctx, job, tidings.Batch{Events: events}); err != nil {
					e.Errorf("append: %v", err)
					return
				}
				mu.Lock()
				want[job] = 1
				mu.Unlock()
			}
		})
	}
	group.Wait()

	var listed []tidings.Job
	e.eventually("all jobs are listed", func() bool {
		listed = e.list(tidings.JobsQuery{Limit: 1000}, "")
		return len(listed) >= jobs
	})
	if got := tally(listed); !maps.Equal(want, got) {
		e.Errorf("%d jobs were listed as %d, %d of them different", jobs, len(listed), len(got))
	}
	for what, q := range map[string]tidings.JobsQuery{
		"by status": {Status: []tidings.Status{tidings.StatusCompleted}, Limit: 300},
		"by label":  {Labels: map[string]string{"tenth": "true"}, Limit: 300},
	} {
		e.eventually("a tenth is listed "+what, func() bool {
			found := e.list(q, "")
			return len(found) == jobs/10 && len(tally(found)) == jobs/10
		})
	}
}

func tally(jobs []tidings.Job) map[string]int {
	got := make(map[string]int, len(jobs))
	for i := range jobs {
		got[jobs[i].ID]++
	}
	return got
}

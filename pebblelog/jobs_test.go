package pebblelog

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"tidings"
)

func jobIDs(jobs []tidings.Job) string {
	var ids []string
	for _, j := range jobs {
		ids = append(ids, j.ID)
	}
	return fmt.Sprint(ids)
}

// The listing goes by the time of the first event, and Since and Until cut it
// exactly, whatever the pages.
func TestJobsByTime(t *testing.T) {
	s := openMem(t)
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for _, minutes := range []int{3, 1, 4, 0, 2} { // not in the order of creation
		e := event(tidings.TypeCustom, "{}")
		e.Time = noon.Add(time.Duration(minutes) * time.Minute)
		appendTo(t, s, fmt.Sprintf("job-%d", minutes), e)
	}
	at := func(minutes int, more time.Duration) time.Time {
		return noon.Add(time.Duration(minutes)*time.Minute + more)
	}
	for _, c := range []struct {
		q    tidings.JobsQuery
		want string
	}{
		{tidings.JobsQuery{}, "[job-4 job-3 job-2 job-1 job-0]"},
		{tidings.JobsQuery{Since: at(2, 0)}, "[job-4 job-3 job-2]"},
		{tidings.JobsQuery{Since: at(2, 1)}, "[job-4 job-3]"},
		{tidings.JobsQuery{Until: at(2, 0)}, "[job-1 job-0]"},
		{tidings.JobsQuery{Until: at(2, 1)}, "[job-2 job-1 job-0]"},
		{tidings.JobsQuery{Since: at(1, 0), Until: at(3, 0)}, "[job-2 job-1]"},
		{tidings.JobsQuery{Since: at(3, 0), Until: at(1, 0)}, "[]"},
	} {
		for _, limit := range []int{0, 1, 2, 5} {
			c.q.Limit = limit
			if got := jobIDs(allJobs(t, s, c.q)); got != c.want {
				t.Errorf("since %s until %s by %d: %s; want %s", c.q.Since, c.q.Until, limit, got, c.want)
			}
		}
	}
}

// A page's cursor stays good when jobs come and go.
func TestJobsCursorWhileJobsChange(t *testing.T) {
	s := openMem(t)
	first := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	create := func(n int) {
		e := event(tidings.TypeCustom, "{}")
		e.Time = first.Add(time.Duration(n) * time.Second)
		appendTo(t, s, fmt.Sprintf("job-%d", n), e)
	}
	for n := range 6 {
		create(n)
	}
	p, err := s.Jobs(t.Context(), tidings.JobsQuery{Limit: 2})
	if err != nil || jobIDs(p.Jobs) != "[job-5 job-4]" {
		t.Fatalf("first page: %s, %v", jobIDs(p.Jobs), err)
	}
	create(6)
	for _, gone := range []string{"job-4", "job-2"} {
		if err := s.Delete(t.Context(), gone); err != nil {
			t.Fatal(err)
		}
	}
	rest := allJobs(t, s, tidings.JobsQuery{Limit: 2, Cursor: p.NextCursor})
	if got := jobIDs(rest); got != "[job-3 job-1 job-0]" {
		t.Errorf("then %s; want [job-3 job-1 job-0]", got)
	}
}

func TestJobsRefuses(t *testing.T) {
	s := openMem(t)
	for field, q := range map[string]tidings.JobsQuery{"cursor": {Cursor: "next"}, "limit": {Limit: -1}} {
		_, err := s.Jobs(t.Context(), q)
		if invalid, ok := errors.AsType[*tidings.InvalidError](err); !ok || invalid.Field != field {
			t.Errorf("%+v: %v; want an InvalidError on %s", q, err, field)
		}
	}
	for field, q := range map[string]tidings.Query{"limit": {Limit: -1}, "max_bytes": {MaxBytes: -1}} {
		_, err := s.Read(t.Context(), "job", q)
		if invalid, ok := errors.AsType[*tidings.InvalidError](err); !ok || invalid.Field != field {
			t.Errorf("%+v: %v; want an InvalidError on %s", q, err, field)
		}
	}
}

// Whichever index a query is answered from, it finds the jobs of its statuses.
func TestJobsByStatus(t *testing.T) {
	s := openMem(t)
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	for i, events := range map[string][]tidings.Event{
		"1-queued":    {event(tidings.TypePhaseUpdate, `{"status":"queued"}`)},
		"2-running":   {started},
		"3-completed": {started, event(tidings.TypeDone, "{}")},
		"4-failed":    {event(tidings.TypeError, `{"error":"x"}`)},
		"5-again":     {event(tidings.TypeError, `{"error":"x"}`), started},
	} {
		events[0].Time = at.Add(time.Duration(i[0]) * time.Second)
		for _, e := range events { // in groups of their own
			appendTo(t, s, i, e)
		}
	}
	for _, c := range []struct {
		status []tidings.Status
		want   string
	}{
		{nil, "[5-again 4-failed 3-completed 2-running 1-queued]"},
		{[]tidings.Status{tidings.StatusRunning}, "[5-again 2-running]"},
		{[]tidings.Status{tidings.StatusQueued, tidings.StatusRunning}, "[5-again 2-running 1-queued]"},
		{[]tidings.Status{tidings.StatusRunning, tidings.StatusFailed}, "[5-again 4-failed 2-running]"},
		{[]tidings.Status{tidings.StatusCompleted}, "[3-completed]"},
	} {
		if got := jobIDs(allJobs(t, s, tidings.JobsQuery{Status: c.status, Limit: 1})); got != c.want {
			t.Errorf("%v: %s; want %s", c.status, got, c.want)
		}
	}
	checkConsistent(t, s)
}

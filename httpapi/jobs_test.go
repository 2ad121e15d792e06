package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings"
)

func TestCreateJob(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	spec := `{"id":"team/1","name":"report","labels":{"env":"prod"},"metadata":{"a":1.0,"b":"<x>"}}`
	got := a.do("POST", "/v1/jobs", spec)
	wantStatus(t, got, http.StatusCreated)
	if location := got.header.Get("Location"); location != "/v1/jobs/team%2F1" {
		t.Errorf("Location %q", location)
	}
	m := got.members(t)
	if m["id"] != "team/1" || m["name"] != "report" || m["status"] != "queued" || m["stalled"] != false || m["events"] != 1.0 {
		t.Errorf("job %s", got.body)
	}
	if diff := cmp.Diff(map[string]any{"a": 1.0, "b": "<x>"}, m["metadata"]); diff != "" {
		t.Error(diff)
	}
	wantStatus(t, a.do("POST", "/v1/jobs", spec), http.StatusOK)
	wantStatus(t, a.do("GET", got.header.Get("Location"), ""), http.StatusOK)
	if n := len(a.types("team/1")); n != 1 {
		t.Errorf("%d events after the job was created twice, want 1", n)
	}

	// Everything is optional, the body too.
	first, second := a.do("POST", "/v1/jobs", "").members(t), a.do("POST", "/v1/jobs", "{}").members(t)
	if first["id"] == "" || first["id"] == second["id"] {
		t.Errorf("IDs %v and %v", first["id"], second["id"])
	}

	a.publish("over", "done")
	wantProblem(t, a.do("POST", "/v1/jobs", `{"id":"over"}`), http.StatusConflict, "closed")
}

func TestDeleteJob(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	a.publish("j", "custom")
	got := a.do("DELETE", "/v1/jobs/j", "")
	wantStatus(t, got, http.StatusNoContent)
	wantProblem(t, a.do("GET", "/v1/jobs/j", ""), http.StatusNotFound, "unknown-job")
	wantProblem(t, a.do("DELETE", "/v1/jobs/j", ""), http.StatusNotFound, "unknown-job")
}

func TestCancelJob(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	a.publish("j", "task_started")
	got := a.do("POST", "/v1/jobs/j/cancel", `{"reason":"too slow","by":"ops"}`)
	wantStatus(t, got, http.StatusAccepted)
	m := got.members(t)
	if cancel := m["cancel"].(map[string]any); m["status"] != "cancelling" || cancel["by"] != "ops" || cancel["reason"] != "too slow" {
		t.Errorf("job %s", got.body)
	}
	wantStatus(t, a.do("POST", "/v1/jobs/j/cancel", ""), http.StatusAccepted) // once more changes nothing
	if diff := cmp.Diff([]string{"task_started", "cancel_requested"}, a.types("j")); diff != "" {
		t.Error(diff)
	}
	// The worker hears of it with its next sign of life.
	beat := a.do("POST", "/v1/jobs/j/heartbeat", "")
	wantStatus(t, beat, http.StatusOK)
	if beat.members(t)["cancel_requested"] != true {
		t.Errorf("heartbeat: %s", beat.body)
	}
}

func TestHeartbeatKeepsAJobAlive(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	a.publish("j", "task_started")
	beat := a.do("POST", "/v1/jobs/j/heartbeat", `{"ttl_ms":60000}`, "Producer-Id", "w", "Producer-Epoch", "2")
	wantStatus(t, beat, http.StatusOK)
	until, err := time.Parse(time.RFC3339, beat.members(t)["lease_until"].(string))
	if left := time.Until(until); err != nil || left < 50*time.Second || left > 61*time.Second {
		t.Errorf("the lease ends in %v, want about a minute", left)
	}

	wantStatus(t, a.do("POST", "/v1/jobs/j/heartbeat", `{"ttl_ms":1}`), http.StatusOK)
	eventually(t, "the job is stalled", func() bool { return a.do("GET", "/v1/jobs/j", "").members(t)["stalled"] == true })
	if got := a.jobs("?stalled=true"); !cmp.Equal(got, []string{"j"}) {
		t.Errorf("stalled jobs %v", got)
	}
	wantStatus(t, a.do("POST", "/v1/jobs/j/heartbeat", ""), http.StatusOK)
	if got := a.jobs("?stalled=true"); got != nil {
		t.Errorf("stalled jobs %v after a sign of life", got)
	}

	wantStatus(t, a.do("POST", "/v1/jobs/j/events", `{"event_type":"a"}`, "Producer-Id", "w", "Producer-Epoch", "3", "Producer-Seq", "0"), http.StatusCreated)
	zombie := a.do("POST", "/v1/jobs/j/heartbeat", "", "Producer-Id", "w", "Producer-Epoch", "2")
	wantProblem(t, zombie, http.StatusForbidden, "fenced")
}

// A running job that never had a lease is stalled when it was silent for long.
func TestSilentJobIsStalled(t *testing.T) {
	t.Parallel()
	a := serve(t, &Options{SilentAfter: 500 * time.Millisecond})
	a.publish("old", "task_started")
	eventually(t, "the silent job is stalled", func() bool { return cmp.Equal(a.jobs("?stalled=true"), []string{"old"}) })
	eventually(t, "one that speaks is not", func() bool {
		a.publish("new", "task_started")
		return cmp.Equal(a.jobs("?stalled=false"), []string{"new"})
	})
}

// jobs are the IDs of a listing, over all of its pages.
func (a *api) jobs(query string, headers ...string) []string {
	a.t.Helper()
	var ids []string
	cursor := ""
	for {
		got := a.do("GET", "/v1/jobs"+query+cursor, "", headers...)
		wantStatus(a.t, got, http.StatusOK)
		var page struct {
			Jobs       []tidings.Job `json:"jobs"`
			NextCursor string        `json:"next_cursor"`
		}
		if err := json.Unmarshal([]byte(got.body), &page); err != nil {
			a.t.Fatal(err)
		}
		for _, job := range page.Jobs {
			ids = append(ids, job.ID)
		}
		if page.NextCursor == "" {
			return ids
		}
		cursor = "&cursor=" + url.QueryEscape(page.NextCursor)
	}
}

func TestListJobs(t *testing.T) {
	t.Parallel()
	a := serve(t, nil)
	var all, even []string
	for i := range 25 {
		id := fmt.Sprintf("job-%02d", i)
		spec := fmt.Sprintf(`{"id":%q,"name":"n%d","labels":{"parity":"%d","x":"a=b"}}`, id, i%5, i%2)
		wantStatus(t, a.do("POST", "/v1/jobs", spec), http.StatusCreated)
		all = append([]string{id}, all...)
		if i%2 == 0 {
			even = append([]string{id}, even...)
		}
	}
	a.publish("job-03", "task_started")
	a.publish("job-04", "done")
	for query, want := range map[string][]string{
		"?limit=1000":                            all,
		"?limit=7":                               all,
		"?limit=3&label=parity%3D0":              even,
		"?label=parity%3D0&label=x%3Da%3Db":      even,
		"?label=parity%3D7":                      nil,
		"?status=running":                        {"job-03"},
		"?status=running,completed":              {"job-04", "job-03"},
		"?status=running&status=completed":       {"job-04", "job-03"},
		"?name=n4&limit=2":                       {"job-24", "job-19", "job-14", "job-09", "job-04"},
		"?since=2999-01-01T00:00:00Z":            nil,
		"?until=2001-01-01T00:00:00%2B02:00":     nil,
		"?since=2001-01-01T00:00:00Z&limit=1000": all,
	} {
		if diff := cmp.Diff(want, a.jobs(query)); diff != "" {
			t.Errorf("%s:\n%s", query, diff)
		}
	}
}

package tidings

import (
	"encoding/json"
	"testing"
	"time"
)

// The sieve lets pass whatever matches, and stops most of the rest.
func TestSieveLetsPassWhatMatches(t *testing.T) {
	t.Parallel()
	texts := []string{"", "a", "report", `q"uo\te`, "<b>", "Größe", "a/b", "\x01\u2028", "日本"}
	var queries []JobsQuery
	for _, text := range texts {
		queries = append(queries, JobsQuery{Name: text}, JobsQuery{Labels: map[string]string{text: "v"}},
			JobsQuery{Labels: map[string]string{"k": text}, Status: []Status{StatusFailed, StatusRunning}})
	}
	stopped := 0
	for _, name := range texts {
		for _, value := range texts {
			for _, status := range Statuses {
				job := Job{ID: "j", Name: name, Status: status, Labels: map[string]string{"k": value, value: "v"}}
				summary, err := json.Marshal(job)
				if err != nil {
					t.Fatal(err)
				}
				for _, q := range queries {
					passes := q.Sieve()(summary)
					if !passes && q.Matches(&job, time.Time{}) {
						t.Fatalf("%+v stops %s", q, summary)
					}
					if !passes {
						stopped++
					}
				}
			}
		}
	}
	if stopped == 0 {
		t.Error("it stops nothing")
	}
}

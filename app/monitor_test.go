package app_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings/app"
	"tidings/internal/redistest"
)

// await polls an answer until it holds the text.
func await(t testing.TB, url, want string) {
	t.Helper()
	last := ""
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		_, last = call(t, http.DefaultClient, "GET", url, "")
		if strings.Contains(last, want) {
			return
		}
	}
	t.Fatalf("within a minute %s has not said %s: %s", url, want, last)
}

const brokenJob = `{"event_type":"error","data":{"error":"it broke","fatal":true}}`

// What a server has counted, and what people said of errors, is there after a
// restart, on both stores.
func TestStatisticsSurviveARestart(t *testing.T) {
	t.Parallel()
	for name, config := range map[string]func(t *testing.T) app.Config{
		"embedded": func(t *testing.T) app.Config { return app.Config{DataDir: t.TempDir()} },
		"redis":    func(t *testing.T) app.Config { return app.Config{RedisURL: redistest.Server(t).URL()} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := config(t)
			a := start(t, c)
			if status, body := call(t, http.DefaultClient, "POST", a.URL()+"/v1/jobs/j/events", brokenJob); status != http.StatusCreated {
				t.Fatal(status, body)
			}
			await(t, a.URL()+"/v1/stats", `"failed":1,"cancelled":0,"events":1`)
			_, errors := call(t, http.DefaultClient, "GET", a.URL()+"/v1/errors", "")
			_, id, _ := strings.Cut(errors, `"id":"`)
			id, _, _ = strings.Cut(id, `"`)
			if status, body := call(t, http.DefaultClient, "PATCH", a.URL()+"/v1/errors/"+id, `{"state":"resolved"}`); status != http.StatusOK {
				t.Fatal(status, body)
			}
			if err := a.Stop(context.Background()); err != nil {
				t.Fatal(err)
			}
			a = start(t, c)
			await(t, a.URL()+"/v1/stats", `"failed":1,"cancelled":0,"events":1`)
			await(t, a.URL()+"/v1/errors", `"state":"resolved"`)
			await(t, a.URL()+"/v1/stats", `"folded":0`) // not read again
			if name == "embedded" {
				if _, err := os.Stat(filepath.Join(c.DataDir, "monitor", "checkpoint")); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// Two servers over one Redis give the same answers; one holds the lease, and the
// other takes it when that one stops.
func TestTwoServersCountTogether(t *testing.T) {
	t.Parallel()
	url := redistest.Server(t).URL()
	one := start(t, app.Config{RedisURL: url})
	two := start(t, app.Config{RedisURL: url})
	if status, body := call(t, http.DefaultClient, "POST", two.URL()+"/v1/jobs/j/events", brokenJob); status != http.StatusCreated {
		t.Fatal(status, body)
	}
	await(t, one.URL()+"/v1/stats", `"failed":1,"cancelled":0,"events":1`)
	await(t, two.URL()+"/v1/stats", `"failed":1,"cancelled":0,"events":1`)
	await(t, one.URL()+"/v1/stats", `"leader":true`)
	await(t, two.URL()+"/v1/stats", `"leader":false`)
	if err := one.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	await(t, two.URL()+"/v1/stats", `"leader":true`)
	await(t, two.URL()+"/v1/stats", `"failed":1,"cancelled":0,"events":1`)
}

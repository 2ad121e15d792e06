package app

import (
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// Everything is beneath the prefix, the panel and the API.
func TestPrefix(t *testing.T) {
	t.Parallel()
	a, err := Start(t.Context(), Config{Addr: "127.0.0.1:0", DataDir: filepath.Join(t.TempDir(), "data"), Prefix: "/ops/tidings", LogOutput: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	root := strings.TrimSuffix(a.URL(), "/ops/tidings")
	for path, want := range map[string]int{
		"/ops/tidings/": 200, "/ops/tidings/jobs/a%2Fb": 200, "/ops/tidings/assets/panel.js": 200, "/ops/tidings/v1/jobs": 200,
		"/ops/tidings/healthz": 200, "/ops/tidings": 200, "/": 200, // both lead to the panel
		"/v1/jobs": 404, "/jobs": 404, "/ops/tidings/assets/x.js": 404, "/ops/tidings//v1/jobs": 404, "/other/": 404,
	} {
		resp, err := http.Get(root + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%s: %d, want %d", path, resp.StatusCode, want)
		}
		if path == "/ops/tidings/jobs/a%2Fb" && !strings.Contains(string(body), `<base href="../"`) {
			t.Errorf("%s: the base does not lead to the prefix:\n%s", path, body)
		}
	}
}

func TestPrefixMustBeAPath(t *testing.T) {
	t.Parallel()
	for prefix, ok := range map[string]bool{"": true, "/a": true, "/a/b": true, "a": false, "/": false, "/a/": false, "/a//b": false, "/a/../b": false, "/a?b": false, "/{x}": false} {
		c := Config{Prefix: prefix}
		if err := c.checkPrefix(); (err == nil) != ok {
			t.Errorf("%q: %v", prefix, err)
		}
	}
}

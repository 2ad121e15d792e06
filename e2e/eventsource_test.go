package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// cutter is a proxy on the loopback address that cuts connections after a
// random number of bytes, until it is told to let the rest pass.
type cutter struct {
	l      net.Listener
	target string
	calm   atomic.Bool
	cuts   atomic.Int64
}

func cut(t *testing.T, target string) *cutter {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{l: l, target: target}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go c.pass(conn)
		}
	}()
	return c
}

func (c *cutter) pass(down net.Conn) {
	defer down.Close()
	up, err := net.Dial("tcp", c.target)
	if err != nil {
		return
	}
	defer up.Close()
	go func() {
		_, _ = io.Copy(up, down)
		up.Close()
	}()
	if c.calm.Load() {
		_, _ = io.Copy(down, up)
		return
	}
	if _, err := io.CopyN(down, up, 1+rand.Int64N(6000)); err == nil {
		c.cuts.Add(1)
	}
}

// A stock EventSource, through forced drops, sees each event once and stops at
// the end.
func TestStockEventSource(t *testing.T) {
	t.Parallel()
	for _, script := range []string{"node.mjs", "chromium.mjs"} {
		t.Run(strings.TrimSuffix(script, ".mjs"), func(t *testing.T) {
			t.Parallel()
			needs(t, "node", "js/node_modules/playwright-core/package.json")
			if script == "chromium.mjs" {
				needs(t, "chromium")
			}
			s := serve(t, "--data", t.TempDir())
			ctx := testContext(t, 2*time.Minute)
			c := s.client(nil)
			want := fill(ctx, t, c, "job", 300)
			proxy := cut(t, s.addr)

			cmd := exec.CommandContext(ctx, "node", script, "http://"+proxy.l.Addr().String()+"/v1/jobs/job/events", "custom", "done")
			cmd.Dir = "js"
			var out, errs bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &errs
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			eventually(t, time.Minute, "connections are cut", func() bool { return proxy.cuts.Load() >= 4 })
			for range 20 {
				want = append(want, fill(ctx, t, c, "job", 10)...)
			}
			eventually(t, time.Minute, "more connections are cut", func() bool { return proxy.cuts.Load() >= 8 })
			proxy.calm.Store(true)
			want = append(want, finish(ctx, t, c, "job"))
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, errs.Bytes())
			}

			var seen struct{ IDs, Types []string }
			if err := json.Unmarshal(out.Bytes(), &seen); err != nil {
				t.Fatalf("%v: %s", err, out.Bytes())
			}
			for i, id := range seen.IDs {
				seen.IDs[i], _, _ = strings.Cut(id, "~")
			}
			if !slices.Equal(seen.IDs, want) {
				t.Errorf("saw %d events, want %d", len(seen.IDs), len(want))
			}
			if !slices.Contains(seen.Types, "end") {
				t.Error("was not told the end")
			}
			t.Logf("%d events through %d cuts", len(seen.IDs), proxy.cuts.Load())
		})
	}
}

// needs skips the test if a program or file is missing, unless CI insists.
func needs(t *testing.T, what ...string) {
	t.Helper()
	for _, name := range what {
		var err error
		if strings.Contains(name, "/") {
			_, err = os.Stat(name)
		} else {
			_, err = exec.LookPath(name)
		}
		if err == nil {
			continue
		}
		if os.Getenv("TIDINGS_REQUIRE_BROWSER") == "1" {
			t.Fatalf("%s is missing", name)
		}
		t.Skipf("%s is missing; make test installs it where it can", name)
	}
}

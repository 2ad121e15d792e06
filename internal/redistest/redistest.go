// Package redistest starts real Redis servers for tests: one server, a Cluster
// or a Sentinel group, each on free loopback ports and a folder of its own, and
// all gone when the test ends, also when the test process is killed.
//
// The server is redis-server on the PATH, or what TIDINGS_REDIS_SERVER names
// (valkey-server serves as well). Without one the tests that need it are
// skipped; with TIDINGS_REQUIRE_REDIS=1 they fail instead, so that a CI run
// can't pass by having skipped them.
package redistest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Patience is how long anything here may take before the test fails. It is a
// bound against hanging, not an expectation.
const Patience = 30 * time.Second

// Redis is one server. Its methods fail the test on errors, so they must be
// called from the test's goroutine. Methods are not safe for concurrent use
// among Start, Stop, Pause and Resume.
type Redis struct {
	t    testing.TB
	port int
	dir  string
	args []string // but those that follow from port and dir
	proc *process // nil: stopped
}

// Server starts a server with args behind the defaults, which are an
// append-only file synced every second and no snapshots. So "--appendfsync",
// "always" makes it safe against a loss of power, and "--appendonly", "no"
// makes Stop forget everything.
func Server(t testing.TB, args ...string) *Redis {
	t.Helper()
	return start(t, t.TempDir(), maxPlainPort, withDefaults(args))
}

func withDefaults(args []string) []string {
	return append([]string{"--protected-mode", "no", "--save", "", "--appendonly", "yes"}, args...)
}

// start finds a free port up to maxPort and starts a server there. Another
// process may take the port between the look and the start, so a server that
// exits at once, or is not the one that answers, is tried again elsewhere.
func start(t testing.TB, dir string, maxPort int, args []string) *Redis {
	t.Helper()
	binary(t)
	r := &Redis{t: t, dir: dir, args: args}
	t.Cleanup(r.Stop)
	var err error
	for range 20 {
		r.port = freePort(t, maxPort)
		if err = r.start(); err == nil {
			return r
		}
	}
	t.Fatalf("redis-server does not start: %v\n%s", err, r.Log())
	return nil
}

// binary gives the server program, or skips or fails the test.
func binary(t testing.TB) string {
	t.Helper()
	name := os.Getenv("TIDINGS_REDIS_SERVER")
	if name == "" {
		name = "redis-server"
	}
	path, err := exec.LookPath(name)
	switch {
	case err == nil:
		return path
	case os.Getenv("TIDINGS_REQUIRE_REDIS") == "1":
		t.Fatalf("%s is not installed, and TIDINGS_REQUIRE_REDIS=1 asks for it: apt-get install redis-server, or run make test as root", name)
	}
	t.Skipf("%s is not installed: make test installs it, or apt-get install redis-server", name)
	return ""
}

// Addr is the server's host:port.
func (r *Redis) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port)) }

// URL is the server's address as redis:// clients take it.
func (r *Redis) URL() string { return "redis://" + r.Addr() }

// Port is the server's port.
func (r *Redis) Port() int { return r.port }

// Log is what the server has logged.
func (r *Redis) Log() string {
	text, _ := os.ReadFile(filepath.Join(r.dir, "server.log")) // none yet is empty
	return string(text)
}

// Running reports whether the server was started and not stopped since.
func (r *Redis) Running() bool { return r.proc != nil }

// Stop kills the server with SIGKILL, as a crash would, and waits until it is
// gone. Stopping a stopped server does nothing.
func (r *Redis) Stop() {
	if r.proc != nil {
		r.proc.kill()
		r.proc = nil
	}
}

// Start starts a stopped server again with the same port, folder and arguments.
func (r *Redis) Start() {
	r.t.Helper()
	if r.proc != nil {
		return
	}
	// The port may still be taken for a moment by a connection of the life before.
	deadline := time.Now().Add(Patience)
	for {
		err := r.start()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("redis-server on %s does not start again: %v\n%s", r.Addr(), err, r.Log())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Pause stops the server's process with SIGSTOP: connections stay open, and
// nothing answers.
func (r *Redis) Pause() { r.signal(syscall.SIGSTOP) }

// Resume lets a paused server go on.
func (r *Redis) Resume() { r.signal(syscall.SIGCONT) }

func (r *Redis) signal(s syscall.Signal) {
	r.t.Helper()
	if r.proc == nil {
		r.t.Fatalf("redis-server on %s is stopped", r.Addr())
	}
	if err := r.proc.signal(s); err != nil {
		r.t.Fatal(err)
	}
}

func (r *Redis) start() error {
	own := []string{"--port", strconv.Itoa(r.port), "--bind", "127.0.0.1",
		"--dir", r.dir, "--logfile", "server.log", "--daemonize", "no"}
	p, err := startProcess(binary(r.t), slices.Concat(r.args, own)...)
	if err != nil {
		return err
	}
	if err := r.awaitReady(p); err != nil {
		p.kill()
		return err
	}
	r.proc = p
	return nil
}

// awaitReady waits until the process p, and no other that took the port first,
// answers and has loaded its data.
func (r *Redis) awaitReady(p *process) error {
	deadline := time.Now().Add(Patience)
	for time.Now().Before(deadline) {
		select {
		case <-p.done:
			return fmt.Errorf("exited at once: %v", p.err)
		case <-time.After(5 * time.Millisecond):
		}
		info, err := ask(r.Addr(), "INFO")
		if err != nil {
			continue
		}
		if field(info, "process_id") != strconv.Itoa(p.pid()) {
			return fmt.Errorf("another process answers on %s", r.Addr())
		}
		if loading := field(info, "loading"); loading == "0" || loading == "" { // a Sentinel has no data
			return nil
		}
	}
	return fmt.Errorf("no answer on %s within %s", r.Addr(), Patience)
}

// field gives the value of name in the text of INFO or CLUSTER INFO.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// await polls until ok, or fails the test saying what did not happen.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %s: %s", Patience, what)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

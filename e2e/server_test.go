package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidings/client"
	"tidings/internal/redistest"
)

// binary is the tidings command, built once, with the race detector.
var binary string

func TestMain(m *testing.M) {
	if os.Getenv("TIDINGS_TEST_URL") != "" { // a process that a test started
		os.Exit(m.Run())
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "tidings-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary = filepath.Join(dir, "tidings")
		build := exec.Command("go", "build", "-race", "-o", binary, "tidings/cmd/tidings")
		build.Stderr = os.Stderr
		if err := build.Run(); err != nil {
			fmt.Fprintln(os.Stderr, "building cmd/tidings:", err)
			return 1
		}
		return m.Run()
	}())
}

// server is a tidings serve process that can be killed and started again on
// the same address and data.
type server struct {
	t    testing.TB
	addr string
	args []string
	// prefix of all paths; only waitUntilReady knows of it.
	prefix string

	mu  sync.Mutex
	cmd *exec.Cmd
	log bytes.Buffer
}

// serve starts a server on a free port of the loopback address.
func serve(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{t: t, addr: freeAddr(t), args: args}
	s.start()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("server log:\n%s", tail(s.log.Bytes(), 8<<10))
		}
	})
	return s
}

func freeAddr(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

func (s *server) url() string { return "http://" + s.addr }

func (s *server) start() {
	s.t.Helper()
	s.mu.Lock()
	s.cmd = exec.Command(binary, append([]string{"serve", "--addr", s.addr}, s.args...)...)
	s.cmd.Dir = s.t.TempDir() // no config file of the surroundings
	s.cmd.Stdout = &s.log
	s.cmd.Stderr = &s.log
	dieWithTest(s.cmd)
	err := s.cmd.Start()
	s.mu.Unlock()
	if err != nil {
		s.t.Fatal(err)
	}
	s.waitUntilReady()
}

func (s *server) waitUntilReady() {
	s.t.Helper()
	eventually(s.t, 30*time.Second, "the server is ready", func() bool {
		resp, err := http.Get(s.url() + s.prefix + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// kill ends the server as a power cut would.
func (s *server) kill() { s.signal(syscall.SIGKILL) }

// stop asks the server to go and waits until it has gone.
func (s *server) stop() error { return s.signal(syscall.SIGTERM) }

func (s *server) signal(sig os.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return nil
	}
	_ = s.cmd.Process.Signal(sig)
	err := s.cmd.Wait()
	s.cmd = nil
	return err
}

func (s *server) client(opts *client.Options) *client.Client {
	s.t.Helper()
	c, err := client.New(s.url(), opts)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// viewers is how many watch jobs on this server.
func (s *server) viewers() float64 {
	s.t.Helper()
	return s.metric(`tidings_viewers{kind="job"}`)
}

// metric gives the value of a metric, named as /metrics shows it.
func (s *server) metric(name string) float64 {
	s.t.Helper()
	resp, err := http.Get(s.url() + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindSubmatch(body)
	if m == nil {
		s.t.Fatalf("no metric %q", name)
	}
	var v float64
	if _, err := fmt.Sscan(string(m[1]), &v); err != nil {
		s.t.Fatal(err)
	}
	return v
}

// store is a way to start a server, one for each kind of store.
type store struct {
	name  string
	start func(t *testing.T) *server
}

var stores = []store{
	{"embedded", func(t *testing.T) *server { return serve(t, "--data", t.TempDir()) }},
	{"redis", func(t *testing.T) *server { return serve(t, "--redis", redistest.Server(t).URL()) }},
}

// onEachStore runs a test against a server of each kind.
func onEachStore(t *testing.T, test func(t *testing.T, s *server)) {
	for _, st := range stores {
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			test(t, st.start(t))
		})
	}
}

// tidings runs a subcommand against the server and gives its output and exit
// code.
func (s *server) tidings(ctx context.Context, stdin io.Reader, args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "TIDINGS_URL="+s.url())
	cmd.Dir = s.t.TempDir()
	cmd.Stdin = stdin
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil && cmd.ProcessState == nil {
		s.t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// eventually polls until ok, and fails the test after the deadline.
func eventually(t testing.TB, deadline time.Duration, what string, ok func() bool) {
	t.Helper()
	end := time.Now().Add(deadline)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", deadline, what)
		}
		<-tick.C
	}
}

func testContext(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// lines splits NDJSON.
func lines(text []byte) [][]byte {
	var out [][]byte
	sc := bufio.NewScanner(bytes.NewReader(text))
	sc.Buffer(nil, 16<<20)
	for sc.Scan() {
		if len(bytes.TrimSpace(sc.Bytes())) > 0 {
			out = append(out, bytes.Clone(sc.Bytes()))
		}
	}
	return out
}

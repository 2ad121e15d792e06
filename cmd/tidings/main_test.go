package main_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The tests run the program as people do: it is built once, and speaks to real
// servers that it serves itself.

var binary string

func TestMain(m *testing.M) {
	os.Exit(buildAndRun(m))
}

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "tidings-cli-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "tidings")
	if out, err := exec.Command("go", "build", "-o", binary, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// result is what a command did.
type result struct {
	out, err string
	code     int
}

// cmd makes a command with an environment in which nothing of the caller's
// settings is left.
func command(ctx context.Context, t *testing.T, env []string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = t.TempDir()
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "XDG_CONFIG_HOME=" + cmd.Dir}, env...)
	return cmd
}

// tidings runs a command to its end.
func tidings(t *testing.T, env []string, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := command(ctx, t, env, args...)
	cmd.Stdin = strings.NewReader(stdin)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); cmd.ProcessState == nil || ctx.Err() != nil {
		t.Fatalf("tidings %v: %v\n%s%s", args, err, out.Bytes(), errOut.Bytes())
	}
	return result{out.String(), errOut.String(), cmd.ProcessState.ExitCode()}
}

// ok runs a command that must succeed.
func ok(t *testing.T, env []string, stdin string, args ...string) string {
	t.Helper()
	r := tidings(t, env, stdin, args...)
	if r.code != 0 {
		t.Fatalf("tidings %v: exit code %d\n%s%s", args, r.code, r.out, r.err)
	}
	return r.out
}

// running is a command that goes on.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string // of its standard output; closed at its end
	err   *bytes.Buffer
}

func start(t *testing.T, env []string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	r := &running{t: t, cmd: command(ctx, t, env, args...), lines: make(chan string, 1000), err: new(bytes.Buffer)}
	r.cmd.Stderr = r.err
	out, err := r.cmd.StdoutPipe()
	if err == nil {
		err = r.cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	go r.read(out)
	t.Cleanup(func() {
		_ = r.cmd.Process.Signal(syscall.SIGTERM) // if it still runs
		for range r.lines {
		}
		_ = r.cmd.Wait() // or was waited for
		cancel()
	})
	return r
}

func (r *running) read(out io.Reader) {
	defer close(r.lines)
	scanner := bufio.NewScanner(out)
	for scanner.Scan() {
		r.lines <- scanner.Text()
	}
}

// until reads lines until one matches.
func (r *running) until(pattern string) []string {
	r.t.Helper()
	re := regexp.MustCompile(pattern)
	for line := range r.lines {
		if m := re.FindStringSubmatch(line); m != nil {
			return m
		}
	}
	r.t.Fatalf("%v ended without a line that matches %q\n%s", r.cmd.Args[1:], pattern, r.err)
	return nil
}

// end waits for the command and gives its exit code.
func (r *running) end() int {
	r.t.Helper()
	for range r.lines {
	}
	_ = r.cmd.Wait() // the code says it
	return r.cmd.ProcessState.ExitCode()
}

// serve starts a server with an embedded store and gives the environment that
// leads there.
func serve(t *testing.T, args ...string) []string {
	t.Helper()
	args = append([]string{"serve", "--addr", "127.0.0.1:0", "--log-level", "error"}, args...)
	s := start(t, nil, args...)
	return []string{"TIDINGS_URL=" + s.until(`serves on (http://\S+)`)[1]}
}

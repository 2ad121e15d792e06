package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// workshop holds the built server and a folder for everything that runs.
type workshop struct {
	dir     string
	binary  string
	verbose bool
}

var errNoRedis = errors.New("no redis-server is installed")

func newWorkshop(ctx context.Context, s settings) (*workshop, error) {
	dir, err := os.MkdirTemp("", "tidings-bench-")
	if err != nil {
		return nil, err
	}
	w := &workshop{dir: dir, binary: s.binary, verbose: s.verbose}
	if w.binary != "" {
		return w, nil
	}
	w.binary = filepath.Join(dir, "tidings")
	fmt.Fprintln(os.Stderr, "bench: building the server")
	build := exec.CommandContext(ctx, "go", "build", "-o", w.binary, "tidings/cmd/tidings")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		w.close()
		return nil, fmt.Errorf("build ./cmd/tidings: %w", err)
	}
	return w, nil
}

func (w *workshop) close() { _ = os.RemoveAll(w.dir) }

// process is a server under measurement.
type process struct {
	cmd  *exec.Cmd
	addr string
	log  string // file of its output, "" if that is shown
	done chan struct{}
}

func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close() // only its port is wanted
	return l.Addr().String(), nil
}

func (w *workshop) start(addr, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.Command(name, args...), addr: addr, done: make(chan struct{})}
	p.cmd.Dir = w.dir
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "TIDINGS_") })
	p.cmd.SysProcAttr = dieWithParent()
	if w.verbose {
		p.cmd.Stdout, p.cmd.Stderr = os.Stderr, os.Stderr
	} else {
		file, err := os.CreateTemp(w.dir, "log-")
		if err != nil {
			return nil, err
		}
		defer file.Close() // the process has its own handle
		p.log = file.Name()
		p.cmd.Stdout, p.cmd.Stderr = file, file
	}
	// The thread that starts it must live on, or the system takes it for dead.
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		started <- p.cmd.Start()
		_ = p.cmd.Wait() // its log says why it ended
		close(p.done)
	}()
	return p, <-started
}

// stop ends the process and waits; one that does not end is killed.
func (p *process) stop() {
	if p == nil || p.cmd.Process == nil {
		return
	}
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(10 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// ready waits until the check succeeds.
func (p *process) ready(ctx context.Context, check func() error) error {
	deadline := time.Now().Add(20 * time.Second)
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.done:
			return fmt.Errorf("%s ended at once: %s", filepath.Base(p.cmd.Path), p.lastWords())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not ready: %w", filepath.Base(p.cmd.Path), err)
		}
	}
}

func (p *process) lastWords() string {
	if p.log == "" {
		return "see above"
	}
	raw, _ := os.ReadFile(p.log) // as much as there is
	text := strings.TrimSpace(string(raw))
	return text[max(0, len(text)-600):]
}

// startServer starts `tidings serve` on the embedded store, synced, or on the
// given Redis.
func (w *workshop) startServer(ctx context.Context, redis *process) (*process, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	args := []string{"serve", "--addr", addr}
	if redis != nil {
		args = append(args, "--redis", "redis://"+redis.addr)
	} else {
		data, err := os.MkdirTemp(w.dir, "data-")
		if err != nil {
			return nil, err
		}
		args = append(args, "--data", data)
	}
	p, err := w.start(addr, w.binary, args...)
	if err != nil {
		return nil, err
	}
	return p, p.ready(ctx, func() error {
		res, err := http.Get("http://" + addr + "/readyz")
		if err != nil {
			return err
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return errors.New(res.Status)
		}
		return nil
	})
}

// startRedis starts a redis-server with an append-only file, synced every
// second, which is not rewritten: that would fall into one measurement and not
// into another.
func (w *workshop) startRedis(ctx context.Context) (*process, error) {
	name, err := exec.LookPath("redis-server")
	if err != nil {
		return nil, errNoRedis
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(w.dir, "redis-")
	if err != nil {
		return nil, err
	}
	_, port, _ := net.SplitHostPort(addr)
	p, err := w.start(addr, name, "--bind", "127.0.0.1", "--port", port, "--dir", dir,
		"--appendonly", "yes", "--appendfsync", "everysec", "--auto-aof-rewrite-percentage", "0", "--save", "", "--maxmemory-policy", "noeviction")
	if err != nil {
		return nil, err
	}
	return p, p.ready(ctx, func() error {
		_, err := redisInfo(addr, "server")
		return err
	})
}

// redisFlush empties a server.
func redisFlush(addr string) error {
	r, closeConn, err := redisSend(addr, "FLUSHALL")
	if err != nil {
		return err
	}
	defer closeConn()
	answer, err := r.ReadString('\n')
	if err == nil && answer != "+OK\r\n" {
		err = errors.New(strings.TrimSpace(answer))
	}
	return err
}

// redisSend sends an inline command.
func redisSend(addr, command string) (answer *bufio.Reader, closeConn func(), err error) {
	conn, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return nil, nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	closeConn = func() { _ = conn.Close() }
	if _, err := fmt.Fprintf(conn, "%s\r\n", command); err != nil {
		closeConn()
		return nil, nil, err
	}
	return bufio.NewReader(conn), closeConn, nil
}

// redisInfo gives a section of INFO.
func redisInfo(addr, section string) (map[string]string, error) {
	r, closeConn, err := redisSend(addr, "INFO "+section)
	if err != nil {
		return nil, err
	}
	defer closeConn()
	head, err := r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	size, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(head, "$")))
	if err != nil {
		return nil, errors.New(strings.TrimSpace(head))
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(r, text); err != nil {
		return nil, err
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		out[name] = value
	}
	return out, nil
}

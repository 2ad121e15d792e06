package monitor_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
	"tidings/monitor"
	"tidings/redislog"
)

// A test binary that is started with this variable is a server node: a monitor
// over the Redis named, that prints when it takes the lease and loses it.
const nodeEnv = "TIDINGS_TEST_MONITOR"

func TestMain(m *testing.M) {
	if url := os.Getenv(nodeEnv); url != "" {
		if err := beNode(url); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// leaseTTL is longer than a busy machine keeps a process waiting.
const leaseTTL = 5 * time.Second

// beNode lives until its standard input ends, as it does with the test.
func beNode(url string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	store, err := redislog.Open(ctx, redislog.Options{URL: url})
	if err != nil {
		return err
	}
	defer store.Close()
	m, err := monitor.Start(ctx, store, &monitor.Options{State: store.Documents("monitor"), Observer: &collector{}, LeaseTTL: leaseTTL, CheckpointEvery: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	defer m.Stop()
	go tell(ctx, m)
	_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	return nil
}

func tell(ctx context.Context, m *monitor.Monitor) {
	was := "new"
	for ctx.Err() == nil {
		p := m.Progress()
		now := fmt.Sprintf("leader=%v saved=%v", p.Leader, p.Checkpoint != nil && p.Checkpoint.Error == "")
		if now != was {
			fmt.Println(now)
			was = now
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// collector is an observer that keeps what it was told of.
type collector struct {
	mu   sync.Mutex
	seen []string
}

func (c *collector) Lead(_ context.Context, state []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = nil
	if state == nil {
		return nil
	}
	return json.Unmarshal(state, &c.seen)
}

func (c *collector) Observe(f *monitor.Folded, _ *monitor.Fold) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen = append(c.seen, f.Event.JobID+" "+f.Event.ID.String())
}

func (c *collector) Tick(time.Time, *monitor.Monitor) bool { return false }

func (c *collector) Snapshot() ([]byte, func(), error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	data, err := json.Marshal(c.seen)
	return data, func() {}, err
}

func (c *collector) count() (all, different int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	once := map[string]bool{}
	for _, id := range c.seen {
		once[id] = true
	}
	return len(c.seen), len(once)
}

// node is another process.
type node struct {
	t     *testing.T
	cmd   *exec.Cmd
	lines chan string
}

func startNode(t *testing.T, url string) *node {
	t.Helper()
	n := &node{t: t, cmd: exec.Command(os.Args[0]), lines: make(chan string, 100)}
	n.cmd.Env = append(os.Environ(), nodeEnv+"="+url)
	stdin, err := n.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := n.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var reader sync.WaitGroup
	reader.Go(func() {
		defer close(n.lines)
		for scan := bufio.NewScanner(stdout); scan.Scan(); {
			n.lines <- scan.Text()
		}
	})
	t.Cleanup(func() {
		_ = n.cmd.Process.Signal(syscall.SIGCONT)
		_ = stdin.Close()
		_ = n.cmd.Process.Kill()
		reader.Wait()
		_ = n.cmd.Wait()
	})
	return n
}

// expect waits for a line of the node that begins so.
func (n *node) expect(prefix string) {
	n.t.Helper()
	deadline := time.After(time.Minute)
	for {
		select {
		case line, ok := <-n.lines:
			if !ok {
				n.t.Fatalf("the node has ended before it said %q", prefix)
			}
			if strings.HasPrefix(line, prefix) {
				return
			}
		case <-deadline:
			n.t.Fatalf("the node has not said %q within a minute", prefix)
		}
	}
}

func await(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("a minute has passed, and not yet: %s", what)
		}
	}
}

func openRedis(t *testing.T, url string) *redislog.Store {
	t.Helper()
	store, err := redislog.Open(t.Context(), redislog.Options{URL: url, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// The holder is killed, or stands still and comes back: another takes over from
// its last checkpoint, every change is seen once in effect, and what the one that
// came back still wants to save is refused.
func TestAnotherTakesOver(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"killed": syscall.SIGKILL, "paused": syscall.SIGSTOP} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			redis := redistest.Server(t)
			holder := startNode(t, redis.URL())
			holder.expect("leader=true")
			store := openRedis(t, redis.URL())
			observer := &collector{}
			m, err := monitor.Start(t.Context(), store, &monitor.Options{
				State: store.Documents("monitor"), Observer: observer, LeaseTTL: leaseTTL,
				CheckpointEvery: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Stop()
			total := 0
			write := func(n int) {
				for range n {
					event := tidings.Event{Type: "phase_update", Data: json.RawMessage(`{"status":"progress","name":"n"}`)}
					if _, err := store.Append(t.Context(), fmt.Sprint("job-", total%5), tidings.Batch{Events: []tidings.Event{event}}); err != nil {
						t.Fatal(err)
					}
					total++
				}
			}
			write(50)
			await(t, "this node answers with the same numbers", func() bool { return m.Overview(time.Hour, "").Totals.Events == 50 })
			holder.expect("leader=true saved=true")
			write(50)
			if all, _ := observer.count(); all != 0 && !m.Progress().Leader {
				t.Error("a node without the lease runs its observer")
			}
			if err := holder.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			write(50)
			await(t, "this node has the lease", func() bool { return m.Progress().Leader })
			write(50)
			await(t, "all changes are seen", func() bool { all, _ := observer.count(); return all >= total })
			if signal == syscall.SIGSTOP {
				if err := holder.cmd.Process.Signal(syscall.SIGCONT); err != nil {
					t.Fatal(err)
				}
				holder.expect("leader=false")
				write(50)
			}
			await(t, "all changes are counted", func() bool { return m.Overview(time.Hour, "").Totals.Events == int64(total) })
			await(t, "and seen", func() bool { all, _ := observer.count(); return all >= total })
			if all, different := observer.count(); all != total || different != total {
				t.Errorf("%d changes were seen, %d of them different, of %d", all, different, total)
			}
			if p := m.Progress(); !p.Leader || p.Gaps != 0 {
				t.Errorf("%+v", p)
			}
		})
	}
}

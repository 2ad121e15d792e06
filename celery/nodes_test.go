package celery

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	"tidings"
	"tidings/redislog"
)

// Two nodes bridge one broker into one store: every step is there once, in
// order, also while one of them is cut off and comes back.
func TestTwoNodes(t *testing.T) {
	t.Parallel()
	a := newApp(t)
	open := func() *redislog.Store {
		s, err := redislog.Open(t.Context(), redislog.Options{URL: a.redis.URL()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
	store := open()
	first := a.bridge(store, Options{})
	gate := newGate(t, a.redis.Addr())
	second := a.bridge(open(), Options{BrokerURL: "redis://" + gate.addr() + "/0"})
	a.worker("w1").awaitEvents(t)
	send := func(from, n int) {
		a.do(`
for i in range(%d, %d):
    app.flaky.apply_async((i %% 3,), task_id="job-%%d" %% i)
    app.progress.apply_async((2,), task_id="progress-%%d" %% i)
`, from, from+n)
	}
	send(0, 20)
	gate.cut()
	send(20, 20)
	gate.mend()
	eventually(t, "the second hears again", func() bool { return second.Stats().Hearing })
	send(40, 20)
	for i := range 60 {
		id := fmt.Sprint("job-", i)
		awaitStatus(t, store, id, tidings.StatusCompleted)
		var want []string
		for try := range i % 3 {
			want = append(want, fmt.Sprintf("task_queued %d received\ntask_started %d\ntask_retried %d RuntimeError", try+1, try+1, try+1))
		}
		try := i%3 + 1
		want = append(want, fmt.Sprintf("task_queued %d received\ntask_started %d\ntask_completed %d", try, try, try))
		same(t, story(t, store, id), strings.Split(strings.Join(want, "\n"), "\n")...)
		id = fmt.Sprint("progress-", i)
		awaitStatus(t, store, id, tidings.StatusCompleted)
		// On a machine so busy that the node with the lease is late, the progress
		// that it alone writes may come after the end.
		var progress int
		steps := slices.DeleteFunc(story(t, store, id), func(line string) bool {
			if line == "task_progress 1" {
				progress++
			}
			return line == "task_progress 1"
		})
		same(t, steps, "task_queued 1 received", "task_started 1", "task_completed 1")
		if progress != 2 {
			t.Errorf("%d times progress, want 2", progress)
		}
	}
	one, two := first.Stats(), second.Stats()
	t.Logf("first: %+v", one)
	t.Logf("second: %+v", two)
	if one.Holding == two.Holding {
		t.Errorf("one of them must hold the lease: %v, %v", one.Holding, two.Holding)
	}
	if one.Written == 0 || two.Repeated+two.Written == 0 {
		t.Error("one of them did nothing")
	}
}

// gate is a network that can be cut: a proxy to an address.
type gate struct {
	t      *testing.T
	to     string
	listen net.Listener
	mu     sync.Mutex
	isCut  bool
	conns  []net.Conn
}

func newGate(t *testing.T, to string) *gate {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &gate{t: t, to: to, listen: l}
	t.Cleanup(func() { _ = l.Close(); g.cut() })
	go g.serve()
	return g
}

func (g *gate) addr() string { return g.listen.Addr().String() }

func (g *gate) serve() {
	for {
		in, err := g.listen.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", g.to)
		g.mu.Lock()
		if err != nil || g.isCut {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			g.mu.Unlock()
			continue
		}
		g.conns = append(g.conns, in, out)
		g.mu.Unlock()
		go pipe(in, out)
		go pipe(out, in)
	}
}

func pipe(from, to net.Conn) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
			_ = from.Close()
			_ = to.Close()
			return
		}
	}
}

// cut ends all connections and lets no new ones through.
func (g *gate) cut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isCut = true
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
}

func (g *gate) mend() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isCut = false
}

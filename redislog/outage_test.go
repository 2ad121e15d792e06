package redislog

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
)

// An appender that repeats what it got no answer to, and a follower, go through
// kills of Redis: every event arrives exactly once, in order.
func TestRestartsUnderAppendersAndFollowers(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t, "--appendfsync", "always")
	s := open(t, r.URL())
	const total = 300
	mustAppend(t, s, "job", note(0))
	f := mustFollow(t, s, "job", tidings.Cursor{})

	var acked atomic.Int64
	written := make(chan error, 1)
	ctx := within(t)
	go func() {
		p := tidings.Producer{ID: "writer"}
		for n := 1; n < total; {
			_, err := s.Append(ctx, "job", tidings.Batch{Events: []tidings.Event{note(n)}, Producer: &p})
			switch {
			case err == nil:
				n++
				p.Seq++
				acked.Store(int64(n))
			case !errors.Is(err, tidings.ErrUnavailable) || ctx.Err() != nil:
				written <- fmt.Errorf("event %d: %w", n, err)
				return
			}
		}
		written <- nil
	}()
	for kill := range int64(3) {
		eventually(t, "the appender gets on", func() bool { return acked.Load() >= (kill+1)*total/5 })
		r.Stop()
		r.Start()
	}
	for i, e := range take(t, f, total) {
		if number(&e) != i {
			t.Fatalf("event %d is %s", i, e.Data)
		}
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
}

func TestWhileRedisIsAway(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t, "--appendfsync", "always") // or the kill may lose events, which is told
	s := open(t, r.URL())
	mustAppend(t, s, "job", note(0))
	f := mustFollow(t, s, "job", tidings.Cursor{})
	take(t, f, 1)

	for name, away := range map[string]struct{ begin, end func() }{
		"killed": {r.Stop, r.Start},
		"frozen": {r.Pause, r.Resume},
	} {
		away.begin()
		_, err := s.Append(within(t), "job", tidings.Batch{Events: []tidings.Event{note(-1)}})
		if !errors.Is(err, tidings.ErrUnavailable) {
			t.Errorf("%s: append gave %v; want ErrUnavailable", name, err)
		}
		if h := s.Health(within(t)); h.Ready || h.Error == "" {
			t.Errorf("%s: health is %+v", name, h)
		}
		away.end()
		eventually(t, "it is ready again", func() bool { return s.Health(within(t)).Ready })
		mustAppend(t, s, "job", note(1))
		for e := range takeUntil(t, f, 1) {
			t.Logf("%s: event %d came", name, e)
		}
	}
}

// takeUntil reads on until event n came, and gives the numbers of those before.
func takeUntil(t *testing.T, f tidings.Follower, n int) map[int]bool {
	t.Helper()
	seen := map[int]bool{}
	for {
		events, err := f.Next(within(t))
		if err != nil {
			t.Fatal(err)
		}
		for i := range events {
			if seen[number(&events[i])] = true; number(&events[i]) == n {
				return seen
			}
		}
	}
}

// cutter is a proxy that can take a command to Redis and cut the connection
// before the reply comes back.
type cutter struct {
	listener net.Listener
	target   atomic.Pointer[string]
	cut      atomic.Bool
}

func newCutter(t *testing.T, target string) *cutter {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{listener: l}
	c.target.Store(&target)
	var served sync.WaitGroup
	served.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			served.Go(func() { c.serve(conn) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		served.Wait()
	})
	return c
}

func (c *cutter) serve(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", *c.target.Load())
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		_, _ = io.Copy(server, client)
		_ = server.Close()
	}()
	buffer := make([]byte, 64<<10)
	for {
		n, err := server.Read(buffer)
		if err != nil {
			return
		}
		if c.cut.Load() && strings.Contains(string(buffer[:n]), "ok") && c.cut.CompareAndSwap(true, false) {
			return // the script's answer is lost
		}
		if _, err := client.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// A lost reply is an error and no second write; the producer's sequence answers
// whether it took effect.
func TestLostReply(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	proxy := newCutter(t, r.Addr())
	s := open(t, "redis://"+proxy.listener.Addr().String())
	mustAppend(t, s, "job", note(0))
	p := tidings.Producer{ID: "writer"}
	batch := tidings.Batch{Events: []tidings.Event{note(1)}, Producer: &p}
	proxy.cut.Store(true)
	_, err := s.Append(within(t), "job", batch)
	if !errors.Is(err, tidings.ErrUnavailable) {
		t.Fatalf("append whose reply was lost: %v; want ErrUnavailable", err)
	}
	var again tidings.Receipt
	eventually(t, "the connection is back", func() bool {
		again, err = s.Append(within(t), "job", batch)
		return err == nil
	})
	if !again.Duplicate {
		t.Errorf("repeated append: %+v; want a duplicate", again)
	}
	if n := r.CLI("XLEN", "job_events:job"); n != "2" {
		t.Errorf("the stream has %s entries; want 2", n)
	}
}

// A replica that lacks the last writes takes over: followers and old cursors
// are told, and events written afterwards arrive.
func TestFailoverThatLostWritesIsRewound(t *testing.T) {
	t.Parallel()
	master, replica := redistest.Server(t), redistest.Server(t)
	replica.CLI("REPLICAOF", "127.0.0.1", fmt.Sprint(master.Port()))
	eventually(t, "the replica is in sync", func() bool {
		return strings.Contains(replica.CLI("INFO", "replication"), "master_link_status:up")
	})
	// A stand-in for the address that moves: the proxy.
	front := newCutter(t, master.Addr())
	s := open(t, "redis://"+front.listener.Addr().String())
	first := mustAppend(t, s, "job", note(0), note(1))
	eventually(t, "the replica has the first events", func() bool { return replica.CLI("XLEN", "job_events:job") == "2" })

	replica.CLI("REPLICAOF", "NO", "ONE") // promoted, while the old master still takes writes
	lost := mustAppend(t, s, "job", note(2), note(3), note(4))
	f := mustFollow(t, s, "job", tidings.Cursor{})
	take(t, f, 5)
	promoted := replica.Addr()
	front.target.Store(&promoted)
	master.Stop() // its connections break, the next ones go to the replica

	_, err := f.Next(within(t))
	rewound, ok := errors.AsType[*tidings.RewoundError](err)
	if !ok {
		t.Fatalf("follower of lost events: %v; want a *RewoundError", err)
	}
	if rewound.Last != first.LastID || rewound.Incarnation != first.Incarnation {
		t.Errorf("error says %+v; want last %s", *rewound, first.LastID)
	}
	take(t, f, 2)
	// Resume with a cursor that only the old master gave, also after the log
	// has gone on past it.
	cursor := tidings.Cursor{ID: lost.IDs[0], Incarnation: lost.Incarnation}
	for range 2 {
		_, err = s.Read(within(t), "job", tidings.Query{After: cursor})
		if _, ok := errors.AsType[*tidings.RewoundError](err); !ok {
			t.Errorf("read after a lost event: %v; want a *RewoundError", err)
		}
		mustAppend(t, s, "job", note(5))
		if e := take(t, f, 1)[0]; number(&e) != 5 {
			t.Errorf("live after the failover: %s", e.Data)
		}
	}
	job, err := s.Job(within(t), "job")
	if err != nil || job.Events != 4 {
		t.Errorf("job after the failover: %+v, %v; want 4 events", job, err)
	}
}

func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	g := redistest.Sentinel(t)
	s := open(t, "redis-sentinel://"+strings.Join(addrsOf(g.Sentinels), ",")+"/"+redistest.MasterName)
	mustAppend(t, s, "job", note(0))
	f := mustFollow(t, s, "job", tidings.Cursor{})
	take(t, f, 1)
	replica := g.Replica()
	eventually(t, "the replica has the event", func() bool { return replica.CLI("XLEN", "job_events:job") == "1" })
	g.Failover()

	p := tidings.Producer{ID: "writer"}
	begun := time.Now()
	eventually(t, "appends go to the new master", func() bool {
		_, err := s.Append(within(t), "job", tidings.Batch{Events: []tidings.Event{note(1)}, Producer: &p})
		return err == nil
	})
	t.Logf("appends are back after %v", time.Since(begun))
	if e := take(t, f, 1)[0]; number(&e) != 1 {
		t.Errorf("after the failover: %s", e.Data)
	}
	xadd(t, g.Master().Dial(), "job", "custom", `{"n":2}`)
	if e := take(t, f, 1)[0]; number(&e) != 2 {
		t.Errorf("a bare XADD after the failover: %s", e.Data)
	}
	eventually(t, "announcements are heard again", func() bool { return s.live.deaf() == 0 })
}

func addrsOf(servers []*redistest.Redis) []string {
	var out []string
	for _, s := range servers {
		out = append(out, s.Addr())
	}
	return out
}

func TestDurability(t *testing.T) {
	t.Parallel()
	master, replica := redistest.Server(t), redistest.Server(t)
	replica.CLI("REPLICAOF", "127.0.0.1", fmt.Sprint(master.Port()))
	s := open(t, master.URL(), func(o *Options) { o.Durability = Durability{Replicas: 1, Timeout: 200 * time.Millisecond} })
	p := tidings.Producer{ID: "writer"}
	batch := tidings.Batch{Events: []tidings.Event{note(0)}, Producer: &p}
	eventually(t, "the replica confirms", func() bool {
		_, err := s.Append(within(t), "job", batch)
		return err == nil
	})
	if n := replica.CLI("XLEN", "job_events:job"); n != "1" {
		t.Errorf("the replica has %s events", n)
	}
	replica.Pause()
	p.Seq++
	_, err := s.Append(within(t), "job", batch)
	if !errors.Is(err, tidings.ErrUnavailable) || !strings.Contains(err.Error(), "was written") {
		t.Errorf("append that no replica confirms: %v", err)
	}
	replica.Resume()
	var r tidings.Receipt
	eventually(t, "the replica is back", func() bool {
		r, err = s.Append(within(t), "job", batch)
		return err == nil
	})
	if !r.Duplicate {
		t.Errorf("repeated when the replica is back: %+v; want a duplicate", r)
	}
	_, err = Open(within(t), Options{URL: master.URL(), Durability: Durability{AOFLocal: true}})
	if strings.Contains(master.CLI("INFO", "server"), "redis_version:7.0") {
		if _, ok := errors.AsType[*tidings.InvalidError](err); !ok {
			t.Errorf("WAITAOF on Redis 7.0: %v; want it refused", err)
		}
	}
}

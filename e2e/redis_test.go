package e2e

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tidings/internal/redistest"
	"tidings/wire"
)

// clientsOf counts the connections that Redis has, but for the one that asks.
func clientsOf(r *redistest.Redis) int {
	n := 0
	for line := range strings.Lines(r.CLI("CLIENT", "LIST")) {
		if strings.HasPrefix(line, "id=") && !strings.Contains(line, "cmd=client|list") {
			n++
		}
	}
	return n
}

// The server holds as many connections to Redis with 2,000 viewers of 200 jobs
// as with none.
func TestRedisConnectionsDoNotGrowWithViewers(t *testing.T) {
	t.Parallel()
	redis := redistest.Server(t)
	s := serve(t, "--redis", redis.URL())
	ctx := testContext(t, 3*time.Minute)
	c := s.client(nil)
	const jobs, each = 200, 10
	for i := range jobs {
		fill(ctx, t, c, fmt.Sprint("job-", i), 1)
	}
	before := clientsOf(redis)

	for i := range jobs * each {
		v := s.viewer(fmt.Sprint("job-", i%jobs))
		go v.connect(ctx, -1)
	}
	eventually(t, time.Minute, "all viewers are connected", func() bool { return s.viewers() == jobs*each })
	if during := clientsOf(redis); during != before {
		t.Errorf("%d connections to Redis with %d viewers, %d with none", during, jobs*each, before)
	}
	t.Logf("%d connections to Redis, with 0 and with %d viewers of %d jobs", before, jobs*each, jobs)
}

// While Redis is away appends fail fast and say so, viewers stay connected, and
// both go on when it is back.
func TestRedisGoesAndComesBack(t *testing.T) {
	t.Parallel()
	redis := redistest.Server(t, "--appendonly", "yes", "--appendfsync", "always")
	s := serve(t, "--redis", redis.URL())
	ctx := testContext(t, 2*time.Minute)
	c := s.client(nil)
	want := fill(ctx, t, c, "job", 3)

	v := s.viewer("job")
	got := make(chan error, 1)
	go func() { // one connection, through the outage, to the last event
		_, err := v.connect(ctx, len(want)+1)
		got <- err
	}()
	eventually(t, 10*time.Second, "the viewer is connected", func() bool { return s.viewers() == 1 })

	redis.Stop()
	start := time.Now()
	_, errs, code := s.tidings(ctx, nil, "publish", "job", "custom", "--retry-for", "0s")
	if code == 0 || !strings.Contains(errs, "unavailable") {
		t.Errorf("an append while Redis is away: exit code %d, %s", code, errs)
	}
	t.Logf("an append while Redis is away failed after %s", time.Since(start).Round(time.Millisecond))
	redis.Start()

	eventually(t, 30*time.Second, "appends work again", func() bool {
		r, err := c.Append(ctx, "job", oneEvent(t))
		if err == nil {
			want = append(want, r.LastID.String())
		}
		return err == nil
	})
	if err := <-got; err != nil || strings.Join(v.ids, " ") != strings.Join(want, " ") {
		t.Errorf("the viewer got %v, want %v: %v", v.ids, want, err)
	}
}

// A job of a publisher that knows nothing of Tidings is seen live, and found by
// listing.
func TestBareXADD(t *testing.T) {
	t.Parallel()
	redis := redistest.Server(t)
	s := serve(t, "--redis", redis.URL())
	ctx := testContext(t, time.Minute)
	xadd := func(eventType, data string) {
		redis.CLI("XADD", "job_events:legacy", "*", "event_type", eventType, "timestamp", "2026-11-24T09:20:01.5",
			"data", fmt.Sprintf(`{"event_type":%q,"data":%s,"timestamp":"2026-11-24T09:20:01.5","job_id":"legacy"}`, eventType, data))
	}
	xadd("phase_update", `{"phase":"start","name":"old_agent","status":"started"}`)
	eventually(t, 10*time.Second, "the job is listed", func() bool {
		out, _, _ := s.tidings(ctx, nil, "jobs", "--json")
		return strings.Contains(out, `"legacy"`) && strings.Contains(out, `"running"`) && strings.Contains(out, "old_agent")
	})

	v := s.viewer("legacy")
	done := v.watch(ctx)
	eventually(t, 10*time.Second, "the viewer is connected", func() bool { return s.viewers() == 1 })
	xadd("thought", `{"content":"hm"}`)
	xadd("done", `{}`)
	if err := <-done; err != nil || len(v.ids) != 3 {
		t.Errorf("the viewer got %v: %v", v.ids, err)
	}
	eventually(t, 10*time.Second, "the job is listed as completed", func() bool {
		out, _, _ := s.tidings(ctx, nil, "jobs", "--json")
		return strings.Contains(out, `"completed"`)
	})
}

// Publishers and viewers of the Pub/Sub format before streams go on working
// beside a server with the bridge.
func TestBridge(t *testing.T) {
	t.Parallel()
	redis := redistest.Server(t)
	s := serve(t, "--redis", redis.URL(), "--bridge", "both")
	ctx := testContext(t, time.Minute)

	old := redis.Dial()
	defer old.Close()
	if err := old.Send("SUBSCRIBE", "job:new:events"); err != nil {
		t.Fatal(err)
	}
	if _, err := old.Receive(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	c := s.client(nil)
	eventually(t, 20*time.Second, "what is published the old way becomes an event", func() bool {
		redis.CLI("PUBLISH", "job:old:events", `{"event":"custom","data":{"n":1},"timestamp":"2026-11-24T09:20:01Z","job_id":"old"}`)
		job, err := c.Job(ctx, "old")
		return err == nil && job.LastType == "custom"
	})

	fill(ctx, t, c, "new", 1)
	message, err := old.Receive(20 * time.Second)
	if err != nil || !strings.Contains(fmt.Sprint(message), `"event":"custom"`) {
		t.Errorf("an old viewer got %v: %v", message, err)
	}
}

// A stream that others delete and write again is another log: a viewer who
// watches is told, and gets the new one from its start.
func TestStreamIsDeletedAndWrittenAgain(t *testing.T) {
	t.Parallel()
	redis := redistest.Server(t)
	s := serve(t, "--redis", redis.URL())
	ctx := testContext(t, time.Minute)
	for range 3 {
		redis.CLI("XADD", "job_events:job", "*", "event_type", "first")
	}
	resp, err := s.viewer("job").open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	r := wire.NewSSEReader(resp.Body, 1<<20)
	next := func(want string) wire.Message {
		t.Helper()
		m, err := r.Next()
		if err != nil || m.Event != want {
			t.Fatalf("the viewer is told %q %s, want %q: %v", m.Event, m.Data, want, err)
		}
		return m
	}
	last := ""
	for range 3 {
		last = next("first").ID
	}
	again := fmt.Sprintf("%d-0", time.Now().UnixMilli()-5000) // as by a clock that is behind
	redis.CLI("EVAL", `redis.call('DEL', KEYS[1]); return redis.call('XADD', KEYS[1], ARGV[1], 'event_type', 'second')`, "1", "job_events:job", again)
	if m := next("rewound"); !strings.Contains(string(m.Data), `"last_id":"`+again+`"`) || !strings.Contains(string(m.Data), `"after":"`+last+`"`) {
		t.Errorf("rewound %s, want after %s and the last ID %s", m.Data, last, again)
	}
	next("second")
}

// Nodes over one Redis are alike: a viewer who comes back to another node goes
// on exactly where it was, whichever node the events were published through.
func TestViewersMoveBetweenNodes(t *testing.T) {
	t.Parallel()
	redis := redistest.Server(t)
	nodes := []*server{serve(t, "--redis", redis.URL()), serve(t, "--redis", redis.URL())}
	ctx := testContext(t, 2*time.Minute)
	want := fill(ctx, t, nodes[0].client(nil), "job", 20)

	var wg sync.WaitGroup
	viewers := make([]*eventSource, 20)
	for i := range viewers {
		viewers[i] = nodes[0].viewer("job")
		wg.Go(func() {
			for n := 0; ; n++ {
				viewers[i].url = nodes[(i+n)%2].viewer("job").url
				done, err := viewers[i].connect(ctx, 1+(7*i+n)%23)
				if err != nil {
					t.Errorf("viewer %d: %v", i, err)
				}
				if done || err != nil {
					return
				}
			}
		})
	}
	for n := range 50 {
		want = append(want, fill(ctx, t, nodes[n%2].client(nil), "job", 5)...)
	}
	want = append(want, finish(ctx, t, nodes[1].client(nil), "job"))
	wg.Wait()
	for i, v := range viewers {
		if !slices.Equal(v.ids, want) {
			t.Errorf("viewer %d has %d events, want %d", i, len(v.ids), len(want))
		}
		// A node may hear of the end later than the viewer, and tell it again.
		if slices.ContainsFunc(v.events, func(name string) bool { return name != wire.ControlEnd }) {
			t.Errorf("viewer %d was told %v", i, v.events)
		}
	}
}

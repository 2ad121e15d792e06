package redistest_test

import (
	"errors"
	"testing"
	"time"

	"tidings/internal/redistest"
)

func TestServerKeepsItsDataWhenKilled(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t, "--appendfsync", "always")
	r.CLI("SET", "name", "wert ünïcode\r\n")
	addr := r.Addr()

	r.Stop()
	if r.Running() {
		t.Error("a stopped server counts as running")
	}
	r.Start()

	if r.Addr() != addr {
		t.Errorf("the server came back on %s, was on %s", r.Addr(), addr)
	}
	if got := r.CLI("GET", "name"); got != "wert ünïcode\r\n" {
		t.Errorf("after a kill the server holds %q", got)
	}
}

func TestServersDoNotMeet(t *testing.T) {
	t.Parallel()
	a, b := redistest.Server(t), redistest.Server(t)
	a.CLI("SET", "whose", "a")
	if got := b.CLI("GET", "whose"); got != "" {
		t.Errorf("the other server knows %q", got)
	}
}

func TestPausedServerDoesNotAnswer(t *testing.T) {
	t.Parallel()
	r := redistest.Server(t)
	c := r.Dial()
	r.Pause()
	if err := c.Send("PING"); err != nil {
		t.Fatal(err)
	}
	if v, err := c.Receive(50 * time.Millisecond); err == nil {
		t.Errorf("a paused server answered %v", v)
	}
	r.Resume()
	if got := r.CLI("PING"); got != "PONG" {
		t.Errorf("a resumed server answered %q", got)
	}
}

func TestConnReadsEveryKindOfReply(t *testing.T) {
	t.Parallel()
	c := redistest.Server(t).Dial()
	script := `return {1, 'two', {'three', false}, redis.error_reply('four')}`
	got, err := c.Do("EVAL", script, "0")
	if err != nil {
		t.Fatal(err)
	}
	values := got.([]any)
	inner := values[2].([]any)
	if values[0] != int64(1) || values[1] != "two" || inner[0] != "three" || inner[1] != nil {
		t.Errorf("the reply was read as %#v", got)
	}
	if _, isError := values[3].(redistest.Error); !isError {
		t.Errorf("the nested error was read as %#v", values[3])
	}
	var refused redistest.Error
	if _, err := c.Do("NONSENSE"); !errors.As(err, &refused) {
		t.Errorf("an unknown command gave %v", err)
	}
}

func TestClusterServesEveryKeyFromItsNode(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t)
	for _, key := range []string{"a", "b", "c", "job_events:1", "{job_events:1}:meta"} {
		c.CLI(key, "SET", key, "value of "+key)
		if got := c.CLI(key, "GET", key); got != "value of "+key {
			t.Errorf("%s holds %q", key, got)
		}
	}
	if c.NodeOf("job_events:1") != c.NodeOf("{job_events:1}:meta") {
		t.Error("a key and its companion lie on different nodes")
	}
}

func TestSentinelFailsOverAndBack(t *testing.T) {
	t.Parallel()
	g := redistest.Sentinel(t)
	first := g.Master()
	first.CLI("SET", "name", "kept")
	first.CLI("WAIT", "1", "5000")

	g.Failover()
	if g.Master() == first || first.Running() {
		t.Fatal("the master did not change")
	}
	if got := g.Master().CLI("GET", "name"); got != "kept" {
		t.Errorf("the new master holds %q", got)
	}
	g.Rejoin()
	g.Failover()
	if g.Master() != first {
		t.Error("the second failover did not lead back")
	}
}

package redislog

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/internal/redistest"
)

// On a Cluster jobs lie on all nodes; each node's one connection hears those of
// its shard.
func TestClusterAnnouncements(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t)
	s := open(t, c.URL(), func(o *Options) { o.pollEvery = time.Hour })
	other := open(t, c.URL())
	const jobs = 30
	eventually(t, "a connection to each node is up", func() bool {
		s.live.mu.Lock()
		defer s.live.mu.Unlock()
		return len(s.live.subs) == 3
	})
	var followers []tidings.Follower
	for n := range jobs {
		mustAppend(t, other, fmt.Sprintf("job-%d", n), note(0))
		f := mustFollow(t, s, fmt.Sprintf("job-%d", n), tidings.Cursor{})
		take(t, f, 1)
		followers = append(followers, f)
	}
	for n, f := range followers {
		mustAppend(t, other, fmt.Sprintf("job-%d", n), note(1))
		take(t, f, 1)
	}
	for _, node := range c.Nodes {
		if strings.Count(node.CLI("CLIENT", "LIST", "TYPE", "pubsub"), "name=tidings") != 2 { // one a store
			t.Errorf("node %s has not one subscribed connection a store:\n%s", node.Addr(), node.CLI("CLIENT", "LIST", "TYPE", "pubsub"))
		}
	}
}

func TestClusterSeesBareXADD(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t)
	s := open(t, c.URL())
	want := map[string]tidings.Status{}
	for n := range 6 {
		job := fmt.Sprintf("foreign-%d", n)
		conn := c.NodeOf("job_events:" + job).Dial()
		xadd(t, conn, job, "phase_update", `{"status":"started"}`)
		f := mustFollow(t, s, job, tidings.Cursor{})
		take(t, f, 1)
		xadd(t, conn, job, "done", `{}`)
		take(t, f, 1)
		want[job] = tidings.StatusCompleted
	}
	eventually(t, "all are listed", func() bool { return listedAs(t, s, want) })
}

// A slot that moves to another node takes its jobs along; followers and
// appenders go on.
func TestClusterSlotMigration(t *testing.T) {
	t.Parallel()
	c := redistest.Cluster(t)
	s := open(t, c.URL())
	mustAppend(t, s, "job", note(0))
	f := mustFollow(t, s, "job", tidings.Cursor{})
	take(t, f, 1)

	stream := "job_events:job"
	slot := strconv.Itoa(int(slot(stream)))
	from := c.NodeOf(stream)
	to := c.Nodes[0]
	if to == from {
		to = c.Nodes[1]
	}
	to.CLI("CLUSTER", "SETSLOT", slot, "IMPORTING", from.CLI("CLUSTER", "MYID"))
	from.CLI("CLUSTER", "SETSLOT", slot, "MIGRATING", to.CLI("CLUSTER", "MYID"))
	from.CLI("MIGRATE", "127.0.0.1", strconv.Itoa(to.Port()), "", "0", "5000", "KEYS", stream, "{"+stream+"}:meta")
	for _, node := range c.Nodes {
		node.CLI("CLUSTER", "SETSLOT", slot, "NODE", to.CLI("CLUSTER", "MYID"))
	}
	p := tidings.Producer{ID: "writer"}
	for n := range int64(3) {
		p.Seq = n
		eventually(t, "the append goes to the new node", func() bool {
			_, err := s.Append(within(t), "job", tidings.Batch{Events: []tidings.Event{note(int(n) + 1)}, Producer: &p})
			return err == nil
		})
		if e := take(t, f, 1)[0]; number(&e) != int(n)+1 {
			t.Fatalf("after the move: %s", e.Data)
		}
	}
	eventually(t, "the job's channel is subscribed to on its new node", func() bool {
		return strings.HasSuffix(to.CLI("PUBSUB", "SHARDNUMSUB", "{job_events:job}:live"), "1")
	})
}

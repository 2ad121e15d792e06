package redistest

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// MasterName is the name under which Sentinels know the master.
const MasterName = "tidings"

// Group is a master, a replica, and three Sentinels that watch them.
type Group struct {
	Servers   []*Redis // the master and the replica, whichever is which at the moment
	Sentinels []*Redis
	t         testing.TB
}

// Sentinel starts a group, with args for the master and the replica, and waits
// until all of it know each other and the replica has caught up.
func Sentinel(t testing.TB, args ...string) *Group {
	t.Helper()
	g := &Group{t: t}
	args = append([]string{"--repl-diskless-sync-delay", "0"}, args...)
	master := Server(t, args...)
	replica := Server(t, args...)
	g.Servers = []*Redis{master, replica}
	g.follow(replica, master)
	for range 3 {
		g.Sentinels = append(g.Sentinels, startSentinel(t, master))
	}
	for _, s := range g.Sentinels {
		await(t, "the sentinel "+s.Addr()+" knows the others and the replica", func() bool {
			info, err := ask(s.Addr(), "INFO", "sentinel")
			return err == nil && strings.Contains(info, "status=ok") &&
				strings.Contains(info, "slaves=1,sentinels=3")
		})
	}
	return g
}

// startSentinel starts a Sentinel, which is a server with a configuration file
// that it rewrites itself.
func startSentinel(t testing.TB, master *Redis) *Redis {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "sentinel.conf")
	text := fmt.Sprintf("sentinel monitor %[1]s 127.0.0.1 %[2]d 2\n"+
		"sentinel down-after-milliseconds %[1]s 1000\n"+
		"sentinel failover-timeout %[1]s 5000\n", MasterName, master.port)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return start(t, dir, maxPlainPort, []string{file, "--sentinel"})
}

// Master is the server that the Sentinels call the master.
func (g *Group) Master() *Redis {
	g.t.Helper()
	addr := masterOf(g.Sentinels[0])
	for _, s := range g.Servers {
		if s.Addr() == addr {
			return s
		}
	}
	g.t.Fatalf("the sentinel %s names a master that is not of the group: %q", g.Sentinels[0].Addr(), addr)
	return nil
}

func masterOf(sentinel *Redis) string {
	addr, err := ask(sentinel.Addr(), "SENTINEL", "GET-MASTER-ADDR-BY-NAME", MasterName)
	if err != nil {
		return ""
	}
	return strings.ReplaceAll(addr, "\n", ":")
}

// Replica is the server that is not the master.
func (g *Group) Replica() *Redis {
	g.t.Helper()
	return g.other(g.Master())
}

func (g *Group) other(s *Redis) *Redis {
	if s == g.Servers[0] {
		return g.Servers[1]
	}
	return g.Servers[0]
}

// Failover kills the master and waits until the Sentinels have made the replica
// the master and all agree on it. What the replica had not got is lost. The old
// master stays down until [Group.Rejoin].
func (g *Group) Failover() {
	g.t.Helper()
	old := g.Master()
	next := g.other(old)
	old.Stop()
	g.awaitMaster(next)
}

func (g *Group) awaitMaster(next *Redis) {
	g.t.Helper()
	await(g.t, next.Addr()+" becomes the master", func() bool {
		info, err := ask(next.Addr(), "INFO", "replication")
		return err == nil && field(info, "role") == "master"
	})
	for _, s := range g.Sentinels {
		await(g.t, "the sentinel "+s.Addr()+" calls "+next.Addr()+" the master", func() bool {
			return masterOf(s) == next.Addr()
		})
	}
}

// Rejoin starts the server that is down as a replica of the master, and waits
// until it has caught up, so that [Group.Failover] can be called again.
func (g *Group) Rejoin() {
	g.t.Helper()
	master := g.Master()
	replica := g.other(master)
	replica.Start()
	g.follow(replica, master)
	for _, s := range g.Sentinels {
		await(g.t, "the sentinel "+s.Addr()+" sees the replica "+replica.Addr()+" well", func() bool {
			flags, err := ask(s.Addr(), "SENTINEL", "REPLICAS", MasterName)
			return err == nil && strings.Contains(flags, "\nflags\nslave\n") &&
				strings.Contains(flags, "\nmaster-link-status\nok\n")
		})
	}
}

// follow makes one server a replica of the other and waits for the link.
func (g *Group) follow(replica, master *Redis) {
	g.t.Helper()
	replica.CLI("REPLICAOF", "127.0.0.1", strconv.Itoa(master.port))
	await(g.t, replica.Addr()+" follows "+master.Addr(), func() bool {
		info, err := ask(replica.Addr(), "INFO", "replication")
		return err == nil && field(info, "master_link_status") == "up"
	})
}

// Addrs are the Sentinels' host:port.
func (g *Group) Addrs() []string {
	addrs := make([]string, len(g.Sentinels))
	for i, s := range g.Sentinels {
		addrs[i] = s.Addr()
	}
	return addrs
}

package redistest

import (
	"strconv"
	"strings"
	"testing"
)

const slots = 16384

// Nodes is a Redis Cluster: three masters that share the slots, no replicas.
type Nodes struct {
	Nodes []*Redis
	t     testing.TB
}

// Cluster starts a Cluster of three nodes, with args for each, and waits until
// every node finds it complete.
func Cluster(t testing.TB, args ...string) *Nodes {
	t.Helper()
	c := &Nodes{t: t}
	args = append([]string{"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf",
		"--cluster-node-timeout", "2000"}, args...)
	for range 3 {
		c.Nodes = append(c.Nodes, start(t, t.TempDir(), maxClusterPort, withDefaults(args)))
	}
	c.join()
	c.AwaitHealthy()
	return c
}

// join gives each node its share of the slots and makes them meet. Epochs are
// set first, or the nodes would have to agree on who is the elder.
func (c *Nodes) join() {
	c.t.Helper()
	share := (slots + len(c.Nodes) - 1) / len(c.Nodes)
	for i, node := range c.Nodes {
		node.CLI("CLUSTER", "SET-CONFIG-EPOCH", strconv.Itoa(i+1))
		add := []string{"CLUSTER", "ADDSLOTS"}
		for slot := i * share; slot < min((i+1)*share, slots); slot++ {
			add = append(add, strconv.Itoa(slot))
		}
		node.CLI(add...)
		if i > 0 {
			c.Nodes[0].CLI("CLUSTER", "MEET", "127.0.0.1", strconv.Itoa(node.port))
		}
	}
}

// AwaitHealthy waits until every node sees all the others and all slots served,
// and is connected to each: what is published goes over these connections.
func (c *Nodes) AwaitHealthy() {
	c.t.Helper()
	for _, node := range c.Nodes {
		await(c.t, "the cluster is complete in the eyes of "+node.Addr(), func() bool {
			info, err := ask(node.Addr(), "CLUSTER", "INFO")
			if err != nil {
				return false
			}
			links, err := ask(node.Addr(), "CLUSTER", "NODES")
			return err == nil && strings.Count(links, " connected") == len(c.Nodes) &&
				!strings.Contains(links, "handshake") && field(info, "cluster_state") == "ok" &&
				field(info, "cluster_known_nodes") == strconv.Itoa(len(c.Nodes)) &&
				field(info, "cluster_slots_ok") == strconv.Itoa(slots)
		})
	}
}

// Addrs are the nodes' host:port.
func (c *Nodes) Addrs() []string {
	addrs := make([]string, len(c.Nodes))
	for i, node := range c.Nodes {
		addrs[i] = node.Addr()
	}
	return addrs
}

// NodeOf is the node that serves the slot of key.
func (c *Nodes) NodeOf(key string) *Redis {
	c.t.Helper()
	slot, err := strconv.Atoi(c.Nodes[0].CLI("CLUSTER", "KEYSLOT", key))
	if err != nil {
		c.t.Fatal(err)
	}
	share := (slots + len(c.Nodes) - 1) / len(c.Nodes)
	return c.Nodes[slot/share]
}

// CLI runs a command on the node that serves key.
func (c *Nodes) CLI(key string, args ...string) string {
	c.t.Helper()
	return c.NodeOf(key).CLI(args...)
}

// URL is the nodes' addresses, separated by commas.
func (c *Nodes) URL() string { return "redis://" + strings.Join(c.Addrs(), ",") }

package redistest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Ports lie below those that Linux gives to outgoing connections (from 32768
// on), so that no client takes one between the look and the start. A Cluster
// node listens on its port + 10000 as well, so these ports lie lower still.
const (
	minPort        = 10_000
	busOffset      = 10_000
	maxPlainPort   = 32_000
	maxClusterPort = 22_000
)

// freePort gives a port that was free a moment ago, and with it the port of a
// Cluster bus. Test processes run side by side, so it looks in a random order.
func freePort(t testing.TB, maxPort int) int {
	t.Helper()
	for range 1000 {
		port := minPort + rand.IntN(maxPort-minPort)
		if free(port) && free(port+busOffset) {
			return port
		}
	}
	t.Fatalf("no free port between %d and %d", minPort, maxPort)
	return 0
}

func free(port int) bool {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

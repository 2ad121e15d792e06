package redislog

import (
	"maps"
	"strings"
	"time"

	"github.com/redis/rueidis"
)

// watchIdentity notices that another server answers than before: a failover or
// a restart that no connection has told us of. What followers hold may then be
// ahead of the log, and the announcements' connections may be deaf.
func (s *Store) watchIdentity() {
	tick := time.NewTicker(s.opts.identityEvery)
	defer tick.Stop()
	var before map[string]string
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-tick.C:
		}
		now, err := s.identities()
		if err != nil || maps.Equal(before, now) {
			continue
		}
		if before != nil {
			s.log.Info("redis: the servers have changed; followers look at their streams anew")
			s.live.topologyChanged()
			s.live.reconnect()
			s.watches.checkAll()
		}
		before = now
	}
}

// identities gives for each server which process it is and which history it
// replicates.
func (s *Store) identities() (map[string]string, error) {
	out := map[string]string{}
	for addr, node := range s.client.Nodes() {
		ctx, cancel := s.call(s.ctx)
		replies := node.DoMulti(ctx,
			node.B().Info().Section("server").Build(),
			node.B().Info().Section("replication").Build())
		cancel()
		text := ""
		for _, r := range replies {
			part, err := r.ToString()
			if err != nil {
				return nil, err
			}
			text += part
		}
		out[addr] = infoField(text, "run_id") + " " + infoField(text, "role") + " " + infoField(text, "master_replid")
	}
	return out, nil
}

// infoField reads a field of INFO or CLUSTER INFO, which may come as a verbatim
// string with its format in front.
func infoField(info, name string) string {
	info = strings.TrimPrefix(info, "txt:")
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// isCluster reports whether keys are spread over several servers.
func (s *Store) isCluster() bool { return s.client.Mode() == rueidis.ClientModeCluster }

package redislog

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/rueidis"

	"tidings"
)

// Health implements [tidings.Store]. It asks every server of the shards.
func (s *Store) Health(ctx context.Context) tidings.Health {
	h := tidings.Health{Store: "redis", Details: map[string]string{"mode": string(s.client.Mode())}}
	if s.closed() {
		h.Error = tidings.ErrStoreClosed.Error()
		return h
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	servers, err := s.servers(ctx)
	if err != nil {
		h.Error = s.unavailable("asking for the servers", err).Error()
		return h
	}
	h.Ready = true
	for _, server := range servers {
		s.checkServer(ctx, server, &h)
	}
	if s.isCluster() {
		s.checkCluster(ctx, &h)
	}
	if s.live != nil {
		if n := s.live.deaf(); n > 0 {
			h.Warnings = append(h.Warnings, fmt.Sprintf("%d connections for announcements are not up; followers see events up to %v later", n, s.opts.pollEvery))
		}
	}
	h.Details["durability"] = s.opts.Durability.String()
	return h
}

// String says what an append waits for.
func (d Durability) String() string {
	var parts []string
	if d.Replicas > 0 {
		parts = append(parts, fmt.Sprintf("WAIT %d", d.Replicas))
	}
	if d.usesAOF() {
		parts = append(parts, fmt.Sprintf("WAITAOF %s %d", flag(d.AOFLocal), d.AOFReplicas))
	}
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func (s *Store) checkServer(ctx context.Context, server rueidis.Client, h *tidings.Health) {
	b := server.B()
	replies := server.DoMulti(ctx, b.Ping().Build(), b.Info().Section("server").Build(), b.Info().Section("replication").Build(), b.Info().Section("persistence").Build(), b.Info().Section("memory").Build())
	info := ""
	for _, r := range replies[1:] {
		text, err := r.ToString()
		if err != nil {
			h.Ready, h.Error = false, s.unavailable("asking a server for its state", err).Error()
			return
		}
		info += text
	}
	h.Details["version"] = infoField(info, "redis_version")
	if role := infoField(info, "role"); role != "master" {
		h.Ready, h.Error = false, "the server is a "+role+" and takes no appends; a failover is under way, or the URL names the wrong server"
	}
	if infoField(info, "loading") == "1" {
		h.Ready, h.Error = false, "Redis is loading its data"
	}
	if status := infoField(info, "aof_last_write_status"); status != "" && status != "ok" {
		h.Ready, h.Error = false, "Redis can't write its append-only file: free disk space or look at its log"
	}
	if memoryFull(info) {
		h.Ready, h.Error = false, "Redis' memory is full, and appends are refused: raise maxmemory, set a retention or delete jobs"
	}
	s.checkConfig(ctx, server, h)
}

// memoryFull reports whether Redis refuses writes for want of memory. As it does
// for itself, it leaves out what goes to replicas and the append-only file.
func memoryFull(info string) bool {
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(infoField(info, name), 10, 64) // what is not told is 0
		return n
	}
	limit := number("maxmemory")
	evicts := strings.HasPrefix(infoField(info, "maxmemory_policy"), "allkeys-")
	return limit > 0 && !evicts && number("used_memory")-number("mem_not_counted_for_evict") > limit
}

// warn adds a warning once, also if several servers call for it.
func warn(h *tidings.Health, warning string) {
	if !slices.Contains(h.Warnings, warning) {
		h.Warnings = append(h.Warnings, warning)
	}
}

// settings that weaken the promises.
var settings = []struct {
	name    string
	weak    func(value string) bool
	warning string
}{
	{"appendonly", func(v string) bool { return v == "no" }, "appendonly is no: events are lost when Redis stops; set appendonly yes"},
	{"maxmemory-policy", func(v string) bool { return v != "noeviction" }, "maxmemory-policy is %s: Redis may drop logs when memory runs short; set noeviction"},
	{"stream-node-max-entries", func(v string) bool { return v == "0" }, "stream-node-max-entries is 0: streams are trimmed badly; leave it at 100"},
	{"stream-node-max-bytes", func(v string) bool { return v == "0" }, "stream-node-max-bytes is 0: streams are trimmed badly; leave it at 4096"},
	{"appendfsync", func(v string) bool { return v == "no" }, "appendfsync is no: a crash of the machine loses what the system had not written; set everysec or always"},
}

func (s *Store) checkConfig(ctx context.Context, server rueidis.Client, h *tidings.Health) {
	for _, setting := range settings {
		values, err := server.Do(ctx, server.B().ConfigGet().Parameter(setting.name).Build()).AsStrMap()
		if err != nil {
			warn(h, "Redis' settings can't be checked (CONFIG GET: "+err.Error()+"); see to it that appendonly is yes and maxmemory-policy is noeviction")
			return
		}
		value, known := values[setting.name]
		if !known {
			continue
		}
		h.Details[setting.name] = value
		if setting.weak(value) {
			warning := setting.warning
			if strings.Contains(warning, "%s") {
				warning = fmt.Sprintf(warning, value)
			}
			warn(h, warning)
		}
	}
}

func (s *Store) checkCluster(ctx context.Context, h *tidings.Health) {
	info, err := s.client.Do(ctx, s.client.B().ClusterInfo().Build()).ToString()
	if err != nil {
		h.Ready, h.Error = false, s.unavailable("asking for the Cluster's state", err).Error()
		return
	}
	if state := infoField(info, "cluster_state"); state != "ok" {
		h.Ready, h.Error = false, "the Cluster's state is "+state+": look at CLUSTER INFO"
	}
	if n, _ := strconv.Atoi(infoField(info, "cluster_slots_ok")); n < 16384 {
		warn(h, fmt.Sprintf("%d of 16384 slots of the Cluster are served", n))
	}
}

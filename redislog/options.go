package redislog

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"tidings"
)

// Options say where Redis is and how to use it. Only URL has no useful zero
// value.
type Options struct {
	// URL names the servers:
	//
	//	redis://[user:password@]host[:6379][/db]    one server (rediss:// with TLS), or any node of a Cluster
	//	redis://h1:7001,h2:7002,h3:7003             a Cluster by several of its nodes
	//	redis-sentinel://h1:26379,h2:26379/mymaster Sentinels and the master's name (rediss-sentinel:// with TLS)
	//
	// valkey:// and valkeys:// are taken like redis:// and rediss://.
	// Parameters: cluster=true insists on a Cluster, cluster=false on a single
	// server; sentinel_master=NAME makes the hosts Sentinels; db=N selects a
	// database; sentinel_user and sentinel_password are for the Sentinels
	// themselves; skip_verify=true accepts any TLS certificate.
	URL string
	// TLS, if set, is used to connect, whatever the URL's scheme.
	TLS *tls.Config
	// Prefix of the streams' keys; the job's ID follows. Empty:
	// [DefaultPrefix]. It may not contain braces. The companion keys derive
	// from it; doc.go names them all.
	Prefix string
	// Durability an append waits for.
	Durability Durability
	// Retention is applied in the background by one of the nodes, every
	// RetentionInterval (zero: one minute; negative: never by itself).
	Retention         tidings.Retention
	RetentionInterval time.Duration
	// FeedEvents bounds how many steps each of the feed's partitions remembers.
	// Zero: 100,000.
	FeedEvents int64
	// Compact rewrites the stream of a job when it ends, which shrinks a small
	// one from 4.4 KB to about 1 KB of Redis' memory. Off by default, as it
	// costs a DUMP and a RESTORE a job.
	Compact bool
	// MaxBatchBytes bounds the data of one batch. Zero: 64 MiB. Redis itself
	// takes no field over 512 MiB.
	MaxBatchBytes int
	// Timeout bounds each call to Redis, connecting included. Zero: 2 s.
	Timeout time.Duration
	// Logger takes warnings. Nil: slog.Default().
	Logger *slog.Logger

	// Intervals that tests shorten.
	pollEvery, lookEvery, probeEvery, scanEvery, identityEvery time.Duration
}

// DefaultPrefix of the streams' keys.
const DefaultPrefix = "job_events:"

// Durability says what an append waits for after the master has taken it. The
// zero value waits for nothing more: the events are then as safe as the
// server's appendfsync setting makes them (everysec loses up to two seconds at
// a crash of the machine), and a failover to a replica loses what that had not
// received. Waiting narrows these windows; it does not make Redis a consensus
// system.
type Durability struct {
	// Replicas that must have acknowledged the batch (WAIT).
	Replicas int
	// AOFLocal waits for the master's own fsync, AOFReplicas for that of so
	// many replicas (WAITAOF: Redis or Valkey 7.2 or later).
	AOFLocal    bool
	AOFReplicas int
	// Timeout of the wait. Zero: 1 s. When it passes, the append fails with
	// ErrUnavailable although the batch was written; repeat it with the same
	// producer sequence.
	Timeout time.Duration
}

func (d Durability) none() bool { return d.Replicas <= 0 && !d.usesAOF() }

func (d Durability) usesAOF() bool { return d.AOFLocal || d.AOFReplicas > 0 }

func (o *Options) withDefaults() error {
	setDefault(&o.Prefix, DefaultPrefix)
	setDefault(&o.RetentionInterval, time.Minute)
	setDefault(&o.FeedEvents, 100_000)
	setDefault(&o.MaxBatchBytes, 64<<20)
	setDefault(&o.Timeout, 2*time.Second)
	setDefault(&o.Durability.Timeout, time.Second)
	setDefault(&o.pollEvery, 200*time.Millisecond)
	setDefault(&o.lookEvery, 2*time.Second)
	setDefault(&o.probeEvery, 5*time.Second)
	setDefault(&o.scanEvery, 2*time.Second)
	setDefault(&o.identityEvery, time.Second)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if strings.ContainsAny(o.Prefix, "{}") {
		return &tidings.InvalidError{Field: "prefix", Reason: "braces are not allowed: they would put a job's keys into different cluster slots"}
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// clientOption turns the options into those of the Redis client.
func (o *Options) clientOption() (rueidis.ClientOption, error) {
	opt, err := parseURL(o.URL)
	if err != nil {
		return opt, err
	}
	if o.TLS != nil {
		opt.TLSConfig = o.TLS
	}
	if opt.Sentinel.MasterSet != "" {
		opt.Sentinel.TLSConfig = opt.TLSConfig
		opt.Sentinel.Dialer = net.Dialer{Timeout: o.Timeout / 2, KeepAlive: keepAlive}
		opt.Sentinel.TopologyRefreshInterval = time.Second // a missed +switch-master would bind us to the old master
	}
	opt.ClientName = "tidings"
	opt.DisableCache = true
	opt.DisableRetry = true // a lost reply is answered by the producer's sequence, never by writing twice
	opt.AlwaysPipelining = true
	opt.MaxFlushDelay = 50 * time.Microsecond // of 20, 50 and 100 the best throughput, with one event a batch and with 64
	opt.Dialer = net.Dialer{Timeout: o.Timeout / 2, KeepAlive: keepAlive}
	opt.ConnWriteTimeout = o.Timeout
	opt.PipelineMultiplex = -1 // one connection: order, and a constant number
	opt.RingScaleEachConn = 9
	opt.ReadBufferEachConn = 64 << 10
	opt.WriteBufferEachConn = 64 << 10
	opt.BlockingPoolSize = dedicatedConns
	opt.ClusterOption.ShardsRefreshInterval = 10 * time.Second
	opt.ClusterOption.MaxMovedRedirections = 5
	return opt, nil
}

const (
	// keepAlive is also the pace of the client's own pings on an idle
	// connection.
	keepAlive = 400 * time.Millisecond
	// dedicatedConns bounds the connections a server that appends with WAIT
	// use, and the one of the announcements.
	dedicatedConns = 17
)

// parseURL reads [Options].URL. net/url can't read several hosts with ports,
// so they are cut out first.
func parseURL(text string) (rueidis.ClientOption, error) {
	var opt rueidis.ClientOption
	invalid := func(reason string) (rueidis.ClientOption, error) {
		return opt, &tidings.InvalidError{Field: "redis URL", Reason: reason}
	}
	scheme, rest, ok := strings.Cut(text, "://")
	if !ok {
		return invalid("missing or without a scheme; one looks like redis://127.0.0.1:6379")
	}
	end := strings.IndexAny(rest, "/?")
	if end < 0 {
		end = len(rest)
	}
	user, hosts := "", rest[:end]
	if at := strings.LastIndexByte(hosts, '@'); at >= 0 {
		user, hosts = hosts[:at+1], hosts[at+1:]
	}
	u, err := url.Parse("redis://" + user + "host" + rest[end:])
	if err != nil {
		return invalid("can't be read; check the escaping of user, password and parameters")
	}
	q, err := parameters(u.RawQuery)
	if err != nil {
		return opt, err
	}
	sentinel := strings.HasSuffix(scheme, "-sentinel")
	path := strings.Trim(u.Path, "/")
	opt.Sentinel.MasterSet = q.Get("sentinel_master")
	if sentinel {
		setDefault(&opt.Sentinel.MasterSet, path)
		path = ""
		if opt.Sentinel.MasterSet == "" {
			return invalid("names no master; write redis-sentinel://h1:26379,h2:26379/mymaster")
		}
	}
	switch strings.TrimSuffix(scheme, "-sentinel") {
	case "redis", "valkey":
	case "rediss", "valkeys":
		opt.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: q.Get("skip_verify") == "true"}
	default:
		return invalid(fmt.Sprintf("has the unknown scheme %.32q; use redis, rediss, redis-sentinel or rediss-sentinel", scheme))
	}
	port := "6379"
	if opt.Sentinel.MasterSet != "" {
		port = "26379"
	}
	if opt.InitAddress, err = addresses(hosts, port); err != nil {
		return opt, err
	}
	if opt.TLSConfig != nil {
		opt.TLSConfig.ServerName, _, _ = net.SplitHostPort(opt.InitAddress[0])
	}
	if u.User != nil {
		opt.Username = u.User.Username()
		opt.Password, _ = u.User.Password()
	}
	opt.Sentinel.Username, opt.Sentinel.Password = q.Get("sentinel_user"), q.Get("sentinel_password")
	if q.Has("db") {
		path = q.Get("db")
	}
	if path != "" {
		if opt.SelectDB, err = strconv.Atoi(path); err != nil || opt.SelectDB < 0 {
			return invalid(fmt.Sprintf("has %.32q where a database number belongs", path))
		}
	}
	if q.Get("cluster") == "false" {
		opt.ForceSingleClient = true
	}
	return opt, nil
}

// parameterNames are those that a URL may have; true: only true or false.
var parameterNames = map[string]bool{"cluster": true, "db": false, "sentinel_master": false, "sentinel_password": false, "sentinel_user": false, "skip_verify": true}

// parameters reads those of the URL. A misspelt one is refused: it would
// quietly mean nothing.
func parameters(query string) (url.Values, error) {
	invalid := func(format string, args ...any) (url.Values, error) {
		return nil, &tidings.InvalidError{Field: "redis URL", Reason: fmt.Sprintf(format, args...)}
	}
	q, err := url.ParseQuery(query)
	if err != nil { // it may hold a password and is not told
		return invalid("has parameters that can't be read; they look like ?name=value&name=value")
	}
	for name := range q {
		isBool, known := parameterNames[name]
		value := q.Get(name)
		switch {
		case !known:
			return invalid("has the unknown parameter %.32q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(parameterNames)), ", "))
		case isBool && value != "true" && value != "false":
			return invalid("has %.32q where %s needs true or false", value, name)
		}
	}
	return q, nil
}

func addresses(hosts, port string) ([]string, error) {
	var out []string
	for host := range strings.SplitSeq(hosts, ",") {
		if host == "" {
			return nil, &tidings.InvalidError{Field: "redis URL", Reason: "names no host, or an empty one"}
		}
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), port)
		}
		out = append(out, host)
	}
	return out, nil
}

// wantsCluster reports whether the URL insists on a Cluster.
func (o *Options) wantsCluster() bool { return strings.Contains(o.URL, "cluster=true") }

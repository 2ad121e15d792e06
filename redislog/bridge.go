package redislog

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidings"
)

// BridgeOptions say what a [Bridge] does.
type BridgeOptions struct {
	// In appends the messages of the channels to the jobs' logs.
	In bool
	// Out publishes the events of all logs on the jobs' channels.
	Out bool
	// Channel is the name of a job's channel, with one * where the job's ID
	// stands. Empty: [DefaultBridgeChannel].
	Channel string
	// Logger takes warnings. Nil: that of the store.
	Logger *slog.Logger

	// lease is how long a node keeps the work after its last sign of life, and
	// keep how long each node remembers messages, to go on where another
	// ended. Tests shorten them.
	lease, keep time.Duration
}

// DefaultBridgeChannel is where publishers of the format before streams
// publish.
const DefaultBridgeChannel = "job:*:events"

// Bridge connects logs with the format before streams, in which the events of a
// job were published with PUBLISH job:<job_id>:events as
// {"event","data","timestamp","job_id"}, so that publishers and viewers can
// move to logs one at a time. Start one on every server node, with the same
// options; they share the work by a lease:
//
//   - In: every node listens, and the one with the lease appends. The others
//     remember the last messages; when one of them takes over, it compares them
//     with the logs and appends what is missing. So each message that any node
//     heard is appended, in the order of its channel, also when the node with
//     the lease dies; and once, unless an append of that node was still under
//     way to Redis just then. Pub/Sub itself keeps nothing: what is published
//     while no node listens is lost. A message that is not in the format is
//     taken as wire.ParseMessage takes it.
//   - Out: the node with the lease follows the feed and publishes each event
//     once, also across crashes; what is appended while no node runs is
//     published later, as far as the feed remembers. The very first start
//     begins with what comes then.
//   - No loops: a message published by the bridge carries one field more,
//     "tidings_id", the event's ID, which older viewers ignore, and is never
//     appended again. An event that came from a message is not published again;
//     only one that was appended just before its node died, and whose message
//     the next node did not hear, may be.
//
// A publisher that writes to both, stream and channel, must not be bridged in:
// its events would be there twice.
//
// A Bridge keeps one connection to Redis besides those of the store; in a
// Cluster too, as PUBLISH reaches every node. Safe for concurrent use.
type Bridge struct {
	s        *Store
	opts     BridgeOptions
	log      *slog.Logger
	channel  channelName
	node     string
	backlog  *backlog
	hearing  atomic.Bool
	heardAt  atomic.Int64 // when the probe came back last, in Unix ms
	holding  atomic.Bool
	minTerm  atomic.Int64 // the next term must not be lower
	batches  atomic.Int64 // appended in this term
	appended atomic.Int64
	refused  atomic.Int64
	mirrored atomic.Int64
	changed  chan struct{} // holds one: hearing has changed

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup
}

// BridgeStats are a bridge's counters since its start.
type BridgeStats struct {
	Heard    int64 // messages of others, heard by this node
	Appended int64 // of them, appended by this node
	Refused  int64 // messages that no log takes: the job has ended, or its ID is invalid
	Dropped  int64 // messages lost because Redis took no appends for too long
	Mirrored int64 // events published by this node
	Holding  bool  // this node has the lease now
	Hearing  bool  // this node is subscribed now
}

var (
	//go:embed lua/bridge_lease.lua
	bridgeLeaseLua string
	//go:embed lua/bridge_mirror.lua
	bridgeMirrorLua string

	bridgeLeaseScript  = newScript(bridgeLeaseLua)
	bridgeMirrorScript = newScript(bridgeMirrorLua)
)

// bridge is the hash with the lease of the bridge and its place in the feed.
func (k keys) bridge() string { return k.derived(0, "bridge") }

// StartBridge starts a bridge. With In, it listens when this returns; ctx bounds
// the time until then. It ends with Close, and no later than the store. Errors:
// a [*tidings.InvalidError] for options, or [tidings.ErrUnavailable].
func StartBridge(ctx context.Context, store *Store, opts BridgeOptions) (*Bridge, error) {
	setDefault(&opts.Channel, DefaultBridgeChannel)
	setDefault(&opts.lease, 5*time.Second)
	setDefault(&opts.keep, 3*opts.lease)
	if opts.Logger == nil {
		opts.Logger = store.log
	}
	channel, err := parseChannelName(opts.Channel)
	if err != nil {
		return nil, err
	}
	if !opts.In && !opts.Out {
		return nil, &tidings.InvalidError{Field: "bridge", Reason: "set In, Out or both"}
	}
	b := &Bridge{s: store, opts: opts, log: opts.Logger, channel: channel, node: newNodeName(),
		backlog: newBacklog(opts.keep), changed: make(chan struct{}, 1)}
	b.ctx, b.cancel = context.WithCancel(store.ctx)
	if opts.In {
		if err := b.startListening(ctx); err != nil {
			b.cancel()
			b.work.Wait()
			return nil, err
		}
	}
	b.work.Go(b.run)
	return b, nil
}

// Close ends the bridge and lets another node take over at once.
func (b *Bridge) Close() error {
	b.cancel()
	b.work.Wait()
	return nil
}

// Stats gives the counters.
func (b *Bridge) Stats() BridgeStats {
	return BridgeStats{
		Heard: b.backlog.heard.Load(), Dropped: b.backlog.dropped.Load(),
		Appended: b.appended.Load(), Refused: b.refused.Load(), Mirrored: b.mirrored.Load(),
		Holding: b.holding.Load(), Hearing: b.hearing.Load(),
	}
}

// channelName is a pattern of channel names, cut at the job's ID.
type channelName struct{ before, after string }

func parseChannelName(pattern string) (channelName, error) {
	before, after, ok := strings.Cut(pattern, "*")
	if !ok || strings.Contains(after, "*") {
		return channelName{}, &tidings.InvalidError{Field: "bridge channel", Reason: fmt.Sprintf("%.64q must have one * where the job's ID stands, as in %s", pattern, DefaultBridgeChannel)}
	}
	return channelName{before, after}, nil
}

func (c channelName) of(jobID string) string { return c.before + jobID + c.after }

func (c channelName) jobID(channel string) (string, bool) {
	rest, ok := strings.CutPrefix(channel, c.before)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, c.after)
}

// glob is the pattern for PSUBSCRIBE, which gives a meaning to more characters.
func (c channelName) glob() string {
	escape := strings.NewReplacer(`\`, `\\`, "?", `\?`, "[", `\[`, "]", `\]`)
	return escape.Replace(c.before) + "*" + escape.Replace(c.after)
}

// run takes the lease whenever it can be had, and works while it holds.
func (b *Bridge) run() {
	for b.ctx.Err() == nil {
		if b.fit() {
			begun := time.Now()
			if term, cursor, err := b.askLease(b.ctx, b.opts.lease, 0); err == nil && term > 0 {
				b.serve(term, cursor, begun.Add(b.opts.lease))
			}
		}
		b.pause(b.ctx, b.opts.lease/3)
	}
}

// fit reports whether this node can do the work: one that does not hear leaves
// it to others.
func (b *Bridge) fit() bool { return !b.opts.In || b.hearing.Load() }

// pause waits, but no longer than until the hearing changes or ctx ends.
func (b *Bridge) pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-b.changed:
	case <-ctx.Done():
	}
}

// askLease begins a term, or renews or (with no duration) gives up the one it
// is told. The term is 0 if another node has the lease.
func (b *Bridge) askLease(ctx context.Context, d time.Duration, renew int64) (term int64, cursor string, err error) {
	ctx, cancel := b.s.call(ctx)
	defer cancel()
	args := []string{b.node, fmt.Sprint(d.Milliseconds()), fmt.Sprint(renew), fmt.Sprint(b.minTerm.Load())}
	reply, err := bridgeLeaseScript.run(ctx, b.s.client, []string{b.s.keys.bridge()}, args).ToArray()
	if err != nil {
		return 0, "", err
	}
	if len(reply) != 2 {
		return 0, "", fmt.Errorf("the bridge's lease script gave %d answers; want 2", len(reply))
	}
	if term, err = reply[0].AsInt64(); err != nil {
		return 0, "", err
	}
	cursor, err = reply[1].ToString()
	return term, cursor, err
}

// serve works until the lease is lost or the bridge ends, and gives the lease
// up.
func (b *Bridge) serve(term int64, cursor string, until time.Time) {
	ctx, cancel := context.WithCancel(b.ctx)
	defer cancel()
	b.batches.Store(0)
	b.holding.Store(true)
	var work sync.WaitGroup
	if b.opts.In {
		work.Go(func() { b.takeIn(ctx, cancel, term) })
	}
	if b.opts.Out {
		work.Go(func() { b.mirror(ctx, cancel, term, cursor) })
	}
	b.hold(ctx, term, until)
	cancel()
	work.Wait()
	b.holding.Store(false)
	// The bridge's own context may have ended, and this must still be sent. If
	// it is not, the lease runs out by itself.
	if _, _, err := b.askLease(context.WithoutCancel(b.ctx), 0, term); err != nil && b.ctx.Err() == nil {
		b.log.Warn("bridge: can't give up the lease", "error", err)
	}
}

// hold renews the lease until ctx ends, another node has it, it ran out, or
// this node does not hear any more.
func (b *Bridge) hold(ctx context.Context, term int64, until time.Time) {
	for {
		b.pause(ctx, min(b.opts.lease/3, time.Until(until)))
		if ctx.Err() != nil || !b.fit() || !time.Now().Before(until) {
			return
		}
		begun := time.Now()
		callCtx, cancel := context.WithDeadline(ctx, until)
		now, _, err := b.askLease(callCtx, b.opts.lease, term)
		cancel()
		switch {
		case err == nil && now != term:
			return
		case err == nil:
			until = begun.Add(b.opts.lease)
		}
	}
}

package redislog

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// subscriber is one subscribed connection: to the server of a shard.
type subscriber struct {
	a       *announcements
	addr    string
	probe   string        // a channel on which it hears itself
	changed chan struct{} // holds one
	ctx     context.Context
	cancel  context.CancelFunc
	hearing atomic.Bool
	heard   atomic.Int64 // when something came last, in Unix ms

	mu      sync.Mutex
	wanted  map[string]bool
	pending map[string]bool // channels to subscribe (true) or not any more
	broken  bool            // make the connection anew
}

func newSubscriber(a *announcements, addr string) *subscriber {
	sub := &subscriber{a: a, addr: addr, probe: "{tidings:probe}:" + a.s.node + ":" + addr, changed: make(chan struct{}, 1),
		wanted: map[string]bool{}, pending: map[string]bool{}}
	sub.ctx, sub.cancel = context.WithCancel(a.s.ctx)
	return sub
}

func (sub *subscriber) set(channel string, on bool) {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	if sub.wanted[channel] == on {
		return
	}
	if on {
		sub.wanted[channel] = true
	} else {
		delete(sub.wanted, channel)
	}
	sub.pending[channel] = on
	sub.signal()
}

func (sub *subscriber) reset() {
	sub.mu.Lock()
	defer sub.mu.Unlock()
	sub.broken = true
	sub.signal()
}

func (sub *subscriber) signal() {
	select {
	case sub.changed <- struct{}{}:
	default:
	}
}

func (sub *subscriber) retire() { sub.cancel() }

// run keeps the connection until the store ends or the server serves no slots
// any more.
func (sub *subscriber) run() {
	delay := 50 * time.Millisecond
	for sub.ctx.Err() == nil {
		begun := time.Now()
		err := sub.listen()
		sub.hearing.Store(false)
		if sub.ctx.Err() != nil {
			return
		}
		sub.a.s.log.Warn("redis: the announcements' connection is made anew; followers look at their streams meanwhile", "server", sub.addr, "error", err)
		sub.a.topologyChanged()
		if time.Since(begun) > time.Second {
			delay = 50 * time.Millisecond
		}
		if !wait(sub.ctx, nil, delay) {
			return
		}
		delay = min(2*delay, 2*time.Second)
	}
}

var (
	errDeaf  = errors.New("it hears nothing, not even itself")
	errReset = errors.New("the server behind it has changed")
)

// listen makes one connection and serves it until it breaks.
func (sub *subscriber) listen() error {
	node, err := sub.node()
	if err != nil {
		return err
	}
	conn, release := node.Dedicate()
	defer release()
	defer conn.Close() // not back to the pool with its subscriptions
	lost := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: sub.onMessage, OnSubscription: sub.onSubscription})
	if err := sub.subscribeAll(conn); err != nil {
		return err
	}
	sub.heard.Store(time.Now().UnixMilli())
	sub.hearing.Store(true)
	sub.a.s.watches.checkAll() // whatever came while nobody listened
	tick := time.NewTicker(sub.a.s.opts.probeEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-lost:
			return err
		case <-sub.ctx.Done():
			return sub.ctx.Err()
		case <-sub.changed:
			if err := sub.apply(conn); err != nil {
				return err
			}
		case <-tick.C:
			if err := sub.prove(node); err != nil {
				return err
			}
		}
	}
}

// node is the server to connect to.
func (sub *subscriber) node() (rueidis.Client, error) {
	s := sub.a.s
	if !s.isCluster() {
		return s.client, nil
	}
	for addr, node := range s.client.Nodes() {
		if addr == sub.addr || sub.addr == "" {
			return node, nil
		}
	}
	return nil, errors.New("the client does not know this node of the Cluster yet")
}

// prove sends a message to itself and fails if the one before did not come.
func (sub *subscriber) prove(node rueidis.Client) error {
	quiet := time.Since(time.UnixMilli(sub.heard.Load()))
	if quiet > 2*sub.a.s.opts.probeEvery+sub.a.s.opts.Timeout {
		return errDeaf
	}
	ctx, cancel := sub.a.s.call(sub.ctx)
	defer cancel()
	// If it can't be sent, nothing comes back, which is told then.
	_ = node.Do(ctx, node.B().Publish().Channel(sub.probe).Message("probe").Build()).Error()
	return nil
}

// onMessage runs in the client's reading goroutine and must not wait.
func (sub *subscriber) onMessage(m rueidis.PubSubMessage) {
	sub.heard.Store(time.Now().UnixMilli())
	jobID, ok := sub.a.s.keys.jobOfChannel(m.Channel)
	if !ok {
		return
	}
	if a, ok := parseAnnouncement(m.Message); ok {
		sub.a.s.watches.deliver(jobID, a)
	}
}

// onSubscription runs in the client's reading goroutine and must not wait.
func (sub *subscriber) onSubscription(m rueidis.PubSubSubscription) {
	jobID, ok := sub.a.s.keys.jobOfChannel(m.Channel)
	if !ok {
		return
	}
	switch m.Kind {
	case "subscribe", "ssubscribe":
		sub.a.s.watches.check(jobID) // what came before this was not heard
	case "sunsubscribe":
		sub.mu.Lock()
		moved := sub.wanted[m.Channel] // not asked for: its slot has left this server
		delete(sub.wanted, m.Channel)
		sub.mu.Unlock()
		if moved {
			sub.a.topologyChanged()
		}
	}
}

// subscribeBatch is how many channels one round trip subscribes to.
const subscribeBatch = 200

func (sub *subscriber) subscribeAll(conn rueidis.DedicatedClient) error {
	ctx, cancel := sub.a.s.call(sub.ctx)
	defer cancel()
	if err := conn.Do(ctx, conn.B().Subscribe().Channel(sub.probe).Build()).Error(); err != nil {
		return err
	}
	sub.mu.Lock()
	sub.broken = false
	clear(sub.pending)
	for channel := range sub.wanted {
		sub.pending[channel] = true
	}
	sub.mu.Unlock()
	return sub.apply(conn)
}

// apply sends what is to be subscribed to and what not any more.
func (sub *subscriber) apply(conn rueidis.DedicatedClient) error {
	sub.mu.Lock()
	if sub.broken {
		sub.mu.Unlock()
		return errReset
	}
	var on, off []string
	for channel, wanted := range sub.pending {
		if wanted {
			on = append(on, channel)
		} else {
			off = append(off, channel)
		}
	}
	clear(sub.pending)
	sub.mu.Unlock()
	for len(on) > 0 {
		n := min(len(on), subscribeBatch)
		if err := sub.subscribe(conn, on[:n]); err != nil {
			return err
		}
		on = on[n:]
	}
	for _, channel := range off {
		if err := sub.unsubscribe(conn, channel); err != nil {
			return err
		}
	}
	return nil
}

// subscribe sends one command a channel: in a Cluster, channels of different
// slots may not share one.
func (sub *subscriber) subscribe(conn rueidis.DedicatedClient, channels []string) error {
	ctx, cancel := sub.a.s.call(sub.ctx)
	defer cancel()
	commands := make([]rueidis.Completed, len(channels))
	for i, channel := range channels {
		if sub.a.s.sharded {
			commands[i] = conn.B().Ssubscribe().Channel(channel).Build()
		} else {
			commands[i] = conn.B().Subscribe().Channel(channel).Build()
		}
	}
	for i, r := range conn.DoMulti(ctx, commands...) {
		reply, isReply := rueidis.IsRedisErr(r.Error())
		if !isReply {
			if err := r.Error(); err != nil {
				return err
			}
			continue
		}
		if _, moved := reply.IsMoved(); !moved {
			return reply
		}
		sub.mu.Lock()
		delete(sub.wanted, channels[i])
		sub.mu.Unlock()
		sub.a.topologyChanged()
	}
	return nil
}

func (sub *subscriber) unsubscribe(conn rueidis.DedicatedClient, channel string) error {
	ctx, cancel := sub.a.s.call(sub.ctx)
	defer cancel()
	if sub.a.s.sharded {
		return conn.Do(ctx, conn.B().Sunsubscribe().Channel(channel).Build()).Error()
	}
	return conn.Do(ctx, conn.B().Unsubscribe().Channel(channel).Build()).Error()
}

// parseSlotRow reads one row of CLUSTER SLOTS: first and last slot, then the
// master and its replicas. asked is the server that answered.
func parseSlotRow(row *rueidis.RedisMessage, asked string) (slotRange, bool) {
	fields, err := row.ToArray()
	if err != nil || len(fields) < 3 {
		return slotRange{}, false
	}
	first, err1 := fields[0].AsInt64()
	last, err2 := fields[1].AsInt64()
	master, err3 := fields[2].ToArray()
	if errors.Join(err1, err2, err3) != nil || len(master) < 2 {
		return slotRange{}, false
	}
	host, _ := master[0].ToString() // nil or "": the node does not know its own
	port, err := master[1].AsInt64()
	if host == "" {
		host, _, _ = net.SplitHostPort(asked)
	}
	return slotRange{first: uint16(first), last: uint16(last), addr: net.JoinHostPort(host, strconv.FormatInt(port, 10))}, err == nil
}

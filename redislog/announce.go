package redislog

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"tidings"
	"tidings/wire"
)

// announcement is what the scripts publish of a log:
//
//	e <incarnation> <last ID before> <last ID>
//	<ID>        of each event,
//	<envelope>  and its envelope
//
// or "d <incarnation>" when the job was deleted. The events are left out if
// they are too many bytes, or if nobody listens.
type announcement struct {
	incarnation string
	prev, last  tidings.ID
	deleted     bool
	body        string

	once   sync.Once
	events []tidings.Event
	ok     bool
}

// parseAnnouncement reads the head of one; false if it is not ours.
func parseAnnouncement(text string) (*announcement, bool) {
	head, body, _ := strings.Cut(text, "\n")
	words := strings.Split(head, " ")
	switch {
	case words[0] == "d" && len(words) == 2:
		return &announcement{incarnation: words[1], deleted: true}, true
	case words[0] == "e" && len(words) == 4:
		prev, err1 := tidings.ParseID(words[2])
		last, err2 := tidings.ParseID(words[3])
		return &announcement{incarnation: words[1], prev: prev, last: last, body: body}, err1 == nil && err2 == nil
	}
	return nil, false
}

// decode gives the events, or false if the announcement does not carry them.
func (a *announcement) decode(jobID string) ([]tidings.Event, bool) {
	a.once.Do(func() {
		rest := a.body
		for rest != "" {
			var id, envelope string
			id, rest, _ = strings.Cut(rest, "\n")
			envelope, rest, _ = strings.Cut(rest, "\n")
			e, err := parseAnnounced(jobID, id, envelope)
			if err != nil {
				return
			}
			a.events = append(a.events, e)
		}
		a.ok = len(a.events) > 0 && a.events[len(a.events)-1].ID == a.last
	})
	return a.events, a.ok
}

// parseAnnounced reads an event from its envelope alone.
func parseAnnounced(jobID, idText, envelope string) (tidings.Event, error) {
	id, err := tidings.ParseID(idText)
	if err != nil {
		return tidings.Event{}, err
	}
	eventType, timestamp := peekEnvelope(jobID, envelope)
	e, ok := ownEntry(jobID, id, []string{wire.FieldEventType, eventType, wire.FieldTimestamp, timestamp, wire.FieldData, envelope})
	if !ok {
		e = wire.ParseEntry(jobID, id, []string{wire.FieldData, envelope})
	}
	return e, nil
}

// peekEnvelope guesses type and timestamp from where they stand in an envelope
// of this package. A wrong guess is noticed by ownEntry.
func peekEnvelope(jobID, envelope string) (eventType, timestamp string) {
	rest, _ := strings.CutPrefix(envelope, `{"event_type":"`)
	eventType, _, _ = strings.Cut(rest, `"`)
	const length = len("2026-11-24T09:20:01.234567Z")
	end := len(envelope) - len(`","job_id":}`) - len(wire.AppendString(nil, jobID))
	if end < length {
		return eventType, ""
	}
	return eventType, envelope[end-length : end]
}

// announcements keeps one subscribed connection a shard, whatever the number
// of followed jobs.
type announcements struct {
	s       *Store
	changed chan struct{} // holds one

	mu     sync.Mutex
	wanted map[string]bool        // channels
	subs   map[string]*subscriber // by the server's address; "" where there is one shard
	slots  *slotMap
}

func newAnnouncements(s *Store) *announcements {
	return &announcements{s: s, changed: make(chan struct{}, 1), wanted: map[string]bool{}, subs: map[string]*subscriber{}, slots: &slotMap{}}
}

// route subscribes to the job's channel if the job has followers on this node,
// or ends that. The followers are told to look when it is done.
func (a *announcements) route(jobID string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	channel := a.s.keys.channel(jobID)
	if a.s.watches.followed(jobID) {
		a.wanted[channel] = true
	} else {
		delete(a.wanted, channel)
	}
	a.routeChannel(channel)
}

// routeChannel gives the channel to the connection of its shard. The lock is
// held.
func (a *announcements) routeChannel(channel string) {
	addr, known := "", true
	if a.perShard() {
		addr, known = a.slots.owner(slot(channel))
	}
	for other, sub := range a.subs {
		if other != addr || !a.wanted[channel] {
			sub.set(channel, false)
		}
	}
	if a.wanted[channel] && known {
		a.subscriber(addr).set(channel, true)
	}
}

// subscriber is the connection to a shard. It exists from the start on, so that
// the number of connections does not depend on who follows what.
func (a *announcements) subscriber(addr string) *subscriber {
	sub := a.subs[addr]
	if sub == nil {
		sub = newSubscriber(a, addr)
		a.subs[addr] = sub
		a.s.work.Go(sub.run)
	}
	return sub
}

// perShard reports whether a channel is heard on one server only.
func (a *announcements) perShard() bool {
	return a.s.sharded && a.s.isCluster()
}

// run routes channels anew when the Cluster has changed, and starts the one
// connection where there is one shard.
func (a *announcements) run() {
	for {
		a.reroute()
		select {
		case <-a.changed:
		case <-a.s.ctx.Done():
			return
		}
		// A migration is told slot by slot; do not ask for each.
		if !wait(a.s.ctx, nil, a.s.opts.pollEvery) {
			return
		}
	}
}

func (a *announcements) reroute() {
	if a.perShard() {
		ctx, cancel := a.s.call(a.s.ctx)
		slots, err := readSlots(ctx, a.s.client)
		cancel()
		if err != nil {
			a.s.log.Warn("redis: can't learn which node serves which slot", "error", err)
			a.topologyChanged()
			return
		}
		a.mu.Lock()
		a.slots = slots
		a.mu.Unlock()
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.perShard() {
		a.subscriber("")
	}
	for _, addr := range a.slots.masters() {
		a.subscriber(addr)
	}
	for channel := range a.wanted {
		a.routeChannel(channel)
	}
	for addr, sub := range a.subs {
		if a.perShard() && !a.slots.serves(addr) {
			delete(a.subs, addr)
			sub.retire()
		}
	}
}

// topologyChanged asks for a new look at who serves what.
func (a *announcements) topologyChanged() {
	select {
	case a.changed <- struct{}{}:
	default:
	}
}

// reconnect drops every subscribed connection and makes it anew: they may be
// deaf without knowing.
func (a *announcements) reconnect() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, sub := range a.subs {
		sub.reset()
	}
}

// firstWait is how long a store's opening waits for its subscriptions, which
// are mostly there in a few milliseconds. Nothing depends on them but speed.
const firstWait = 250 * time.Millisecond

// awaitFirst waits until the announcements are heard, so that the first look at
// the store's health does not find fault with what is only beginning.
func (a *announcements) awaitFirst(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstWait)
	defer cancel()
	for a.deaf() > 0 && wait(ctx, a.s.ctx.Done(), time.Millisecond) {
		continue
	}
}

// deaf counts connections that hear nothing at the moment.
func (a *announcements) deaf() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.subs) == 0 {
		return 1 // none yet
	}
	n := 0
	for _, sub := range a.subs {
		if !sub.hearing.Load() {
			n++
		}
	}
	return n
}

// slotMap says which server serves which slot of a Cluster.
type slotMap struct{ ranges []slotRange }

type slotRange struct {
	first, last uint16
	addr        string
}

func (m *slotMap) owner(slot uint16) (string, bool) {
	for _, r := range m.ranges {
		if r.first <= slot && slot <= r.last {
			return r.addr, true
		}
	}
	return "", false
}

func (m *slotMap) serves(addr string) bool {
	for _, r := range m.ranges {
		if r.addr == addr {
			return true
		}
	}
	return false
}

// masters are the addresses of the servers that hold slots.
func (m *slotMap) masters() []string {
	var out []string
	seen := map[string]bool{}
	for _, r := range m.ranges {
		if !seen[r.addr] {
			seen[r.addr] = true
			out = append(out, r.addr)
		}
	}
	return out
}

// readSlots asks CLUSTER SLOTS.
func readSlots(ctx context.Context, c rueidis.Client) (*slotMap, error) {
	var asked string
	for addr := range c.Nodes() {
		asked = addr // its host stands for a node that does not know its own
	}
	rows, err := c.Do(ctx, c.B().ClusterSlots().Build()).ToArray()
	if err != nil {
		return nil, err
	}
	m := &slotMap{}
	for i := range rows {
		if r, ok := parseSlotRow(&rows[i], asked); ok {
			m.ranges = append(m.ranges, r)
		}
	}
	return m, nil
}

package celery

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"tidings"
)

// redisBroker is Celery's Redis transport, as kombu writes it
// (https://docs.celeryq.dev/projects/kombu/en/stable/reference/kombu.transport.redis.html).
type redisBroker struct {
	client rueidis.Client
	db     string
	prefix string // global_keyprefix
	log    *slog.Logger
	// results says that the result backend is this server too, so that one subscription
	// hears both.
	results       bool
	resultsPrefix string
	resultsOnly   bool // it is the result backend alone

	mu      sync.Mutex
	names   []string // of queues
	namedAt time.Time
}

// separator is what kombu puts between the parts of a name.
const separator = "\x06\x16"

const resultKey = "celery-task-meta-"

// openRedis connects to a server named as Celery names it: redis:// or
// rediss://.
func openRedis(rawURL string) (rueidis.Client, string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, "", &tidings.InvalidError{Field: "celery broker", Reason: "must be a URL such as redis://localhost:6379/0"}
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, "", &tidings.InvalidError{Field: "celery broker", Reason: fmt.Sprintf("%.20q: only redis:// and rediss:// are known", u.Scheme)}
	}
	plain := *u
	plain.RawQuery = "" // Celery's own options, such as ssl_cert_reqs
	option, err := rueidis.ParseURL(plain.String())
	if err != nil {
		return nil, "", &tidings.InvalidError{Field: "celery broker", Reason: err.Error()}
	}
	option.ForceSingleClient = true
	option.DisableRetry = true
	option.DisableCache = true
	option.ClientName = "tidings-celery"
	client, err := rueidis.NewClient(option)
	if err != nil {
		return nil, "", fmt.Errorf("%w: can't connect to Redis at %s: %w", tidings.ErrUnavailable, u.Host, err)
	}
	return client, strconv.Itoa(option.SelectDB), nil
}

func (r *redisBroker) close() { r.client.Close() }

// listen subscribes to the events of every task and worker and, if they are on
// this server, to the results.
func (r *redisBroker) listen(ctx context.Context, hear func(message), up, down func()) {
	events := r.prefix + "/" + r.db + ".celeryev/*"
	patterns := []string{events, r.prefix + "celeryev"} // the second: without fanout_patterns and fanout_prefix
	if r.resultsOnly {
		patterns = nil
	}
	if r.results {
		patterns = append(patterns, r.resultsPrefix+resultKey+"*")
	}
	var deaf atomic.Bool
	for ctx.Err() == nil {
		err := r.client.Dedicated(func(c rueidis.DedicatedClient) error {
			closed := c.SetPubSubHooks(rueidis.PubSubHooks{
				OnMessage: func(m rueidis.PubSubMessage) { hear(r.message(m)) },
				OnSubscription: func(s rueidis.PubSubSubscription) {
					if s.Kind == "psubscribe" && s.Channel == patterns[len(patterns)-1] {
						if deaf.Swap(false) {
							r.log.Info("the bridge to Celery hears Redis again")
						}
						up()
					}
				},
			})
			if err := c.Do(ctx, c.B().Psubscribe().Pattern(patterns...).Build()).Error(); err != nil {
				return err
			}
			return probed(ctx, c, closed)
		})
		down()
		if ctx.Err() == nil {
			if !deaf.Swap(true) {
				r.log.Warn("the bridge to Celery hears nothing of Redis; it tries again", "error", err)
			}
			pause(ctx, time.Second)
		}
	}
}

// probed waits until the subscription ends. Redis takes PING on a subscribed
// connection, which tells whether it is still there.
func probed(ctx context.Context, c rueidis.DedicatedClient, closed <-chan error) error {
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		select {
		case err := <-closed:
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			probe, cancel := context.WithTimeout(ctx, 10*time.Second)
			err := c.Do(probe, c.B().Ping().Build()).Error()
			cancel()
			if err != nil {
				return err
			}
		}
	}
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (r *redisBroker) message(m rueidis.PubSubMessage) message {
	if strings.HasPrefix(m.Channel, r.resultsPrefix+resultKey) {
		return message{result: []byte(m.Message)}
	}
	body, err := openEnvelope([]byte(m.Message))
	return message{body: body, err: err}
}

// priorities are the steps of the priorities of Redis' queues; each has a list.
var priorities = []int{0, 3, 6, 9}

func (r *redisBroker) list(queue string, priority int) string {
	step := 0
	for _, s := range priorities {
		if s <= priority {
			step = s
		}
	}
	if step == 0 {
		return r.prefix + queue
	}
	return r.prefix + queue + separator + strconv.Itoa(step)
}

// sendScript puts a message on a queue unless it did so before, which a mark
// tells. KEYS: the mark, the queue's binding, its list. ARGV: how long the mark
// holds in seconds, the binding, the message.
var sendScript = rueidis.NewLuaScript(`
if not redis.call('SET', KEYS[1], '', 'NX', 'EX', ARGV[1]) then return 0 end
redis.call('SADD', KEYS[2], ARGV[2])
redis.call('LPUSH', KEYS[3], ARGV[3])
return 1`)

// keepMark is how long a submission that is repeated is known for one.
const keepMark = 24 * time.Hour

func (r *redisBroker) send(ctx context.Context, queue string, priority int, m taskMessage) (bool, error) {
	text, err := m.redis(queue, priority)
	if err != nil {
		return false, err
	}
	keys := []string{r.prefix + "tidings.celery.sent:" + m.id, r.prefix + "_kombu.binding." + queue, r.list(queue, priority)}
	args := []string{strconv.Itoa(int(keepMark.Seconds())), queue + separator + separator + queue, string(text)}
	r.declared(queue)
	n, err := sendScript.Exec(ctx, r.client, keys, args).AsInt64()
	return n == 1, unavailable(err)
}

func (r *redisBroker) do(ctx context.Context, cmds ...rueidis.Completed) error {
	for _, reply := range r.client.DoMulti(ctx, cmds...) {
		if err := reply.Error(); err != nil {
			return unavailable(err)
		}
	}
	return nil
}

func unavailable(err error) error {
	if err == nil || rueidis.IsRedisNil(err) {
		return nil
	}
	return fmt.Errorf("%w: the broker: %w", tidings.ErrUnavailable, err)
}

// scanQueue is how many messages of a queue are looked through for one.
const scanQueue = 1000

func (r *redisBroker) takeBack(ctx context.Context, queue, taskID string) (bool, error) {
	for _, priority := range priorities {
		list := r.list(queue, priority)
		messages, err := r.client.Do(ctx, r.client.B().Lrange().Key(list).Start(-scanQueue).Stop(-1).Build()).AsStrSlice()
		if err != nil {
			return false, unavailable(err)
		}
		for _, m := range messages {
			if idOf([]byte(m)) != taskID {
				continue
			}
			n, err := r.client.Do(ctx, r.client.B().Lrem().Key(list).Count(1).Element(m).Build()).AsInt64()
			return n > 0, unavailable(err)
		}
	}
	return false, nil
}

// idOf is the task of a message of Redis, or empty.
func idOf(message []byte) string {
	var m struct {
		Headers struct {
			ID string `json:"id"`
		} `json:"headers"`
	}
	_ = json.Unmarshal(message, &m)
	return m.Headers.ID
}

// unacked looks among what workers have, then in the queues, as what a lost
// worker had goes back there, and among what workers have again, as it may be
// taken at that moment.
func (r *redisBroker) unacked(ctx context.Context, taskIDs map[string]bool) (map[string]bool, error) {
	found := map[string]bool{}
	for _, look := range []func(context.Context, map[string]bool, map[string]bool) error{r.withWorkers, r.inQueues, r.withWorkers} {
		if err := look(ctx, taskIDs, found); err != nil {
			return nil, err
		}
	}
	return found, nil
}

func (r *redisBroker) withWorkers(ctx context.Context, taskIDs, found map[string]bool) error {
	for cursor := uint64(0); ; {
		entry, err := r.client.Do(ctx, r.client.B().Hscan().Key(r.prefix+"unacked").Cursor(cursor).Count(100).Build()).AsScanEntry()
		if err != nil {
			return unavailable(err)
		}
		for i := 1; i < len(entry.Elements); i += 2 {
			var parts []json.RawMessage // message, exchange, routing key
			if json.Unmarshal([]byte(entry.Elements[i]), &parts) == nil && len(parts) > 0 {
				if id := idOf(parts[0]); taskIDs[id] {
					found[id] = true
				}
			}
		}
		if cursor = entry.Cursor; cursor == 0 {
			return nil
		}
	}
}

// inQueues looks at what is taken next of each queue: what is put back goes there.
func (r *redisBroker) inQueues(ctx context.Context, taskIDs, found map[string]bool) error {
	queues, err := r.queues(ctx)
	if err != nil {
		return err
	}
	for _, queue := range queues {
		for _, priority := range priorities {
			messages, err := r.client.Do(ctx, r.client.B().Lrange().Key(r.list(queue, priority)).Start(-scanQueue).Stop(-1).Build()).AsStrSlice()
			if err != nil {
				return unavailable(err)
			}
			for _, m := range messages {
				if id := idOf([]byte(m)); taskIDs[id] {
					found[id] = true
				}
			}
		}
	}
	return nil
}

// broadcast publishes the command. How many subscriptions heard it is how many
// workers did.
func (r *redisBroker) broadcast(ctx context.Context, c command) (int, error) {
	return r.publish(ctx, c, "", "")
}

func (r *redisBroker) publish(ctx context.Context, c command, ticket, replyTo string) (int, error) {
	text, err := sealEnvelope(c.body(ticket, replyTo), c.headers(time.Now()), properties{
		DeliveryMode: 2, DeliveryInfo: &deliveryInfo{Exchange: pidboxExchange}, DeliveryTag: tidings.NewJobID(),
	})
	if err != nil {
		return 0, err
	}
	heard := int64(0)
	for _, channel := range []string{r.prefix + "/" + r.db + "." + pidboxExchange, r.prefix + pidboxExchange} {
		n, err := r.client.Do(ctx, r.client.B().Publish().Channel(channel).Message(string(text)).Build()).AsInt64()
		if err != nil {
			return 0, unavailable(err)
		}
		heard += n
	}
	return int(heard), nil
}

// ask waits for the replies in a queue of its own, which it deletes: workers
// leave their replies there for ever.
func (r *redisBroker) ask(ctx context.Context, c command, want int, wait time.Duration) ([]json.RawMessage, error) {
	oid, ticket := tidings.NewJobID(), tidings.NewJobID()
	queue := oid + "." + replyExchange
	binding := r.prefix + "_kombu.binding." + replyExchange
	member := oid + separator + separator + queue
	b := r.client.B()
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = r.do(clean, b.Srem().Key(binding).Member(member).Build(), b.Del().Key(r.prefix+queue).Build())
	}()
	// The list must be there for a moment longer than the question holds, or a
	// reply that comes late would make it again, for ever.
	if err := r.do(ctx, b.Sadd().Key(binding).Member(member).Build()); err != nil {
		return nil, err
	}
	c.expires = wait
	heard, err := r.publish(ctx, c, ticket, oid)
	if err != nil || heard == 0 {
		return nil, err
	}
	return r.replies(ctx, r.prefix+queue, min(want, heard), wait)
}

func (r *redisBroker) replies(ctx context.Context, list string, want int, wait time.Duration) ([]json.RawMessage, error) {
	var replies []json.RawMessage
	for deadline := time.Now().Add(wait); len(replies) < want && time.Now().Before(deadline); {
		// The list goes with time also if this node does not come to delete it.
		got := r.client.DoMulti(ctx, r.client.B().Rpop().Key(list).Build(), r.client.B().Expire().Key(list).Seconds(60).Build())
		text, err := got[0].AsBytes()
		switch {
		case rueidis.IsRedisNil(err): // a blocking read would take a connection of its own
			pause(ctx, 20*time.Millisecond)
			continue
		case err != nil:
			return replies, unavailable(err)
		}
		if body, err := openEnvelope(text); err == nil {
			replies = append(replies, body)
		}
		if ctx.Err() != nil {
			return replies, ctx.Err()
		}
	}
	return replies, nil
}

func (r *redisBroker) depths(ctx context.Context) ([]tidings.QueueDepth, error) {
	queues, err := r.queues(ctx)
	if err != nil {
		return nil, err
	}
	b := r.client.B()
	cmds := rueidis.Commands{b.Hlen().Key(r.prefix + "unacked").Build()}
	for _, queue := range queues {
		for _, priority := range priorities {
			cmds = append(cmds, b.Llen().Key(r.list(queue, priority)).Build())
		}
	}
	counts := make([]int64, len(cmds))
	for i, reply := range r.client.DoMulti(ctx, cmds...) {
		n, err := reply.AsInt64()
		if err != nil {
			return nil, unavailable(err)
		}
		counts[i] = n
	}
	depths := make([]tidings.QueueDepth, len(queues))
	for i, queue := range queues {
		d := tidings.QueueDepth{Name: queue, Type: queueType, Unacked: counts[0]}
		for _, n := range counts[1+i*len(priorities) : 1+(i+1)*len(priorities)] {
			d.Waiting += n
		}
		depths[i] = d
	}
	return depths, nil
}

// keepQueues is how long the names of queues are remembered: finding them takes
// a walk through all keys of the server.
const keepQueues = 30 * time.Second

// declared has the names be found anew if the queue is not among them.
func (r *redisBroker) declared(queue string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !slices.Contains(r.names, queue) {
		r.names = nil
	}
}

// queues are those that workers or senders have declared.
func (r *redisBroker) queues(ctx context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.names != nil && time.Since(r.namedAt) < keepQueues {
		return r.names, nil
	}
	prefix := r.prefix + "_kombu.binding."
	names := []string{}
	for cursor := uint64(0); ; {
		entry, err := r.client.Do(ctx, r.client.B().Scan().Cursor(cursor).Match(escapeGlob(prefix)+"*").Count(1000).Build()).AsScanEntry()
		if err != nil {
			return nil, unavailable(err)
		}
		for _, key := range entry.Elements {
			name := strings.TrimPrefix(key, prefix)
			if name != "celeryev" && !strings.Contains(name, "pidbox") {
				names = append(names, name)
			}
		}
		if cursor = entry.Cursor; cursor == 0 {
			sort.Strings(names)
			r.names, r.namedAt = slices.Compact(names), time.Now()
			return r.names, nil
		}
	}
}

func escapeGlob(s string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(s)
}

// leaseScript takes or renews a lease: a key that holds its holder's name.
var leaseScript = rueidis.NewLuaScript(`
local holder = redis.call('GET', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1`)

var releaseScript = rueidis.NewLuaScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return 0`)

func (r *redisBroker) leaseKey() string { return r.prefix + "tidings.celery.lease" }

func (r *redisBroker) hold(ctx context.Context, node string, ttl time.Duration) (bool, error) {
	n, err := leaseScript.Exec(ctx, r.client, []string{r.leaseKey()}, []string{node, strconv.FormatInt(ttl.Milliseconds(), 10)}).AsInt64()
	return n == 1, unavailable(err)
}

func (r *redisBroker) release(ctx context.Context, node string) {
	_ = releaseScript.Exec(ctx, r.client, []string{r.leaseKey()}, []string{node}).Error()
}

// redisBackend is Celery's Redis result backend.
type redisBackend struct {
	client rueidis.Client
	prefix string
	own    bool // the client is this backend's
}

func (r *redisBackend) close() {
	if r.own {
		r.client.Close()
	}
}

func (r *redisBackend) results(ctx context.Context, taskIDs []string) ([]result, error) {
	var found []result
	for chunk := range slices.Chunk(taskIDs, 500) {
		keys := make([]string, len(chunk))
		for i, id := range chunk {
			keys[i] = r.prefix + resultKey + id
		}
		texts, err := r.client.Do(ctx, r.client.B().Mget().Key(keys...).Build()).ToArray()
		if err != nil {
			return nil, unavailable(err)
		}
		for _, text := range texts {
			raw, err := text.AsBytes()
			if err != nil {
				continue // there is none
			}
			if res, err := parseResult(raw); err == nil {
				found = append(found, res)
			}
		}
	}
	return found, nil
}

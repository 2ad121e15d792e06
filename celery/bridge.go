package celery

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tidings"
)

// Options say which Celery a [Bridge] connects to, and how.
type Options struct {
	// BrokerURL is Celery's broker: redis://[:password@]host:port/db, rediss://,
	// amqp:// or amqps://.
	BrokerURL string
	// BackendURL is Celery's result backend, if it is on Redis. Empty: the
	// broker, if that is Redis. "none": there is none.
	BackendURL string
	// KeyPrefix is Celery's global_keyprefix, if the application sets one, and
	// BackendKeyPrefix that of its result backend.
	KeyPrefix, BackendKeyPrefix string
	// JobArg is a keyword argument of tasks that holds the job's ID. Empty, or if
	// a task has no such argument: the task's ID is the job's.
	JobArg string
	// Passive leaves workers as they are. Otherwise they are told to send
	// events, which they don't unless started with -E.
	Passive bool
	// Logger takes warnings. Nil: slog.Default().
	Logger *slog.Logger

	// reconcileEvery, for how long nothing was heard of a task before it is asked
	// after, how long the lease of the bridge holds, and how long after its task's end
	// a job is closed. Tests shorten them.
	reconcileEvery, quietFor, lease, closeAfter time.Duration
	node                                        string
}

// queueType names Celery among the task queues.
const queueType = "celery"

// Bridge connects a Celery application's broker with the logs of jobs. Safe for
// concurrent use.
//
// Start one on every server node. All of them hear and write every step of a task: its place
// (retry, delivery, kind of step) is the epoch of a producer, so the store
// takes each step once, in order, whoever comes first, and needs no election for
// it; a node that was paused or cut off finds its steps told. What has no place,
// which is the progress that Celery doesn't number, is written by the node that
// holds a lease on the broker; so is what the bridge does by itself: turning on
// events, heartbeats of jobs whose worker is alive, and reconciling.
type Bridge struct {
	store   tidings.Store
	opts    Options
	log     *slog.Logger
	broker  broker
	backend backend      // nil: none
	results *redisBroker // of a result backend that is not on the broker's server; nil: there is none
	shards  [shards]*shard
	workers *workers
	counts  counts

	newcomer  chan struct{} // holds one: a worker came
	adopted   chan struct{} // closed when the open tasks of the log are known
	heldUntil atomic.Int64  // by the monotonic clock since began, in ns
	began     time.Time
	hearing   atomic.Bool
	told      sync.Map // what was logged once → when

	cancel context.CancelFunc
	work   sync.WaitGroup
}

type counts struct {
	heard, unread, written, repeated, late, refused, dropped, reconciled atomic.Int64
}

// Stats are a bridge's counters since its start.
type Stats struct {
	Heard      int64 // events and results
	Unread     int64 // of them in no known form
	Written    int64 // events that this node wrote
	Repeated   int64 // that were there already, as another node had written them
	Late       int64 // that a later step had overtaken, or whose job had ended
	Refused    int64 // that the store did not take
	Dropped    int64 // messages lost because the store was too slow
	Reconciled int64 // tasks whose end nobody told
	Open       int64 // tasks that this node knows to be open
	Hearing    bool  // this node hears the broker now
	Holding    bool  // this node has the lease now
}

// Start connects to the broker and begins to listen. ctx bounds the time until
// then. The bridge ends with Close. Errors: [*tidings.InvalidError] for options,
// [tidings.ErrUnavailable] if the broker can't be reached.
func Start(ctx context.Context, store tidings.Store, opts Options) (*Bridge, error) {
	if opts.Logger == nil {
		opts.Logger = slog.Default()
	}
	if opts.reconcileEvery == 0 {
		opts.reconcileEvery = 10 * time.Second
	}
	if opts.quietFor == 0 {
		opts.quietFor = 5 * time.Second
	}
	if opts.lease == 0 {
		opts.lease = 5 * time.Second
	}
	if opts.closeAfter == 0 {
		opts.closeAfter = 5 * time.Second
	}
	if opts.node == "" {
		opts.node = tidings.NewJobID()
	}
	b := &Bridge{store: store, opts: opts, log: opts.Logger, began: time.Now(), newcomer: make(chan struct{}, 1), adopted: make(chan struct{})}
	b.workers = newWorkers(time.Now)
	if err := b.connect(); err != nil {
		return nil, err
	}
	own, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	for i := range b.shards {
		b.shards[i] = &shard{b: b, tracker: newTracker(opts.JobArg, opts.closeAfter, time.Now), inbox: make(chan heard, shardQueue)}
		b.work.Go(func() { b.shards[i].run(own) })
	}
	up := make(chan struct{}, 1)
	b.work.Go(func() {
		b.broker.listen(own, b.take, func() {
			b.hearing.Store(true)
			select {
			case up <- struct{}{}:
			default:
			}
		}, func() { b.hearing.Store(false) })
	})
	if b.results != nil {
		b.work.Go(func() { b.results.listen(own, b.take, func() {}, func() {}) })
	}
	select {
	case <-up:
	case <-ctx.Done():
		_ = b.Close()
		return nil, errors.Join(tidings.ErrUnavailable, ctx.Err())
	}
	b.work.Go(func() { b.keepLease(own) })
	b.work.Go(func() { b.care(own) })
	return b, nil
}

// connect makes the broker and the backend.
func (b *Bridge) connect() error {
	scheme, _, _ := strings.Cut(b.opts.BrokerURL, "://")
	if scheme == "amqp" || scheme == "amqps" {
		r, err := newRabbitBroker(b.opts.BrokerURL, b.log, b.workers.living)
		if err != nil {
			return err
		}
		b.broker = r
		if b.opts.BackendURL == "" || b.opts.BackendURL == "none" {
			return nil
		}
		return b.connectBackend()
	}
	client, db, err := openRedis(b.opts.BrokerURL)
	if err != nil {
		return err
	}
	r := &redisBroker{client: client, db: db, prefix: b.opts.KeyPrefix, resultsPrefix: b.opts.BackendKeyPrefix, log: b.log}
	b.broker = r
	switch {
	case b.opts.BackendURL == "none":
	case b.opts.BackendURL == "" || b.opts.BackendURL == b.opts.BrokerURL:
		r.results = true
		b.backend = &redisBackend{client: client, prefix: b.opts.BackendKeyPrefix}
	default:
		if err := b.connectBackend(); err != nil {
			client.Close()
			return err
		}
		// Pub/Sub knows no database numbers: one subscription hears all of a server.
		r.results = sameServer(b.opts.BackendURL, b.opts.BrokerURL)
		if r.results {
			b.results = nil
		}
	}
	return nil
}

func (b *Bridge) connectBackend() error {
	client, _, err := openRedis(b.opts.BackendURL)
	if err != nil {
		return err
	}
	b.backend = &redisBackend{client: client, prefix: b.opts.BackendKeyPrefix, own: true}
	b.results = &redisBroker{client: client, results: true, resultsOnly: true, resultsPrefix: b.opts.BackendKeyPrefix, log: b.log}
	return nil
}

func sameServer(a, b string) bool {
	first, err1 := url.Parse(a)
	second, err2 := url.Parse(b)
	return err1 == nil && err2 == nil && first.Host == second.Host
}

// Close ends the bridge, and lets another node take over its lease at once.
func (b *Bridge) Close() error {
	b.cancel()
	b.work.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if b.holds() {
		b.broker.release(ctx, b.opts.node)
	}
	b.broker.close()
	if b.backend != nil {
		b.backend.close()
	}
	return nil
}

// Stats gives the bridge's counters.
func (b *Bridge) Stats() Stats {
	s := Stats{
		Heard: b.counts.heard.Load(), Unread: b.counts.unread.Load(), Written: b.counts.written.Load(),
		Repeated: b.counts.repeated.Load(), Late: b.counts.late.Load(), Refused: b.counts.refused.Load(),
		Dropped: b.counts.dropped.Load(), Reconciled: b.counts.reconciled.Load(),
		Hearing: b.hearing.Load(), Holding: b.holds(),
	}
	for _, sh := range b.shards {
		s.Open += sh.tracker.count()
	}
	return s
}

// take sorts what was heard: workers' signs of life, and what is of a task.
func (b *Bridge) take(m message) {
	b.counts.heard.Add(1)
	if m.err == nil && m.result != nil {
		r, err := parseResult(m.result)
		if err == nil {
			b.hear(heard{result: &r})
			return
		}
		m.err = err
	}
	if m.err == nil {
		var events []event
		events, m.err = parseEvents(m.body)
		for i := range events {
			b.takeEvent(&events[i])
		}
	}
	if m.err != nil {
		b.counts.unread.Add(1)
		b.once("unread", "a message of Celery can't be read; it is skipped, and so are others like it", m.err)
	}
}

func (b *Bridge) takeEvent(e *event) {
	if e.Hostname != "" && b.workers.heard(e) {
		select {
		case b.newcomer <- struct{}{}:
		default:
		}
	}
	if e.UUID != "" && strings.HasPrefix(e.Type, "task-") {
		b.hear(heard{event: e})
	}
}

// once logs a kind of trouble once in ten minutes.
func (b *Bridge) once(what, text string, err error, more ...any) {
	now := time.Now()
	if last, ok := b.told.Load(what); ok && now.Sub(last.(time.Time)) < 10*time.Minute {
		return
	}
	b.told.Store(what, now)
	if err != nil {
		more = append(more, "error", err)
	}
	b.log.Warn(text, more...)
}

// holds reports whether this node has the lease. It goes by its own clock from
// before it asked, so a node that was paused knows that its time is over.
func (b *Bridge) holds() bool { return int64(time.Since(b.began)) < b.heldUntil.Load() }

func (b *Bridge) keepLease(ctx context.Context) {
	for {
		asked := time.Since(b.began)
		held, err := b.broker.hold(ctx, b.opts.node, b.opts.lease)
		if err == nil && held {
			b.heldUntil.Store(int64(asked + b.opts.lease*4/5))
		}
		pause(ctx, b.opts.lease/4)
		if ctx.Err() != nil {
			return
		}
	}
}

// care does what the node with the lease does by itself.
func (b *Bridge) care(ctx context.Context) {
	enable := time.NewTicker(min(5*time.Second, b.opts.reconcileEvery))
	defer enable.Stop()
	reconcile := time.NewTicker(b.opts.reconcileEvery)
	defer reconcile.Stop()
	b.enableEvents(ctx)
	b.adoptAll(ctx)
	for {
		select {
		case <-ctx.Done():
			return
		case <-enable.C:
			b.enableEvents(ctx)
		case <-b.newcomer:
			b.enableEvents(ctx)
		case <-reconcile.C:
			if b.holds() {
				b.reconcile(ctx)
			}
		}
	}
}

// enableEvents turns on events in workers that were started without -E. It is
// repeated, as workers come and go.
func (b *Bridge) enableEvents(ctx context.Context) {
	if b.opts.Passive {
		return
	}
	// It does not expire, or a worker whose clock is wrong would not heed it.
	if _, err := b.broker.broadcast(ctx, command{method: "enable_events", arguments: map[string]any{}}); err != nil && ctx.Err() == nil {
		b.once("enable", "workers can't be told to send events", err)
	}
}

func (tr *tracker) count() (open int64) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for _, t := range tr.tasks {
		if t.open() {
			open++
		}
	}
	return open
}

package redislog

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"tidings"
)

// Store keeps logs in Redis or Valkey. It implements [tidings.Store]; doc.go
// states its promises. Safe for concurrent use.
type Store struct {
	opts   Options
	keys   keys
	log    *slog.Logger
	client rueidis.Client
	node   string // names this node towards others, and its probe channel
	// publish and subscribe are the commands of announcements: sharded where
	// the server has them.
	publish string
	sharded bool

	stats   counters
	watches *watches
	live    *announcements
	indexer *indexer
	feeds   *feedWaker

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	work   sync.WaitGroup

	gate   sync.RWMutex
	shut   bool           // no more writes begin
	writes sync.WaitGroup // those under way
}

var _ tidings.Store = (*Store)(nil)

// Open connects to Redis and starts the store's background work, which ends
// with Close. ctx bounds the connecting only. What the servers' settings weaken
// is not looked at here: [Store.Health] tells. Errors: a [*tidings.InvalidError]
// for options that can't be used, or one that is [tidings.ErrUnavailable].
func Open(ctx context.Context, opts Options) (*Store, error) {
	if err := opts.withDefaults(); err != nil {
		return nil, err
	}
	clientOption, err := opts.clientOption()
	if err != nil {
		return nil, err
	}
	client, err := connect(ctx, clientOption)
	if err != nil {
		return nil, fmt.Errorf("%w: can't connect to Redis at %v: %w", tidings.ErrUnavailable, clientOption.InitAddress, err)
	}
	if opts.wantsCluster() && client.Mode() != rueidis.ClientModeCluster {
		client.Close()
		return nil, &tidings.InvalidError{Field: "redis URL", Reason: "cluster=true, but the server is not part of a Cluster"}
	}
	s := &Store{opts: opts, keys: keys{opts.Prefix}, log: opts.Logger, client: client, node: newNodeName()}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.prepare(ctx); err != nil {
		s.cancel()
		client.Close()
		return nil, err
	}
	s.start()
	s.live.awaitFirst(ctx)
	return s, nil
}

// connect is rueidis.NewClient, which takes no context.
func connect(ctx context.Context, opt rueidis.ClientOption) (rueidis.Client, error) {
	type result struct {
		client rueidis.Client
		err    error
	}
	done := make(chan result, 1)
	go func() {
		client, err := rueidis.NewClient(opt)
		done <- result{client, err}
	}()
	select {
	case r := <-done:
		return r.client, r.err
	case <-ctx.Done():
		go func() {
			if r := <-done; r.err == nil {
				r.client.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

func newNodeName() string {
	var random [8]byte
	_, _ = rand.Read(random[:]) // never fails since Go 1.24
	return hex.EncodeToString(random[:])
}

// prepare learns what the servers can do.
func (s *Store) prepare(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	// A server that does not know a command answers with a nil for it.
	info, err := s.client.Do(ctx, s.client.B().Arbitrary("COMMAND", "INFO", "SPUBLISH", "WAITAOF").Build()).ToArray()
	if err != nil {
		return s.unavailable("asking for the server's commands", err)
	}
	known := func(i int) bool { return i < len(info) && !info[i].IsNil() }
	s.publish = "PUBLISH"
	if s.sharded = known(0); s.sharded {
		s.publish = "SPUBLISH"
	}
	if s.opts.Durability.usesAOF() && !known(1) {
		return &tidings.InvalidError{Field: "durability", Reason: "the server has no WAITAOF (Redis 7.2); use appendfsync always, or WAIT for replicas"}
	}
	return nil
}

func (s *Store) start() {
	s.watches = newWatches()
	s.live = newAnnouncements(s)
	s.indexer = newIndexer(s)
	s.feeds = newFeedWaker()
	s.work.Go(s.poll)
	s.work.Go(s.watchIdentity)
	s.work.Go(s.live.run)
	s.work.Go(s.indexer.run)
	s.work.Go(s.pollFeeds)
	s.work.Go(s.care)
}

// Close writes what the index still lacks, ends the background work, and makes
// followers and blocked calls return [tidings.ErrStoreClosed].
func (s *Store) Close() error {
	s.gate.Lock()
	again := s.shut
	s.shut = true
	s.gate.Unlock()
	if again {
		return tidings.ErrStoreClosed
	}
	s.writes.Wait() // each is bounded by Options.Timeout
	s.indexer.finish()
	s.cancel()
	s.work.Wait()
	s.client.Close()
	return nil
}

func (s *Store) closed() bool {
	s.gate.RLock()
	defer s.gate.RUnlock()
	return s.shut
}

// begin announces a write that Close has to wait for; done ends it.
func (s *Store) begin() (done func(), err error) {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.shut {
		return nil, tidings.ErrStoreClosed
	}
	s.writes.Add(1)
	return s.writes.Done, nil
}

// call gives a context for one call to Redis: it ends with the caller's, or
// when the call has taken too long.
func (s *Store) call(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.opts.Timeout)
}

// do is one command, bounded in time.
func (s *Store) do(ctx context.Context, cmd rueidis.Completed) rueidis.RedisResult {
	ctx, cancel := s.call(ctx)
	defer cancel()
	return s.client.Do(ctx, cmd)
}

// doMulti is one round trip, bounded in time.
func (s *Store) doMulti(ctx context.Context, cmds ...rueidis.Completed) []rueidis.RedisResult {
	ctx, cancel := s.call(ctx)
	defer cancel()
	return s.client.DoMulti(ctx, cmds...)
}

// runScript is one script, bounded in time.
func (s *Store) runScript(ctx context.Context, sc *script, keys, args []string) rueidis.RedisResult {
	ctx, cancel := s.call(ctx)
	defer cancel()
	return sc.run(ctx, s.client, keys, args)
}

// onLog runs a script on a job's log.
func (s *Store) onLog(ctx context.Context, sc *script, jobID string, args ...string) rueidis.RedisResult {
	return s.runScript(ctx, sc, []string{s.keys.stream(jobID), s.keys.meta(jobID)}, args)
}

// unavailable turns an error of the client or of Redis into one for the caller.
func (s *Store) unavailable(doing string, err error) error {
	if s.ctx.Err() != nil {
		return tidings.ErrStoreClosed
	}
	return fmt.Errorf("%w: %s: %w%s", tidings.ErrUnavailable, doing, err, advice(err))
}

// retryRead runs a read again while the connection is being made anew, as after
// a restart of Redis, for as long as one call may take. Reading twice does no
// harm.
func retryRead[T any](ctx context.Context, s *Store, doing string, read func(context.Context) (T, error)) (T, error) {
	deadline := time.Now().Add(s.opts.Timeout)
	delay := 10 * time.Millisecond
	for {
		v, err := read(ctx)
		if err == nil {
			return v, nil
		}
		if !transient(err) {
			return v, err
		}
		if time.Now().Add(delay).Before(deadline) && wait(ctx, s.ctx.Done(), delay) {
			delay *= 2
			continue
		}
		var zero T
		if ctx.Err() != nil {
			return zero, fmt.Errorf("%w: %s: %w", tidings.ErrUnavailable, doing, context.Cause(ctx))
		}
		return zero, s.unavailable(doing, err)
	}
}

// wait reports whether d passed before the context or the store ended.
func wait(ctx context.Context, stop <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
	case <-stop:
	}
	return false
}

package redislog

import (
	"context"
	"errors"
	"time"

	"github.com/redis/rueidis"

	"tidings"
)

// The caretaker is one node, by a lease in Redis. It makes the index and the
// feed agree with the logs, and applies retention.

// care takes the caretaker's work whenever no other node does it.
func (s *Store) care() {
	tick := time.NewTicker(s.opts.scanEvery)
	defer tick.Stop()
	passes, caring := 0, false
	lastRetention := time.Now()
	for {
		select {
		case <-s.ctx.Done():
			if caring {
				s.leaveCare()
			}
			return
		case <-tick.C:
		}
		if caring = s.caretaker(); !caring {
			continue
		}
		err := s.reconcile(s.ctx, passes%fullPassEvery == 0)
		passes++
		if err == nil && s.opts.RetentionInterval > 0 && time.Since(lastRetention) >= s.opts.RetentionInterval {
			lastRetention = time.Now()
			err = s.retain(s.ctx)
		}
		if err != nil && s.ctx.Err() == nil {
			s.log.Warn("redis: the index could not be reconciled with the logs; it is tried again", "error", err)
		}
	}
}

// fullPassEvery is how many passes there are from one that looks for jobs that
// are gone to the next.
const fullPassEvery = 5

// caretakerTerm is how long the work of a caretaker that died waits for another.
const caretakerTerm = 4 * time.Second

// caretaker reports whether this node is the caretaker, and prolongs that.
func (s *Store) caretaker() bool {
	key := s.keys.caretaker()
	err := s.do(s.ctx, s.client.B().Set().Key(key).Value(s.node).Nx().Px(caretakerTerm).Build()).Error()
	if err == nil {
		return true
	}
	if !rueidis.IsRedisNil(err) {
		return false
	}
	who, err := s.do(s.ctx, s.client.B().Get().Key(key).Build()).ToString()
	if err != nil || who != s.node {
		return false
	}
	// Should the term end just now and another begin, two nodes do the work,
	// which does no harm.
	return s.do(s.ctx, s.client.B().Pexpire().Key(key).Milliseconds(caretakerTerm.Milliseconds()).Build()).Error() == nil
}

// leaveCare lets another node begin at once. Should it be one already, that
// one's term ends early and it takes a new one.
func (s *Store) leaveCare() {
	// The store's context has ended; Close still waits for this.
	if err := s.do(context.Background(), s.client.B().Del().Key(s.keys.caretaker()).Build()).Error(); err != nil {
		s.log.Debug("redis: the caretaker's term runs out by itself", "error", err)
	}
}

// servers are those that hold keys.
func (s *Store) servers(ctx context.Context) ([]rueidis.Client, error) {
	if !s.isCluster() {
		return []rueidis.Client{s.client}, nil
	}
	slots, err := readSlots(ctx, s.client)
	if err != nil {
		return nil, err
	}
	nodes := s.client.Nodes()
	var out []rueidis.Client
	for _, addr := range slots.masters() {
		if node := nodes[addr]; node != nil {
			out = append(out, node)
		}
	}
	return out, nil
}

// reconcile looks for jobs that the index does not show as they are: those of
// foreign publishers, and those of nodes that died. A full pass also looks for
// jobs that are gone, or were made anew.
func (s *Store) reconcile(ctx context.Context, full bool) error {
	callCtx, cancel := s.call(ctx)
	servers, err := s.servers(callCtx)
	cancel()
	if err != nil {
		return err
	}
	for _, server := range servers {
		if err := s.scan(ctx, server); err != nil {
			return err
		}
	}
	if full {
		return s.sweep(ctx)
	}
	return nil
}

const (
	scanCount = 1000
	// scanPace keeps a pass over a large keyspace from taking Redis' time.
	scanPace = 3 * time.Millisecond
)

// scan walks the streams of one server.
func (s *Store) scan(ctx context.Context, server rueidis.Client) error {
	cursor := uint64(0)
	for {
		callCtx, cancel := s.call(ctx)
		page, err := server.Do(callCtx, server.B().Scan().Cursor(cursor).Match(s.keys.matchPattern()).Count(scanCount).Type("stream").Build()).AsScanEntry()
		cancel()
		if err == nil {
			err = s.compare(ctx, page.Elements)
		}
		if err != nil {
			return err
		}
		if cursor = page.Cursor; cursor == 0 {
			return nil
		}
		if !wait(ctx, nil, scanPace) {
			return ctx.Err()
		}
	}
}

// compare queues the jobs of these streams that have more than the index knows.
func (s *Store) compare(ctx context.Context, streams []string) error {
	var jobs []string
	for _, stream := range streams {
		if jobID, ok := s.keys.jobID(stream); ok && tidings.ValidateJobID(jobID) == nil {
			jobs = append(jobs, jobID)
		}
	}
	heads, err := s.headsOf(ctx, jobs)
	if err != nil {
		return err
	}
	var open []string
	for _, jobID := range jobs {
		h, known := heads[jobID]
		switch {
		case !known:
			s.indexer.reread(jobID)
		case !h.closed:
			open = append(open, jobID)
		}
	}
	for len(open) > 0 {
		n := min(len(open), pollBatch)
		if err := s.compareOpen(ctx, open[:n], heads); err != nil {
			return err
		}
		open = open[n:]
	}
	return nil
}

func (s *Store) compareOpen(ctx context.Context, jobs []string, heads map[string]head) error {
	commands := make([]rueidis.Completed, len(jobs))
	for i, jobID := range jobs {
		commands[i] = s.client.B().Xread().Count(1).Streams().Key(s.keys.stream(jobID)).Id(heads[jobID].last.String()).Build()
	}
	for i, r := range s.doMulti(ctx, commands...) {
		switch err := r.Error(); {
		case err == nil:
			s.indexer.reread(jobs[i])
		case !rueidis.IsRedisNil(err):
			return err
		}
	}
	return nil
}

// headsOf gives the heads of the jobs that the index knows.
func (s *Store) headsOf(ctx context.Context, jobs []string) (map[string]head, error) {
	out := make(map[string]head, len(jobs))
	var byPart [partitions][]string
	for _, jobID := range jobs {
		p := partitionOf(jobID)
		byPart[p] = append(byPart[p], jobID)
	}
	for p, ids := range byPart {
		if len(ids) == 0 {
			continue
		}
		values, err := s.do(ctx, s.client.B().Hmget().Key(s.keys.heads(p)).Field(ids...).Build()).ToArray()
		if err != nil {
			return nil, err
		}
		for i, jobID := range ids {
			text, err := values[i].ToString()
			if err != nil {
				continue
			}
			if h, ok := parseHead(text); ok {
				out[jobID] = h
			}
		}
	}
	return out, nil
}

// sweep walks the index for jobs that are gone or are not what they were.
func (s *Store) sweep(ctx context.Context) error {
	for p := range partitions {
		err := s.eachHead(ctx, p, func(ctx context.Context, heads map[string]head) error {
			return s.compareLives(ctx, heads)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachHead walks the heads of a partition, page by page.
func (s *Store) eachHead(ctx context.Context, p int, do func(context.Context, map[string]head) error) error {
	cursor := uint64(0)
	for {
		page, err := s.do(ctx, s.client.B().Hscan().Key(s.keys.heads(p)).Cursor(cursor).Count(pollBatch).Build()).AsScanEntry()
		if err == nil {
			heads := map[string]head{}
			for i := 0; i+1 < len(page.Elements); i += 2 {
				if h, ok := parseHead(page.Elements[i+1]); ok {
					heads[page.Elements[i]] = h
				}
			}
			err = do(ctx, heads)
		}
		if err != nil {
			return err
		}
		if cursor = page.Cursor; cursor == 0 {
			return nil
		}
		if !wait(ctx, nil, scanPace) {
			return ctx.Err()
		}
	}
}

func (s *Store) compareLives(ctx context.Context, heads map[string]head) error {
	jobs := make([]string, 0, len(heads))
	commands := make([]rueidis.Completed, 0, 2*len(heads))
	for jobID := range heads {
		jobs = append(jobs, jobID)
		commands = append(commands,
			s.client.B().Exists().Key(s.keys.stream(jobID)).Build(),
			s.client.B().Hmget().Key(s.keys.meta(jobID)).Field("inc", "last").Build())
	}
	if len(commands) == 0 {
		return nil
	}
	replies := s.doMulti(ctx, commands...)
	for i, jobID := range jobs {
		exists, err := replies[2*i].AsInt64()
		if err != nil {
			return err
		}
		meta, err := replies[2*i+1].ToArray()
		if err != nil {
			return err
		}
		inc, _ := meta[0].ToString()
		last, _ := meta[1].ToString()
		id, _ := tidings.ParseID(last)
		if h := heads[jobID]; exists == 0 || inc != h.incarnation || id.Less(h.last) {
			s.indexer.reread(jobID)
		}
	}
	return nil
}

// ignoreUnknown is for work on jobs that others may delete meanwhile.
func ignoreUnknown(err error) error {
	if errors.Is(err, tidings.ErrUnknownJob) {
		return nil
	}
	return err
}

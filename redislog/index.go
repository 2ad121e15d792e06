package redislog

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"tidings"
)

// indexer brings what this node appended into the index and the feed, behind
// the appends' backs. A node that dies before it has done so is made up for by
// the caretaker.
type indexer struct {
	s     *Store
	parts [partitions]*part
}

// part indexes the jobs of one partition, in the order of their events.
type part struct {
	s     *Store
	n     int
	wake  chan struct{}      // holds one
	cache map[string]*record // of jobs that may go on; of run alone

	mu      sync.Mutex
	dirty   map[string]*pending
	bytes   int
	queued  uint64        // changes ever queued
	done    uint64        // of them indexed
	changed chan struct{} // closed and made anew when done grows
}

// pending is what the index lacks of one job.
type pending struct {
	runs   []run
	reread bool // from the stream, as the runs are not all of it
	force  bool // write the summary although no event is new
}

// run is one batch: its incarnation, the last event before it, and its events.
type run struct {
	incarnation string
	prev        tidings.ID
	events      []tidings.Event
}

const (
	// pendingBytes bounds what a partition keeps in memory for the index;
	// beyond it, jobs are read from their streams.
	pendingBytes = 16 << 20
	// indexPace is the least time between two rounds, in which events of one
	// job become one change.
	indexPace = 25 * time.Millisecond
	// indexBatch is how many jobs one call of the script takes.
	indexBatch = 64
	// cachedJobs bounds the summaries of open jobs that a partition remembers.
	cachedJobs = 4096
)

func newIndexer(s *Store) *indexer {
	ix := &indexer{s: s}
	for n := range ix.parts {
		ix.parts[n] = &part{s: s, n: n, wake: make(chan struct{}, 1), cache: map[string]*record{},
			dirty: map[string]*pending{}, changed: make(chan struct{})}
	}
	return ix
}

// run works until the store ends.
func (ix *indexer) run() {
	var parts sync.WaitGroup
	for _, p := range ix.parts {
		parts.Go(p.run)
	}
	parts.Wait()
}

// appended queues a batch that was written.
func (ix *indexer) appended(jobID, incarnation string, prev tidings.ID, events []tidings.Event) {
	ix.parts[partitionOf(jobID)].queue(jobID, func(p *part, d *pending) {
		size := 0
		for i := range events {
			size += len(events[i].Data) + 128
		}
		if p.bytes+size > pendingBytes {
			d.runs, d.reread = nil, true
			return
		}
		p.bytes += size
		d.runs = append(d.runs, run{incarnation, prev, events})
	})
}

// reread queues a job of which nothing is known but that it may have changed.
func (ix *indexer) reread(jobID string) {
	ix.parts[partitionOf(jobID)].queue(jobID, func(_ *part, d *pending) { d.reread = true })
}

// rewrite is reread for a summary that changed without a new event.
func (ix *indexer) rewrite(jobID string) {
	ix.parts[partitionOf(jobID)].queue(jobID, func(_ *part, d *pending) { d.reread, d.force = true, true })
}

func (p *part) queue(jobID string, add func(*part, *pending)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.dirty[jobID]
	if d == nil {
		d = &pending{}
		p.dirty[jobID] = d
	}
	add(p, d)
	p.queued++
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// flush waits until what was queued before is indexed, or ctx ends.
func (ix *indexer) flush(ctx context.Context) {
	for _, p := range ix.parts {
		p.flush(ctx)
	}
}

func (p *part) flush(ctx context.Context) {
	p.mu.Lock()
	target := p.queued
	for p.done < target {
		changed := p.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-p.s.ctx.Done():
			return
		}
		p.mu.Lock()
	}
	p.mu.Unlock()
}

// finish is flush for Close.
func (ix *indexer) finish() {
	ix.flushBriefly(context.Background())
}

// flushBriefly is flush, given up when it has taken as long as one call to
// Redis may.
func (ix *indexer) flushBriefly(ctx context.Context) {
	ctx, cancel := ix.s.call(ctx)
	defer cancel()
	ix.flush(ctx)
}

func (p *part) run() {
	failures := 0
	for {
		select {
		case <-p.wake:
		case <-p.s.ctx.Done():
			return
		}
		dirty, queued := p.take()
		if err := p.index(dirty); err != nil {
			failures++
			if failures == 1 {
				p.s.log.Warn("redis: the job index is behind; it is brought up when Redis is back", "jobs", len(dirty), "error", err)
			}
			p.putBack(dirty)
			if !wait(p.s.ctx, nil, min(time.Duration(failures)*100*time.Millisecond, 2*time.Second)) {
				return
			}
			continue
		}
		failures = 0
		p.finished(queued)
		if !wait(p.s.ctx, nil, indexPace) {
			return
		}
	}
}

func (p *part) take() (map[string]*pending, uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	dirty := p.dirty
	p.dirty, p.bytes = map[string]*pending{}, 0
	return dirty, p.queued
}

// putBack queues again what could not be indexed, to be read from the streams.
func (p *part) putBack(dirty map[string]*pending) {
	clear(p.cache)
	for jobID, was := range dirty {
		p.queue(jobID, func(_ *part, d *pending) { d.runs, d.reread, d.force = nil, true, d.force || was.force })
	}
}

func (p *part) finished(queued uint64) {
	p.mu.Lock()
	p.done = max(p.done, queued)
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
	p.s.feeds.wakeAll()
}

// index folds the dirty jobs and writes their summaries. An error leaves the
// index behind, not wrong.
func (p *part) index(dirty map[string]*pending) error {
	jobs := make([]string, 0, len(dirty))
	for jobID := range dirty {
		jobs = append(jobs, jobID)
	}
	// First the jobs that were made first, so that the feed is nearly in the
	// order of time.
	slices.SortFunc(jobs, func(a, b string) int { return dirty[a].since().Compare(dirty[b].since()) })
	for chunk := range slices.Chunk(jobs, indexBatch) {
		if err := p.indexChunk(chunk, dirty); err != nil {
			return err
		}
	}
	return nil
}

func (d *pending) since() tidings.ID {
	if len(d.runs) == 0 {
		return tidings.ID{}
	}
	return d.runs[0].prev
}

func (p *part) indexChunk(jobs []string, dirty map[string]*pending) error {
	folds, err := p.fold(jobs, dirty)
	if err != nil {
		return err
	}
	args := []string{formatInt(p.s.opts.FeedEvents), p.s.keys.tombstone(p.n, "")}
	var ended []*record
	for i, jobID := range jobs {
		rec := folds[i].rec
		p.remember(jobID, rec)
		if rec == nil { // there is no such log any more
			if err := p.s.unindex(p.s.ctx, jobID, ""); err != nil {
				return err
			}
			continue
		}
		args = append(args, rec.indexArgs(dirty[jobID].force)...)
		rec.rewound = false
		if rec.Job.Closed {
			ended = append(ended, rec)
		}
	}
	if len(args) == 2 {
		return nil
	}
	if err := p.s.runScript(p.s.ctx, indexScript, p.s.keys.index(p.n), args).Error(); err != nil {
		return err
	}
	p.s.compact(ended)
	return nil
}

// remember keeps the summary of an open job, which the next batch goes on from.
func (p *part) remember(jobID string, rec *record) {
	if rec == nil || rec.Job.Closed {
		delete(p.cache, jobID)
		return
	}
	if len(p.cache) >= cachedJobs {
		clear(p.cache) // open jobs come back when they go on
	}
	p.cache[jobID] = rec
}

// folded is a summary on its way: exact, or to be brought up from the stream.
type folded struct {
	rec   *record
	exact bool
}

// fold gives the summaries with everything that is known of the jobs; nil for
// a job that is gone. What has to be read is read for many jobs at a time.
func (p *part) fold(jobs []string, dirty map[string]*pending) ([]folded, error) {
	folds := make([]folded, len(jobs))
	var unknown []string
	for i, jobID := range jobs {
		folds[i].rec, folds[i].exact = p.fromRuns(jobID, dirty[jobID])
		if !folds[i].exact && folds[i].rec == nil {
			unknown = append(unknown, jobID)
		}
	}
	known, err := p.s.indexedOf(p.s.ctx, p.n, unknown)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(jobs))
	var readers sync.WaitGroup
	for i, jobID := range jobs {
		f := &folds[i]
		if f.exact {
			continue
		}
		if f.rec == nil {
			f.rec = known[jobID]
		}
		readers.Go(func() { f.rec, errs[i] = p.s.catchUp(p.s.ctx, jobID, f.rec) })
	}
	readers.Wait()
	for _, err := range errs {
		if ignoreUnknown(err) != nil {
			return nil, err
		}
	}
	return folds, nil
}

// fromRuns folds the appended batches if they follow on one another and on what
// is remembered, without reading anything.
func (p *part) fromRuns(jobID string, d *pending) (rec *record, exact bool) {
	rec = p.cache[jobID]
	if d.reread || len(d.runs) == 0 {
		return rec, false
	}
	slices.SortStableFunc(d.runs, func(a, b run) int {
		return cmp.Or(cmp.Compare(a.incarnation, b.incarnation), a.prev.Compare(b.prev))
	})
	newest := d.runs[len(d.runs)-1].incarnation
	if rec == nil || rec.Job.Incarnation != newest {
		rec = &record{}
		rec.Job.Incarnation = newest
	}
	for _, r := range d.runs {
		switch {
		case r.incarnation != newest:
			continue
		case r.prev == rec.Job.LastID:
			rec.apply(r.events)
		case rec.Job.LastID.Less(r.events[len(r.events)-1].ID):
			if rec.Job.Events == 0 {
				return nil, false
			}
			return rec, false
		}
	}
	return rec, rec.Job.Events > 0
}

// unindex takes a job out of the index, and tells the feed if it was there.
func (s *Store) unindex(ctx context.Context, jobID, incarnation string) error {
	p := partitionOf(jobID)
	return s.runScript(ctx, unindexScript, s.keys.index(p),
		[]string{formatInt(s.opts.FeedEvents), s.keys.tombstone(p, jobID), jobID, incarnation}).Error()
}

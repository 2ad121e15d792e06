package pebblelog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"tidings"
)

// group is what is written and synced together.
type group struct {
	c       *committer
	s       *Store
	now     time.Time
	batch   *pebble.Batch
	jobs    map[string]*entry // used so far
	touched []*entry          // those that were changed
	removes bool              // something is removed
	first   tidings.ID        // c.last when the group began
	number  uint64            // c.nextNumber when the group began
	counts  groupCounts
	key     []byte // scratch
	value   []byte
	record  bytes.Buffer
}

// groupCounts are added to the store's once they are durable.
type groupCounts struct {
	appends, events, trimmed, deleted int64
}

func (c *committer) newGroup() *group {
	return &group{
		c: c, s: c.s, now: c.s.opts.now(), batch: c.s.db.NewBatch(),
		jobs: make(map[string]*entry), first: c.last, number: c.nextNumber,
	}
}

// entry gives a job with the group's changes so far. Its planned is nil if
// there is no such job.
func (g *group) entry(jobID string) (*entry, error) {
	if e := g.jobs[jobID]; e != nil {
		return e, nil
	}
	e := g.s.cache.use(jobID)
	if e == nil {
		snap, err := g.s.load(jobID, nil)
		if err != nil {
			return nil, unavailable(err)
		}
		e = &entry{jobID: jobID, synced: snap, planned: snap}
	}
	g.jobs[jobID] = e
	return e, nil
}

// change gives the snapshot of a job for changing. There must be one.
func (g *group) change(e *entry) *snapshot {
	if !e.dirty {
		g.touch(e)
		next := *e.planned
		e.planned = &next
	}
	return e.planned
}

func (g *group) touch(e *entry) {
	if !e.dirty {
		e.dirty = true
		g.touched = append(g.touched, e)
	}
}

// create begins a life of a job.
func (g *group) create(e *entry) *snapshot {
	g.touch(e)
	e.planned = &snapshot{number: g.c.nextNumber}
	e.planned.job.Incarnation = randomTag(8)
	e.producers = &producers{states: make(map[string]producerState)}
	g.c.nextNumber++
	return e.planned
}

// producer gives what is known of a producer of a job.
func (g *group) producer(e *entry, producerID string) (tidings.ProducerState, bool, error) {
	if e.planned == nil {
		return tidings.ProducerState{}, false, nil
	}
	if e.producers == nil {
		p, err := loadProducers(g.s.db, e.planned.number)
		if err != nil {
			return tidings.ProducerState{}, false, unavailable(g.s.damage("the producers of job "+e.jobID, err))
		}
		e.producers = p
	}
	state, known := e.producers.states[producerID]
	return state.ProducerState, known, nil
}

// feed adds an entry of so many changes to the feed. Errors of a batch's Set and
// Delete are those of a batch without memory, and come again when it is applied.
func (g *group) feed(kind byte, number uint64, jobID string, first, last tidings.ID, changes int) {
	g.c.feedCount += uint64(changes)
	f := feedEntry{kind: kind, count: g.c.feedCount, number: number, first: first, last: last}
	g.key = appendFeedKey(g.key[:0], last)
	g.value = append(f.appendTo(g.value[:0]), jobID...)
	_ = g.batch.Set(g.key, g.value, nil)
}

// write makes the group durable and then visible. The error says that it is
// neither.
func (g *group) write() error {
	defer func() { _ = g.batch.Close() }() // gives memory back, no more
	if err := g.finish(); err != nil {
		// What is planned is no longer what will be written: nothing can follow.
		g.s.die(err)
		return unavailable(err)
	}
	if g.batch.Empty() {
		return nil
	}
	g.s.cache.add(g.touched)
	if g.removes {
		g.s.removal.Lock()
		defer g.s.removal.Unlock()
	}
	began := time.Now()
	if err := g.apply(); err != nil {
		return unavailable(err)
	}
	g.s.stats.group(g, time.Since(began))
	g.publish()
	return nil
}

func (g *group) apply() error {
	err := g.batchApply()
	if fatal := g.s.state.fatal(); fatal != nil {
		return fatal // Pebble told the logger, not us
	}
	if err != nil {
		g.s.die(fmt.Errorf("commit: %w", err))
	}
	return err
}

// batchApply turns the panic by which Pebble tells some failed writes into an
// error.
func (g *group) batchApply() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.Join(err, fmt.Errorf("%v", p))
		}
	}()
	return g.s.db.Apply(g.batch, pebble.Sync)
}

// finish adds what follows from the changes: records and indexes.
func (g *group) finish() error {
	for _, e := range g.touched {
		if err := g.writeJob(e); err != nil {
			return err
		}
	}
	if g.c.nextNumber != g.number {
		_ = g.batch.Set(keyNextNumber, binary.BigEndian.AppendUint64(nil, g.c.nextNumber), nil)
	}
	return nil
}

// writeJob brings the record and the index entries of a job from what they are
// on the disk to what is planned.
func (g *group) writeJob(e *entry) error {
	before, after := e.synced, e.planned
	g.key = appendJobKey(g.key[:0], e.jobID)
	if after == nil {
		_ = g.batch.Delete(g.key, nil)
	} else {
		g.record.Reset()
		if err := after.appendRecord(&g.record); err != nil {
			return err
		}
		_ = g.batch.Set(g.key, g.record.Bytes(), nil)
	}
	g.indexCreated(e.jobID, before, after)
	g.indexEnded(e.jobID, before, after)
	return nil
}

func (g *group) indexCreated(jobID string, before, after *snapshot) {
	any := func(*snapshot) bool { return true }
	open := func(snap *snapshot) bool { return !snap.ended() }
	g.index(prefixCreated, any, jobID, before, after)
	g.index(prefixOpen, open, jobID, before, after)
}

// index moves a job's entry in an index by creation, of those jobs that have a
// property.
func (g *group) index(prefix byte, has func(*snapshot) bool, jobID string, before, after *snapshot) {
	was := before != nil && has(before)
	is := after != nil && has(after)
	if was && is && before.number == after.number {
		return
	}
	if was {
		_ = g.batch.Delete(before.created().appendKey(g.key[:0], prefix), nil)
	}
	if is {
		_ = g.batch.Set(after.created().appendKey(g.key[:0], prefix), []byte(jobID), nil)
	}
}

func (g *group) indexEnded(jobID string, before, after *snapshot) {
	was := before != nil && before.ended()
	is := after != nil && after.ended()
	if was && is && before.job.LastID == after.job.LastID {
		return
	}
	if was {
		_ = g.batch.Delete(appendEndedKey(g.key[:0], before.job.LastID), nil)
	}
	if is {
		_ = g.batch.Set(appendEndedKey(g.key[:0], after.job.LastID), []byte(jobID), nil)
	}
}

// publish shows the group to readers and wakes those who wait.
func (g *group) publish() {
	g.s.cache.publish(g.touched)
	g.s.position.Store(&position{last: g.c.last, feedTrimmed: g.c.feedTrimmed})
	g.s.noteSizes(g.touched)
	g.s.watches.wake(g.touched)
	if g.c.last != g.first {
		g.s.feeds.wake()
	}
}

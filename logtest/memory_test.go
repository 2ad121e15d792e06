package logtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"tidings"
)

// memory is a store that forgets at the end of the process: the smallest thing
// that keeps every promise, so that the suite has something to be tried on.
// broken names a promise that it breaks instead; see broken_test.go.
type memory struct {
	*shelf
	broken    string
	retention tidings.Retention
	closed    chan struct{}
}

// shelf is what survives closing and opening again.
type shelf struct {
	mu      sync.Mutex
	changed chan struct{} // closed and replaced at every change
	jobs    map[string]*memoryLog
	order   []*memoryLog // by creation
	feed    []tidings.Change
	lives   int
	stats   tidings.Stats
}

type memoryLog struct {
	job       tidings.Job
	number    int
	events    []tidings.Event // still held
	trimmed   tidings.ID      // the last event that is not
	producers map[string]tidings.ProducerState
	deleted   bool
}

func newMemory(broken string, r tidings.Retention) *memory {
	s := &shelf{changed: make(chan struct{}), jobs: map[string]*memoryLog{}}
	return &memory{shelf: s, broken: broken, retention: r, closed: make(chan struct{})}
}

func (m *memory) reopened() *memory {
	if m.broken == "reopening" {
		for _, l := range m.jobs {
			l.producers = map[string]tidings.ProducerState{}
		}
	}
	return &memory{shelf: m.shelf, broken: m.broken, retention: m.retention, closed: make(chan struct{})}
}

func (m *memory) isClosed() bool {
	select {
	case <-m.closed:
		return true
	default:
		return false
	}
}

// wake tells everyone who waits to look again.
func (m *memory) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// find gives the job's log; the caller holds the lock.
func (m *memory) find(jobID string) (*memoryLog, error) {
	if m.isClosed() {
		return nil, tidings.ErrStoreClosed
	}
	if l := m.jobs[jobID]; l != nil {
		return l, nil
	}
	return nil, tidings.ErrUnknownJob
}

func (m *memory) Append(ctx context.Context, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r, err := m.append(jobID, b)
	switch {
	case err != nil:
		m.stats.Refused++
	case r.Duplicate:
		m.stats.Duplicates++
	default:
		m.stats.Appends++
		m.stats.AppendedEvents += int64(len(b.Events))
		m.wake()
	}
	return r, err
}

func (m *memory) append(jobID string, b tidings.Batch) (tidings.Receipt, error) {
	if m.isClosed() {
		return tidings.Receipt{}, tidings.ErrStoreClosed
	}
	if err := b.Validate(jobID); err != nil {
		if m.broken == "half-batch" && tidings.ValidateJobID(jobID) == nil && m.jobs[jobID] != nil {
			for i := range b.Events {
				if b.Events[i].Validate() != nil {
					break
				}
				m.write(m.jobs[jobID], b.Events[i])
			}
		}
		return tidings.Receipt{}, err
	}
	l := m.jobs[jobID]
	if l == nil {
		l = m.newLog(jobID)
	}
	if b.Producer != nil {
		state, known := l.producers[b.Producer.ID]
		duplicate, err := b.Producer.Check(state, known)
		if _, fenced := err.(*tidings.FencedError); fenced && m.broken == "fencing" {
			err = nil
		}
		if err != nil {
			return tidings.Receipt{}, err
		}
		if duplicate && m.broken != "idempotence" {
			return tidings.Receipt{LastID: l.job.LastID, Incarnation: l.job.Incarnation, Duplicate: true}, nil
		}
	}
	if l.job.Closed && m.broken != "closing" {
		return tidings.Receipt{}, &tidings.ClosedError{JobID: jobID, LastID: l.job.LastID}
	}
	return m.commit(l, b), nil
}

func (m *memory) newLog(jobID string) *memoryLog {
	m.lives++
	incarnation := strings.ToLower(rand.Text()[:8])
	if m.broken == "incarnation" {
		incarnation = "same"
	}
	return &memoryLog{number: m.lives, producers: map[string]tidings.ProducerState{}, job: tidings.Job{ID: jobID, Incarnation: incarnation}}
}

func (m *memory) commit(l *memoryLog, b tidings.Batch) tidings.Receipt {
	if m.jobs[l.job.ID] == nil {
		m.jobs[l.job.ID] = l
		m.order = append(m.order, l)
	}
	if p := b.Producer; p != nil {
		l.producers[p.ID] = tidings.ProducerState{Epoch: p.Epoch, Seq: p.Seq}
	}
	r := tidings.Receipt{Incarnation: l.job.Incarnation}
	for _, ev := range b.Events {
		r.IDs = append(r.IDs, m.write(l, ev))
	}
	r.LastID = l.job.LastID
	return r
}

func (m *memory) write(l *memoryLog, ev tidings.Event) tidings.ID {
	now := time.Now()
	ev.JobID = l.job.ID
	ev.ID = max2(tidings.ID{Ms: uint64(now.UnixMilli())}, l.job.LastID.Next())
	if ev.Time.IsZero() {
		ev.Time = now
	}
	ev.Time = ev.Time.UTC().Truncate(time.Microsecond)
	if m.broken == "time" {
		ev.Time = ev.Time.Truncate(time.Millisecond)
	}
	if m.broken == "data" {
		var v any
		_ = json.Unmarshal(ev.Data, &v)
		ev.Data, _ = json.Marshal(v)
	}
	if len(ev.Data) == 0 {
		ev.Data = []byte("{}")
	}
	if m.broken != "fold" || ev.Type != tidings.TypeCancelRequested {
		l.job.Apply(&ev)
	}
	if m.broken == "drop" && l.job.Events%17 == 0 {
		return ev.ID
	}
	l.events = append(l.events, ev)
	if m.broken != "feed" || l.job.Events%13 != 0 {
		m.feed = append(m.feed, tidings.Change{Cursor: strconv.Itoa(len(m.feed) + 1), Event: ev})
	}
	if n := len(l.events); m.broken == "reorder" && n%11 == 0 {
		l.events[n-1].Data, l.events[n-2].Data = l.events[n-2].Data, l.events[n-1].Data
	}
	return ev.ID
}

func max2(a, b tidings.ID) tidings.ID {
	if a.Less(b) {
		return b
	}
	return a
}

func (m *memory) Heartbeat(ctx context.Context, jobID string, lease tidings.Lease) error {
	if err := tidings.ValidateJobID(jobID); err != nil && !m.isClosed() {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	l, err := m.find(jobID)
	if err != nil {
		return err
	}
	if l.job.Closed {
		return &tidings.ClosedError{JobID: jobID, LastID: l.job.LastID}
	}
	if p := lease.Producer; p != nil && p.Epoch < l.producers[p.ID].Epoch && m.broken != "fencing" {
		return &tidings.FencedError{ProducerID: p.ID, Epoch: p.Epoch, Current: l.producers[p.ID].Epoch}
	}
	if lease.TTL == 0 {
		lease.TTL = tidings.DefaultLeaseTTL
	}
	until := time.Now().Add(lease.TTL)
	l.job.LeaseUntil = &until
	return nil
}

// check says whether the cursor can be continued exactly.
func (m *memory) check(l *memoryLog, c tidings.Cursor) error {
	rewound := c.Incarnation != "" && c.Incarnation != l.job.Incarnation || l.job.LastID.Less(c.ID)
	switch {
	case rewound && m.broken != "rewound":
		return &tidings.RewoundError{JobID: l.job.ID, Cursor: c, Last: l.job.LastID, Incarnation: l.job.Incarnation}
	case c.ID.Less(l.trimmed) && m.broken != "gap":
		return &tidings.GapError{JobID: l.job.ID, Cursor: c, First: l.job.FirstID, Incarnation: l.job.Incarnation}
	}
	return nil
}

func (m *memory) Read(ctx context.Context, jobID string, q tidings.Query) (tidings.Page, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, err := m.find(jobID)
	if err != nil {
		return tidings.Page{}, err
	}
	if err := m.check(l, q.After); err != nil && !(q.Backward && q.After.ID.IsZero()) {
		return tidings.Page{}, err
	}
	p := tidings.Page{First: l.job.FirstID, LastID: l.job.LastID, Incarnation: l.job.Incarnation, Closed: l.job.Closed}
	p.Events, p.More = cut(l.events, q)
	m.stats.Reads++
	m.stats.ReadEvents += int64(len(p.Events))
	return p, nil
}

// cut gives the page of events that the query asks for.
func cut(events []tidings.Event, q tidings.Query) (page []tidings.Event, more bool) {
	if q.Limit == 0 {
		q.Limit = tidings.DefaultLimit
	}
	if q.MaxBytes == 0 {
		q.MaxBytes = tidings.DefaultMaxBytes
	}
	var found []tidings.Event
	start, _ := slices.BinarySearchFunc(events, q.After.ID, func(ev tidings.Event, id tidings.ID) int { return ev.ID.Compare(id) })
	for _, ev := range events[start:] {
		if !q.Backward && len(found) > q.Limit {
			break
		}
		if q.After.ID.Less(ev.ID) && (q.Before.IsZero() || ev.ID.Less(q.Before)) {
			found = append(found, ev)
		}
	}
	if q.Backward {
		slices.Reverse(found)
	}
	size := 0
	for i := range found {
		if i == q.Limit || size > q.MaxBytes {
			return found[:i], true
		}
		size += len(found[i].Data)
	}
	return found, false
}

func (m *memory) Job(ctx context.Context, jobID string) (tidings.Job, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, err := m.find(jobID)
	if err != nil {
		return tidings.Job{}, err
	}
	return l.job, nil
}

func (m *memory) Jobs(ctx context.Context, q tidings.JobsQuery) (tidings.JobsPage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isClosed() {
		return tidings.JobsPage{}, tidings.ErrStoreClosed
	}
	below, limit := m.lives+1, q.Limit
	if limit == 0 {
		limit = tidings.DefaultJobsLimit
	}
	if q.Cursor != "" {
		var err error
		if below, err = strconv.Atoi(q.Cursor); err != nil {
			return tidings.JobsPage{}, &tidings.InvalidError{Field: "cursor", Reason: "malformed"}
		}
	}
	p := tidings.JobsPage{}
	for _, l := range slices.Backward(m.order) {
		if l.deleted || l.number >= below || !q.Matches(&l.job, time.Now()) {
			continue
		}
		if len(p.Jobs) == limit {
			p.NextCursor = strconv.Itoa(below)
			if m.broken == "paging" {
				p.NextCursor = strconv.Itoa(below - 1)
			}
			break
		}
		p.Jobs = append(p.Jobs, l.job)
		below = l.number
	}
	return p, nil
}

func (m *memory) Delete(ctx context.Context, jobID string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.delete(jobID)
}

func (m *memory) delete(jobID string) error {
	l, err := m.find(jobID)
	if err != nil {
		return err
	}
	delete(m.jobs, jobID)
	l.deleted = true
	m.stats.Deleted++
	m.feed = append(m.feed, tidings.Change{Cursor: strconv.Itoa(len(m.feed) + 1), Event: tidings.Event{JobID: jobID}, Deleted: true})
	m.wake()
	return nil
}

// retain is one pass of retention.
func (m *memory) retain() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for jobID, l := range m.jobs {
		r := m.retention
		if r.AfterEnd > 0 && l.job.EndedAt != nil && time.Since(*l.job.EndedAt) > r.AfterEnd {
			_ = m.delete(jobID)
			continue
		}
		size := int64(0)
		for i := len(l.events) - 1; i >= 0; i-- {
			size += int64(len(l.events[i].Data))
			if r.EventsPerJob > 0 && int64(len(l.events)-i) > r.EventsPerJob || r.BytesPerJob > 0 && size > r.BytesPerJob {
				m.stats.Trimmed += int64(i + 1)
				l.trimmed = l.events[i].ID
				l.events = l.events[i+1:]
				l.job.FirstID = l.events[0].ID
				break
			}
		}
	}
	m.wake()
}

func (m *memory) Stats() tidings.Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.stats
}

func (m *memory) Health(ctx context.Context) tidings.Health {
	if m.isClosed() {
		return tidings.Health{Store: "memory", Error: "closed"}
	}
	return tidings.Health{Ready: true, Store: "memory"}
}

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.isClosed() {
		close(m.closed)
	}
	return nil
}

// wait sleeps until something changed.
func (m *memory) wait(ctx context.Context, changed, closed chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-m.closed:
		return tidings.ErrStoreClosed
	case <-closed:
		return errFollowerClosed
	}
}

var errFollowerClosed = errors.New("follower is closed")

type memoryFollower struct {
	m      *memory
	log    *memoryLog
	cursor tidings.Cursor
	closed chan struct{}
	once   sync.Once
}

func (m *memory) Follow(ctx context.Context, jobID string, after tidings.Cursor) (tidings.Follower, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l, err := m.find(jobID)
	if err != nil {
		return nil, err
	}
	m.stats.Followers++
	return &memoryFollower{m: m, log: l, cursor: after, closed: make(chan struct{})}, nil
}

func (f *memoryFollower) Next(ctx context.Context) ([]tidings.Event, error) {
	for {
		f.m.mu.Lock()
		events, err := f.look()
		changed := f.m.changed
		f.m.mu.Unlock()
		if len(events) > 0 || err != nil {
			return events, err
		}
		if err := f.m.wait(ctx, changed, f.closed); err != nil {
			return nil, err
		}
	}
}

func (f *memoryFollower) look() ([]tidings.Event, error) {
	l := f.log
	if f.m.isClosed() {
		return nil, tidings.ErrStoreClosed
	}
	if l.deleted && f.m.broken != "deletion" {
		return nil, tidings.ErrUnknownJob
	}
	if err := f.m.check(l, f.cursor); err != nil {
		f.cursor = tidings.Cursor{ID: l.trimmed}
		return nil, err
	}
	events, _ := cut(l.events, tidings.Query{After: f.cursor, Limit: 100})
	if len(events) == 0 {
		if l.job.Closed {
			return nil, io.EOF
		}
		return nil, nil
	}
	f.m.stats.Reads++
	f.m.stats.ReadEvents += int64(len(events))
	f.cursor = tidings.Cursor{ID: events[len(events)-1].ID}
	if f.m.broken == "follow-twice" && len(events) > 1 {
		f.cursor.ID = events[len(events)-2].ID
	}
	if f.m.broken == "follow-skips" {
		f.cursor.ID = l.job.LastID
	}
	return events, nil
}

func (f *memoryFollower) Incarnation() string { return f.log.job.Incarnation }

func (f *memoryFollower) Close() error {
	f.once.Do(func() {
		f.m.mu.Lock()
		f.m.stats.Followers--
		f.m.mu.Unlock()
		close(f.closed)
	})
	return nil
}

type memoryFeed struct {
	m      *memory
	next   int
	closed chan struct{}
	once   sync.Once
}

func (m *memory) Feed(ctx context.Context, after string) (tidings.Feed, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isClosed() {
		return nil, tidings.ErrStoreClosed
	}
	next := 0
	switch after {
	case "":
	case tidings.FeedLatest:
		next = len(m.feed)
	default:
		var err error
		if next, err = strconv.Atoi(after); err != nil {
			return nil, &tidings.InvalidError{Field: "cursor", Reason: "malformed"}
		}
	}
	return &memoryFeed{m: m, next: next, closed: make(chan struct{})}, nil
}

func (f *memoryFeed) Next(ctx context.Context) ([]tidings.Change, error) {
	for {
		f.m.mu.Lock()
		changes, changed := slices.Clone(f.m.feed[f.next:]), f.m.changed
		f.next = len(f.m.feed)
		f.m.mu.Unlock()
		if len(changes) > 0 && !f.m.isClosed() {
			return changes, nil
		}
		if err := f.m.wait(ctx, changed, f.closed); err != nil {
			return nil, err
		}
	}
}

func (f *memoryFeed) Close() error {
	f.once.Do(func() { close(f.closed) })
	return nil
}

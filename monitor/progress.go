package monitor

import (
	"sync"
	"sync/atomic"
	"time"
)

// progress is how far the feed was read.
type progress struct {
	gaps atomic.Int64

	mu     sync.Mutex
	cursor string
	folded int64
	at     time.Time     // when the last batch was folded
	lag    time.Duration // of its last change then
	failed time.Time     // since when the feed can't be followed; zero: it is
}

func (p *progress) note(cursor string, changes int, latest time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cursor = cursor
	p.folded += int64(changes)
	p.at = time.Now()
	p.lag = max(p.at.Sub(latest), 0)
}

func (p *progress) begin(cursor string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cursor, p.failed = cursor, time.Time{}
}

// fail is told when following broke off.
func (p *progress) fail() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.failed.IsZero() {
		p.failed = time.Now()
	}
}

// Progress says how far the monitor has come.
type Progress struct {
	Cursor string        `json:"cursor"`
	Folded int64         `json:"folded"` // changes, by this node since it started
	Lag    time.Duration `json:"-"`      // from a change's ID to its being counted; zero if none came lately; while the feed can't be followed, since when
	LagMS  int64         `json:"lag_ms"`
	Gaps   int64         `json:"gaps"` // times that changes were trimmed away unread
	// Leader says that this node holds the lease, the Epoch'th.
	Leader     bool        `json:"leader"`
	Epoch      int64       `json:"epoch,omitempty"`
	Checkpoint *Checkpoint `json:"checkpoint,omitempty"`
}

// Progress says how far the monitor has come.
func (m *Monitor) Progress() Progress {
	epoch, _ := m.lease.current()
	p := &m.progress
	p.mu.Lock()
	defer p.mu.Unlock()
	out := Progress{Cursor: p.cursor, Folded: p.folded, Gaps: p.gaps.Load(), Leader: epoch != 0, Epoch: epoch, Checkpoint: m.saves.report.Load()}
	if time.Since(p.at) < 2*time.Second {
		out.Lag = p.lag
	}
	if !p.failed.IsZero() { // changes may come that nobody reads
		out.Lag += time.Since(p.failed)
	}
	out.LagMS = out.Lag.Milliseconds()
	return out
}

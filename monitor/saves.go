package monitor

import (
	"context"
	"errors"
	"sync/atomic"
	"time"
)

// saves is how checkpoints are doing. But for report, it belongs to the
// goroutine of run.
type saves struct {
	done   chan snapshot // holds one
	busy   bool
	next   time.Time
	cursor string // of the last one

	report atomic.Pointer[Checkpoint]
}

// Checkpoint is the last one that this node made or tried to make.
type Checkpoint struct {
	At    time.Time     `json:"at"`
	Bytes int           `json:"bytes"`
	Took  time.Duration `json:"-"` // to encode
	Error string        `json:"error,omitempty"`
}

const (
	saveTimeout = 10 * time.Second
	// A large checkpoint is made less often: at about so many bytes a second, and
	// in a twentieth of the time, but at least once a minute.
	saveRate  = 64 << 10
	saveShare = 20
	saveMax   = time.Minute
)

func (s *saves) due(now time.Time, cursor string, urgent bool) bool {
	switch {
	case s.busy:
		return false
	case urgent:
		return true
	}
	return cursor != s.cursor && now.After(s.next)
}

// beginSave saves in a goroutine of its own, one at a time.
func (m *Monitor) beginSave(s snapshot) {
	if s.err != nil {
		m.saved(&s)
		return
	}
	m.saves.busy = true
	m.group.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), saveTimeout)
		defer cancel()
		ok, err := m.opts.State.Save(ctx, checkpointDoc, s.data, s.epoch)
		if err == nil && !ok {
			m.lease.lost(s.epoch)
			err = errors.New("another node holds the lease")
		}
		s.err = err
		m.saves.done <- s
	})
}

func (m *Monitor) finishSave(s snapshot) {
	m.saves.busy = false
	m.saved(&s)
	if s.err == nil && s.committed != nil {
		s.committed()
	}
}

func (m *Monitor) saved(s *snapshot) {
	wait := max(m.opts.CheckpointEvery, min(saveMax, max(saveShare*s.took, time.Duration(len(s.data))*time.Second/saveRate)))
	m.saves.next = time.Now().Add(wait)
	report := &Checkpoint{At: time.Now(), Bytes: len(s.data), Took: s.took}
	if s.err != nil {
		report.Error = s.err.Error()
		m.log.Warn("monitor: a checkpoint could not be saved; it is tried again", "error", s.err)
	} else {
		m.saves.cursor = s.cursor
	}
	m.saves.report.Store(report)
}

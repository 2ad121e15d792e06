package monitor

import (
	"time"

	"tidings"
)

// View lets fn read the fold, which does not change meanwhile. fn must be quick,
// and must not keep the fold or call the Monitor.
func (m *Monitor) View(fn func(f *Fold)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	fn(m.fold)
}

// stalled reports whether a job gives no sign of life.
func (m *Monitor) stalled(job *tidings.Job, now time.Time) bool {
	copied := *job
	copied.LeaseUntil = m.beats.lease(job.ID)
	return copied.Stalled(now, m.opts.SilentAfter) && now.Sub(timeOf(job.LastID)) >= silentFor
}

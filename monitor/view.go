package monitor

import "time"

// View lets fn read the fold, which does not change meanwhile. fn must be quick,
// and must not keep the fold or call the Monitor.
func (m *Monitor) View(fn func(f *Fold)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	fn(m.fold)
}

// stalled reports whether a job gives no sign of life.
func (m *Monitor) stalled(j *live, now time.Time) bool {
	job := j.Job
	job.LeaseUntil = m.beats.lease(job.ID)
	job.LastID.Ms = uint64(j.Heard) // IDs of foreign publishers may say anything
	return job.Stalled(now, m.opts.SilentAfter) && now.Sub(j.heard()) >= silentFor
}

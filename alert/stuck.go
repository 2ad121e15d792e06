package alert

import (
	"tidings/monitor"
)

// lostWorker finds jobs whose worker is gone: it kept a lease, and the lease ran
// out.
var lostWorker = &detector{
	name: "lost_worker", help: "a job's lease ran out: its worker is gone", severity: Critical, wait: 10 * second, keep: 0,
	eval: func(_ *Rule, w *world) []finding {
		return stuckFindings(w, func(s *monitor.Stuck) bool { return s.Stalled && s.LeaseUntil != nil })
	},
}

// stuckJob finds jobs that live, as far as is known, but are silent for longer
// than jobs of their name ever are while they wait for the same step.
var stuckJob = &detector{
	name: "stuck_job", help: "a job is silent for longer than jobs of its name ever are at that step", severity: Warning, wait: 10 * second, keep: 0,
	defaults: map[string]any{"after": 1 * minute},
	settings: map[string]string{"after": "a shorter silence is none"},
	eval: func(r *Rule, w *world) []finding {
		least := r.duration("after").Milliseconds()
		return stuckFindings(w, func(s *monitor.Stuck) bool {
			return (s.Overdue || s.Stalled) && (!s.Stalled || s.LeaseUntil == nil) && s.SilentMS >= least
		})
	},
}

func stuckFindings(w *world, take func(*monitor.Stuck) bool) []finding {
	var list []finding
	for i := range w.stuck {
		s := &w.stuck[i]
		if !take(s) {
			continue
		}
		labels := map[string]string{"name": s.Name, "job_id": s.JobID}
		if job, ok := w.fold.LiveJob(s.JobID); ok {
			labels = jobLabels(&job.Job)
		}
		if s.Worker != "" {
			labels["worker"] = s.Worker
		}
		event := s.Last.ID
		if s.Waits != nil {
			labels["waits_for"], event = s.Waits.Kind+" "+s.Waits.Name, s.Waits.Event
		}
		list = append(list, finding{key: s.JobID, labels: labels, job: s.JobID, event: event,
			summary: "job " + s.JobID + named(s.Name) + " " + s.Says, value: ptr(float64(s.SilentMS) / 1000)})
	}
	return list
}

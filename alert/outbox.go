package alert

import (
	"slices"
	"time"
)

// row is a notice on its way to one receiver. Those of a receiver go in order,
// one after the other.
type row struct {
	ID          string            `json:"id"`
	Receiver    string            `json:"receiver"`
	GroupKey    string            `json:"group_key"`
	GroupLabels map[string]string `json:"group_labels"`
	Reason      string            `json:"reason"`
	Alerts      []Alert           `json:"alerts,omitempty"`
	Truncated   int               `json:"truncated,omitempty"`
	At          time.Time         `json:"at"`

	Attempts int       `json:"attempts,omitempty"`
	Next     time.Time `json:"next"`
	Error    string    `json:"error,omitempty"`
	DoneAt   time.Time `json:"done_at,omitzero"` // it was sent, or given up

	committed bool // it is saved, and so may leave the process
	sending   bool
}

const (
	// maxOutbox notices wait for one receiver; then the oldest that was not tried
	// is given up, and shown.
	maxOutbox = 200
	maxDead   = 100
	maxSent   = 200
	// giveUp is when a notice that does not get through is given up.
	giveUp = 24 * time.Hour
)

// post puts a notice at the end of the outbox.
func (s *state) post(r *row) {
	waiting, oldest := 0, -1
	for i, o := range s.Outbox {
		if o.Receiver == r.Receiver {
			waiting++
			if oldest < 0 && !o.sending {
				oldest = i
			}
		}
	}
	if waiting >= maxOutbox && oldest >= 0 {
		old := s.Outbox[oldest]
		s.Outbox = slices.Delete(s.Outbox, oldest, oldest+1)
		s.bury(old, r.At, "too many notices wait for the receiver")
	}
	s.Outbox = append(s.Outbox, r)
}

// bury keeps a notice that is given up, for people to see.
func (s *state) bury(r *row, now time.Time, reason string) {
	if r.Error != "" {
		reason += "; at last: " + r.Error
	}
	r.Error, r.DoneAt = clip(reason, 500), now
	s.Dead = append(s.Dead, r)
	s.Dead = s.Dead[max(0, len(s.Dead)-maxDead):]
}

// next gives the notice that is to be sent to the receiver now, or when to look
// again.
func (s *state) next(receiver string, now time.Time) (*row, time.Time) {
	for _, r := range s.Outbox {
		if r.Receiver != receiver {
			continue
		}
		if !r.committed || r.sending {
			return nil, time.Time{}
		}
		if r.Next.After(now) {
			return nil, r.Next
		}
		return r, time.Time{}
	}
	return nil, time.Time{}
}

func (s *state) remove(r *row) bool {
	n := len(s.Outbox)
	s.Outbox = slices.DeleteFunc(s.Outbox, func(o *row) bool { return o.ID == r.ID && o.Receiver == r.Receiver })
	return len(s.Outbox) < n
}

// delivered: the receiver has it.
func (s *state) delivered(r *row, now time.Time) {
	if !s.remove(r) {
		return
	}
	done := *r
	done.Alerts, done.DoneAt, done.Attempts, done.Error = nil, now, r.Attempts+1, ""
	done.Truncated = len(r.Alerts) + r.Truncated
	s.Sent = append(s.Sent, &done)
	s.Sent = s.Sent[max(0, len(s.Sent)-maxSent):]
}

// failed: it is tried again later, or given up.
func (s *state) failed(r *row, err *DeliveryError, now time.Time, wait time.Duration) {
	r.Attempts++
	r.Error = clip(err.Error(), 500)
	switch {
	case err.Permanent:
		if s.remove(r) {
			s.bury(r, now, "the receiver refused it")
		}
	case now.Sub(r.At) > giveUp:
		if s.remove(r) {
			s.bury(r, now, "it did not get through within "+giveUp.String())
		}
	default:
		r.Next = now.Add(max(wait, err.RetryAfter))
	}
}

// orphans are given up: their receiver is in the configuration no more.
func (s *state) orphans(c *Config, now time.Time) {
	for _, r := range slices.Clone(s.Outbox) {
		if !slices.ContainsFunc(c.Receivers, func(o Receiver) bool { return o.Name == r.Receiver }) && s.remove(r) {
			s.bury(r, now, "the receiver is no longer configured")
		}
	}
}

// backoff is how long to wait after so many attempts: 1 s, doubled each time, 5
// minutes at most.
func backoff(attempts int) time.Duration {
	return min(time.Second<<min(attempts, 20), 5*time.Minute)
}

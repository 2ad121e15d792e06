package alert

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"tidings"
)

// States of an [Alert].
const (
	Pending  = "pending"  // the condition holds, but not for long enough yet
	Firing   = "firing"   // people are told
	Resolved = "resolved" // it fired, and the condition holds no more
)

// Severities, the worst last.
const (
	Info     = "info"
	Warning  = "warning"
	Critical = "critical"
)

var severities = []string{Info, Warning, Critical}

// Alert is one thing that a rule found: a rule has one for each job, name, tool
// or whatever it looks at.
type Alert struct {
	ID       string            `json:"id"` // the same each time for the rule and what it looks at
	Rule     string            `json:"rule"`
	Severity string            `json:"severity"`
	State    string            `json:"state"`
	JobID    string            `json:"job_id,omitempty"`
	EventID  tidings.ID        `json:"event_id,omitzero"` // where on the job's timeline
	Labels   map[string]string `json:"labels"`
	Summary  string            `json:"summary"`
	Value    *float64          `json:"value,omitempty"`

	Since      time.Time  `json:"since"` // the condition holds
	FiredAt    *time.Time `json:"fired_at,omitempty"`
	ResolvedAt *time.Time `json:"resolved_at,omitempty"`

	// SilencedBy are IDs of silences, and InhibitedBy those of alerts, that keep
	// people from being told.
	SilencedBy  []string `json:"silenced_by,omitempty"`
	InhibitedBy []string `json:"inhibited_by,omitempty"`
}

// suppressed reports whether nobody is told.
func (a *Alert) suppressed() bool { return len(a.SilencedBy)+len(a.InhibitedBy) > 0 }

// Transition is a change of an alert's state.
type Transition struct {
	At    time.Time `json:"at"`
	From  string    `json:"from,omitempty"` // empty: there was none
	Alert Alert     `json:"alert"`          // after it
}

// hashOf is a short name for what the parts say.
func hashOf(parts ...string) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return hex.EncodeToString(h.Sum(nil)[:8])
}

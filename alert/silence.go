package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tidings"
	"tidings/monitor"
)

// Silence keeps people from being told of the alerts that it matches, until it
// ends. The alerts go on all the same.
type Silence struct {
	ID        string    `json:"id"`
	Matchers  Matchers  `json:"matchers"`
	StartsAt  time.Time `json:"starts_at"`
	EndsAt    time.Time `json:"ends_at"`
	CreatedBy string    `json:"created_by"`
	Comment   string    `json:"comment"`
	CreatedAt time.Time `json:"created_at"`
}

// Active reports whether the silence holds at a time.
func (s *Silence) Active(now time.Time) bool { return !now.Before(s.StartsAt) && now.Before(s.EndsAt) }

// ErrUnknownSilence says that there is no silence of an ID, or that it is over.
var ErrUnknownSilence = errors.New("no such silence; it may have ended")

const (
	silencesDoc  = "silences"
	maxSilences  = 1000
	keepSilences = 7 * 24 * time.Hour // after their end
	maxSilence   = 400 * 24 * time.Hour
	maxComment   = 1000
	maxMatchers  = 20
)

// validate says what is wrong with a silence that someone asks for.
func (s *Silence) validate(now time.Time) error {
	switch {
	case len(s.Matchers) == 0 || len(s.Matchers) > maxMatchers:
		return &tidings.InvalidError{Field: "matchers", Reason: fmt.Sprintf("must be 1 to %d, such as \"alertname=\\\"stuck_job\\\"\"", maxMatchers)}
	case s.matchesAll():
		return &tidings.InvalidError{Field: "matchers", Reason: "would match every alert, the watchdog too; name at least one label's value"}
	case s.EndsAt.IsZero():
		return &tidings.InvalidError{Field: "ends_at", Reason: "missing; give it, or duration_ms: a silence has an end"}
	case !s.EndsAt.After(s.StartsAt) || !s.EndsAt.After(now):
		return &tidings.InvalidError{Field: "ends_at", Reason: "must lie after starts_at and in the future"}
	case s.EndsAt.Sub(s.StartsAt) > maxSilence:
		return &tidings.InvalidError{Field: "ends_at", Reason: "is over a year away; disable the rule instead"}
	case len(s.Comment) > maxComment || len(s.CreatedBy) > maxComment:
		return &tidings.InvalidError{Field: "comment", Reason: fmt.Sprintf("has over %d bytes", maxComment)}
	}
	return nil
}

func (s *Silence) matchesAll() bool { return s.Matchers.Match(map[string]string{}) }

// readSilences gives all that are kept, those that end last first.
func readSilences(ctx context.Context, state monitor.State) ([]Silence, int64, error) {
	data, version, err := state.Load(ctx, silencesDoc)
	if err != nil || data == nil {
		return nil, version, err
	}
	var list []Silence
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, version, nil // what can't be read is begun anew
	}
	return list, version, nil
}

const swapTries = 10

func changeSilences(ctx context.Context, state monitor.State, change func([]Silence) ([]Silence, error)) ([]Silence, error) {
	for range swapTries {
		list, version, err := readSilences(ctx, state)
		if err != nil {
			return nil, err
		}
		if list, err = change(list); err != nil {
			return nil, err
		}
		data, err := json.Marshal(list)
		if err != nil {
			return nil, err
		}
		if ok, err := state.Swap(ctx, silencesDoc, data, version); err != nil || ok {
			return list, err
		}
	}
	return nil, fmt.Errorf("%w: silences are changed by many at once; try again", tidings.ErrUnavailable)
}

// addSilence puts a valid one to the others, and drops those that ended long ago.
func addSilence(list []Silence, s *Silence, now time.Time) ([]Silence, error) {
	list = slices.DeleteFunc(list, func(old Silence) bool { return now.Sub(old.EndsAt) > keepSilences })
	if len(list) >= maxSilences {
		return nil, &tidings.InvalidError{Field: "matchers", Reason: fmt.Sprintf("there are %d silences already; end some, or match more with one", maxSilences)}
	}
	list = append(list, *s)
	slices.SortStableFunc(list, func(a, b Silence) int { return b.EndsAt.Compare(a.EndsAt) })
	return list, nil
}

// endSilence makes one end now; that it was there is kept.
func endSilence(list []Silence, id string, now time.Time) ([]Silence, error) {
	i := slices.IndexFunc(list, func(s Silence) bool { return s.ID == id })
	if i < 0 || !now.Before(list[i].EndsAt) {
		return nil, ErrUnknownSilence
	}
	list[i].EndsAt = now
	if list[i].StartsAt.After(now) {
		list[i].StartsAt = now
	}
	return list, nil
}

// silencesOf are the IDs of the silences that match the labels now.
func silencesOf(list []Silence, labels map[string]string, now time.Time) []string {
	var ids []string
	for i := range list {
		if list[i].Active(now) && list[i].Matchers.Match(labels) {
			ids = append(ids, list[i].ID)
		}
	}
	return ids
}

func trim(s string) string { return strings.TrimSpace(s) }

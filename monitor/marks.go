package monitor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"tidings"
)

// marksDoc is the document in [State] that holds what people said of error groups.
const marksDoc = "error-states"

// mark is what someone said of an error group.
type mark struct {
	State string    `json:"state"`
	By    string    `json:"by,omitempty"`
	At    time.Time `json:"at"`
	Seen  int64     `json:"seen"` // when the group was seen last then, ms
}

// marks are this node's copy of the document.
type marks struct {
	mu sync.Mutex
	of map[string]mark
}

const maxMarks = 2000

// ErrUnknownError says that there is no error group of an ID.
var ErrUnknownError = errors.New("no such error group; it may have been forgotten, or be written by another version")

// Errors lists the error groups, those seen last first.
func (m *Monitor) Errors() []ErrorGroup {
	m.mu.RLock()
	groups := m.fold.Errors()
	m.mu.RUnlock()
	m.marks.mu.Lock()
	defer m.marks.mu.Unlock()
	for i := range groups {
		groups[i].apply(m.marks.of[groups[i].ID])
	}
	return groups
}

// apply sets the state that follows from what was said of the group and from
// whether it was seen since.
func (g *ErrorGroup) apply(k mark) {
	if k.State == "" {
		return
	}
	g.ChangedBy, g.ChangedAt = k.By, new(k.At)
	g.State = k.State
	if k.State == Resolved && g.LastSeen.UnixMilli() > k.Seen {
		g.State, g.Reopened = Open, true
	}
}

// SetErrorState says of an error group that it is [Open], [Resolved] or
// [Ignored]. Every node knows within a few seconds. The error is an
// [*tidings.InvalidError], [ErrUnknownError], or of the [State].
func (m *Monitor) SetErrorState(ctx context.Context, id, state, by string) (ErrorGroup, error) {
	if state != Open && state != Resolved && state != Ignored {
		return ErrorGroup{}, &tidings.InvalidError{Field: "state", Reason: fmt.Sprintf("%.64q is not open, resolved or ignored", state)}
	}
	m.mu.RLock()
	g, ok := m.fold.groups[id]
	var group ErrorGroup
	if ok {
		group = g.public(m.fold.now)
	}
	m.mu.RUnlock()
	if !ok {
		return ErrorGroup{}, ErrUnknownError
	}
	k := mark{State: state, By: by, At: time.Now().UTC(), Seen: group.LastSeen.UnixMilli()}
	if err := m.changeMarks(ctx, func(of map[string]mark) { of[id] = k }); err != nil {
		return ErrorGroup{}, err
	}
	group.apply(k)
	return group, nil
}

const swapTries = 10

func (m *Monitor) changeMarks(ctx context.Context, change func(map[string]mark)) error {
	for range swapTries {
		of, version, err := m.readMarks(ctx)
		if err != nil {
			return err
		}
		change(of)
		m.pruneMarks(of)
		data, err := json.Marshal(of)
		if err != nil {
			return err
		}
		if ok, err := m.opts.State.Swap(ctx, marksDoc, data, version); err != nil || ok {
			m.marks.set(of)
			return err
		}
	}
	return fmt.Errorf("%w: the states of errors are changed by many at once; try again", tidings.ErrUnavailable)
}

// pruneMarks drops what was said of groups that are forgotten, if there is much
// of it.
func (m *Monitor) pruneMarks(of map[string]mark) {
	if len(of) <= maxMarks {
		return
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for id := range of {
		if _, known := m.fold.groups[id]; !known {
			delete(of, id)
		}
	}
}

func (m *Monitor) readMarks(ctx context.Context) (map[string]mark, int64, error) {
	data, version, err := m.opts.State.Load(ctx, marksDoc)
	if err != nil {
		return nil, 0, err
	}
	of := map[string]mark{}
	if data != nil {
		if err := json.Unmarshal(data, &of); err != nil {
			m.log.Error("monitor: the states of errors can't be read; all are open", "error", err)
		}
	}
	return of, version, nil
}

func (s *marks) set(of map[string]mark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.of = of
}

package monitor

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"container/list"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"tidings"
)

// checkpointDoc is the document in [State] that holds the last checkpoint.
const checkpointDoc = "checkpoint"

// checkpointFormat changes when an older program could not read it.
const checkpointFormat = 1

// checkpoint is everything that a monitor needs to go on: what the feed up to
// the cursor adds up to.
type checkpoint struct {
	Format   int             `json:"format"`
	Cursor   string          `json:"cursor"`
	Fold     foldState       `json:"fold"`
	Observer json.RawMessage `json:"observer,omitempty"`
}

// foldState is a Fold as JSON: in one order, so that equal folds are equal
// bytes.
type foldState struct {
	Now        int64            `json:"now"`
	Since      int64            `json:"since"`
	Jobs       []*live          `json:"jobs"` // the longest silent first
	Lost       int64            `json:"lost,omitempty"`
	Series     []seriesState    `json:"series"`
	Swept      map[string]int64 `json:"swept"`
	Steps      []*step          `json:"steps"`
	SweptSteps int64            `json:"swept_steps,omitempty"`
	Groups     []*group         `json:"groups"`
	GroupsOut  int64            `json:"groups_out,omitempty"`
}

type seriesState struct {
	Scope  Scope   `json:"scope"`
	Series *series `json:"series"`
}

func (f *Fold) state() foldState {
	s := foldState{Now: f.now, Since: f.since, Lost: f.lost, Swept: f.swept, SweptSteps: f.sweptSteps, GroupsOut: f.groupsOut}
	for _, list := range []*list.List{f.order, f.over} {
		for e := list.Front(); e != nil; e = e.Next() {
			s.Jobs = append(s.Jobs, e.Value.(*live))
		}
	}
	for scope, series := range f.series {
		s.Series = append(s.Series, seriesState{scope, series})
	}
	slices.SortFunc(s.Series, func(a, b seriesState) int {
		return cmp.Or(cmp.Compare(a.Scope.By, b.Scope.By), cmp.Compare(a.Scope.Value, b.Scope.Value))
	})
	for _, step := range f.steps {
		s.Steps = append(s.Steps, step)
	}
	slices.SortFunc(s.Steps, compareSteps)
	for _, id := range sortedKeys(f.groups) {
		s.Groups = append(s.Groups, f.groups[id])
	}
	return s
}

// restore makes the fold that a state was taken of. Whatever else it may be, it does
// no harm.
func restore(s *foldState, limits Limits) *Fold {
	f := NewFold(limits)
	f.now, f.since, f.lost, f.sweptSteps, f.groupsOut = s.Now, s.Since, s.Lost, s.SweptSteps, s.GroupsOut
	if s.Swept != nil {
		f.swept = s.Swept
	}
	for _, j := range s.Jobs {
		if j == nil || f.jobs[j.Job.ID] != nil {
			continue
		}
		j.complete()
		f.place(j)
		f.jobs[j.Job.ID] = j
		f.status(j, +1)
	}
	for _, s := range s.Series {
		if s.Series == nil || f.series[s.Scope] != nil {
			continue
		}
		s.Series.complete(s.Scope)
		f.series[s.Scope] = s.Series
		f.scopes[s.Scope.By]++
	}
	for _, step := range s.Steps {
		if step != nil {
			f.steps[step.Key] = step
		}
	}
	for _, g := range s.Groups {
		if g != nil {
			f.groups[g.ID] = g
		}
	}
	return f
}

// complete fills in what was not saved: an older version did not know it, or it is
// zero.
func (j *live) complete() {
	orDefault(&j.Heard, clampMS(j.Job.LastID))
	orDefault(&j.First, min(clampMS(j.Job.FirstID), j.Heard))
	for key, r := range j.Runs {
		if r == nil {
			delete(j.Runs, key)
			continue
		}
		orDefault(&r.At, min(clampMS(r.Event), j.Heard))
	}
	if j.Ended != nil && j.Ended.Scopes == nil {
		j.Ended.Scopes = []Scope{All, {ByName, j.Job.Name}}
	}
}

func (s *series) complete(scope Scope) {
	s.scope = scope
	for _, list := range [][]bucket{s.Fine, s.Coarse} {
		for i := range list {
			if list[i].Measures == nil {
				list[i].Measures = &Measures{}
			}
		}
	}
}

// Replace takes over which jobs go on from a listing, after changes were lost.
// What was open in a job that has moved on is not known any more.
func (f *Fold) Replace(open []tidings.Job) {
	known := f.jobs
	f.jobs, f.order, f.over, f.byStatus = map[string]*live{}, list.New(), list.New(), map[tidings.Status]int{}
	slices.SortFunc(open, func(a, b tidings.Job) int { return cmp.Or(a.LastID.Compare(b.LastID), cmp.Compare(a.ID, b.ID)) })
	for _, job := range open[max(0, len(open)-f.limits.Jobs):] {
		j, ok := known[job.ID]
		switch {
		case !ok || !j.Job.CreatedAt.Equal(job.CreatedAt):
			j = &live{First: clampMS(job.FirstID)}
			if job.Status != tidings.StatusQueued {
				j.Started = max(j.First, 1)
			}
		case j.Job.LastID != job.LastID:
			j = &live{First: j.First, Started: j.Started, Ended: j.Ended, Cost: j.Cost} // what was counted
		}
		j.Job = job
		slim(&j.Job)
		j.Job.LeaseUntil = nil
		j.in, j.Heard = nil, min(clampMS(job.LastID), cmp.Or(f.horizon, math.MaxInt64))
		f.place(j)
		f.jobs[job.ID] = j
		f.status(j, +1)
	}
}

// encode gives the checkpoint compressed.
func (c *checkpoint) encode() ([]byte, error) {
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(json.NewEncoder(zip).Encode(c), zip.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// maxCheckpoint bounds what a damaged or foreign document can make us read.
const maxCheckpoint = 1 << 30

func decodeCheckpoint(data []byte) (*checkpoint, error) {
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	var c checkpoint
	if err := json.NewDecoder(io.LimitReader(zip, maxCheckpoint)).Decode(&c); err != nil {
		return nil, err
	}
	if c.Format != checkpointFormat {
		return nil, fmt.Errorf("format %d is not %d, which this version reads", c.Format, checkpointFormat)
	}
	return &c, nil
}

// load takes over the last checkpoint. One that can't be used is as good as
// none: what it was made of is in the logs.
func (m *Monitor) load(ctx context.Context) (*checkpoint, error) {
	data, _, err := m.opts.State.Load(ctx, checkpointDoc)
	if err != nil {
		return nil, fmt.Errorf("the checkpoint can't be loaded: %w", err)
	}
	c := &checkpoint{}
	if data != nil {
		if c, err = decodeCheckpoint(data); err != nil {
			m.log.Error("monitor: the checkpoint can't be used; the feed is read from its start", "error", err)
			c = &checkpoint{}
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fold = restore(&c.Fold, m.opts.Limits)
	m.saves.cursor = c.Cursor
	return c, nil
}

func (m *Monitor) reset() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fold = NewFold(m.opts.Limits)
}

// snapshot is what is to be saved.
type snapshot struct {
	data      []byte
	cursor    string
	epoch     int64
	committed func()
	took      time.Duration
	err       error
}

// snapshot encodes the state. Only this goroutine changes the fold, so it can be
// read here without the lock, beside other readers.
func (f *follower) snapshot() snapshot {
	began := time.Now()
	s := snapshot{cursor: f.cursor, epoch: f.epoch}
	c := &checkpoint{Format: checkpointFormat, Cursor: f.cursor, Fold: f.m.fold.state()}
	if f.observer != nil {
		if c.Observer, s.committed, s.err = f.observer.Snapshot(); s.err != nil {
			return s
		}
	}
	s.data, s.err = c.encode()
	s.took = time.Since(began)
	return s
}

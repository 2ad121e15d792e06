package monitor

import (
	"encoding/json"
	"testing"
	"time"

	"tidings"
)

// tape makes changes of a feed as they could come, a second apart.
type tape struct {
	t       testing.TB
	at      time.Time
	seq     uint64
	changes []tidings.Change
}

var tapeStart = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

func newTape(t testing.TB) *tape { return &tape{t: t, at: tapeStart} }

// add is one event whose data is JSON.
func (r *tape) add(job, eventType, data string) *tape {
	r.t.Helper()
	if !json.Valid([]byte(data)) {
		r.t.Fatalf("not JSON: %s", data)
	}
	r.wait(time.Second)
	r.seq++
	e := tidings.Event{JobID: job, Type: eventType, Time: r.at, Data: json.RawMessage(data),
		ID: tidings.ID{Ms: uint64(r.at.UnixMilli()), Seq: r.seq}}
	r.changes = append(r.changes, tidings.Change{Event: e})
	return r
}

func (r *tape) remove(job string) *tape {
	r.changes = append(r.changes, tidings.Change{Event: tidings.Event{JobID: job}, Deleted: true})
	return r
}

func (r *tape) wait(d time.Duration) *tape {
	r.at = r.at.Add(d)
	return r
}

// fold folds what is on the tape, and tells what each change did.
func (r *tape) fold(limits Limits) (*Fold, []Folded) {
	f := NewFold(limits)
	var all []Folded
	for i := range r.changes {
		done, fresh := f.Apply(&r.changes[i])
		if !fresh {
			r.t.Errorf("change %d counts as known", i)
		}
		all = append(all, done)
	}
	return f, all
}

// day is all that was counted in a scope.
func day(f *Fold, scope Scope) Window {
	return f.Window(scope, tapeStart, tapeStart.Add(time.Hour))
}

func encoded(t testing.TB, f *Fold) string {
	t.Helper()
	raw, err := json.Marshal(f.state())
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

package monitor

import (
	"fmt"
	"testing"
	"time"

	"tidings"
)

// Minutes are kept for three hours and half hours for eight days; a scope of
// which nothing is kept makes room for another.
func TestWindowsForget(t *testing.T) {
	t.Parallel()
	r := newTape(t)
	r.add("a", "x", `{}`).wait(10*time.Minute).add("a", "x", `{}`).wait(5*time.Hour).add("a", "x", `{}`)
	f, _ := r.fold(Limits{})
	s := f.series[All]
	if len(s.Fine) != 1 || len(s.Coarse) != 2 {
		t.Errorf("%d minutes and %d half hours are kept", len(s.Fine), len(s.Coarse))
	}
	if w := f.Window(All, r.at.Add(-5*time.Minute), r.at); w.Events != 1 {
		t.Errorf("%d events in the last five minutes", w.Events)
	}
	if w := f.Window(All, r.at.Add(-6*time.Hour), r.at); w.Events != 3 {
		t.Errorf("%d events in the last six hours", w.Events)
	}
	r.wait(9*24*time.Hour).add("b", "x", `{}`)
	f, _ = r.fold(Limits{})
	if w := f.Window(All, tapeStart, r.at.Add(time.Hour)); w.Events != 1 {
		t.Errorf("%d events are kept for over eight days", w.Events)
	}
	if m := f.Total(All); m.Events != 4 {
		t.Errorf("%d events in total", m.Events)
	}
}

func TestExpiredScopesMakeRoom(t *testing.T) {
	t.Parallel()
	r := newTape(t)
	name := func(n int) {
		r.add(fmt.Sprint("job-", n), "phase_update", fmt.Sprintf(`{"name":"name-%d","status":"started"}`, n))
	}
	name(1)
	name(2)
	name(3)
	r.wait(9 * 24 * time.Hour)
	name(4)
	f, _ := r.fold(Limits{Names: 2})
	got := fmt.Sprint(f.Scopes(ByName))
	if want := "[{name (other)} {name name-4}]"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// An event that comes late counts for its own minute.
func TestLateEventCountsForItsMinute(t *testing.T) {
	t.Parallel()
	r := newTape(t).add("a", "x", `{}`).wait(30*time.Minute).add("a", "x", `{}`)
	f, _ := r.fold(Limits{})
	late := tidings.Event{JobID: "late", Type: "x", ID: tidings.ID{Ms: uint64(tapeStart.Add(10 * time.Minute).UnixMilli())}, Data: []byte(`{}`)}
	f.Apply(&tidings.Change{Event: late})
	if w := f.Window(All, tapeStart.Add(10*time.Minute), tapeStart.Add(11*time.Minute)); w.Events != 1 {
		t.Errorf("%d events in its minute", w.Events)
	}
	if !f.Now().Equal(r.at) {
		t.Errorf("it is %v, not %v", f.Now(), r.at)
	}
}

func TestChart(t *testing.T) {
	t.Parallel()
	r := newTape(t)
	for n := range 4 {
		r.add(fmt.Sprint("job-", n), "phase_update", fmt.Sprintf(`{"name":"name-%d","status":"started"}`, n/3))
		r.add(fmt.Sprint("job-", n), "done", `{}`).wait(10 * time.Minute)
	}
	f, _ := r.fold(Limits{})
	c, err := f.Chart(ChartQuery{Metrics: []string{"completed", "error_rate"}, From: tapeStart, To: tapeStart.Add(40 * time.Minute), Step: 10 * time.Minute, By: ByName})
	if err != nil {
		t.Fatal(err)
	}
	var got string
	for _, l := range c.Lines {
		got += l.Metric + " " + l.Value
		for _, v := range l.Values {
			if v == nil {
				got += " -"
			} else {
				got += fmt.Sprint(" ", *v)
			}
		}
		got += "; "
	}
	if want := "completed name-0 1 1 1 0; error_rate name-0 0 0 0 -; completed name-1 0 0 0 1; error_rate name-1 - - - 0; "; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if len(c.Times) != 4 || c.Times[1]-c.Times[0] != 600 || c.Times[0] != tapeStart.Unix() {
		t.Errorf("times %v", c.Times)
	}
}

// Every metric that is named can be computed, of something and of nothing.
func TestMetrics(t *testing.T) {
	t.Parallel()
	f, _ := newTape(t).add("a", "x", `{}`).add("a", "done", `{}`).fold(Limits{})
	for _, name := range Metrics() {
		for _, scope := range []Scope{All, {ByName, "none"}} {
			w := day(f, scope)
			if _, ok := w.Metric(name); !ok {
				t.Errorf("there is no %s", name)
			}
		}
	}
}

func TestOverdue(t *testing.T) {
	t.Parallel()
	var s Sketch
	if OverdueAfter(&s) != 5*time.Minute {
		t.Error("of nothing")
	}
	for range 100 {
		s.Add(30_000)
	}
	if got := OverdueAfter(&s); got < 118*time.Second || got > 122*time.Second {
		t.Errorf("of silences of 30 s: %v", got)
	}
	var short Sketch
	for range 100 {
		short.Add(10)
	}
	if got := OverdueAfter(&short); got != time.Minute {
		t.Errorf("of short ones: %v", got)
	}
}

func TestWhyAJobIsStuckInASentence(t *testing.T) {
	t.Parallel()
	now := tapeStart.Add(5 * time.Minute)
	last := LastEvent{Type: "tool_call", At: now.Add(-250 * time.Second)}
	for want, s := range map[string]Stuck{
		"waits for the tool search since 4 min 10 s (usually 2.4 s, p95 8.0 s) and for 2 more; last event tool_call, 4 min 10 s ago; worker w3": {
			Status: tidings.StatusRunning, Last: last, Worker: "w3",
			Waits: &Waiting{Run: Run{Kind: RunTool, Name: "search"}, ForMS: 250_000, Others: 2, Usual: Quantiles{Count: 9, P50: new(2400.), P95: new(8000.)}},
		},
		"no step is open; its worker gives no sign of life: its lease ran out 3 min 0 s ago; last event tool_call, 4 min 10 s ago; it was asked to stop": {
			Status: tidings.StatusCancelling, Last: last, Stalled: true, LeaseUntil: new(now.Add(-3 * time.Minute)),
		},
		"waits for input since 4 min 10 s; last event tool_call, 4 min 10 s ago":               {Status: tidings.StatusWaiting, Last: last},
		"waits in a queue for a worker since 4 min 10 s; last event tool_call, 4 min 10 s ago": {Status: tidings.StatusQueued, Last: last},
	} {
		if got := s.sentence(now); got != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

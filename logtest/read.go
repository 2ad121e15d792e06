package logtest

import (
	"fmt"
	"slices"
	"strings"

	"tidings"
)

// Reading: forwards and backwards, by count and by bytes.
var readCases = []testCase{
	{name: "read/forward", run: readForward},
	{name: "read/backward", run: readBackward},
	{name: "read/range", run: readRange},
	{name: "read/bytes", run: readBytes},
	{name: "read/default-limits", run: readDefaultLimits},
	{name: "read/at-the-end", run: readAtTheEnd},
	{name: "read/page", run: readPage},
	{name: "read/bare-cursor", run: readBareCursor},
}

func readForward(e *env) {
	job := e.job()
	e.append(job, notes(0, 25)...)
	for _, limit := range []int{1, 7, 24, 25, 26} {
		var got []tidings.Event
		q := tidings.Query{Limit: limit}
		for {
			p := e.read(job, q)
			if len(p.Events) == 0 || len(p.Events) > limit {
				e.Fatalf("limit %d: a page of %d events", limit, len(p.Events))
			}
			got = append(got, p.Events...)
			if p.More != (len(got) < 25) {
				e.Errorf("limit %d: More is %t after %d of 25", limit, p.More, len(got))
			}
			if !p.More {
				break
			}
			q.After = tidings.Cursor{ID: got[len(got)-1].ID, Incarnation: p.Incarnation}
		}
		e.sameData(fmt.Sprintf("pages of %d", limit), got, notes(0, 25))
	}
}

func readBackward(e *env) {
	job := e.job()
	e.append(job, notes(0, 25)...)
	want := notes(0, 25)
	slices.Reverse(want)
	for _, limit := range []int{1, 7, 24, 25, 26} {
		var got []tidings.Event
		q := tidings.Query{Backward: true, Limit: limit}
		for {
			p := e.read(job, q)
			if len(p.Events) == 0 || len(p.Events) > limit {
				e.Fatalf("limit %d: a page of %d events", limit, len(p.Events))
			}
			got = append(got, p.Events...)
			if p.More != (len(got) < 25) {
				e.Errorf("limit %d: More is %t after %d of 25", limit, p.More, len(got))
			}
			if !p.More {
				break
			}
			q.Before = got[len(got)-1].ID
		}
		e.sameData(fmt.Sprintf("pages of %d, backward", limit), got, want)
	}
}

func readRange(e *env) {
	job := e.job()
	r := e.append(job, notes(0, 10)...)
	at := func(i int) tidings.Cursor { return tidings.Cursor{ID: r.IDs[i], Incarnation: r.Incarnation} }
	for _, c := range []struct {
		q    tidings.Query
		want []int
		more bool
	}{
		{q: tidings.Query{After: at(3), Before: r.IDs[6]}, want: []int{4, 5}},
		{q: tidings.Query{After: at(3), Before: r.IDs[6], Backward: true}, want: []int{5, 4}},
		{q: tidings.Query{After: at(3), Before: r.IDs[6], Limit: 1}, want: []int{4}, more: true},
		{q: tidings.Query{After: at(3), Before: r.IDs[6], Limit: 1, Backward: true}, want: []int{5}, more: true},
		{q: tidings.Query{After: at(3), Before: r.IDs[6], Limit: 2}, want: []int{4, 5}},
		{q: tidings.Query{After: at(6), Backward: true}, want: []int{9, 8, 7}},
		{q: tidings.Query{Before: r.IDs[2]}, want: []int{0, 1}},
		{q: tidings.Query{Before: r.IDs[0]}},
		{q: tidings.Query{Before: r.IDs[0], Backward: true}},
		{q: tidings.Query{After: at(5), Before: r.IDs[6]}},
		{q: tidings.Query{After: at(6), Before: r.IDs[2]}},
		{q: tidings.Query{Before: tidings.MaxID, After: at(7)}, want: []int{8, 9}},
	} {
		p := e.read(job, c.q)
		var want []tidings.Event
		for _, n := range c.want {
			want = append(want, note(n))
		}
		what := fmt.Sprintf("after %s before %s backward %t limit %d", c.q.After, c.q.Before, c.q.Backward, c.q.Limit)
		e.sameData(what, p.Events, want)
		if p.More != c.more {
			e.Errorf("%s: More is %t", what, p.More)
		}
	}
}

func readBytes(e *env) {
	job := e.job()
	var events []tidings.Event
	for n := range 40 {
		events = append(events, event("custom", fmt.Sprintf(`{"n":%d,"text":"%s"}`, n, strings.Repeat("x", n*50))))
	}
	e.append(job, events...)
	for _, limit := range []int{1, 500, 5000, 1 << 20} {
		var got []tidings.Event
		q := tidings.Query{MaxBytes: limit}
		for {
			p := e.read(job, q)
			if len(p.Events) == 0 {
				e.Fatalf("MaxBytes %d: an empty page", limit)
			}
			size := 0
			for _, ev := range p.Events[:len(p.Events)-1] {
				size += len(ev.Data)
			}
			if size > limit {
				e.Errorf("MaxBytes %d: the page goes on after %d bytes", limit, size)
			}
			got = append(got, p.Events...)
			if !p.More {
				break
			}
			q.After = tidings.Cursor{ID: got[len(got)-1].ID}
		}
		e.sameData(fmt.Sprintf("pages of %d bytes", limit), got, events)
	}
	p := e.read(job, tidings.Query{MaxBytes: 1, Backward: true})
	e.sameData("one byte, backward", p.Events[:1], events[39:])
	if !p.More {
		e.Error("one byte, backward: More is false")
	}
}

func readDefaultLimits(e *env) {
	job := e.job()
	e.append(job, notes(0, tidings.DefaultLimit+1)...)
	p := e.read(job, tidings.Query{})
	if len(p.Events) > tidings.DefaultLimit || !p.More {
		e.Errorf("%d events, More %t; want at most %d, and more", len(p.Events), p.More, tidings.DefaultLimit)
	}
	e.sameData("log", e.log(job), notes(0, tidings.DefaultLimit+1))
}

func readAtTheEnd(e *env) {
	job := e.job()
	r := e.append(job, notes(0, 3)...)
	p := e.read(job, tidings.Query{After: after(r)})
	if len(p.Events) != 0 || p.More || p.LastID != r.LastID {
		e.Errorf("after the last event: %+v; want an empty page that names it", p)
	}
	e.append(job, note(3))
	e.sameData("the one event after the cursor", e.read(job, tidings.Query{After: after(r)}).Events, notes(3, 4))
}

func readPage(e *env) {
	job := e.job()
	r := e.append(job, notes(0, 5)...)
	check := func(q tidings.Query, last tidings.ID, closed bool) {
		e.Helper()
		p := e.read(job, q)
		if p.First != r.IDs[0] || p.LastID != last || p.Incarnation != r.Incarnation || p.Closed != closed {
			e.Errorf("page says first %s, last %s, incarnation %s, closed %t; want %s, %s, %s, %t",
				p.First, p.LastID, p.Incarnation, p.Closed, r.IDs[0], last, r.Incarnation, closed)
		}
	}
	check(tidings.Query{}, r.LastID, false)
	check(tidings.Query{Limit: 1, After: tidings.Cursor{ID: r.IDs[2]}}, r.LastID, false)
	end := e.append(job, done())
	check(tidings.Query{Limit: 1}, end.LastID, true)
	check(tidings.Query{After: after(end)}, end.LastID, true)
}

// A cursor need not be the ID of an event, nor carry an incarnation.
func readBareCursor(e *env) {
	job := e.job()
	r := e.append(job, notes(0, 3)...)
	e.sameData("just before the first", e.read(job, tidings.Query{After: tidings.Cursor{ID: r.IDs[0].Prev()}}).Events, notes(0, 3))
	e.sameData("bare", e.read(job, tidings.Query{After: tidings.Cursor{ID: r.IDs[0]}}).Events, notes(1, 3))
	e.sameData("bare follower", e.take(e.follow(job, tidings.Cursor{ID: r.IDs[1]}), 1), notes(2, 3))
	e.sameData("only an incarnation", e.read(job, tidings.Query{After: tidings.Cursor{Incarnation: r.Incarnation}}).Events, notes(0, 3))
}

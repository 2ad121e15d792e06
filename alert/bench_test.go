package alert

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"tidings"
	"tidings/monitor"
)

// What an event costs besides what the monitor takes for it: a tool call with
// its result and a text, in a thousand jobs at once.
func BenchmarkObserve(b *testing.B) {
	c := DefaultConfig()
	s := newState()
	f := monitor.NewFold(monitor.Limits{})
	data := []struct{ kind, data string }{
		{"tool_call", `{"tool":"search","call_id":"c1","input":{"query":"the weather in Oslo tomorrow","limit":10,"filters":{"lang":"en"}}}`},
		{"tool_result", `{"tool":"search","call_id":"c1","output":{"hits":[{"title":"weather","url":"https://example.com"}]}}`},
		{"thought", `{"status":"completed","content":"I found the weather and will now tell what it is like.","usage":{"input_tokens":100,"output_tokens":20}}`},
	}
	done := make([]monitor.Folded, 0, 3000)
	at := tapeStart
	for n := range 3000 {
		at = at.Add(time.Millisecond)
		e := tidings.Event{JobID: fmt.Sprint("j", n%1000), Type: data[n/1000].kind, Time: at, Data: json.RawMessage(data[n/1000].data), ID: tidings.ID{Ms: uint64(at.UnixMilli())}}
		folded, _ := f.Apply(&tidings.Change{Event: e})
		done = append(done, folded)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		s.Tally.observe(c.Rules, &done[n%len(done)])
		n++
	}
}

// One evaluation of all rules, with 10,000 jobs going on and 100 names, tools and
// models.
func BenchmarkEvaluate(b *testing.B) {
	c := DefaultConfig()
	s := newState()
	f := monitor.NewFold(monitor.Limits{})
	at := tapeStart
	for n := range 10_000 {
		at = at.Add(time.Second)
		id := fmt.Sprint("j", n)
		for i, e := range []struct{ kind, data string }{
			{"phase_update", fmt.Sprintf(`{"phase":"job","status":"started","name":"n%d"}`, n%100)},
			{"tool_call", fmt.Sprintf(`{"tool":"t%d","call_id":"c"}`, n%100)},
			{"tool_result", fmt.Sprintf(`{"tool":"t%d","call_id":"c","output":1}`, n%100)},
			{"thought", fmt.Sprintf(`{"status":"started","model":"m%d","message_id":"x"}`, n%50)},
		} {
			f.Apply(&tidings.Change{Event: tidings.Event{JobID: id, Type: e.kind, Time: at, Data: json.RawMessage(e.data), ID: tidings.ID{Ms: uint64(at.UnixMilli()), Seq: uint64(i)}}})
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(time.Minute)
		s.step(c, nil, &world{now: at, full: true, fold: f, stuck: f.Stuck(monitor.StuckQuery{Limit: mostStuck}, at)})
	}
}

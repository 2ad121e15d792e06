package monitor

import (
	"encoding/json"
	"testing"
	"time"

	"tidings"
)

// Whatever publishers write, the fold takes it, and its state can be saved and
// loaded.
func FuzzFold(f *testing.F) {
	f.Add("phase_update", []byte(`{"status":"started","run_id":"r","name":"n","labels":{"a":"b"}}`), "tool_result", []byte(`{"tool":"x","call_id":"c","error":"at 0x7f3a: \"q\"","duration_ms":5}`))
	f.Add("thought", []byte(`{"status":"completed","usage":{"input_tokens":1e3},"cost":[{"amount":1}]}`), "error", []byte(`{"fatal":true,"error":{"a":[1]},"cause_run_id":"r"}`))
	f.Add("custom", []byte(`{"name":"tidings.dropped","value":{"events":2}}`), "task_failed", []byte(`{"error":"x"}`))
	f.Fuzz(func(t *testing.T, typeA string, dataA []byte, typeB string, dataB []byte) {
		fold := NewFold(Limits{})
		for i, e := range []tidings.Event{{Type: typeA, Data: dataA}, {Type: typeB, Data: dataB}, {Type: typeA, Data: dataA}} {
			e.JobID, e.Time, e.ID = "job", tapeStart, tidings.ID{Ms: uint64(tapeStart.Add(time.Duration(i) * time.Minute).UnixMilli())}
			if e.Validate() != nil {
				t.Skip("no store takes it")
			}
			fold.Apply(&tidings.Change{Event: e})
		}
		if again := roundTrip(t, fold, Limits{}); encoded(t, again) != encoded(t, fold) {
			t.Error("the state is another after it was saved and loaded")
		}
		w := day(fold, All)
		if _, err := json.Marshal(w.Summary()); err != nil {
			t.Error(err)
		}
	})
}

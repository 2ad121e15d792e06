package tidings_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/internal/memlog"
)

func TestToolsGiveTheModelSomethingToRead(t *testing.T) {
	broken := errors.New("out of order")
	tools := tidings.Tools{
		"text":   func(_ context.Context, arguments json.RawMessage) (any, error) { return string(arguments), nil },
		"object": func(context.Context, json.RawMessage) (any, error) { return map[string]any{"n": math.NaN()}, nil },
		"broken": func(context.Context, json.RawMessage) (any, error) { return nil, broken },
		"bad":    func(context.Context, json.RawMessage) (any, error) { return nil, badError{} },
		"none":   nil,
	}
	store := memlog.New()
	job := tidings.Start(t.Context(), "job", store, nil)
	for _, test := range []struct{ name, arguments, want, err string }{
		{"text", `{"a":1}`, `{"a":1}`, ""},
		{"text", `{"a"`, `{"a"`, ""},
		{"text", "", "", ""},
		{"object", "{}", `{"n":"NaN"}`, ""},
		{"broken", "{}", "out of order", "out of order"},
		{"bad", "{}", "an error whose text can't be had: its Error method panicked", ""},
		{"none", "{}", `there is no tool "none"`, `there is no tool "none"`},
	} {
		got, err := tools.Call(t.Context(), job, test.name, "c1", json.RawMessage(test.arguments))
		if got != test.want || test.err != "" && (err == nil || err.Error() != test.err) {
			t.Errorf("%s %s: got %q, %v", test.name, test.arguments, got, err)
		}
	}
	if got, err := tools.Call(t.Context(), nil, "text", "", json.RawMessage("1")); got != "1" || err != nil {
		t.Errorf("without a job: %q, %v", got, err)
	}
	job.End(nil, nil)
	if err := job.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := `phase_update started job
tool_call tool tool=text call=c1 input={"a":1}
tool_result tool tool=text call=c1 output="{\"a\":1}"
tool_call tool tool=text call=c1 input="{\"a\""
tool_result tool tool=text call=c1 output="{\"a\""
tool_call tool tool=text call=c1 input=""
tool_result tool tool=text call=c1 output=""
tool_call tool tool=object call=c1 input={}
tool_result tool tool=object call=c1 output={"n":"NaN"}
tool_call tool tool=broken call=c1 input={}
tool_result tool tool=broken call=c1 error="out of order"
tool_call tool tool=bad call=c1 input={}
tool_result tool tool=bad call=c1 error="an error whose text can't be had: its Error method panicked"
tool_call tool tool=none call=c1 input={}
tool_result tool tool=none call=c1 error="there is no tool \"none\""
done completed
`
	if diff := cmp.Diff(want, memlog.Outline(store.Events("job"))); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
}

package adk_test

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"google.golang.org/genai"

	"google.golang.org/adk/v2/agent"
	"google.golang.org/adk/v2/model"
	"google.golang.org/adk/v2/session"

	"tidings"
	"tidings/callback/adk"
)

func TestInputsThatAreNoJSONBecomeReadable(t *testing.T) {
	s := start(t, &tidings.HandlerOptions{MaxFieldBytes: 64})
	loop := map[string]any{}
	loop["self"] = loop
	args := []map[string]any{
		nil,
		{"nan": math.NaN(), "f": func() {}},
		{"ch": make(chan int)},
		{"bytes": []byte{0xff, 0xfe}, "text": "\xff\xfe\ud7ff"},
		{"long": strings.Repeat("x", 10_000)},
		loop,
	}
	for i, in := range args {
		id := string(rune('a' + i))
		m := newModel(calls(id, "nope", in), says("ok"))
		r := newRunner(t, newAgent(t, "weather", m, nil), adk.Plugin(s.Handler, nil))
		_ = drain(adk.ObserveTurn(s.Handler, r.Run(t.Context(), "user", id, message("hi"), agent.RunConfig{})))
	}
	s.End(nil, nil)
	s.outline()
	if got := len(s.data(tidings.TypeToolCall)); got != len(args) {
		t.Errorf("%d calls are told of, want %d", got, len(args))
	}
}

// TestCallbacksAloneSurviveOddArguments calls what the framework would, with
// what it would not.
func TestCallbacksAloneSurviveOddArguments(t *testing.T) {
	s := start(t, nil)
	p := adk.Plugin(s.Handler, nil)
	a := custom(t, "odd", func(ctx agent.InvocationContext) eventSeq {
		c := agent.Promote(ctx)
		for _, call := range []func() (any, error){
			func() (any, error) { v, err := p.BeforeModelCallback()(c, nil); return v, err },
			func() (any, error) { v, err := p.AfterModelCallback()(c, nil, nil); return v, err },
			func() (any, error) { v, err := p.AfterModelCallback()(c, &model.LLMResponse{}, nil); return v, err },
			func() (any, error) {
				v, err := p.AfterModelCallback()(c, &model.LLMResponse{Partial: true, Content: &genai.Content{Parts: []*genai.Part{nil}}}, nil)
				return v, err
			},
			func() (any, error) { v, err := p.OnModelErrorCallback()(c, nil, nil); return v, err },
			func() (any, error) { v, err := p.BeforeToolCallback()(c, nil, nil); return v, err },
			func() (any, error) { v, err := p.AfterToolCallback()(c, nil, nil, nil, nil); return v, err },
			func() (any, error) { v, err := p.OnToolErrorCallback()(c, nil, nil, nil); return v, err },
			func() (any, error) { v, err := p.OnEventCallback()(c, nil); return v, err },
			func() (any, error) { v, err := p.OnEventCallback()(c, &session.Event{}); return v, err },
		} {
			if _, err := call(); err != nil {
				t.Error(err)
			}
		}
		return says("ok").events(ctx)
	})
	r := newRunner(t, a, p)
	must(t, drain(adk.Observe(s.Handler, r.Run(t.Context(), "user", "session", message("hi"), streaming))))
	s.outline()
	s.status(tidings.StatusCompleted)
}

func TestCallbacksOfNoRunDoNothing(t *testing.T) {
	s := start(t, nil)
	p := adk.Plugin(s.Handler, nil)
	a := custom(t, "lonely", func(ctx agent.InvocationContext) eventSeq {
		_, err := p.BeforeAgentCallback()(agent.Promote(ctx))
		must(t, err)
		_, err = p.BeforeToolCallback()(agent.Promote(ctx), weather(t), nil)
		must(t, err)
		p.AfterRunCallback()(ctx)
		return says("ok").events(ctx)
	})
	must(t, drain(newRunner(t, a).Run(t.Context(), "user", "session", message("hi"), streaming)))
	s.End(nil, nil)
	s.tells(`
phase_update started job
done completed
`)
}

// TestFrameworkCallsAreThoseOfTheCapture holds the mapping to what was recorded
// of this version of the framework: the same scenario gives the same callbacks.
func TestFrameworkCallsAreThoseOfTheCapture(t *testing.T) {
	text, err := os.ReadFile("../../../shared/data/callbacks/adk_v2.2.0_callbacks.jsonl")
	if err != nil {
		t.Skip("the recorded callbacks are not on this machine")
	}
	want := map[string][]string{}
	scenario := ""
	for line := range strings.Lines(string(text)) {
		var d struct{ Case, M string }
		must(t, json.Unmarshal([]byte(line), &d))
		switch {
		case d.Case != "":
			scenario = d.Case
		case d.M != "" && d.M != "OnUserMessage":
			want[scenario] = append(want[scenario], d.M)
		}
	}
	for name, root := range map[string]agent.Agent{
		"tool-error":         newAgent(t, "weather", newModel(calls("call_0", "get_weather", map[string]any{"city": "Nowhere"}), says("It is sunny")), withTools(weather(t))),
		"unknown-tool":       newAgent(t, "weather", newModel(calls("", "nope", nil), says("It is sunny")), withTools(weather(t))),
		"model-error":        newAgent(t, "weather", newModel(turn{err: errNoCity}), nil),
		"custom-agent-error": failing(t, "custom", errNoCity),
	} {
		var got []string
		for range newRunner(t, root, recording(t, &got)).Run(t.Context(), "user", "session", message("hi"), agent.RunConfig{}) {
			continue // also after an error, as the capture's reader did
		}
		if strings.Join(got, " ") != strings.Join(want[name], " ") {
			t.Errorf("%s:\n got %v\nwant %v", name, got, want[name])
		}
	}
}

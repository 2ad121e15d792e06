package langchaingo_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tmc/langchaingo/llms"
	"github.com/tmc/langchaingo/schema"

	"tidings/callback/langchaingo"
)

// The capture of a real run, replayed: what the handler makes of it.
func TestRecordedCallbacks(t *testing.T) {
	const path = "../../../shared/data/callbacks/langchaingo_callbacks.jsonl"
	file, err := os.Open(path)
	if err != nil {
		t.Skipf("the recorded callbacks are not here: %v", err)
	}
	defer file.Close()
	var got strings.Builder
	var cb *langchaingo.Handler
	finish := func() {}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		line := readRecorded(t, lines.Text())
		if line.Case != "" {
			finish()
			h, _, done := job(t, nil)
			cb = langchaingo.New(h)
			finish = func() { fmt.Fprintf(&got, "# %s\n%s", line.Case, done()) }
			continue
		}
		line.replay(t, cb)
	}
	finish()
	expect(t, got.String(), recordedOutline)
}

// recorded is one line of the capture.
type recorded struct {
	Case string            `json:"case"`
	M    string            `json:"m"`
	Args []json.RawMessage `json:"args"`
}

// readRecorded reads one line. Long ones were cut when they were recorded, and
// have lost the callback's name behind the arguments.
func readRecorded(t *testing.T, text string) (r recorded) {
	if err := json.Unmarshal([]byte(text), &r); err == nil {
		return r
	}
	if strings.HasPrefix(text, `{"args":[[{"role":`) {
		return recorded{M: "HandleLLMGenerateContentStart", Args: []json.RawMessage{[]byte("[]")}}
	}
	content, rest, ok := strings.Cut(strings.TrimPrefix(text, `{"args":[{"Choices":[{"Content":"`), `","StopReason":"`)
	if !ok {
		t.Fatalf("what is %s", text)
	}
	reason, _, _ := strings.Cut(rest, `"`)
	choice, _ := json.Marshal(llms.ContentResponse{Choices: []*llms.ContentChoice{{Content: content, StopReason: reason}}})
	return recorded{M: "HandleLLMGenerateContentEnd", Args: []json.RawMessage{choice}}
}

func decode[T any](t *testing.T, text json.RawMessage) (v T) {
	t.Helper()
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return v
}

func (r recorded) replay(t *testing.T, cb *langchaingo.Handler) {
	ctx := t.Context()
	switch r.M {
	case "HandleChainStart":
		cb.HandleChainStart(ctx, decode[map[string]any](t, r.Args[0]))
	case "HandleChainEnd":
		cb.HandleChainEnd(ctx, decode[map[string]any](t, r.Args[0]))
	case "HandleChainError":
		cb.HandleChainError(ctx, errors.New(decode[string](t, r.Args[0])))
	case "HandleLLMGenerateContentStart":
		cb.HandleLLMGenerateContentStart(ctx, decode[[]llms.MessageContent](t, r.Args[0]))
	case "HandleLLMGenerateContentEnd":
		cb.HandleLLMGenerateContentEnd(ctx, decode[*llms.ContentResponse](t, r.Args[0]))
	case "HandleStreamingFunc":
		cb.HandleStreamingFunc(ctx, []byte(decode[string](t, r.Args[0])))
	case "HandleAgentAction":
		cb.HandleAgentAction(ctx, decode[schema.AgentAction](t, r.Args[0]))
	case "HandleAgentFinish":
		cb.HandleAgentFinish(ctx, decode[schema.AgentFinish](t, r.Args[0]))
	case "RESULT":
	default:
		t.Errorf("unknown callback %s", r.M)
	}
}

const recordedOutline = `
# executor ok
phase_update started chain chain input={"input":"hi"}
  thought started llm llm
  thought completed llm llm
  tool_call tool tool=get_weather call=call_0 input="Oslo"
  tool_result tool tool=get_weather call=call_0 output=null
  thought started llm llm
  thought completed llm llm content="It is sunny"
phase_update completed chain chain output={"output":"It is sunny"}
# tool error
phase_update started chain chain input={"input":"hi"}
  thought started llm llm
  thought completed llm llm
  tool_call tool tool=get_weather call=call_0 input="Nowhere"
  tool_result tool tool=get_weather call=call_0 error="city not found"
phase_update failed chain chain caused-below
# llm error
phase_update started chain chain input={"input":"hi"}
  thought started llm llm
  error error="API returned unexpected status code: 500: boom" scope=llm
phase_update failed chain chain caused-below
# nested chains + chains.WithCallback
thought started llm llm
thought delta "It is sunny"
thought completed llm llm content="It is sunny"
phase_update started chain chain input={"y":"It is sunny"}
  thought started llm llm
  thought delta "It is sunny"
  thought completed llm llm content="It is sunny"
phase_update completed chain chain output={"z":"It is sunny"}
`

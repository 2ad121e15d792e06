package anthropic_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/callback/anthropic"
)

var question = sdk.MessageNewParams{
	Model:     "claude-opus",
	MaxTokens: 1000,
	Messages:  []sdk.MessageParam{sdk.NewUserMessage(sdk.NewTextBlock("How is the weather in Oslo?"))},
}

// start is the first event of each stream.
const start = `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-1","content":[],"stop_reason":null,"stop_sequence":null,
	"usage":{"input_tokens":3,"cache_creation_input_tokens":2,"cache_read_input_tokens":15,"output_tokens":1}}}`

// stop is the last two.
func stop(reason string) []string {
	return []string{
		`{"type":"message_delta","delta":{"stop_reason":"` + reason + `","stop_sequence":null},"usage":{"output_tokens":9,"output_tokens_details":{"thinking_tokens":3}}}`,
		`{"type":"message_stop"}`,
	}
}

func oneLine(s string) string { return strings.NewReplacer("\n", "", "\t", "").Replace(s) }

func stream(events ...string) script {
	s := script{events: []string{oneLine(start), `{"type":"ping"}`}}
	for _, e := range events {
		s.events = append(s.events, oneLine(e))
	}
	return s
}

const usageTold = `usage={"input_tokens":20,"output_tokens":9,"cached_input_tokens":15,"cache_write_tokens":2,"reasoning_tokens":3}`

var (
	thinks = []string{
		`{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Oslo is "}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"north."}}`,
		`{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQ="}}`,
		`{"type":"content_block_stop","index":0}`,
	}
	says = []string{
		`{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"It is "}}`,
		`{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"sunny."}}`,
		`{"type":"content_block_stop","index":1}`,
	}
	calls = []string{
		`{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":""}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"city\": "}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"Oslo\"}"}}`,
		`{"type":"content_block_stop","index":2}`,
		`{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_2","name":"nope","input":{}}}`,
		`{"type":"content_block_stop","index":3}`,
	}
	asked = []any{
		map[string]any{"call_id": "toolu_1", "tool": "weather", "input": map[string]any{"city": "Oslo"}},
		map[string]any{"call_id": "toolu_2", "tool": "nope", "input": map[string]any{}},
	}
)

func all(parts ...[]string) []string {
	var out []string
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

var (
	sunny        = stream(all(thinks, says, stop("end_turn"))...)
	asksForTools = stream(all(thinks, says, calls, stop("tool_use"))...)
)

func TestMessageStreamIsToldWhileItIsRead(t *testing.T) {
	s := newScene(t, asksForTools)
	ctx, agent := s.job.Phase(t.Context(), "agent")
	stream := s.client.Messages.NewStreaming(ctx, question, anthropic.Tell(s.job))
	var message sdk.Message
	for stream.Next() {
		if err := message.Accumulate(stream.Current()); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	agent.End(nil)
	if len(message.Content) != 4 || message.Content[1].Text != "It is sunny." {
		t.Errorf("the caller got %+v", message.Content)
	}
	end := s.find(`"completed"`, `"llm"`)
	if diff := cmp.Diff(asked, end["tool_calls"]); diff != "" {
		t.Errorf("tools asked for (-want +got):\n%s", diff)
	}
	if end["finish_reason"] != "tool_use" || end["ttft_ms"] == nil {
		t.Errorf("the end tells %v", end)
	}
	checkOutline(t, s.outline(nil, nil), `
phase_update started job
phase_update started chain agent
  thought started llm claude-opus model=claude-opus
  thought delta channel=reasoning "Oslo is north."
  thought delta "It is sunny."
  thought completed llm claude-opus model=claude-opus content="It is sunny." `+usageTold+`
phase_update completed chain agent
done completed `+usageTold+`
`)
}

// message is an answer that comes as a whole.
var message = script{body: `{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-1","stop_reason":"tool_use","stop_sequence":null,
	"content":[{"type":"thinking","thinking":"hm","signature":"EqQ="},{"type":"text","text":"Let me "},{"type":"text","text":"look."},
	{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Oslo"}},{"type":"server_tool_use","id":"srv_1","name":"web_search","input":{}},
	{"type":"tool_use","id":"toolu_2","name":"nope","input":{}}],
	"usage":{"input_tokens":3,"cache_creation_input_tokens":2,"cache_read_input_tokens":15,"output_tokens":9,"output_tokens_details":{"thinking_tokens":3}}}`}

func TestMessagesThatComeAsAWhole(t *testing.T) {
	for name, create := range map[string]func(s *scene) error{
		"Messages": func(s *scene) error {
			m, err := s.client.Messages.New(t.Context(), question, anthropic.Tell(s.job))
			if err == nil && m.Content[1].Text != "Let me " {
				err = errors.New("the caller got " + m.RawJSON())
			}
			return err
		},
		"Beta.Messages": func(s *scene) error {
			_, err := s.client.Beta.Messages.New(t.Context(), sdk.BetaMessageNewParams{
				Model: "claude-opus", MaxTokens: 10, Messages: []sdk.BetaMessageParam{sdk.NewBetaUserMessage(sdk.NewBetaTextBlock("?"))},
			}, anthropic.Tell(s.job))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, message)
			if err := create(s); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(asked, s.find(`"completed"`, `"llm"`)["tool_calls"]); diff != "" {
				t.Errorf("tools asked for (-want +got):\n%s", diff)
			}
			checkOutline(t, s.outline(nil, nil), `
phase_update started job
thought started llm claude-opus model=claude-opus
thought delta channel=reasoning "hm"
thought completed llm claude-opus model=claude-opus content="Let me look." `+usageTold+`
done completed `+usageTold+`
`)
		})
	}
}

// An option of the client tells of all its calls, each to the job of its
// context.
func TestTheJobOfTheContext(t *testing.T) {
	s := newScene(t, message, message)
	client := sdk.NewClient(option.WithBaseURL(s.url), option.WithAPIKey("none"), anthropic.Tell(nil))
	if _, err := client.Messages.New(t.Context(), question); err != nil { // of no job
		t.Fatal(err)
	}
	ctx, agent := s.job.Phase(t.Context(), "agent")
	if _, err := client.Messages.New(ctx, question); err != nil {
		t.Fatal(err)
	}
	agent.End(nil)
	if got := s.outline(nil, nil); strings.Count(got, "\n  thought started") != 1 || strings.Count(got, "thought started") != 1 {
		t.Error(got)
	}
}

// The SDK tries again; each try is a call of its own.
func TestRequestsThatTheAPIRefuses(t *testing.T) {
	refusal := script{status: 529, body: `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}`}
	s := newScene(t, refusal, refusal, script{status: 503, body: "<html>"}, message)
	_, err := s.client.Messages.New(t.Context(), question, anthropic.Tell(s.job), option.WithMaxRetries(1))
	if api, ok := errors.AsType[*sdk.Error](err); !ok || api.StatusCode != 529 {
		t.Fatalf("the caller got %v", err)
	}
	if told := s.find(`"scope":"llm"`); told["kind"] != "overloaded_error" || told["error"] != "Overloaded" {
		t.Errorf("told as %v", told)
	}
	if told := s.find("thought", "started"); told["attempt"] != 2. {
		t.Errorf("the second try is told as %v", told)
	}
	if _, err := s.client.Messages.New(t.Context(), question, anthropic.Tell(s.job), option.WithMaxRetries(1)); err != nil {
		t.Fatal(err)
	}
	if told := s.find(`"scope":"llm"`); told["error"] != "503 Service Unavailable" {
		t.Errorf("told as %v", told)
	}
	if got := s.outline(nil, nil); strings.Count(got, "thought started") != 4 || strings.Count(got, "thought completed") != 1 {
		t.Error(got)
	}
}

func TestStreamThatFailsMidway(t *testing.T) {
	half := stream(all(thinks, says[:2])...).events
	for name, c := range map[string]struct {
		script     script
		kind, text string
		silent     bool // the SDK sees no error
	}{
		"error event": {script: script{events: append(half[:len(half):len(half)], `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`)},
			kind: "overloaded_error", text: "Overloaded"},
		"broken connection": {script: script{events: half, cut: true}, text: "unexpected EOF"},
		"cut short":         {script: script{events: half}, kind: "cut_short", text: "the answer stops in the middle", silent: true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, c.script)
			ctx, agent := s.job.Phase(t.Context(), "agent")
			stream := s.client.Messages.NewStreaming(ctx, question, anthropic.Tell(s.job))
			for stream.Next() {
			}
			err := stream.Err()
			if (err == nil) != c.silent {
				t.Errorf("the caller got %v", err)
			}
			agent.End(err)
			told := s.find(`"scope":"llm"`)
			kind, _ := told["kind"].(string)
			text, _ := told["error"].(string)
			if kind != c.kind || !strings.Contains(text, c.text) {
				t.Errorf("told as %v", told)
			}
			if !c.silent && s.find("phase_update", "failed")["cause_run_id"] != told["run_id"] {
				t.Error("the phase does not fail of what the call told")
			}
			if got := s.outline(nil, nil); !strings.Contains(got, `thought delta "It is "`) {
				t.Error(got)
			}
		})
	}
}

func TestStreamThatIsLeft(t *testing.T) {
	half := stream(all(thinks, says[:2])...).events
	for name, leave := range map[string]func(cancel func(), c io.Closer){
		"closed":             func(_ func(), c io.Closer) { _ = c.Close() },
		"its context ends":   func(cancel func(), _ io.Closer) { cancel() },
		"both":               func(cancel func(), c io.Closer) { cancel(); _ = c.Close() },
		"and is closed once": func(_ func(), c io.Closer) { _ = c.Close(); _ = c.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, script{events: half, hang: true})
			ctx, cancel := context.WithCancelCause(t.Context())
			stream := s.client.Messages.NewStreaming(ctx, question, anthropic.Tell(s.job))
			stream.Next()
			leave(func() { cancel(&tidings.CancelledError{By: "ann"}) }, stream)
			for stream.Next() {
			}
			if told := s.await(`"scope":"llm"`); told["kind"] != "aborted" {
				t.Errorf("told as %v", told)
			}
		})
	}
}

// A request to stop ends the context, and with it the stream and the job.
func TestStopWhileAMessageStreams(t *testing.T) {
	s := newScene(t, script{events: stream(all(thinks, says[:2])...).events, hang: true})
	stopped := s.job.Run(t.Context(), func(ctx context.Context) (any, error) {
		stream := s.client.Messages.NewStreaming(ctx, question, anthropic.Tell(s.job))
		for stream.Next() {
			if stream.Current().Delta.Text != "" {
				s.stop()
			}
		}
		return nil, stream.Err()
	})
	if !errors.Is(stopped, context.Canceled) {
		t.Errorf("the job ended by %v", stopped)
	}
	if status := s.log.Summary("job").Status; status != "cancelled" {
		t.Errorf("the job is %s", status)
	}
}

// What is no message is not told, and odd answers harm nobody.
func TestOtherRequestsAndOddAnswers(t *testing.T) {
	s := newScene(t, script{body: `{"input_tokens":5}`}, script{body: `[]`}, script{events: []string{`[]`, `{"type":1}`, `{"type":"content_block_delta","index":9,"delta":{"type":"input_json_delta","partial_json":"{"}}`}})
	if _, err := s.client.Messages.CountTokens(t.Context(), sdk.MessageCountTokensParams{Model: "claude-opus", Messages: question.Messages}, anthropic.Tell(s.job)); err != nil {
		t.Fatal(err)
	}
	_, _ = s.client.Messages.New(t.Context(), question, anthropic.Tell(s.job))
	stream := s.client.Messages.NewStreaming(t.Context(), question, anthropic.Tell(s.job))
	for stream.Next() {
	}
	_ = stream.Close()
	if got := s.outline(nil, nil); strings.Count(got, "thought started") != 2 || strings.Count(got, "scope=llm") != 2 {
		t.Error(got)
	}
}

func TestToolsOfAMessageAreRun(t *testing.T) {
	s := newScene(t, message)
	m, err := s.client.Messages.New(t.Context(), question, anthropic.Tell(s.job))
	if err != nil {
		t.Fatal(err)
	}
	tools := anthropic.Tools{"weather": func(_ context.Context, arguments json.RawMessage) (any, error) {
		return map[string]string{"asked": string(arguments)}, nil
	}}
	sent, err := json.Marshal(tools.Run(t.Context(), s.job, m.Content))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"tool_use_id":"toolu_1","is_error":false,"content":[{"text":"{\"asked\":\"{\\\"city\\\":\\\"Oslo\\\"}\"}","type":"text"}],"type":"tool_result"},
		{"tool_use_id":"toolu_2","is_error":true,"content":[{"text":"there is no tool \"nope\"","type":"text"}],"type":"tool_result"}]`
	var got, wanted any
	_ = json.Unmarshal(sent, &got)
	_ = json.Unmarshal([]byte(want), &wanted)
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if got := s.find("tool_result", "toolu_2")["error"]; got != `there is no tool "nope"` {
		t.Errorf("the unknown tool's error is %v", got)
	}
}

func checkOutline(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
}

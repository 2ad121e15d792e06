package openai_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/openai/openai-go/v3/responses"

	sdk "github.com/openai/openai-go/v3"

	"tidings/callback/openai"
)

var asking = responses.ResponseNewParams{
	Model: "gpt-5",
	Input: responses.ResponseNewParamsInputUnion{OfString: sdk.String("How is the weather in Oslo?")},
}

// answer is a response object as the API sends it.
func answer(status, more, output string) string {
	return `{"id":"resp_1","object":"response","created_at":1,"model":"gpt-5-2025","status":"` + status + `",` + more + `"output":[` + output + `],"parallel_tool_calls":true,"tools":[],"tool_choice":"auto",
		"usage":{"input_tokens":20,"input_tokens_details":{"cached_tokens":16},"output_tokens":9,"output_tokens_details":{"reasoning_tokens":3},"total_tokens":29}}`
}

const (
	thinking = `{"id":"rs_1","type":"reasoning","summary":[{"type":"summary_text","text":"Oslo is north."}]}`
	saying   = `{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"It is sunny.","annotations":[]}]}`
	calling  = `{"id":"fc_1","type":"function_call","status":"completed","call_id":"call_1","name":"weather","arguments":"{\"city\":\"Oslo\"}"}`
	querying = `{"id":"ctc_1","type":"custom_tool_call","call_id":"call_2","name":"sql","input":"select 1"}`
)

func oneLine(s string) string { return strings.NewReplacer("\n", "", "\t", "").Replace(s) }

// stream is the events of an answer.
func stream(events ...string) script {
	s := script{events: []string{`{"type":"response.created","sequence_number":0,"response":` + oneLine(answer("in_progress", "", "")) + `}`}}
	for _, e := range events {
		s.events = append(s.events, oneLine(e))
	}
	return s
}

var (
	reasons = `{"type":"response.reasoning_summary_text.delta","item_id":"rs_1","output_index":0,"summary_index":0,"delta":"Oslo is north."}`
	says    = []string{
		`{"type":"response.output_text.delta","item_id":"msg_1","output_index":1,"content_index":0,"delta":"It is "}`,
		`{"type":"response.output_text.delta","item_id":"msg_1","output_index":1,"content_index":0,"delta":"sunny."}`,
		`{"type":"response.output_item.done","output_index":1,"item":` + saying + `}`,
	}
	refuses = `{"type":"response.refusal.delta","item_id":"msg_1","output_index":1,"content_index":0,"delta":"I won't."}`
)

func TestResponseStreamIsToldWhileItIsRead(t *testing.T) {
	s := newScene(t, stream(reasons, says[0], says[1], says[2],
		`{"type":"response.output_item.done","output_index":2,"item":`+calling+`}`,
		`{"type":"response.output_item.done","output_index":3,"item":`+querying+`}`,
		`{"type":"response.completed","response":`+answer("completed", "", thinking+","+saying+","+calling+","+querying)+`}`))
	stream := s.client.Responses.NewStreaming(t.Context(), asking, openai.Tell(s.job))
	var types []string
	for stream.Next() {
		types = append(types, stream.Current().Type)
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if len(types) != 8 || types[0] != "response.created" {
		t.Errorf("the caller read %q", types)
	}
	end := s.find(`"completed"`, `"llm"`)
	want := []any{
		map[string]any{"call_id": "call_1", "tool": "weather", "input": map[string]any{"city": "Oslo"}},
		map[string]any{"call_id": "call_2", "tool": "sql", "input": "select 1"},
	}
	if diff := cmp.Diff(want, end["tool_calls"]); diff != "" {
		t.Errorf("tools asked for (-want +got):\n%s", diff)
	}
	if end["finish_reason"] != "completed" {
		t.Errorf("the end tells %v", end)
	}
	checkOutline(t, s.outline(nil, nil), `
phase_update started job
thought started llm gpt-5 model=gpt-5
thought delta channel=reasoning "Oslo is north."
thought delta "It is sunny."
thought completed llm gpt-5 model=gpt-5 content="It is sunny." usage={"input_tokens":20,"output_tokens":9,"cached_input_tokens":16,"reasoning_tokens":3}
done completed usage={"input_tokens":20,"output_tokens":9,"cached_input_tokens":16,"reasoning_tokens":3}
`)
}

func TestToolsOfAResponseAreRun(t *testing.T) {
	s := newScene(t, script{body: answer("completed", "", thinking+","+calling+","+querying)})
	response, err := s.client.Responses.New(t.Context(), asking, openai.Tell(s.job))
	if err != nil {
		t.Fatal(err)
	}
	tools := openai.Tools{
		"weather": func(context.Context, json.RawMessage) (any, error) { return "sunny", nil },
		"sql": func(_ context.Context, q json.RawMessage) (any, error) {
			return nil, errors.New("no database for " + string(q))
		},
	}
	sent, err := json.Marshal(tools.RunResponse(t.Context(), s.job, response.Output))
	if err != nil {
		t.Fatal(err)
	}
	want := `[{"call_id":"call_1","output":"sunny","type":"function_call_output"},{"call_id":"call_2","output":"error: no database for select 1","type":"custom_tool_call_output"}]`
	var got, wanted any
	_ = json.Unmarshal(sent, &got)
	_ = json.Unmarshal([]byte(want), &wanted)
	if diff := cmp.Diff(wanted, got); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	checkOutline(t, s.outline(nil, nil), `
phase_update started job
thought started llm gpt-5 model=gpt-5
thought delta channel=reasoning "Oslo is north."
thought completed llm gpt-5 model=gpt-5 usage={"input_tokens":20,"output_tokens":9,"cached_input_tokens":16,"reasoning_tokens":3}
tool_call tool tool=weather call=call_1 input={"city":"Oslo"}
tool_result tool tool=weather call=call_1 output="sunny"
tool_call tool tool=sql call=call_2 input="select 1"
tool_result tool tool=sql call=call_2 error="no database for select 1"
done completed usage={"input_tokens":20,"output_tokens":9,"cached_input_tokens":16,"reasoning_tokens":3}
`)
}

// An answer may be incomplete or refused, which is no failure.
func TestResponsesThatSayLess(t *testing.T) {
	t.Run("cut at the token limit", func(t *testing.T) {
		s := newScene(t, stream(says[0], `{"type":"response.incomplete","response":`+answer("incomplete", `"incomplete_details":{"reason":"max_output_tokens"},`, "")+`}`))
		stream := s.client.Responses.NewStreaming(t.Context(), asking, openai.Tell(s.job))
		for stream.Next() {
		}
		if end := s.find(`"completed"`, `"llm"`); end["finish_reason"] != "max_output_tokens" || end["content"] != "It is " {
			t.Errorf("the end tells %v", end)
		}
	})
	t.Run("refused", func(t *testing.T) {
		s := newScene(t, stream(refuses, `{"type":"response.completed","response":`+answer("completed", "", "")+`}`))
		stream := s.client.Responses.NewStreaming(t.Context(), asking, openai.Tell(s.job))
		for stream.Next() {
		}
		if told := s.find("thought", "delta", "refusal"); told["delta"] != "I won't." {
			t.Errorf("told as %v", told)
		}
	})
}

// The client's stream ends without an error in all of these but the last.
func TestResponseStreamThatFails(t *testing.T) {
	for name, c := range map[string]struct {
		script     script
		kind, text string
	}{
		"failed":      {stream(says[0], `{"type":"response.failed","response":`+answer("failed", `"error":{"code":"server_error","message":"Oops"},`, "")+`}`), "server_error", "Oops"},
		"error event": {stream(says[0], `{"type":"error","code":"rate_limit_exceeded","message":"Slow down","param":null,"sequence_number":3}`), "rate_limit_exceeded", "Slow down"},
		"cut short":   {stream(says[0], says[1]), "cut_short", "the answer stops in the middle"},
		"broken":      {script{events: stream(says[0]).events, cut: true}, "", "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, c.script)
			stream := s.client.Responses.NewStreaming(t.Context(), asking, openai.Tell(s.job))
			for stream.Next() {
			}
			told := s.find(`"scope":"llm"`)
			kind, _ := told["kind"].(string)
			text, _ := told["error"].(string)
			if kind != c.kind || !strings.Contains(text, c.text) {
				t.Errorf("told as %v", told)
			}
		})
	}
}

func TestResponseThatFailedWithoutAStream(t *testing.T) {
	s := newScene(t, script{body: answer("failed", `"error":{"code":"server_error","message":"Oops"},`, "")})
	if _, err := s.client.Responses.New(t.Context(), asking, openai.Tell(s.job)); err != nil {
		t.Fatal(err) // as the client sees it
	}
	if told := s.find(`"scope":"llm"`); told["error"] != "Oops" {
		t.Errorf("told as %v", told)
	}
}

// A request to stop ends the context, and with it the stream and the job.
func TestStopWhileAResponseStreams(t *testing.T) {
	s := newScene(t, script{events: stream(says[0]).events, hang: true})
	stopped := s.job.Run(t.Context(), func(ctx context.Context) (any, error) {
		stream := s.client.Responses.NewStreaming(ctx, asking, openai.Tell(s.job))
		for stream.Next() {
			if stream.Current().Type == "response.output_text.delta" {
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

package openai_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	sdk "github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"tidings"
	"tidings/callback/openai"
)

var question = sdk.ChatCompletionNewParams{
	Model:    "gpt-5",
	Messages: []sdk.ChatCompletionMessageParamUnion{sdk.UserMessage("How is the weather in Oslo?")},
	StreamOptions: sdk.ChatCompletionStreamOptionsParam{
		IncludeUsage: sdk.Bool(true),
	},
}

// chunk is an event of a chat stream with one choice.
func chunk(delta, finish string) string {
	return `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-5-2025","choices":[{"index":0,"delta":` + delta + `,"finish_reason":` + finish + `}],"usage":null}`
}

const (
	chatUsage = `{"prompt_tokens":20,"completion_tokens":9,"total_tokens":29,"prompt_tokens_details":{"cached_tokens":16,"cache_write_tokens":2},"completion_tokens_details":{"reasoning_tokens":3}}`
	lastChunk = `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"gpt-5-2025","choices":[],"usage":` + chatUsage + `}`
)

var sunny = script{events: []string{
	chunk(`{"role":"assistant","content":""}`, "null"),
	chunk(`{"reasoning_content":"Oslo is north."}`, "null"),
	chunk(`{"content":"It is "}`, "null"),
	chunk(`{"content":"sunny."}`, "null"),
	chunk(`{}`, `"stop"`),
	lastChunk, "[DONE]",
}}

var asksForTools = script{events: []string{
	chunk(`{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]}`, "null"),
	chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":"}}]}`, "null"),
	chunk(`{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"nope","arguments":"{}"}}]}`, "null"),
	chunk(`{"tool_calls":[{"index":0,"function":{"arguments":"\"Oslo\"}"}}]}`, "null"),
	chunk(`{}`, `"tool_calls"`),
	lastChunk, "[DONE]",
}}

func TestChatStreamIsToldWhileItIsRead(t *testing.T) {
	s := newScene(t, sunny)
	ctx, agent := s.job.Phase(t.Context(), "agent")
	stream := s.client.Chat.Completions.NewStreaming(ctx, question, openai.Tell(s.job))
	var text strings.Builder
	for stream.Next() {
		for _, c := range stream.Current().Choices {
			text.WriteString(c.Delta.Content)
		}
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if text.String() != "It is sunny." {
		t.Errorf("the caller read %q", text.String())
	}
	end := s.find(`"completed"`, `"llm"`)
	want := map[string]any{
		"input_tokens": 20., "output_tokens": 9., "cached_input_tokens": 16., "cache_write_tokens": 2., "reasoning_tokens": 3.,
	}
	if diff := cmp.Diff(want, end["usage"]); diff != "" {
		t.Errorf("usage (-want +got):\n%s", diff)
	}
	if end["finish_reason"] != "stop" || end["ttft_ms"] == nil {
		t.Errorf("the end tells %v", end)
	}
	agent.End(nil)
	checkOutline(t, s.outline("It is sunny.", nil), `
phase_update started job
phase_update started chain agent
  thought started llm gpt-5 model=gpt-5
  thought delta channel=reasoning "Oslo is north."
  thought delta "It is sunny."
  thought completed llm gpt-5 model=gpt-5 content="It is sunny." usage={"input_tokens":20,"output_tokens":9,"cached_input_tokens":16,"cache_write_tokens":2,"reasoning_tokens":3}
phase_update completed chain agent
done completed output="It is sunny." usage={"input_tokens":20,"output_tokens":9,"cached_input_tokens":16,"cache_write_tokens":2,"reasoning_tokens":3}
`)
}

func TestToolsOfAChatAreAskedForAndRun(t *testing.T) {
	s := newScene(t, asksForTools, sunny)
	tools := openai.Tools{"weather": func(_ context.Context, arguments json.RawMessage) (any, error) {
		return map[string]string{"sky": "sunny", "asked": string(arguments)}, nil
	}}
	messages := question.Messages
	for range 2 {
		params := question
		params.Messages = messages
		var acc sdk.ChatCompletionAccumulator
		stream := s.client.Chat.Completions.NewStreaming(t.Context(), params, openai.Tell(s.job))
		for stream.Next() {
			acc.AddChunk(stream.Current())
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
		message := acc.Choices[0].Message
		messages = append(messages, message.ToParam())
		messages = append(messages, tools.RunChat(t.Context(), s.job, message.ToolCalls)...)
	}
	asked := s.find("tool_calls", "call_2")["tool_calls"]
	want := []any{
		map[string]any{"call_id": "call_1", "tool": "weather", "input": map[string]any{"city": "Oslo"}},
		map[string]any{"call_id": "call_2", "tool": "nope", "input": map[string]any{}},
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("tools asked for (-want +got):\n%s", diff)
	}
	if got := s.find("tool_result", "call_1")["output"]; !cmp.Equal(got, map[string]any{"sky": "sunny", "asked": `{"city":"Oslo"}`}) {
		t.Errorf("the tool's output is %v", got)
	}
	if got := s.find("tool_result", "call_2")["error"]; got != `there is no tool "nope"` {
		t.Errorf("the unknown tool's error is %v", got)
	}
	sent, _ := json.Marshal(s.api.requests[1]["messages"])
	for _, part := range []string{`"tool_call_id":"call_1"`, `\"sky\":\"sunny\"`, `error: there is no tool`} {
		if !strings.Contains(string(sent), part) {
			t.Errorf("the second request lacks %s: %s", part, sent)
		}
	}
	if got := s.outline(nil, nil); strings.Count(got, "thought started") != 2 {
		t.Errorf("not two calls:\n%s", got)
	}
}

func TestChatWithoutAStream(t *testing.T) {
	s := newScene(t, script{body: `{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-5-2025","choices":[{"index":0,"finish_reason":"tool_calls",
		"message":{"role":"assistant","content":"Let me look.","refusal":null,"reasoning_content":"hm","tool_calls":[{"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":\"Oslo\"}"}},
		{"id":"call_2","type":"custom","custom":{"name":"sql","input":"select 1"}}]}}],"usage":` + chatUsage + `}`})
	completion, err := s.client.Chat.Completions.New(t.Context(), question, openai.Tell(s.job))
	if err != nil || completion.Choices[0].Message.Content != "Let me look." {
		t.Fatalf("the caller got %v, %v", completion, err)
	}
	end := s.find(`"completed"`, `"llm"`)
	want := []any{
		map[string]any{"call_id": "call_1", "tool": "weather", "input": map[string]any{"city": "Oslo"}},
		map[string]any{"call_id": "call_2", "tool": "sql", "input": "select 1"},
	}
	if diff := cmp.Diff(want, end["tool_calls"]); diff != "" {
		t.Errorf("tools asked for (-want +got):\n%s", diff)
	}
	checkOutline(t, s.outline(nil, nil), `
phase_update started job
thought started llm gpt-5 model=gpt-5
thought delta channel=reasoning "hm"
thought completed llm gpt-5 model=gpt-5 content="Let me look." usage={"input_tokens":20,"output_tokens":9,"cached_input_tokens":16,"cache_write_tokens":2,"reasoning_tokens":3}
done completed usage={"input_tokens":20,"output_tokens":9,"cached_input_tokens":16,"cache_write_tokens":2,"reasoning_tokens":3}
`)
}

func TestChatThatIsRefusedByTheAPI(t *testing.T) {
	s := newScene(t,
		script{status: 429, body: `{"error":{"message":"Slow down","type":"requests","param":null,"code":"rate_limit_exceeded"}}`},
		script{status: 500, body: `{"error":{"message":"Oops","type":"server_error","param":null,"code":null}}`})
	_, err := s.client.Chat.Completions.New(t.Context(), question, openai.Tell(s.job))
	if api, ok := errors.AsType[*sdk.Error](err); !ok || api.StatusCode != 429 {
		t.Fatalf("the caller got %v", err)
	}
	if got := s.find("error", `"llm"`)["kind"]; got != "rate_limit_exceeded" {
		t.Errorf("kind %v", got)
	}
	stream := s.client.Chat.Completions.NewStreaming(t.Context(), question, openai.Tell(s.job))
	if stream.Next() || stream.Err() == nil {
		t.Fatal("the stream did not fail")
	}
	if got := s.find("error", `"llm"`)["kind"]; got != "server_error" {
		t.Errorf("kind %v", got)
	}
	if got := s.outline(nil, stream.Err()); !strings.Contains(got, "error") {
		t.Error(got)
	}
}

// Mid-stream the API tells of errors by an event, and connections break.
func TestChatStreamThatFailsMidway(t *testing.T) {
	half := sunny.events[:3]
	for name, broken := range map[string]script{
		"error event":       {events: append(half[:3:3], `{"error":{"message":"overloaded","type":"server_error"}}`)},
		"broken connection": {events: half, cut: true},
		"odd event":         {events: append(half[:3:3], `{"id":`)},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t, broken)
			ctx, agent := s.job.Phase(t.Context(), "agent")
			stream := s.client.Chat.Completions.NewStreaming(ctx, question, openai.Tell(s.job))
			for stream.Next() {
			}
			if stream.Err() == nil {
				t.Fatal("the stream did not fail")
			}
			agent.End(stream.Err())
			failed := s.find("phase_update", "failed")
			told := s.find(`"scope":"llm"`)
			if failed["cause_run_id"] != told["run_id"] || told["run_id"] == nil {
				t.Errorf("the phase fails of %v, the call told %v", failed, told)
			}
			if got := s.outline(nil, stream.Err()); !strings.Contains(got, `thought delta "It is "`) {
				t.Error(got)
			}
		})
	}
}

func TestChatStreamThatIsLeft(t *testing.T) {
	t.Run("closed before its end", func(t *testing.T) {
		s := newScene(t, script{events: sunny.events[:3], hang: true})
		stream := s.client.Chat.Completions.NewStreaming(t.Context(), question, openai.Tell(s.job))
		for range 3 {
			stream.Next()
		}
		_ = stream.Close()
		_ = stream.Close() // does nothing more
		if told := s.find(`"scope":"llm"`); told["kind"] != "aborted" {
			t.Errorf("told as %v", told)
		}
	})
	t.Run("closed behind the last word", func(t *testing.T) {
		s := newScene(t, sunny)
		stream := s.client.Chat.Completions.NewStreaming(t.Context(), question, openai.Tell(s.job))
		for stream.Next() && stream.Current().Choices[0].FinishReason != "stop" {
		}
		_ = stream.Close()
		if end := s.find(`"completed"`, `"llm"`); end["content"] != "It is sunny." || end["finish_reason"] != "stop" {
			t.Errorf("the end tells %v", end)
		}
	})
	t.Run("forgotten, until its context ends", func(t *testing.T) {
		s := newScene(t, script{events: sunny.events[:3], hang: true})
		ctx, cancel := context.WithCancelCause(t.Context())
		stream := s.client.Chat.Completions.NewStreaming(ctx, question, openai.Tell(s.job))
		stream.Next()
		cancel(&tidings.CancelledError{By: "ann"})
		for stream.Next() {
		}
		if told := s.find(`"scope":"llm"`); told["kind"] != "aborted" {
			t.Errorf("told as %v", told)
		}
	})
}

func TestNothingIsToldWithoutAJob(t *testing.T) {
	s := newScene(t, asksForTools)
	var acc sdk.ChatCompletionAccumulator
	stream := s.client.Chat.Completions.NewStreaming(t.Context(), question, openai.Tell(nil))
	for stream.Next() {
		acc.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if got := (openai.Tools{}).RunChat(t.Context(), nil, acc.Choices[0].Message.ToolCalls); len(got) != 2 {
		t.Errorf("%d answers", len(got))
	}
	if got := s.outline(nil, nil); strings.Contains(got, "thought") {
		t.Error(got)
	}
}

// A panic of a tool goes through, as without Tidings, and is told.
func TestToolOfAChatThatPanics(t *testing.T) {
	s := newScene(t, asksForTools)
	var acc sdk.ChatCompletionAccumulator
	stream := s.client.Chat.Completions.NewStreaming(t.Context(), question, openai.Tell(s.job))
	for stream.Next() {
		acc.AddChunk(stream.Current())
	}
	tools := openai.Tools{"weather": func(context.Context, json.RawMessage) (any, error) { panic("no sky") }}
	func() {
		defer func() {
			if p := recover(); p != "no sky" {
				t.Errorf("the caller sees %v", p)
			}
		}()
		tools.RunChat(t.Context(), s.job, acc.Choices[0].Message.ToolCalls)
	}()
	if told := s.find("tool_result", "call_1"); told["error_kind"] != "panic" {
		t.Errorf("told as %v", told)
	}
}

// An option of the client tells of all its calls, each to the job of its
// context.
func TestTheJobOfTheContext(t *testing.T) {
	s := newScene(t, sunny, sunny)
	client := sdk.NewClient(option.WithBaseURL(s.url), option.WithAPIKey("none"), openai.Tell(nil))
	ctx, agent := s.job.Phase(t.Context(), "agent")
	for _, ctx := range []context.Context{t.Context(), ctx} { // the first is of no job
		stream := client.Chat.Completions.NewStreaming(ctx, question)
		for stream.Next() {
		}
		if err := stream.Err(); err != nil {
			t.Fatal(err)
		}
	}
	agent.End(nil)
	if got := s.outline(nil, nil); strings.Count(got, "\n  thought started") != 1 || strings.Count(got, "thought started") != 1 {
		t.Error(got)
	}
}

// The SDK tries again; each try is a call of its own.
func TestRequestsThatAreTriedAgain(t *testing.T) {
	s := newScene(t, script{status: 503, body: "<html>"}, sunny)
	stream := s.client.Chat.Completions.NewStreaming(t.Context(), question, openai.Tell(s.job), option.WithMaxRetries(1))
	for stream.Next() {
	}
	if err := stream.Err(); err != nil {
		t.Fatal(err)
	}
	if told := s.find(`"scope":"llm"`); told["error"] != "OpenAI API error: 503 Service Unavailable" {
		t.Errorf("told as %v", told)
	}
	if told := s.find("thought", "started"); told["attempt"] != 2. {
		t.Errorf("the second try is told as %v", told)
	}
}

// What is no answer of a model is not told, and odd answers harm nobody.
func TestOtherRequestsAndOddAnswers(t *testing.T) {
	odd := []string{`[]`, `{"choices":1}`, `{"choices":[{"delta":{"content":["x"],"tool_calls":[{"index":7,"function":{"arguments":"{"}}]}}]}`, "[DONE]"}
	s := newScene(t, script{body: `{"object":"list","data":[]}`}, script{body: `[]`}, script{body: `{}`}, script{events: odd})
	if _, err := s.client.Models.List(t.Context(), openai.Tell(s.job)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		_, _ = s.client.Chat.Completions.New(t.Context(), question, openai.Tell(s.job))
	}
	stream := s.client.Chat.Completions.NewStreaming(t.Context(), question, openai.Tell(s.job))
	for stream.Next() {
	}
	_ = stream.Close()
	if got := s.outline(nil, nil); strings.Count(got, "thought started") != 3 || strings.Count(got, "thought completed")+strings.Count(got, "scope=llm") != 3 {
		t.Error(got)
	}
}

func checkOutline(t *testing.T, got, want string) {
	t.Helper()
	if diff := cmp.Diff(strings.TrimSpace(want), strings.TrimSpace(got)); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
}

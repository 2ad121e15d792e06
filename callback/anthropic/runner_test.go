package anthropic_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	sdk "github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/toolrunner"

	"tidings/callback/anthropic"
)

// asksTwice asks for the same tool twice in one answer.
var asksTwice = stream(all(
	thinks, says,
	[]string{
		`{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"weather","input":{}}}`,
		`{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{ \"city\": \"Oslo\" }"}}`,
		`{"type":"content_block_stop","index":2}`,
		`{"type":"content_block_start","index":3,"content_block":{"type":"tool_use","id":"toolu_2","name":"weather","input":{}}}`,
		`{"type":"content_block_delta","index":3,"delta":{"type":"input_json_delta","partial_json":"{\"city\":\"Nowhere\"}"}}`,
		`{"type":"content_block_stop","index":3}`,
	}, stop("tool_use"))...)

func weatherTool(t *testing.T) sdk.BetaTool {
	tool, err := toolrunner.NewBetaToolFromJSONSchema("weather", "The weather in a city.",
		func(_ context.Context, in struct {
			City string `json:"city" jsonschema:"required"`
		}) (sdk.BetaToolResultBlockParamContentUnion, error) {
			if in.City == "Nowhere" {
				return sdk.BetaToolResultBlockParamContentUnion{}, errors.New("no such city")
			}
			return sdk.BetaToolResultBlockParamContentUnion{OfText: &sdk.BetaTextBlockParam{Text: "sunny in " + in.City}}, nil
		})
	if err != nil {
		t.Fatal(err)
	}
	return tool
}

var runnerParams = sdk.BetaToolRunnerParams{BetaMessageNewParams: sdk.BetaMessageNewParams{
	Model: "claude-opus", MaxTokens: 1000,
	Messages: []sdk.BetaMessageParam{sdk.NewBetaUserMessage(sdk.NewBetaTextBlock("How is the weather in Oslo?"))},
}}

func TestToolRunnerThatStreams(t *testing.T) {
	s := newScene(t, asksTwice, sunny)
	ctx, agent := s.job.Phase(t.Context(), "agent")
	runner := anthropic.Runner(s.job, s.client.Beta.Messages.NewToolRunnerStreaming, []sdk.BetaTool{weatherTool(t)}, runnerParams)
	for events, err := range runner.AllStreaming(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range events {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	agent.End(nil)
	if got := s.find("tool_call", "Oslo")["call_id"]; got != "toolu_1" {
		t.Errorf("the call for Oslo is %v", got)
	}
	if got := s.find("tool_result", "toolu_1")["output"]; got != "sunny in Oslo" {
		t.Errorf("its output is %v", got)
	}
	if got, _ := s.find("tool_result", "toolu_2")["error"].(string); !strings.Contains(got, "no such city") {
		t.Errorf("the other's error is %v", got)
	}
	sent, _ := json.Marshal(s.api.requests[1]["messages"])
	if !strings.Contains(string(sent), "sunny in Oslo") {
		t.Errorf("the second request lacks the result: %s", sent)
	}
	got := s.outline(nil, nil)
	if strings.Count(got, "\n  thought started") != 2 || strings.Count(got, "\n  tool_call") != 2 {
		t.Error(got)
	}
}

func TestToolRunner(t *testing.T) {
	answer := `{"id":"msg_2","type":"message","role":"assistant","model":"claude-opus-1","stop_reason":"end_turn","stop_sequence":null,"content":[{"type":"text","text":"It is sunny."}],"usage":{"input_tokens":3,"output_tokens":4}}`
	asks := `{"id":"msg_1","type":"message","role":"assistant","model":"claude-opus-1","stop_reason":"tool_use","stop_sequence":null,"content":[{"type":"tool_use","id":"toolu_1","name":"weather","input":{"city":"Oslo"}}],"usage":{"input_tokens":3,"output_tokens":4}}`
	s := newScene(t, script{body: asks}, script{body: answer})
	err := s.job.Run(t.Context(), func(ctx context.Context) (any, error) {
		runner := anthropic.Runner(nil, s.client.Beta.Messages.NewToolRunner, []sdk.BetaTool{weatherTool(t)}, runnerParams) // the job of the context
		message, err := runner.RunToCompletion(ctx)
		if err != nil {
			return nil, err
		}
		return message.Content[0].Text, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	usage := func(factor int) string {
		return fmt.Sprintf(`usage={"input_tokens":%d,"output_tokens":%d}`, 3*factor, 4*factor)
	}
	checkOutline(t, s.outline(nil, nil), `
phase_update started job
thought started llm claude-opus model=claude-opus
thought completed llm claude-opus model=claude-opus `+usage(1)+`
tool_call tool tool=weather call=toolu_1 input={"city":"Oslo"}
tool_result tool tool=weather call=toolu_1 output="sunny in Oslo"
thought started llm claude-opus model=claude-opus
thought completed llm claude-opus model=claude-opus content="It is sunny." `+usage(2-1)+`
done completed output="It is sunny." `+usage(2)+`
`)
}

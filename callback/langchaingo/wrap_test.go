package langchaingo_test

import (
	"context"
	"testing"

	"tidings/callback/langchaingo"
)

func TestWrappedAgent(t *testing.T) {
	p := newProvider(t, answer{calls: []string{"Oslo", "Rome"}}, answer{text: "It is sunny"})
	h, _, done := job(t, nil)
	agent := executor(langchaingo.WrapModel(p.llm(t), nil), langchaingo.WrapTools(weather{}))
	err := h.Run(t.Context(), func(ctx context.Context) (any, error) {
		return langchaingo.Call(ctx, h, agent, hi)
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, done(), `
phase_update started agent Executor input={"input":"hi"}
  thought started llm openai model=openai
  thought completed llm openai model=openai usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
  tool_call tool tool=get_weather call=call_0 input="Oslo"
  tool_result tool tool=get_weather call=call_0 output="sunny in Oslo"
  tool_call tool tool=get_weather call=call_1 input="Rome"
  tool_result tool tool=get_weather call=call_1 output="sunny in Rome"
  thought started llm openai model=openai
  thought completed llm openai model=openai content="It is sunny" usage={"input_tokens":11,"output_tokens":3,"cached_input_tokens":2}
phase_update completed agent Executor output={"output":"It is sunny"}
done completed output={"output":"It is sunny"} usage={"input_tokens":22,"output_tokens":6,"cached_input_tokens":4}
`)
}

package langchaingo

import (
	"bytes"
	"encoding/json"
	"reflect"

	"github.com/tmc/langchaingo/llms"

	"tidings"
)

// endModel ends the call with what the model answered.
func endModel(m *tidings.ModelRun, res *llms.ContentResponse, reasoned bool) {
	if m == nil {
		return
	}
	text := ""
	defer func() { m.End(text, nil) }()
	if res == nil || len(res.Choices) == 0 || res.Choices[0] == nil {
		return
	}
	first := res.Choices[0]
	m.FinishReason(first.StopReason)
	if u := usageOf(first.GenerationInfo); u != (tidings.Usage{}) {
		m.Usage(u)
	}
	for _, c := range res.Choices { // Anthropic's are the parts of one answer
		if c == nil {
			continue
		}
		if !reasoned {
			m.Delta(tidings.ChannelReasoning, reasoningOf(c))
		}
		if text == "" {
			text = c.Content
		}
		toolCalls(m, c)
	}
}

// toolCalls tells which tools the answer asks for.
func toolCalls(m *tidings.ModelRun, c *llms.ContentChoice) {
	for _, call := range c.ToolCalls {
		if f := call.FunctionCall; f != nil {
			m.ToolCall(call.ID, f.Name, jsonOrText(f.Arguments))
		}
	}
}

func reasoningOf(c *llms.ContentChoice) string {
	if c.ReasoningContent != "" {
		return c.ReasoningContent
	}
	thought, _ := c.GenerationInfo["ThinkingContent"].(string)
	return thought
}

// usageOf finds the tokens among what providers call them in GenerationInfo:
// there is no common name.
func usageOf(info map[string]any) tidings.Usage {
	u := tidings.Usage{
		InputTokens:       count(info, "PromptTokens", "InputTokens", "input_tokens"),
		OutputTokens:      count(info, "CompletionTokens", "OutputTokens", "output_tokens"),
		CachedInputTokens: count(info, "PromptCachedTokens", "CacheReadInputTokens", "cached_tokens"),
		ReasoningTokens:   count(info, "CompletionReasoningTokens", "ReasoningTokens", "ThinkingTokens"),
	}
	if _, anthropic := info["CacheReadInputTokens"]; anthropic { // it counts them apart
		u.CacheWriteTokens = count(info, "CacheCreationInputTokens")
		u.InputTokens += u.CachedInputTokens + u.CacheWriteTokens
	}
	if usage, ok := info["usage"]; ok && u == (tidings.Usage{}) { // Mistral
		return usageFromJSON(usage)
	}
	return u
}

func usageFromJSON(value any) tidings.Usage {
	var u struct {
		Prompt     int64 `json:"prompt_tokens"`
		Completion int64 `json:"completion_tokens"`
	}
	text, err := json.Marshal(value)
	if err != nil || json.Unmarshal(text, &u) != nil {
		return tidings.Usage{}
	}
	return tidings.Usage{InputTokens: u.Prompt, OutputTokens: u.Completion}
}

// count gives the first of the keys that holds a number that is not 0.
func count(info map[string]any, keys ...string) int64 {
	for _, key := range keys {
		v := reflect.ValueOf(info[key])
		switch {
		case v.CanInt() && v.Int() > 0:
			return v.Int()
		case v.CanUint() && v.Uint() > 0:
			return int64(min(v.Uint(), 1<<62))
		case v.CanFloat() && v.Float() > 0:
			return int64(v.Float())
		}
	}
	return 0
}

// isToolCall reports whether a piece of a stream is no text but, as OpenAI's
// model passes them, JSON of the tool calls so far.
func isToolCall(chunk []byte) bool {
	type function struct {
		Name      *string `json:"name"`
		Arguments *string `json:"arguments"`
	}
	switch {
	case bytes.HasPrefix(chunk, []byte(`[{"`)):
		var calls []struct {
			Function *function `json:"function"`
		}
		return json.Unmarshal(chunk, &calls) == nil && calls[0].Function != nil
	case bytes.HasPrefix(chunk, []byte(`{"name":`)), bytes.HasPrefix(chunk, []byte(`{"arguments":`)):
		var f function
		return json.Unmarshal(chunk, &f) == nil && f.Arguments != nil
	}
	return false
}

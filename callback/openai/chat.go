package openai

import (
	"encoding/json"

	"tidings"
)

// What is read of Chat Completions.

// completion is a chunk of a stream or a whole answer.
type completion struct {
	Choices []choice  `json:"choices"`
	Usage   *usage    `json:"usage"`
	Error   *apiError `json:"error"`
}

type choice struct {
	Index        int         `json:"index"`
	Delta        chatMessage `json:"delta"`
	Message      chatMessage `json:"message"`
	FinishReason string      `json:"finish_reason"`
}

type chatMessage struct {
	Content text `json:"content"`
	Refusal text `json:"refusal"`
	// What other providers of this API tell of the model's reasoning.
	ReasoningContent text           `json:"reasoning_content"`
	Reasoning        text           `json:"reasoning"`
	ToolCalls        []chatToolCall `json:"tool_calls"`
}

type chatToolCall struct {
	Index    int    `json:"index"`
	ID       string `json:"id"`
	Function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	} `json:"function"`
	Custom struct {
		Name  string `json:"name"`
		Input string `json:"input"`
	} `json:"custom"`
}

// chunk takes in a piece of a stream.
func (c *call) chunk(chunk *completion) {
	c.count(chunk.Usage)
	if chunk.Error != nil {
		c.finish(chunk.Error.err())
	}
	for i := range chunk.Choices {
		choice := &chunk.Choices[i]
		if choice.Index != 0 {
			continue
		}
		c.says(&choice.Delta)
		c.model.Delta(tidings.ChannelText, string(choice.Delta.Content))
		for i := range choice.Delta.ToolCalls {
			piece := &choice.Delta.ToolCalls[i]
			t := c.tool(piece.Index)
			t.id += piece.ID
			t.name += piece.Function.Name + piece.Custom.Name
			t.arguments = append(append(t.arguments, piece.Function.Arguments...), piece.Custom.Input...)
		}
		c.stops(choice.FinishReason)
	}
}

// completion takes in a whole answer.
func (c *call) completion(whole *completion) {
	c.count(whole.Usage)
	if len(whole.Choices) == 0 {
		return
	}
	choice := &whole.Choices[0]
	c.says(&choice.Message)
	c.text = string(choice.Message.Content)
	for _, t := range choice.Message.ToolCalls {
		c.asks(t.ID, t.Function.Name+t.Custom.Name, t.Function.Arguments+t.Custom.Input)
	}
	c.stops(choice.FinishReason)
}

// says tells what is not the text.
func (c *call) says(m *chatMessage) {
	c.model.Delta(tidings.ChannelReasoning, string(m.ReasoningContent))
	if m.ReasoningContent == "" { // some give both
		c.model.Delta(tidings.ChannelReasoning, string(m.Reasoning))
	}
	c.model.Delta(tidings.ChannelRefusal, string(m.Refusal))
}

func (c *call) stops(reason string) {
	if reason != "" {
		c.last = true
		c.model.FinishReason(reason)
	}
}

// unquoted is the string that the JSON is, or "".
func unquoted(raw []byte) (s string) {
	_ = json.Unmarshal(raw, &s) // of another shape: ""
	return s
}

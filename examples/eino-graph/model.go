package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/cloudwego/eino/components/model"
	"github.com/cloudwego/eino/schema"
)

// scripted stands for a language model: it streams what the conversation so far
// asks for, a word at a time.
type scripted struct{ pace time.Duration }

var _ model.BaseChatModel = (*scripted)(nil)

// GetType names the implementation, as Eino's own models do.
func (*scripted) GetType() string { return "Scripted" }

// Generate implements model.BaseChatModel.
func (s *scripted) Generate(ctx context.Context, in []*schema.Message, o ...model.Option) (*schema.Message, error) {
	stream, err := s.Stream(ctx, in, o...)
	if err != nil {
		return nil, err
	}
	return schema.ConcatMessageStream(stream)
}

// Stream implements model.BaseChatModel.
func (s *scripted) Stream(ctx context.Context, in []*schema.Message, _ ...model.Option) (*schema.StreamReader[*schema.Message], error) {
	chunks, err := answer(in)
	out, to := schema.Pipe[*schema.Message](1)
	go func() {
		defer to.Close()
		for _, c := range chunks {
			select {
			case <-ctx.Done():
				to.Send(nil, ctx.Err())
				return
			case <-time.After(s.pace):
			}
			if to.Send(c, nil) {
				return
			}
		}
		if err != nil {
			to.Send(nil, err)
		}
	}()
	return out, nil
}

// answer gives the chunks of what the model says, and the error that it breaks
// off with.
func answer(in []*schema.Message) ([]*schema.Message, error) {
	if last := in[len(in)-1]; last.Role == schema.Tool {
		return stopped(words(report(in))), nil
	}
	question := in[len(in)-1].Content
	if strings.Contains(question, "break off") {
		return words("Let me think about"), errors.New("the connection to the model was lost")
	}
	cities := named(question)
	if len(cities) == 0 {
		return stopped(words("I only know about the weather in cities.")), nil
	}
	thought := &schema.Message{Role: schema.Assistant, ReasoningContent: "I need the weather in " + strings.Join(cities, " and ") + "."}
	return stopped([]*schema.Message{thought, schema.AssistantMessage("", calls(cities))}), nil
}

// named gives the cities in a question: what is written with a capital letter
// after the first word.
func named(question string) (cities []string) {
	for i, w := range strings.Fields(question) {
		if w = strings.Trim(w, ".,?!"); i > 0 && w != "" && w[0] >= 'A' && w[0] <= 'Z' && len(w) > 1 {
			cities = append(cities, w)
		}
	}
	return cities
}

func calls(cities []string) (all []schema.ToolCall) {
	for i, c := range cities {
		arguments, _ := json.Marshal(place{City: c}) // a string always can
		all = append(all, schema.ToolCall{Index: &i, ID: "call-" + c, Type: "function", Function: schema.FunctionCall{Name: "get_weather", Arguments: string(arguments)}})
	}
	return all
}

// report says what the tools found.
func report(in []*schema.Message) string {
	var found []string
	for _, m := range in {
		if m.Role == schema.Tool {
			found = append(found, strings.TrimPrefix(m.ToolCallID, "call-")+": "+m.Content)
		}
	}
	return "The weather is " + strings.Join(found, ", ") + "."
}

func words(text string) (chunks []*schema.Message) {
	for _, w := range strings.SplitAfter(text, " ") {
		chunks = append(chunks, schema.AssistantMessage(w, nil))
	}
	return chunks
}

// stopped adds what providers send with the last chunk.
func stopped(chunks []*schema.Message) []*schema.Message {
	last := chunks[len(chunks)-1]
	reason := "stop"
	if len(last.ToolCalls) > 0 {
		reason = "tool_calls"
	}
	last.ResponseMeta = &schema.ResponseMeta{FinishReason: reason, Usage: &schema.TokenUsage{PromptTokens: 40, CompletionTokens: len(chunks)}}
	return chunks
}

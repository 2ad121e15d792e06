package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"tidings"
)

// model is the language model, as a provider's SDK gives it.
type model interface {
	name() string
	// stream gives the reply, and each piece of it as it comes.
	stream(ctx context.Context, talk []message, piece func(channel, text string)) (message, error)
}

// message is one of a conversation.
type message struct {
	role, text, callID string
	calls              []toolCall
	usage              tidings.Usage
}

// MarshalJSON gives what people see of a reply.
func (m message) MarshalJSON() ([]byte, error) { return json.Marshal(m.text) }

type toolCall struct {
	id, tool string
	input    json.RawMessage
}

// scripted is a model that needs no key: it asks for the weather of each city
// that the question names, and then says what it was told.
type scripted struct {
	pace time.Duration // between two pieces
}

func (s scripted) name() string { return "scripted" }

var errOverloaded = errors.New("the model is overloaded")

func (s scripted) stream(ctx context.Context, talk []message, piece func(channel, text string)) (message, error) {
	question := talk[0].text
	reply := message{role: "assistant", usage: tidings.Usage{InputTokens: int64(20 * len(talk))}}
	if len(talk) > 1 {
		var told []string
		for _, m := range talk {
			if m.role == "tool" {
				told = append(told, m.text)
			}
		}
		reply.text = "I was told: " + strings.Join(told, "; ") + "."
		return reply, s.say(ctx, &reply, tidings.ChannelText, reply.text, piece)
	}
	if err := s.say(ctx, &reply, tidings.ChannelReasoning, "I need a tool for that.", piece); err != nil {
		return reply, err
	}
	if strings.Contains(question, "break off") {
		return reply, errOverloaded
	}
	for _, city := range []string{"Oslo", "Rome", "Atlantis"} {
		if strings.Contains(question, city) {
			input, _ := json.Marshal(map[string]string{"city": city})
			reply.calls = append(reply.calls, toolCall{id: "call_" + city, tool: "weather", input: input})
		}
	}
	if len(reply.calls) == 0 {
		reply.text = "I only know about the weather in Oslo and Rome."
		return reply, s.say(ctx, &reply, tidings.ChannelText, reply.text, piece)
	}
	return reply, nil
}

// say gives the text word by word, at the model's pace.
func (s scripted) say(ctx context.Context, reply *message, channel, text string, piece func(channel, text string)) error {
	for _, word := range strings.SplitAfter(text, " ") {
		select {
		case <-time.After(s.pace):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		piece(channel, word)
		reply.usage.OutputTokens++
	}
	return nil
}

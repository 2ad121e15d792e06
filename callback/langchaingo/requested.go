package langchaingo

import (
	"encoding/json"
	"strings"

	"github.com/tmc/langchaingo/llms"
)

// maxRequested bounds the tool calls that are remembered until a tool runs.
const maxRequested = 64

// requested remembers the tool calls that a wrapped model asks for: tools don't
// get the IDs of their calls.
func (s *story) requested(res *llms.ContentResponse) {
	if res == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, choice := range res.Choices {
		if choice == nil {
			continue
		}
		for _, call := range choice.ToolCalls {
			if call.FunctionCall != nil && call.ID != "" {
				s.asks = append(s.asks, call)
			}
		}
	}
	if n := len(s.asks) - maxRequested; n > 0 {
		s.asks = append(s.asks[:0], s.asks[n:]...)
	}
}

// callID gives the ID of the model's call that a tool now runs for, or "".
func (s *story) callID(tool, input string) string {
	defer guard("callID")
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, call := range s.asks {
		if strings.EqualFold(call.FunctionCall.Name, tool) && hasInput(call.FunctionCall.Arguments, input) {
			s.asks = append(s.asks[:i], s.asks[i+1:]...)
			return call.ID
		}
	}
	return ""
}

// hasInput reports whether an agent makes input of the arguments: it takes the
// argument of its own declaration out if there is one.
func hasInput(arguments, input string) bool {
	if strings.TrimSpace(arguments) == strings.TrimSpace(input) {
		return true
	}
	var declared struct {
		Input *string `json:"__arg1"`
	}
	return json.Unmarshal([]byte(arguments), &declared) == nil && declared.Input != nil && *declared.Input == input
}

package openai

import (
	"cmp"
	"errors"

	"tidings"
)

// apiError is how the API tells of an error.
type apiError struct {
	Code    text   `json:"code"`
	Type    string `json:"type"`
	Message string `json:"message"`
}

func (e *apiError) kind() string { return cmp.Or(string(e.Code), e.Type) }

func (e *apiError) err() error {
	return &kindError{errors.New(cmp.Or(e.Message, "the model failed without saying why")), e.kind()}
}

// text is a string, or what other providers give in its place, which is not
// told.
type text string

func (t *text) UnmarshalJSON(raw []byte) error {
	*t = text(unquoted(raw))
	return nil
}

// usage is what both APIs tell of tokens, each under names of its own.
type usage struct {
	Prompt        int64        `json:"prompt_tokens"`
	Completion    int64        `json:"completion_tokens"`
	PromptDetails inputDetails `json:"prompt_tokens_details"`
	Details       outDetails   `json:"completion_tokens_details"`

	Input         int64        `json:"input_tokens"`
	Output        int64        `json:"output_tokens"`
	InputDetails  inputDetails `json:"input_tokens_details"`
	OutputDetails outDetails   `json:"output_tokens_details"`
}

type inputDetails struct {
	Cached     int64 `json:"cached_tokens"`
	CacheWrite int64 `json:"cache_write_tokens"`
}

type outDetails struct {
	Reasoning int64 `json:"reasoning_tokens"`
}

func (c *call) count(u *usage) {
	if u == nil {
		return
	}
	c.model.Usage(tidings.Usage{
		InputTokens: u.Prompt + u.Input, OutputTokens: u.Completion + u.Output,
		CachedInputTokens: u.PromptDetails.Cached + u.InputDetails.Cached,
		CacheWriteTokens:  u.PromptDetails.CacheWrite + u.InputDetails.CacheWrite,
		ReasoningTokens:   u.Details.Reasoning + u.OutputDetails.Reasoning,
	})
}

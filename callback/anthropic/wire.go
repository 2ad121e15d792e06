package anthropic

import (
	"encoding/json"
	"errors"

	"tidings"
)

// What is read of the API's answers. Messages and Beta.Messages differ in
// nothing of it.

type event struct {
	Type    string   `json:"type"`
	Index   int      `json:"index"`
	Message message  `json:"message"`
	Block   block    `json:"content_block"`
	Delta   delta    `json:"delta"`
	Usage   *usage   `json:"usage"`
	Error   apiError `json:"error"`
}

type message struct {
	Content    []block `json:"content"`
	StopReason string  `json:"stop_reason"`
	Usage      *usage  `json:"usage"`
}

type block struct {
	Type     string          `json:"type"`
	Text     string          `json:"text"`
	Thinking string          `json:"thinking"`
	ID       string          `json:"id"`
	Name     string          `json:"name"`
	Input    json.RawMessage `json:"input"`

	index  int
	pieces []byte // of the input, in a stream
}

// arguments are those that the model gives a tool.
func (b *block) arguments() json.RawMessage {
	if len(b.pieces) > 0 {
		return b.pieces
	}
	return b.Input
}

type delta struct {
	Type        string `json:"type"`
	Text        string `json:"text"`
	Thinking    string `json:"thinking"`
	PartialJSON string `json:"partial_json"`
	StopReason  string `json:"stop_reason"`
}

type apiError struct {
	Type    string `json:"type"`
	Message string `json:"message"`
}

func (e apiError) err() error { return &kindError{errors.New(e.Message), e.Type} }

// usage is what the API tells of tokens, where input means that which no cache
// had to do with. What is told later replaces what was told before.
type usage struct {
	Input      *int64 `json:"input_tokens"`
	CacheRead  *int64 `json:"cache_read_input_tokens"`
	CacheWrite *int64 `json:"cache_creation_input_tokens"`
	Output     *int64 `json:"output_tokens"`
	Details    struct {
		Thinking *int64 `json:"thinking_tokens"`
	} `json:"output_tokens_details"`
}

func (u *usage) update(later *usage) {
	for _, n := range []struct{ to, from **int64 }{
		{&u.Input, &later.Input}, {&u.CacheRead, &later.CacheRead}, {&u.CacheWrite, &later.CacheWrite},
		{&u.Output, &later.Output}, {&u.Details.Thinking, &later.Details.Thinking},
	} {
		if *n.from != nil {
			*n.to = *n.from
		}
	}
}

// sum is the usage as events count it, where input includes what a cache had to
// do with.
func (u *usage) sum() (sum tidings.Usage, told bool) {
	if u.Input == nil && u.Output == nil {
		return sum, false
	}
	value := func(n *int64) int64 {
		if n == nil {
			return 0
		}
		return *n
	}
	sum = tidings.Usage{
		CachedInputTokens: value(u.CacheRead), CacheWriteTokens: value(u.CacheWrite),
		OutputTokens: value(u.Output), ReasoningTokens: value(u.Details.Thinking),
	}
	sum.InputTokens = value(u.Input) + sum.CachedInputTokens + sum.CacheWriteTokens
	return sum, true
}

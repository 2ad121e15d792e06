package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"tidings"
	"tidings/wire"
)

// Defaults of [OpenAI].
const (
	DefaultOpenAIBaseURL = "https://api.openai.com/v1"
	DefaultOpenAIModel   = "gpt-4.1-mini"
)

// OpenAI is a [Model] behind the chat completions API
// (https://platform.openai.com/docs/api-reference/chat), streamed, with tool
// calls. Many servers besides OpenAI's speak it.
type OpenAI struct {
	Key     string       // sent as a bearer token; never part of an error or an event
	BaseURL string       // empty: [DefaultOpenAIBaseURL]
	Model   string       // empty: [DefaultOpenAIModel]
	Client  *http.Client // nil: a client of its own
	// Idle is how long the server may be silent, before an answer or within it.
	// Zero: one minute.
	Idle time.Duration
}

// ModelFromEnv gives an [OpenAI] model if OPENAI_API_KEY is set, with
// OPENAI_BASE_URL and OPENAI_MODEL, and [Rules] at the given pace otherwise.
// getenv is [os.Getenv] but for tests.
func ModelFromEnv(getenv func(string) string, pace time.Duration) Model {
	if key := strings.TrimSpace(getenv("OPENAI_API_KEY")); key != "" {
		return &OpenAI{Key: key, BaseURL: getenv("OPENAI_BASE_URL"), Model: getenv("OPENAI_MODEL")}
	}
	return &Rules{Pace: pace}
}

// maxReplyBytes bounds the text and the calls of one reply.
const maxReplyBytes = 256 << 10

// Name implements [Model].
func (m *OpenAI) Name() string { return cmp.Or(m.Model, DefaultOpenAIModel) }

// Plan implements [Model].
func (m *OpenAI) Plan() string {
	return fmt.Sprintf("The language model %s at %s will choose the tools and write the sentences; excerpts of the folder's files will be sent there.", m.Name(), m.host())
}

// About implements [Model].
func (m *OpenAI) About() string {
	return fmt.Sprintf("The language model %s at %s chose the tools and wrote the sentences; excerpts of the folder's files were sent there.", m.Name(), m.host())
}

func (m *OpenAI) base() string {
	return strings.TrimRight(cmp.Or(m.BaseURL, DefaultOpenAIBaseURL), "/")
}

func (m *OpenAI) host() string {
	u, err := url.Parse(m.base())
	if err != nil || u.Host == "" {
		return "an address that is no URL"
	}
	return u.Host
}

// The JSON of the API.
type (
	chatRequest struct {
		Model         string        `json:"model"`
		Messages      []chatMessage `json:"messages"`
		Tools         []chatTool    `json:"tools,omitempty"`
		Stream        bool          `json:"stream"`
		StreamOptions chatOptions   `json:"stream_options"`
	}
	chatOptions struct {
		IncludeUsage bool `json:"include_usage"`
	}
	chatMessage struct {
		Role       Role       `json:"role"`
		Content    string     `json:"content"`
		ToolCalls  []chatCall `json:"tool_calls,omitempty"`
		ToolCallID string     `json:"tool_call_id,omitempty"`
	}
	chatCall struct {
		Index    int          `json:"-"`
		ID       string       `json:"id"`
		Type     string       `json:"type"`
		Function chatFunction `json:"function"`
	}
	chatFunction struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	}
	chatTool struct {
		Type     string       `json:"type"`
		Function chatToolSpec `json:"function"`
	}
	chatToolSpec struct {
		Name        string          `json:"name"`
		Description string          `json:"description"`
		Parameters  json.RawMessage `json:"parameters"`
	}
	chatChunk struct {
		Choices []struct {
			Delta struct {
				Content   string `json:"content"`
				ToolCalls []struct {
					Index    int          `json:"index"`
					ID       string       `json:"id"`
					Function chatFunction `json:"function"`
				} `json:"tool_calls"`
			} `json:"delta"`
			FinishReason string `json:"finish_reason"`
		} `json:"choices"`
		Usage *chatUsage `json:"usage"`
		Error *chatError `json:"error"`
	}
	chatUsage struct {
		Prompt       int64 `json:"prompt_tokens"`
		Completion   int64 `json:"completion_tokens"`
		PromptDetail struct {
			Cached int64 `json:"cached_tokens"`
		} `json:"prompt_tokens_details"`
		CompletionDetail struct {
			Reasoning int64 `json:"reasoning_tokens"`
		} `json:"completion_tokens_details"`
	}
	chatError struct {
		Message string `json:"message"`
	}
)

// Reply implements [Model].
func (m *OpenAI) Reply(ctx context.Context, r Request, delta func(string)) (Reply, error) {
	reply, err := m.reply(ctx, r, delta)
	if err != nil {
		return Reply{}, m.plainError(ctx, err)
	}
	return reply, nil
}

// plainError says what went wrong without the key, the query or the user part
// of the address.
func (m *OpenAI) plainError(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	text := err.Error()
	if m.Key != "" {
		text = strings.ReplaceAll(text, m.Key, "[key]")
	}
	return fmt.Errorf("the model %s at %s gave no answer: %s", m.Name(), m.host(), text)
}

// errIdle is what a silent server is given up with.
var errIdle = errors.New("it stayed silent for too long")

func (m *OpenAI) reply(ctx context.Context, r Request, delta func(string)) (Reply, error) {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	limit := cmp.Or(m.Idle, time.Minute)
	idle := time.AfterFunc(limit, func() { giveUp(errIdle) })
	defer idle.Stop()
	reply, err := m.exchange(ctx, r, delta, func() { idle.Reset(limit) })
	if err != nil && errors.Is(context.Cause(ctx), errIdle) {
		err = errIdle
	}
	return reply, err
}

// exchange sends the request and reads the answer; alive is called for every
// piece of it.
func (m *OpenAI) exchange(ctx context.Context, r Request, delta func(string), alive func()) (Reply, error) {
	body, err := json.Marshal(m.request(r))
	if err != nil {
		return Reply{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, m.base()+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return Reply{}, errors.New("OPENAI_BASE_URL is no URL")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", wire.ContentTypeSSE)
	req.Header.Set("Authorization", "Bearer "+m.Key)
	res, err := m.client().Do(req)
	if err != nil {
		return Reply{}, err
	}
	defer res.Body.Close() // only read from
	if res.StatusCode != http.StatusOK {
		return Reply{}, statusError(res)
	}
	return readReply(res.Body, delta, alive)
}

func (m *OpenAI) client() *http.Client {
	if m.Client != nil {
		return m.Client
	}
	return &http.Client{} // without a time limit: a stream may be long
}

func (m *OpenAI) request(r Request) chatRequest {
	out := chatRequest{Model: m.Name(), Stream: true, StreamOptions: chatOptions{IncludeUsage: true}}
	for _, message := range r.Messages {
		c := chatMessage{Role: message.Role, Content: message.Text, ToolCallID: message.CallID}
		for _, call := range message.Calls {
			c.ToolCalls = append(c.ToolCalls, chatCall{ID: call.ID, Type: "function", Function: chatFunction{Name: call.Tool, Arguments: string(call.Input)}})
		}
		out.Messages = append(out.Messages, c)
	}
	for _, t := range r.Tools {
		out.Tools = append(out.Tools, chatTool{Type: "function", Function: chatToolSpec(t)})
	}
	return out
}

// statusError reads the message of an error answer.
func statusError(res *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(res.Body, 8<<10)) // whatever there is
	var answer struct {
		Error chatError `json:"error"`
	}
	if json.Unmarshal(text, &answer) == nil && answer.Error.Message != "" {
		return fmt.Errorf("%s: %s", res.Status, excerpt([]byte(answer.Error.Message), 300))
	}
	return errors.New(res.Status)
}

// readReply puts the chunks of a streamed answer together.
func readReply(body io.Reader, delta func(string), alive func()) (Reply, error) {
	stream := wire.NewSSEReader(body, maxReplyBytes)
	var a assembly
	for {
		message, err := stream.Next()
		alive()
		switch {
		case errors.Is(err, io.EOF) && a.finish != "": // some servers leave out the last line
			return a.reply(), nil
		case errors.Is(err, io.EOF):
			return Reply{}, errors.New("the answer broke off")
		case err != nil:
			return Reply{}, err
		case string(message.Data) == "[DONE]":
			return a.reply(), nil
		}
		if err := a.add(message.Data, delta); err != nil {
			return Reply{}, err
		}
	}
}

// assembly is a reply as it grows.
type assembly struct {
	text   strings.Builder
	calls  []chatCall
	bytes  int
	finish string
	usage  *tidings.Usage
}

func (a *assembly) add(data []byte, delta func(string)) error {
	var c chatChunk
	if err := json.Unmarshal(data, &c); err != nil {
		return errors.New("the answer is no chat completion")
	}
	if c.Error != nil {
		return errors.New(excerpt([]byte(c.Error.Message), 300))
	}
	if c.Usage != nil {
		a.usage = &tidings.Usage{InputTokens: c.Usage.Prompt, OutputTokens: c.Usage.Completion,
			CachedInputTokens: c.Usage.PromptDetail.Cached, ReasoningTokens: c.Usage.CompletionDetail.Reasoning}
	}
	if a.bytes += len(data); a.bytes > 64*maxReplyBytes {
		return fmt.Errorf("the answer is over %d bytes", 64*maxReplyBytes)
	}
	if len(c.Choices) == 0 {
		return nil
	}
	choice := &c.Choices[0]
	if text := choice.Delta.Content; text != "" {
		if a.text.Len()+len(text) > maxReplyBytes {
			return fmt.Errorf("the answer is over %d bytes", maxReplyBytes)
		}
		a.text.WriteString(text)
		delta(text)
	}
	for _, part := range choice.Delta.ToolCalls {
		a.call(part.Index, part.ID, part.Function)
	}
	a.finish = cmp.Or(choice.FinishReason, a.finish)
	return nil
}

// call adds a piece of a tool call, whose name and arguments come in parts.
func (a *assembly) call(index int, id string, f chatFunction) {
	for i := range a.calls {
		if a.calls[i].Index == index {
			a.calls[i].Function.Name += f.Name
			a.calls[i].Function.Arguments += f.Arguments
			return
		}
	}
	a.calls = append(a.calls, chatCall{Index: index, ID: cmp.Or(id, fmt.Sprintf("call_%d", index)), Function: f})
}

func (a *assembly) reply() Reply {
	out := Reply{Text: a.text.String(), Finish: cmp.Or(a.finish, "stop"), Usage: a.usage}
	for _, c := range a.calls {
		input := json.RawMessage(cmp.Or(strings.TrimSpace(c.Function.Arguments), "{}"))
		if !json.Valid(input) {
			input, _ = json.Marshal(map[string]string{"malformed": c.Function.Arguments}) // the tool will say what is wrong
		}
		out.Calls = append(out.Calls, Call{ID: c.ID, Tool: c.Function.Name, Input: input})
	}
	return out
}

package langchaingo

import (
	"context"
	"fmt"
	"strings"

	"github.com/tmc/langchaingo/llms"

	"tidings"
)

// ModelOptions are the settings of [WrapModel]. The zero value works.
type ModelOptions struct {
	// Name of the model, such as "gpt-4o-mini", where a call does not say it.
	// langchaingo's models don't tell. Empty: the provider's package, "openai".
	Name string
	// Stream asks the model to stream its answers also where the caller does
	// not, so that viewers see them grow. It changes the request to the provider;
	// some leave the token counts out of a stream.
	Stream bool
}

// WrapModel gives a model that tells of its calls if their context holds a job:
// which model, the pieces of a stream that the caller asked for, tokens, the
// answer or the error. Nil opts are the defaults.
//
// A [Handler] that the model has is quiet during such a call.
func WrapModel(model llms.Model, opts *ModelOptions) llms.Model {
	if model == nil {
		return nil
	}
	m := &observedModel{Model: model}
	if opts != nil {
		m.opts = *opts
	}
	if m.opts.Name == "" {
		m.opts.Name, _, _ = strings.Cut(strings.TrimLeft(fmt.Sprintf("%T", model), "*"), ".")
	}
	if r, ok := model.(llms.ReasoningModel); ok {
		return &observedReasoner{observedModel: m, reasoner: r}
	}
	return m
}

type observedModel struct {
	llms.Model
	opts ModelOptions
}

// observedReasoner is for models that say whether they reason.
type observedReasoner struct {
	*observedModel
	reasoner llms.ReasoningModel
}

// SupportsReasoning asks the model.
func (r *observedReasoner) SupportsReasoning() bool { return r.reasoner.SupportsReasoning() }

// GenerateContent asks the model as a run of the job.
func (o *observedModel) GenerateContent(ctx context.Context, messages []llms.MessageContent, options ...llms.CallOption) (res *llms.ContentResponse, err error) {
	c := o.begin(ctx, messages, options)
	if c == nil {
		return o.Model.GenerateContent(ctx, messages, options...)
	}
	defer c.broken()
	res, err = o.Model.GenerateContent(c.ctx, messages, c.options...)
	c.returned = true
	c.end(res, err)
	return res, err
}

// Call asks the model as a run of the job.
func (o *observedModel) Call(ctx context.Context, prompt string, options ...llms.CallOption) (answer string, err error) {
	c := o.begin(ctx, nil, options)
	if c == nil {
		//lint:ignore SA1019 it is part of the interface that we pass on
		return o.Model.Call(ctx, prompt, options...)
	}
	defer c.broken()
	//lint:ignore SA1019 it is part of the interface that we pass on
	answer, err = o.Model.Call(c.ctx, prompt, c.options...)
	c.returned = true
	c.end(&llms.ContentResponse{Choices: []*llms.ContentChoice{{Content: answer}}}, err)
	return answer, err
}

// modelCall is one call of a wrapped model.
type modelCall struct {
	ctx      context.Context
	story    *story
	run      *tidings.ModelRun
	options  []llms.CallOption
	stream   bool // asked for by us alone
	reasoned bool // thoughts were streamed; the caller's goroutine reads it afterwards
	returned bool
}

// begin tells that the call starts; nil if it is not to be told.
func (o *observedModel) begin(ctx context.Context, messages []llms.MessageContent, options []llms.CallOption) (c *modelCall) {
	defer guard("WrapModel")
	s, ctx := storyOf(ctx)
	if s == nil || inModel(ctx) {
		return nil
	}
	name := o.opts.Name
	var asked llms.CallOptions
	for _, option := range options {
		option(&asked)
	}
	if asked.Model != "" {
		name = asked.Model
	}
	call := &modelCall{story: s, stream: o.opts.Stream}
	inner, run := s.job.ModelWith(s.aroundModel(ctx, messages), tidings.RunInfo{Name: name}, name, "")
	call.ctx, call.run = within(inner, true), run
	call.options = append(append(make([]llms.CallOption, 0, len(options)+1), options...), call.listen)
	return call
}

// listen is the last option of the call: it puts us before the functions that
// the caller set.
func (c *modelCall) listen(o *llms.CallOptions) {
	text, reasoning := o.StreamingFunc, o.StreamingReasoningFunc
	if text != nil || reasoning == nil && c.stream {
		o.StreamingFunc = func(ctx context.Context, chunk []byte) error {
			c.piece(chunk)
			if text == nil {
				return nil
			}
			return text(ctx, chunk)
		}
	}
	if reasoning == nil {
		return
	}
	o.StreamingReasoningFunc = func(ctx context.Context, thought, chunk []byte) error {
		c.thought(thought)
		if text == nil { // else it gets the same piece
			c.piece(chunk)
		}
		return reasoning(ctx, thought, chunk)
	}
}

func (c *modelCall) piece(chunk []byte) {
	defer guard("StreamingFunc")
	if !isToolCall(chunk) {
		c.run.Delta("", string(chunk))
	}
}

func (c *modelCall) thought(chunk []byte) {
	defer guard("StreamingReasoningFunc")
	if len(chunk) > 0 {
		c.reasoned = true
		c.run.Delta(tidings.ChannelReasoning, string(chunk))
	}
}

func (c *modelCall) end(res *llms.ContentResponse, err error) {
	defer guard("WrapModel")
	if err != nil {
		c.run.End("", err)
		return
	}
	c.story.requested(res)
	endModel(c.run, res, c.reasoned)
}

// broken ends a call that panicked. Defer it directly.
func (c *modelCall) broken() {
	if c.returned {
		return
	}
	p := recover()
	c.run.End("", panicked(p))
	if p != nil {
		panic(p)
	}
}

// aroundModel is around, for a question that may hold the results of tools.
func (s *story) aroundModel(ctx context.Context, messages []llms.MessageContent) (inner context.Context) {
	inner = ctx
	defer guard("WrapModel")
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.peek(ctx)
	if l == nil {
		return
	}
	l.endModel(nil)
	l.results(messages)
	inner = l.ctx
	s.tidy(ctx)
	return
}

package tidings

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// The channels of a [ModelRun]'s deltas.
const (
	ChannelText      = "text"      // the answer
	ChannelReasoning = "reasoning" // what the model thinks on the way
	ChannelRefusal   = "refusal"   // why it won't answer
)

// ModelRun is one call of a language model. Its methods are safe for concurrent
// use, never block or fail, and do nothing on a nil ModelRun.
type ModelRun struct {
	run       Run
	model     string
	messageID string

	// Under Handler.mu.
	firstToken time.Duration // since the start; 0: none came yet
	text       strings.Builder
	textBytes  int // of all text deltas, also those that text no longer holds
	usage      *Usage
	cost       cost
	finish     string
	toolCalls  object // elements of a JSON list

	// Under queue.mu: the delta in the queue that may take more text.
	tail tail
}

// Model starts a call of the model, beneath the run that ctx holds. End it.
func (h *Handler) Model(ctx context.Context, model string) *ModelRun {
	_, m := h.ModelWith(ctx, RunInfo{Name: model}, model, "")
	return m
}

// ModelWith is [Handler.Model] with everything that an adapter may know. An
// empty messageID is the run's ID. What is started with the context it returns
// belongs to the call.
func (h *Handler) ModelWith(ctx context.Context, info RunInfo, model, messageID string) (inner context.Context, m *ModelRun) {
	inner = ctx
	if h == nil {
		return
	}
	defer h.guard("Model")
	input := h.field(TypeThought, "input", info.Input)
	call := &ModelRun{model: shortName(model)}
	h.begin(&call.run, ctx, &info, "llm", true)
	call.messageID = cmp.Or(messageID, call.run.id)
	inner, m = call.run.within(ctx), call
	if !info.Hidden {
		h.emit(TypeThought, input.close(input.add(m.object("started", input.room()))))
	}
	return
}

// object begins the data of a thought.
func (m *ModelRun) object(status string, room int) object {
	o := newObject(len(m.run.tree) + len(m.model) + room + 192)
	return m.run.addTree(o.str("status", status).text("model", m.model).str("message_id", m.messageID))
}

// Run is the call's place in the tree, for what is not about the model.
func (m *ModelRun) Run() *Run {
	if m == nil {
		return nil
	}
	return &m.run
}

// Delta publishes the next piece of a stream; channel is [ChannelText],
// [ChannelReasoning] or [ChannelRefusal], and empty means text. Pieces that
// come close together are joined into one event. Empty ones are left out.
func (m *ModelRun) Delta(channel, text string) {
	if m == nil || text == "" {
		return
	}
	defer m.run.h.guard("Delta")
	if channel == "" {
		channel = ChannelText
	}
	if !m.gather(channel, text) || m.run.hidden {
		return
	}
	for len(text) > maxDelta { // as an answer that comes in one piece
		piece := cmp.Or(cutText(text, maxDelta), text[:maxDelta])
		m.run.h.q.putDelta(m, channel, piece)
		text = text[len(piece):]
	}
	m.run.h.q.putDelta(m, channel, text)
}

// maxDelta bounds the text of one delta, as servers bound events.
const maxDelta = maxBatchBytes / 4

// gather notes what End will tell of the stream, and reports whether the call
// has not ended.
func (m *ModelRun) gather(channel, text string) bool {
	h := m.run.h
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.run.ended {
		h.q.stray()
		return false
	}
	if m.firstToken == 0 {
		m.firstToken = max(time.Since(m.run.began), 1)
	}
	if channel != ChannelText {
		return true
	}
	m.textBytes += len(text)
	if limit := h.opts.MaxFieldBytes; limit <= 0 || m.text.Len() <= limit {
		m.text.WriteString(text)
	}
	return true
}

// Usage sets the tokens that the call took so far. The last word counts.
func (m *ModelRun) Usage(u Usage) {
	if m == nil {
		return
	}
	m.run.h.mu.Lock()
	defer m.run.h.mu.Unlock()
	m.usage = &u
}

// Cost sets what the call cost so far, in a currency such as "USD". The last
// word counts. An amount that is no finite number is left out.
func (m *ModelRun) Cost(amount float64, currency string) {
	if m == nil {
		return
	}
	m.run.h.mu.Lock()
	defer m.run.h.mu.Unlock()
	m.cost = cost{amount: amount, currency: currency}
}

// FinishReason sets why the model stopped: stop, length, tool_calls,
// content_filter, as the provider says it.
func (m *ModelRun) FinishReason(reason string) {
	if m == nil {
		return
	}
	m.run.h.mu.Lock()
	defer m.run.h.mu.Unlock()
	m.finish = reason
}

// ToolCall adds a tool that the model asks for, with the arguments it gave, to
// what End publishes. It calls nothing: see [Handler.Tool]. Arguments that a
// provider gives as text are best given as a [json.RawMessage]; what is not
// JSON then becomes a string.
func (m *ModelRun) ToolCall(callID, tool string, input any) {
	if m == nil {
		return
	}
	h := m.run.h
	defer h.guard("ToolCall")
	o := newObject(128).text("call_id", shortName(callID)).str("tool", shortName(tool))
	if input != nil {
		o = o.raw("input", encodeValue(input))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(m.toolCalls) > 0 {
		m.toolCalls = append(m.toolCalls, ',')
	}
	m.toolCalls = append(m.toolCalls, o.end()...)
}

// End ends the call with the whole text of the answer; an empty one means what
// the text deltas added up to. With an error it publishes an error of scope llm
// instead. The second End of a call does nothing.
func (m *ModelRun) End(text string, err error) {
	if m == nil {
		return
	}
	h := m.run.h
	defer h.guard("Model.End")
	if _, ok := h.close(&m.run, err); !ok {
		return
	}
	defer h.settle(&m.run)
	told := h.addUsage(m)
	switch {
	case m.run.hidden:
	case err != nil:
		h.emitError(err, "llm", &m.run, m.messageID)
	default:
		content, calls := m.content(text), told.toolCalls(h)
		h.emit(TypeThought, closeAll(calls.add(m.completed(told, content)), content, calls))
	}
}

// told is what the end of a call tells besides its text.
type told struct {
	usage      *Usage
	cost       cost
	finish     string
	firstToken time.Duration
	calls      object
}

// toolCalls is the list of the tools that the model asks for.
func (t told) toolCalls(h *Handler) field {
	if len(t.calls) == 0 {
		return field{name: "tool_calls"}
	}
	return h.limited("tool_calls", h.redacted(TypeThought, "tool_calls", slices.Concat([]byte("["), t.calls, []byte("]"))))
}

// addUsage adds the call's tokens and cost to those of the job.
func (h *Handler) addUsage(m *ModelRun) told {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.usage != nil {
		h.tree.usage.Add(*m.usage)
		h.tree.used = true
	}
	h.tree.costs = addCost(h.tree.costs, m.cost)
	return told{usage: m.usage, cost: m.cost, finish: m.finish, firstToken: m.firstToken, calls: m.toolCalls}
}

func (m *ModelRun) content(text string) field {
	h := m.run.h
	if text != "" {
		return h.textField(TypeThought, "content", text)
	}
	h.mu.Lock()
	text, full := m.text.String(), m.textBytes
	h.mu.Unlock()
	f := h.textField(TypeThought, "content", text)
	if f.full > 0 {
		f.full = full
	}
	return f
}

func (m *ModelRun) completed(t told, content field) object {
	o := content.add(m.object("completed", content.room()))
	o = o.text("finish_reason", t.finish)
	if t.usage != nil {
		o = t.usage.add(o)
	}
	o = t.cost.add(o)
	if t.firstToken > 0 {
		o = o.millis("ttft_ms", t.firstToken)
	}
	return o.millis("duration_ms", time.Since(m.run.began))
}

// add adds the counts to an event's data.
func (u *Usage) add(o object) object {
	o = append(o.key("usage"), '{').integer("input_tokens", u.InputTokens).integer("output_tokens", u.OutputTokens)
	if u.CachedInputTokens != 0 {
		o = o.integer("cached_input_tokens", u.CachedInputTokens)
	}
	if u.CacheWriteTokens != 0 {
		o = o.integer("cache_write_tokens", u.CacheWriteTokens)
	}
	if u.ReasoningTokens != 0 {
		o = o.integer("reasoning_tokens", u.ReasoningTokens)
	}
	return append(o, '}')
}

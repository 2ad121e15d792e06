package adk

import (
	"errors"
	"fmt"

	"google.golang.org/genai"

	"google.golang.org/adk/v2/agent"
	"google.golang.org/adk/v2/model"

	"tidings"
)

// modelRun is one call of the model.
type modelRun struct {
	run      *tidings.ModelRun
	reasoned bool // thoughts were streamed
}

func (v *invocation) modelStarts(ctx agent.Context, req *model.LLMRequest) {
	v.mu.Lock()
	defer v.mu.Unlock()
	name := ""
	if req != nil {
		name = req.Model
	}
	a, _, _ := v.around(ctx)
	if a == nil {
		return
	}
	if a.model != nil { // an agent's own callback answered in the model's place
		a.model.end(nil, nil)
	}
	a.begin(v.job, name)
}

// begin opens a call of the agent's model.
func (a *agentRun) begin(job *tidings.Handler, model string) {
	a.modelName = model
	_, m := job.ModelWith(a.inner, tidings.RunInfo{Name: model, Parent: a.run}, model, "")
	a.model, a.modelErr = &modelRun{run: m}, nil
	a.models++
}

// modelAnswers tells of a piece of the answer, or of the whole again at its end.
func (v *invocation) modelAnswers(ctx agent.Context, resp *model.LLMResponse, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a, _, _ := v.around(ctx)
	if a == nil || resp == nil && err == nil {
		return
	}
	if a.model == nil { // a second answer of one call, or one in an error's place
		a.begin(v.job, a.modelName)
	}
	if resp != nil && resp.Partial && err == nil {
		a.model.piece(resp)
		return
	}
	a.model.end(resp, err)
	a.model = nil
}

func (v *invocation) modelFails(ctx agent.Context, err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	a, _, _ := v.around(ctx)
	if a == nil {
		return
	}
	a.modelErr = err
	if a.model != nil {
		a.model.end(nil, err)
		a.model = nil
	}
}

// piece tells of a partial answer. Function calls in it are left out: they come
// again in the whole one.
func (m *modelRun) piece(resp *model.LLMResponse) {
	text, thoughts := split(resp.Content)
	if thoughts != "" {
		m.reasoned = true
		m.run.Delta(tidings.ChannelReasoning, thoughts)
	}
	m.run.Delta(tidings.ChannelText, text)
	m.usage(resp.UsageMetadata)
}

// end tells of the whole answer, or of none.
func (m *modelRun) end(resp *model.LLMResponse, err error) {
	if resp == nil {
		m.run.End("", err)
		return
	}
	text, thoughts := split(resp.Content)
	if !m.reasoned {
		m.run.Delta(tidings.ChannelReasoning, thoughts)
	}
	m.usage(resp.UsageMetadata)
	m.run.FinishReason(string(resp.FinishReason))
	if err == nil {
		err = refusal(resp)
	}
	if err == nil {
		m.toolCalls(resp.Content)
	}
	m.run.End(text, err)
}

// toolCalls tells which tools the answer asks for.
func (m *modelRun) toolCalls(c *genai.Content) {
	if c == nil {
		return
	}
	for _, p := range c.Parts {
		if p != nil && p.FunctionCall != nil {
			m.run.ToolCall(p.FunctionCall.ID, p.FunctionCall.Name, anyOf(p.FunctionCall.Args))
		}
	}
}

// refusal is why the provider gave no answer, or nil.
func refusal(resp *model.LLMResponse) error {
	switch {
	case resp.ErrorCode == "" && resp.ErrorMessage == "":
		return nil
	case resp.ErrorCode == "" || resp.ErrorMessage == "":
		return errors.New(resp.ErrorCode + resp.ErrorMessage)
	}
	return fmt.Errorf("%s: %s", resp.ErrorCode, resp.ErrorMessage)
}

// usage counts as the GenAI conventions do: thoughts are output, what tools
// were given is input.
func (m *modelRun) usage(u *genai.GenerateContentResponseUsageMetadata) {
	if u == nil {
		return
	}
	m.run.Usage(tidings.Usage{
		InputTokens:       int64(u.PromptTokenCount) + int64(u.ToolUsePromptTokenCount),
		OutputTokens:      int64(u.CandidatesTokenCount) + int64(u.ThoughtsTokenCount),
		CachedInputTokens: int64(u.CachedContentTokenCount),
		ReasoningTokens:   int64(u.ThoughtsTokenCount),
	})
}

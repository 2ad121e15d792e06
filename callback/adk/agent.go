package adk

import (
	"context"
	"strings"

	"google.golang.org/genai"

	"google.golang.org/adk/v2/agent"

	"tidings"
)

func (v *invocation) agentStarts(ctx agent.Context) {
	a := &agentRun{name: ctx.AgentName(), branch: ctx.Branch()}
	v.mu.Lock()
	defer v.mu.Unlock()
	info := tidings.RunInfo{Name: a.name, Kind: "agent"}
	if a.parent = v.parentOf(a.name, a.branch); a.parent != nil {
		info.Parent = a.parent.run
	} else if text := contentText(ctx.UserContent()); text != "" {
		info.Input = text
	}
	a.inner, a.run = v.job.PhaseWith(ctx, info)
	v.agents = append(v.agents, a)
}

func (v *invocation) agentEnds(ctx agent.Context) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if a := v.agent(ctx.AgentName(), ctx.Branch()); a != nil {
		v.end(a, a.err)
		v.remove(a)
	}
}

// around gives the agent's run and a context that holds it; with neither, what
// is told belongs to the job, or to the run in ctx. v.mu is held.
func (v *invocation) around(ctx agent.Context) (*agentRun, context.Context, *tidings.Run) {
	if a := v.agent(ctx.AgentName(), ctx.Branch()); a != nil {
		return a, a.inner, a.run
	}
	return nil, ctx, nil
}

// contentText is the text of a content, without what the model only thought.
func contentText(c *genai.Content) string {
	answer, _ := split(c)
	return answer
}

// split gives the text and the thoughts of a content.
func split(c *genai.Content) (text, thoughts string) {
	if c == nil {
		return "", ""
	}
	if len(c.Parts) == 1 && c.Parts[0] != nil && !c.Parts[0].Thought {
		return c.Parts[0].Text, "" // nearly always
	}
	var answer, thought strings.Builder
	for _, p := range c.Parts {
		switch {
		case p == nil:
		case p.Thought:
			thought.WriteString(p.Text)
		default:
			answer.WriteString(p.Text)
		}
	}
	return answer.String(), thought.String()
}

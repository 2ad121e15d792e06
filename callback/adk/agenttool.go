package adk

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"strings"

	"google.golang.org/genai"

	"google.golang.org/adk/v2/agent"
	"google.golang.org/adk/v2/artifact"
	"google.golang.org/adk/v2/memory"
	"google.golang.org/adk/v2/model"
	"google.golang.org/adk/v2/plugin"
	"google.golang.org/adk/v2/runner"
	"google.golang.org/adk/v2/session"
	"google.golang.org/adk/v2/tool"
	"google.golang.org/adk/v2/tool/agenttool"
	"google.golang.org/adk/v2/tool/toolutils"

	"tidings"
)

// AgentToolConfig are the settings of an [AgentTool]. The zero value works.
type AgentToolConfig struct {
	// SkipSummarization is that of agenttool.Config.
	SkipSummarization bool
	// JSONOutput says that the agent has an output schema: its answer is parsed
	// as a JSON object.
	JSONOutput bool
	// Plugins of the agent's runner, besides ours.
	Plugins []*plugin.Plugin
}

// AgentTool is agenttool.New with an inside that can be seen: the framework
// runs the agent of a tool in a runner without plugins, this one in a runner
// with ours, and the agent's runs appear beneath the tool call. The arguments of
// an agent with an input schema are passed on as JSON, and not checked against
// it. Nil cfg is the defaults. Without a job it works unobserved.
func AgentTool(a agent.Agent, cfg *AgentToolConfig) tool.Tool {
	c := AgentToolConfig{}
	if cfg != nil {
		c = *cfg
	}
	return &agentTool{Tool: agenttool.New(a, nil), agent: a, cfg: c}
}

// agentTool declares itself as the framework's own does, which it embeds.
type agentTool struct {
	tool.Tool
	agent agent.Agent
	cfg   AgentToolConfig
}

// Declaration is what a model is told of the tool.
func (t *agentTool) Declaration() *genai.FunctionDeclaration {
	if d, ok := t.Tool.(interface {
		Declaration() *genai.FunctionDeclaration
	}); ok {
		return d.Declaration()
	}
	return nil
}

// ProcessRequest puts the tool into a request to the model, as the framework's
// own tools do.
func (t *agentTool) ProcessRequest(_ agent.Context, req *model.LLMRequest) error {
	return toolutils.PackTool(req, t)
}

// Run calls the agent.
func (t *agentTool) Run(ctx agent.Context, args any) (map[string]any, error) {
	input, ok := args.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("agent %s wants a map of arguments, not %T", t.agent.Name(), args)
	}
	if actions := ctx.Actions(); t.cfg.SkipSummarization && actions != nil {
		actions.SkipSummarization = true
	}
	message, err := t.message(input)
	if err != nil {
		return nil, err
	}
	last, err := t.converse(ctx, message)
	if err != nil {
		return nil, err
	}
	return t.answer(last)
}

// message is what the agent is asked: the request, or all of the arguments if
// it has a schema for them.
func (t *agentTool) message(args map[string]any) (*genai.Content, error) {
	if request, ok := args["request"]; ok && len(args) == 1 {
		return genai.NewContentFromText(fmt.Sprint(request), genai.RoleUser), nil
	}
	text, err := json.Marshal(args)
	if err != nil {
		return nil, fmt.Errorf("arguments for agent %s: %w", t.agent.Name(), err)
	}
	return genai.NewContentFromText(string(text), genai.RoleUser), nil
}

// converse runs the agent in a session of its own, with the state of the one around
// it, and gives its last content.
func (t *agentTool) converse(ctx agent.Context, message *genai.Content) (*genai.Content, error) {
	sessions := session.InMemoryService()
	r, err := runner.New(runner.Config{
		AppName:         t.agent.Name(),
		Agent:           t.agent,
		SessionService:  sessions,
		ArtifactService: artifact.InMemoryService(),
		MemoryService:   memory.InMemoryService(),
		PluginConfig:    runner.PluginConfig{Plugins: append([]*plugin.Plugin{Plugin(nil, nil)}, t.cfg.Plugins...)},
	})
	if err != nil {
		return nil, fmt.Errorf("runner of agent %s: %w", t.agent.Name(), err)
	}
	own, err := sessions.Create(ctx, &session.CreateRequest{AppName: t.agent.Name(), UserID: ctx.UserID(), State: outerState(ctx)})
	if err != nil {
		return nil, fmt.Errorf("session of agent %s: %w", t.agent.Name(), err)
	}
	var job *tidings.Handler
	if v := running.find(keyOf(ctx)); v != nil {
		job = v.job
	}
	inner, cfg := Context(ctx), agent.RunConfig{StreamingMode: agent.StreamingModeSSE}
	var last *genai.Content
	for e, err := range turn(inner, job, r, own.Session, message, cfg) {
		switch {
		case err != nil:
			return nil, fmt.Errorf("agent %s: %w", t.agent.Name(), err)
		case e.ErrorCode != "" || e.ErrorMessage != "":
			return nil, fmt.Errorf("agent %s: %s: %s", t.agent.Name(), e.ErrorCode, e.ErrorMessage)
		case e.Content != nil:
			last = e.Content
		}
	}
	return last, nil
}

// turn runs the agent beneath what ctx holds, without ending the job.
func turn(ctx context.Context, job *tidings.Handler, r *runner.Runner, s session.Session, msg *genai.Content, cfg agent.RunConfig) iter.Seq2[*session.Event, error] {
	if job == nil {
		return r.Run(ctx, s.UserID(), s.ID(), msg, cfg)
	}
	return func(yield func(*session.Event, error) bool) {
		o := &observation{job: job}
		o.watch(r.Run(context.WithValue(ctx, jobKey{}, o), s.UserID(), s.ID(), msg, cfg), yield, false)
	}
}

// outerState is the state of the session around, without the framework's own.
func outerState(ctx agent.Context) map[string]any {
	state := map[string]any{}
	for k, v := range ctx.State().All() {
		if !strings.HasPrefix(k, "_adk") {
			state[k] = v
		}
	}
	return state
}

// answer is the tool's result.
func (t *agentTool) answer(last *genai.Content) (map[string]any, error) {
	text := contentText(last)
	if text == "" {
		return map[string]any{}, nil
	}
	if !t.cfg.JSONOutput {
		return map[string]any{"result": text}, nil
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, fmt.Errorf("answer of agent %s is no JSON object: %w", t.agent.Name(), err)
	}
	return out, nil
}

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cloudwego/eino/components/tool"
	"github.com/cloudwego/eino/components/tool/utils"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"
)

// state is what the graph remembers of a run.
type state struct{ messages []*schema.Message }

// newGraph makes the graph:
//
//	start → model ─┬→ tools ─┬→ model …
//	               └→ end    └→ apologise → end
func newGraph(ctx context.Context, pace time.Duration) (compose.Runnable[[]*schema.Message, *schema.Message], error) {
	weather, err := utils.InferTool("get_weather", "the weather in a city", lookUp)
	if err != nil {
		return nil, err
	}
	tools, err := compose.NewToolNode(ctx, &compose.ToolsNodeConfig{
		Tools:               []tool.BaseTool{weather},
		ToolCallMiddlewares: []compose.ToolMiddleware{{Invokable: goOnAfterErrors}},
	})
	if err != nil {
		return nil, err
	}
	g := compose.NewGraph[[]*schema.Message, *schema.Message](compose.WithGenLocalState(func(context.Context) *state { return &state{} }))
	err = errors.Join(
		g.AddChatModelNode("model", &scripted{pace: pace}, compose.WithNodeName("model"), compose.WithStatePreHandler(remember)),
		g.AddToolsNode("tools", tools, compose.WithNodeName("tools"), compose.WithStatePreHandler(rememberCalls)),
		g.AddLambdaNode("apologise", compose.InvokableLambda(apologise)),
		g.AddEdge(compose.START, "model"),
		g.AddBranch("model", compose.NewStreamGraphBranch(wantsTools, map[string]bool{"tools": true, compose.END: true})),
		g.AddBranch("tools", compose.NewGraphBranch(failed, map[string]bool{"model": true, "apologise": true})),
		g.AddEdge("apologise", compose.END),
	)
	if err != nil {
		return nil, err
	}
	return g.Compile(ctx, compose.WithGraphName("weather"))
}

type place struct {
	City string `json:"city" jsonschema_description:"a city"`
}

func lookUp(_ context.Context, p place) (string, error) {
	switch p.City {
	case "Oslo":
		return "snow", nil
	case "Rome":
		return "sunny", nil
	}
	return "", fmt.Errorf("no weather station in %s", p.City)
}

const failure = "error: "

// goOnAfterErrors makes a tool's error something that the graph can decide on;
// it would end the graph otherwise.
func goOnAfterErrors(next compose.InvokableToolEndpoint) compose.InvokableToolEndpoint {
	return func(ctx context.Context, in *compose.ToolInput) (*compose.ToolOutput, error) {
		out, err := next(ctx, in)
		if err != nil && ctx.Err() == nil {
			return &compose.ToolOutput{Result: failure + err.Error()}, nil
		}
		return out, err
	}
}

func remember(_ context.Context, in []*schema.Message, s *state) ([]*schema.Message, error) {
	s.messages = append(s.messages, in...)
	return append([]*schema.Message(nil), s.messages...), nil
}

func rememberCalls(_ context.Context, in *schema.Message, s *state) (*schema.Message, error) {
	s.messages = append(s.messages, in)
	return in, nil
}

// wantsTools decides by the first chunk that is more than a thought.
func wantsTools(_ context.Context, answer *schema.StreamReader[*schema.Message]) (string, error) {
	defer answer.Close()
	for {
		chunk, err := answer.Recv()
		switch {
		case errors.Is(err, io.EOF):
			return compose.END, nil
		case err != nil:
			return "", err
		case len(chunk.ToolCalls) > 0:
			return "tools", nil
		case chunk.Content != "":
			return compose.END, nil
		}
	}
}

func failed(_ context.Context, results []*schema.Message) (string, error) {
	for _, r := range results {
		if strings.HasPrefix(r.Content, failure) {
			return "apologise", nil
		}
	}
	return "model", nil
}

func apologise(context.Context, []*schema.Message) (*schema.Message, error) {
	return schema.AssistantMessage("I am sorry, I can't find that place.", nil), nil
}

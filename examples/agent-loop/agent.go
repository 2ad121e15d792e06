package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"tidings"
)

// maxTurns keeps a model that never stops asking for tools from running on.
const maxTurns = 8

// answer is the whole agent: ask the model, call the tools that it asks for, ask
// again, until it answers.
func answer(ctx context.Context, job *tidings.Handler, m model, question string) (string, error) {
	talk := []message{{role: "user", text: question}}
	for turn := range maxTurns {
		info := tidings.RunInfo{Name: "turn", Step: int64(turn + 1)}
		reply, err := tidings.Do(ctx, job, info, func(ctx context.Context) (message, error) {
			reply, err := think(ctx, job, m, talk)
			if err != nil {
				return reply, err
			}
			talk = append(talk, reply)
			for _, call := range reply.calls {
				talk = append(talk, message{role: "tool", callID: call.id, text: use(ctx, job, call)})
			}
			return reply, nil
		})
		if err != nil || len(reply.calls) == 0 {
			return reply.text, err
		}
	}
	return "", fmt.Errorf("no answer after %d turns", maxTurns)
}

// think asks the model and tells what it says while it says it.
func think(ctx context.Context, job *tidings.Handler, m model, talk []message) (message, error) {
	call := job.Model(ctx, m.name())
	reply, err := m.stream(ctx, talk, func(channel, piece string) { call.Delta(channel, piece) })
	for _, c := range reply.calls {
		call.ToolCall(c.id, c.tool, c.input)
	}
	call.Usage(reply.usage)
	call.End(reply.text, err)
	return reply, err
}

// use calls a tool. What it failed of is for the model to read.
func use(ctx context.Context, job *tidings.Handler, call toolCall) string {
	answer, err := tools.Call(ctx, job, call.tool, call.id, call.input)
	if err != nil {
		return "error: " + answer
	}
	return answer
}

// tools are what the agent can do.
var tools = tidings.Tools{"weather": weather}

// weather is a tool. It was not handed the job, and tells of its progress all
// the same.
func weather(ctx context.Context, input json.RawMessage) (any, error) {
	var in struct{ City string }
	if err := json.Unmarshal(input, &in); err != nil {
		return nil, err
	}
	_, run := tidings.FromContext(ctx)
	run.Progress(0.5, "looking up "+in.City)
	switch in.City {
	case "Oslo":
		return "sunny, -3 degrees", nil
	case "Rome":
		return "rain, 12 degrees", nil
	}
	return nil, errors.New("no weather station in " + in.City)
}

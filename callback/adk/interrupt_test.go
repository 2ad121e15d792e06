package adk_test

import (
	"errors"
	"testing"

	"google.golang.org/genai"

	"google.golang.org/adk/v2/agent"
	"google.golang.org/adk/v2/agent/workflowagent"
	"google.golang.org/adk/v2/session"
	"google.golang.org/adk/v2/tool/functiontool"
	"google.golang.org/adk/v2/workflow"

	"tidings"
	"tidings/callback/adk"
)

// answer is the user's answer to a call.
func answer(id, name string, response map[string]any) *genai.Content {
	return &genai.Content{Role: genai.RoleUser, Parts: []*genai.Part{{FunctionResponse: &genai.FunctionResponse{ID: id, Name: name, Response: response}}}}
}

func TestLongRunningToolLeavesTheJobWaitingAndTheAnswerResumesIt(t *testing.T) {
	s := start(t, nil)
	approve := newToolOf(t, functiontool.Config{Name: "approve", Description: "Asks a human.", IsLongRunning: true},
		func(agent.Context, city) (map[string]any, error) { return map[string]any{"status": "pending"}, nil })
	m := newModel(calls("c1", "approve", map[string]any{"city": "Oslo"}), says("I asked."), says("Approved!"))
	r := newRunner(t, newAgent(t, "clerk", m, withTools(approve)), adk.Plugin(nil, nil))
	must(t, drain(adk.Run(t.Context(), s.Handler, r, "user", "session", message("hi"), streaming)))
	s.await("the interrupt", func() bool { return s.log.Summary("job").Status == tidings.StatusWaiting })
	must(t, drain(adk.Run(t.Context(), s.Handler, r, "user", "session", answer("c1", "approve", map[string]any{"status": "yes"}), streaming)))
	s.tells(`
phase_update started job
phase_update started agent clerk input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=approve call=c1 input={"city":"Oslo"}
  tool_result tool tool=approve call=c1 output={"status":"pending"}
  thought started llm fake-model model=fake-model
  thought delta "I asked."
  thought completed llm fake-model model=fake-model content="I asked." usage={"input_tokens":11,"output_tokens":3}
phase_update interrupted agent clerk
phase_update resumed agent clerk
  thought started llm fake-model model=fake-model
  thought delta "Approved!"
  thought completed llm fake-model model=fake-model content="Approved!" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent clerk
done completed output="Approved!" usage={"input_tokens":33,"output_tokens":9}
`)
	s.status(tidings.StatusCompleted)
}

func TestToolThatNeedsConfirmationWaitsAndHasNoErrorForIt(t *testing.T) {
	s := start(t, nil)
	pay := newToolOf(t, functiontool.Config{Name: "pay", Description: "Pays.", RequireConfirmation: true},
		func(agent.Context, city) (map[string]any, error) { return map[string]any{"paid": true}, nil })
	m := newModel(calls("c1", "pay", map[string]any{"city": "Oslo"}), says("Paid."))
	r := newRunner(t, newAgent(t, "clerk", m, withTools(pay)), adk.Plugin(nil, nil))
	confirmation := ""
	for e, err := range adk.Run(t.Context(), s.Handler, r, "user", "session", message("hi"), streaming) {
		must(t, err)
		if len(e.LongRunningToolIDs) > 0 {
			confirmation = e.LongRunningToolIDs[0]
		}
	}
	s.await("the interrupt", func() bool { return s.log.Summary("job").Status == tidings.StatusWaiting })
	must(t, drain(adk.Run(t.Context(), s.Handler, r, "user", "session", answer(confirmation, "adk_request_confirmation", map[string]any{"confirmed": true}), streaming)))
	s.tells(`
phase_update started job
phase_update started agent clerk input="hi"
  thought started llm fake-model model=fake-model
  thought completed llm fake-model model=fake-model usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=pay call=c1 input={"city":"Oslo"}
  phase_update interrupted tool pay
phase_update interrupted agent clerk
phase_update resumed agent clerk
  tool_call tool tool=pay call=c1 input={"city":"Oslo"}
  tool_result tool tool=pay call=c1 output={"paid":true}
  thought started llm fake-model model=fake-model
  thought delta "Paid."
  thought completed llm fake-model model=fake-model content="Paid." usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent clerk
done completed output="Paid." usage={"input_tokens":22,"output_tokens":6}
`)
	s.status(tidings.StatusCompleted)
}

// greeter is a workflow that asks for a name and greets.
func greeter(t *testing.T) agent.Agent {
	t.Helper()
	ask := workflow.NewEmittingFunctionNode[any, any]("ask_name",
		func(ctx agent.Context, _ any, emit func(*session.Event) error) (any, error) {
			return nil, errors.Join(emit(workflow.NewRequestInputEvent(ctx, session.RequestInput{InterruptID: "ask-1", Message: "What's your name?"})), workflow.ErrNodeInterrupted)
		}, workflow.NodeConfig{})
	greet := workflow.NewFunctionNode("greet",
		func(_ agent.Context, name string) (string, error) { return "Hello, " + name + "!", nil }, workflow.NodeConfig{})
	a, err := workflowagent.New(workflowagent.Config{Name: "greeter", Edges: workflow.Chain(workflow.Start, ask, greet)})
	must(t, err)
	return a
}

func TestNodeOfAWorkflowThatRequestsInputInterruptsAndIsResumed(t *testing.T) {
	s := start(t, nil)
	r := newRunner(t, greeter(t), adk.Plugin(nil, nil))
	must(t, drain(adk.Run(t.Context(), s.Handler, r, "user", "session", message("hi"), streaming)))
	s.await("the interrupt", func() bool { return s.log.Summary("job").Status == tidings.StatusWaiting })
	must(t, drain(adk.Run(t.Context(), s.Handler, r, "user", "session", answer("ask-1", workflow.WorkflowInputFunctionCallName, map[string]any{"response": "Ada"}), streaming)))
	s.tells(`
phase_update started job
phase_update started agent greeter input="hi"
  phase_update started node ask_name
  phase_update interrupted node ask_name
phase_update interrupted agent greeter
phase_update resumed agent greeter
  phase_update started node greet
  phase_update completed node greet output="Hello, Ada!"
phase_update completed agent greeter output="Hello, Ada!"
done completed output="Hello, Ada!"
`)
	s.status(tidings.StatusCompleted)
}

func TestJobThatWaitsIsGoneOnWithByAnotherHandler(t *testing.T) {
	s := start(t, nil)
	r := newRunner(t, greeter(t), adk.Plugin(nil, nil))
	must(t, drain(adk.Run(t.Context(), s.Handler, r, "user", "session", message("hi"), streaming)))
	must(t, s.Close(t.Context()))
	s.status(tidings.StatusWaiting)
	s.Handler = tidings.Start(t.Context(), "job", s.log, nil)
	must(t, drain(adk.Run(t.Context(), s.Handler, r, "user", "session", answer("ask-1", workflow.WorkflowInputFunctionCallName, map[string]any{"response": "Ada"}), streaming)))
	s.outline()
	s.status(tidings.StatusCompleted)
}

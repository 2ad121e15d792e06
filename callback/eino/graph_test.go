package eino_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"

	"tidings/callback/eino"
)

func TestGraphWithToolsIsToldAsATree(t *testing.T) {
	o := observe(t, nil)
	g := react(t, scripted(calls("get_weather", `{"city":"Oslo"}`), says("It is sunny")), weather(t))
	check(t, o.h.Run(t.Context(), func(ctx context.Context) (any, error) {
		return g.Invoke(ctx, hello(), compose.WithCallbacks(o.h))
	}))
	o.want(t, `
phase_update started graph react input="hi"
  thought started llm model model=Scripted
  thought completed llm model model=Scripted
  tool_call tool tool=get_weather call=call_0 input={"city":"Oslo"}
  tool_result tool tool=get_weather call=call_0 output="sunny in Oslo"
  thought started llm model model=Scripted
  thought completed llm model model=Scripted content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
phase_update completed graph react output="It is sunny"
done completed output="It is sunny" usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestParallelToolsHaveTheirOwnRunsAndCallIDs(t *testing.T) {
	o := observe(t, nil)
	g := react(t, scripted(calls("get_weather", `{"city":"Oslo"}`, "get_weather", `{"city":"Rome"}`), says("both sunny")), weather(t))
	_, err := g.Invoke(t.Context(), hello(), compose.WithCallbacks(o.h))
	check(t, err)
	got := o.outline(t)
	for _, want := range []string{
		"\n  tool_call tool tool=get_weather call=call_0 input={\"city\":\"Oslo\"}\n",
		"\n  tool_call tool tool=get_weather call=call_1 input={\"city\":\"Rome\"}\n",
		"\n  tool_result tool tool=get_weather call=call_0 output=\"sunny in Oslo\"\n",
		"\n  tool_result tool tool=get_weather call=call_1 output=\"sunny in Rome\"\n",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("want once: %q in\n%s", want, got)
		}
	}
}

func TestAnErrorThatClimbsIsToldOnce(t *testing.T) {
	o := observe(t, nil)
	g := react(t, scripted(calls("get_weather", `{"city":"Nowhere"}`)), weather(t))
	err := o.h.Run(t.Context(), func(ctx context.Context) (any, error) {
		return g.Invoke(ctx, hello(), compose.WithCallbacks(o.h))
	})
	if !errors.Is(err, errNoCity) {
		t.Fatalf("the caller got %v", err)
	}
	got := o.outline(t)
	for _, want := range []string{
		`  tool_result tool tool=get_weather call=call_0 error="[LocalFunc] failed to invoke tool, toolName=get_weather, err=city not found"`,
		`phase_update failed graph react caused-below`,
		`scope=job caused-below fatal`,
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("want once: %s in\n%s", want, got)
		}
	}
	if s := o.store.Summary("job"); s.Status != "failed" {
		t.Errorf("the job is %s", s.Status)
	}
}

func TestModelErrorIsTheModelsAndTheGraphRefersToIt(t *testing.T) {
	o := observe(t, nil)
	g := react(t, scripted(turn{err: errors.New("overloaded")}), weather(t))
	if err := o.h.Run(t.Context(), func(ctx context.Context) (any, error) {
		return g.Invoke(ctx, hello(), compose.WithCallbacks(o.h))
	}); err == nil {
		t.Fatal("no error")
	}
	o.want(t, `
phase_update started graph react input="hi"
  thought started llm model model=Scripted
  error error="overloaded" scope=llm
phase_update failed graph react caused-below
error error="[NodeRunError] overloaded\n------------------------\nnode path: [model]" scope=job caused-below fatal
`)
}

// fanOut is a graph with two branches at a time, one of them a graph.
func fanOut(t testing.TB) compose.Runnable[string, map[string]any] {
	t.Helper()
	same := func(_ context.Context, in string) (string, error) { return in, nil }
	inner := compose.NewGraph[string, string]()
	check(t, inner.AddLambdaNode("inner-step", compose.InvokableLambda(same)))
	check(t, inner.AddEdge(compose.START, "inner-step"))
	check(t, inner.AddEdge("inner-step", compose.END))
	g := compose.NewGraph[string, map[string]any]()
	check(t, g.AddLambdaNode("plan", compose.InvokableLambda(same), compose.WithNodeName("the plan")))
	check(t, g.AddGraphNode("left", inner, compose.WithOutputKey("l")))
	check(t, g.AddLambdaNode("right", compose.InvokableLambda(same), compose.WithOutputKey("r")))
	check(t, g.AddEdge(compose.START, "plan"))
	for _, side := range []string{"left", "right"} {
		check(t, g.AddEdge("plan", side))
		check(t, g.AddEdge(side, compose.END))
	}
	r, err := g.Compile(t.Context(), compose.WithGraphName("root"), compose.WithNodeTriggerMode(compose.AllPredecessor))
	check(t, err)
	return r
}

func TestNestedAndParallelNodesHaveTheRightParents(t *testing.T) {
	o := observe(t, nil)
	_, err := fanOut(t).Invoke(t.Context(), "x", compose.WithCallbacks(o.h))
	check(t, err)
	got := o.outline(t)
	for _, want := range []string{
		"phase_update started graph root input=\"x\"\n  phase_update started node the plan input=\"x\"\n",
		"\n  phase_update started graph left input=\"x\"\n",
		"\n    phase_update started node inner-step input=\"x\"\n",
		"\n    phase_update completed node inner-step output=\"x\"\n",
		"\n  phase_update completed node right output=\"x\"\n",
		"\nphase_update completed graph root output={\"l\":\"x\",\"r\":\"x\"}\n",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("want once: %q in\n%s", want, got)
		}
	}
	ns := 0
	for _, e := range o.store.Events("job") {
		if strings.Contains(string(e.Data), `"name":"inner-step"`) && strings.Contains(string(e.Data), `"ns":["left"]`) {
			ns++
		}
	}
	if ns != 2 {
		t.Errorf("%d events of inner-step are in the namespace left, want 2", ns)
	}
}

func TestChainHidesItsUnnamedLambdas(t *testing.T) {
	o := observe(t, nil)
	c := compose.NewChain[string, *schema.Message]()
	c.AppendLambda(compose.InvokableLambda(func(_ context.Context, in string) ([]*schema.Message, error) {
		return []*schema.Message{schema.UserMessage(in)}, nil
	})).AppendChatModel(scripted(says("hello"))).
		AppendLambda(compose.InvokableLambda(func(_ context.Context, m *schema.Message) (*schema.Message, error) { return m, nil }), compose.WithNodeName("polish"))
	r, err := c.Compile(t.Context(), compose.WithGraphName("greeter"))
	check(t, err)
	_, err = r.Invoke(t.Context(), "hi", compose.WithCallbacks(o.h))
	check(t, err)
	o.want(t, `
phase_update started chain greeter input="hi"
  thought started llm Scripted model=Scripted
  thought completed llm Scripted model=Scripted content="hello" usage={"input_tokens":11,"output_tokens":3}
  phase_update started node polish input="hello"
  phase_update completed node polish output="hello"
phase_update completed chain greeter output="hello"
`)
}

func TestPlumbingIsShownIfAskedFor(t *testing.T) {
	o := observe(t, &eino.Options{Plumbing: true, NoValues: true})
	g := react(t, scripted(calls("get_weather", `{"city":"Oslo"}`), says("sunny")), weather(t))
	_, err := g.Invoke(t.Context(), hello(), compose.WithCallbacks(o.h))
	check(t, err)
	o.want(t, `
phase_update started graph react
  thought started llm model model=Scripted
  thought completed llm model model=Scripted
  phase_update started node tools
    tool_call tool tool=get_weather call=call_0 input={"city":"Oslo"}
    tool_result tool tool=get_weather call=call_0 output="sunny in Oslo"
  phase_update completed node tools
  thought started llm model model=Scripted
  thought completed llm model model=Scripted content="sunny" usage={"input_tokens":11,"output_tokens":3}
phase_update completed graph react
`)
}

func TestWorkflow(t *testing.T) {
	o := observe(t, nil)
	w := compose.NewWorkflow[string, string]()
	w.AddLambdaNode("shout", compose.InvokableLambda(func(_ context.Context, in string) (string, error) { return strings.ToUpper(in), nil })).AddInput(compose.START)
	w.End().AddInput("shout")
	r, err := w.Compile(t.Context(), compose.WithGraphName("flow"))
	check(t, err)
	_, err = r.Invoke(t.Context(), "hi", compose.WithCallbacks(o.h))
	check(t, err)
	o.want(t, `
phase_update started workflow flow input="hi"
  phase_update started node shout input="hi"
  phase_update completed node shout output="HI"
phase_update completed workflow flow output="HI"
`)
}

func TestSeveralRootsInOneJob(t *testing.T) {
	o := observe(t, &eino.Options{NoValues: true})
	g := react(t, scripted(says("one")))
	check(t, o.h.Run(t.Context(), func(ctx context.Context) (any, error) {
		for range 2 {
			if _, err := g.Invoke(ctx, hello(), compose.WithCallbacks(o.h)); err != nil {
				return nil, err
			}
		}
		return "twice", nil
	}))
	got := o.outline(t)
	if n := strings.Count(got, "\nphase_update completed graph react\n"); n != 2 || !strings.HasSuffix(got, "done completed output=\"twice\" usage={\"input_tokens\":22,\"output_tokens\":6}\n") {
		t.Errorf("got\n%s", got)
	}
}

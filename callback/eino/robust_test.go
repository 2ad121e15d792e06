package eino_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/components"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"

	"tidings"
	"tidings/callback/eino"
	"tidings/internal/memlog"
)

// lambda is a graph of one node.
func lambda[I, O any](t testing.TB, name string, fn func(context.Context, I) (O, error)) compose.Runnable[I, O] {
	t.Helper()
	g := compose.NewGraph[I, O]()
	check(t, g.AddLambdaNode(name, compose.InvokableLambda(fn)))
	check(t, g.AddEdge(compose.START, name))
	check(t, g.AddEdge(name, compose.END))
	r, err := g.Compile(t.Context(), compose.WithGraphName("graph"))
	check(t, err)
	return r
}

func TestANodeThatPanicsIsToldAlthoughOnlyItsGraphReportsIt(t *testing.T) {
	o := observe(t, nil)
	g := lambda(t, "a", func(context.Context, string) (string, error) { panic("boom") })
	err := o.h.Run(t.Context(), func(ctx context.Context) (any, error) { return g.Invoke(ctx, "x", compose.WithCallbacks(o.h)) })
	if err == nil || !strings.Contains(err.Error(), "stack:") {
		t.Fatalf("the caller got %v, want Eino's error as it was", err)
	}
	o.want(t, `
phase_update started graph graph input="x"
  phase_update started node a input="x"
  phase_update failed node a error="[NodeRunError] panic error: boom\n------------------------\nnode path: [a]"
phase_update failed graph graph caused-below
error panic error="[NodeRunError] panic error: boom\n------------------------\nnode path: [a]" scope=job caused-below fatal
`)
}

func TestAToolThatPanics(t *testing.T) {
	for name, arguments := range map[string][]string{
		"alone":    {"get_weather", `{"city":"Atlantis"}`},
		"parallel": {"get_weather", `{"city":"Oslo"}`, "get_weather", `{"city":"Atlantis"}`},
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t, nil)
			g := react(t, scripted(calls(arguments...)), weather(t))
			if err := o.h.Run(t.Context(), func(ctx context.Context) (any, error) {
				return g.Invoke(ctx, hello(), compose.WithCallbacks(o.h))
			}); err == nil {
				t.Fatal("the caller got no error")
			}
			got := o.outline(t)
			call := fmt.Sprintf("call=call_%d", len(arguments)/2-1)
			if !strings.Contains(got, "\n  tool_result tool tool=get_weather "+call+" error=") || strings.Contains(got, "stack:") || !strings.Contains(got, "panic error: drowned") {
				t.Errorf("got\n%s", got)
			}
			if !strings.HasSuffix(got, "scope=job caused-below fatal\n") {
				t.Errorf("got\n%s", got)
			}
		})
	}
}

func TestAnAgentWhoseToolPanics(t *testing.T) {
	o := observe(t, nil)
	if err := o.ask(t, agent(t, "a", scripted(calls("get_weather", `{"city":"Atlantis"}`)), weather(t)), adk.RunnerConfig{}); err == nil {
		t.Fatal("the caller got no error")
	}
	got := o.outline(t)
	if strings.Count(got, "tool_result") != 1 || !strings.HasSuffix(got, "scope=job caused-below fatal\n") {
		t.Errorf("got\n%s", got)
	}
}

// badError panics when it is asked for its text.
type badError struct{}

func (badError) Error() string { panic("no text") }

// badValue panics when it is written as JSON.
type badValue struct{}

func (badValue) MarshalJSON() ([]byte, error) { panic("no JSON") }

func TestAPanicInACallbackIsNotTheAgentsError(t *testing.T) {
	o := observe(t, &eino.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	g := lambda(t, "a", func(_ context.Context, v badValue) (badValue, error) { return v, nil })
	_, err := g.Invoke(t.Context(), badValue{}, compose.WithCallbacks(o.h))
	check(t, err)
	info := &callbacks.RunInfo{Name: "bad", Component: compose.ComponentOfLambda}
	ctx := o.h.OnStart(t.Context(), info, nil)
	o.h.OnError(ctx, info, badError{})
	o.h.OnError(ctx, info, nil)
	got := o.outline(t)
	if !strings.Contains(got, "phase_update completed graph graph") || !strings.Contains(got, "phase_update started node bad\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestAStreamThatPanicsWhenReadEndsItsRun(t *testing.T) {
	o := observe(t, &eino.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	info := &callbacks.RunInfo{Name: "bad", Component: compose.ComponentOfLambda}
	ctx := o.h.OnStart(t.Context(), info, nil)
	o.h.OnEndWithStreamOutput(ctx, info, schema.StreamReaderWithConvert(schema.StreamReaderFromArray([]string{"x"}),
		func(string) (callbacks.CallbackOutput, error) { panic("bad chunk") }))
	check(t, o.h.Run(t.Context(), func(context.Context) (any, error) { return nil, nil }))
	if got := o.outline(t); !strings.Contains(got, `phase_update failed node bad error="panic: bad chunk"`) {
		t.Errorf("got\n%s", got)
	}
}

func TestOddCallbacksAreIgnored(t *testing.T) {
	o := observe(t, nil)
	info := &callbacks.RunInfo{Name: "n", Component: compose.ComponentOfGraph}
	other := &callbacks.RunInfo{Name: "other", Component: compose.ComponentOfLambda}
	o.h.OnEnd(t.Context(), info, "no start")
	o.h.OnError(t.Context(), info, errors.New("no start"))
	o.h.OnEndWithStreamOutput(t.Context(), info, nil)
	ctx := o.h.OnStart(t.Context(), info, nil)
	o.h.OnEnd(ctx, other, "the end of another run, with the context of the one around it")
	nothing := o.h.OnStart(ctx, nil, "no info")
	o.h.OnEnd(nothing, nil, "no info")
	o.h.OnEnd(ctx, info, "once")
	o.h.OnEnd(ctx, info, "twice")
	o.want(t, `
phase_update started graph n
phase_update completed graph n output="once"
`)
}

func TestInputsAreSnapshots(t *testing.T) {
	o := observe(t, nil)
	type box struct{ Text string }
	g := lambda(t, "a", func(_ context.Context, b *box) (*box, error) {
		b.Text = "changed" // a race with whoever reads it later
		return b, nil
	})
	for range 20 {
		_, err := g.Invoke(t.Context(), &box{Text: "as it was"}, compose.WithCallbacks(o.h))
		check(t, err)
	}
	if got := o.outline(t); strings.Count(got, `input={"Text":"as it was"}`) != 40 {
		t.Errorf("got\n%s", got)
	}
}

// askToStop does so as someone else does.
func (o observed) askToStop(t testing.TB) {
	data := []byte(`{"reason":"enough","by":"ana"}`)
	if _, err := o.store.Append(context.WithoutCancel(t.Context()), "job", tidings.Batch{Events: []tidings.Event{{Type: tidings.TypeCancelRequested, Data: data}}}); err != nil {
		t.Error(err)
	}
}

func TestAStopEndsTheAgentsContextAndTheJobIsCancelled(t *testing.T) {
	o := observe(t, nil)
	begun := make(chan struct{})
	g := lambda(t, "a", func(ctx context.Context, _ string) (string, error) {
		close(begun)
		<-ctx.Done()
		return "", ctx.Err()
	})
	go func() {
		<-begun
		o.askToStop(t)
	}()
	err := o.h.Run(t.Context(), func(ctx context.Context) (any, error) { return g.Invoke(ctx, "x", compose.WithCallbacks(o.h)) })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the caller got %v", err)
	}
	if got := o.outline(t); !strings.HasSuffix(got, "\ncancelled reason=enough\n") && !strings.HasSuffix(got, "\ncancelled reason=\"enough\"\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestCancelledAgentIsAborted(t *testing.T) {
	o := observe(t, nil)
	gate := make(chan struct{})
	defer close(gate)
	slow := says("never")
	slow.gate = gate
	option, cancel := adk.WithCancel()
	r := adk.NewRunner(t.Context(), adk.RunnerConfig{Agent: agent(t, "slow", scripted(slow))})
	events := eino.Observe(t.Context(), o.h, func(ctx context.Context) (*adk.AsyncIterator[*adk.AgentEvent], error) {
		return r.Query(ctx, "hi", adk.WithCallbacks(o.h), option), nil
	})
	eventually(t, "the model runs", func() bool {
		check(t, o.job.Flush(t.Context()))
		return len(o.store.Events("job")) >= 3
	})
	cancel(adk.WithAgentCancelMode(adk.CancelImmediate))
	if _, err := drainEvents(events); err == nil {
		t.Fatal("the caller got no error")
	}
	all := o.outline(t)
	last := o.store.Events("job")[len(o.store.Events("job"))-1]
	if last.Type != tidings.TypeError || !strings.Contains(string(last.Data), `"kind":"aborted"`) {
		t.Errorf("the job ends with %s %s, in\n%s", last.Type, last.Data, all)
	}
}

func TestGlobalHandlerTellsOfTheJobInTheContext(t *testing.T) {
	global := eino.NewHandler(nil, nil)
	a, b := observe(t, nil), observe(t, nil)
	g := lambda(t, "a", func(_ context.Context, in string) (string, error) { return in, nil })
	// As callbacks.AppendGlobalHandlers, which lasts for the whole process.
	ctx := func(job *tidings.Handler) context.Context {
		return eino.WithJob(callbacks.InitCallbacks(t.Context(), nil, global), job)
	}
	_, err := g.Invoke(ctx(a.job), "a")
	check(t, err)
	_, err = g.Invoke(ctx(b.job), "b", compose.WithCallbacks(global)) // twice, told once
	check(t, err)
	_, err = g.Invoke(ctx(nil), "nobody")
	check(t, err)
	for name, o := range map[string]observed{"a": a, "b": b} {
		o.want(t, strings.ReplaceAll(`
phase_update started graph graph input="X"
  phase_update started node a input="X"
  phase_update completed node a output="X"
phase_update completed graph graph output="X"
`, "X", name))
	}
}

func TestTwoJobsAreToldOfTheSameRun(t *testing.T) {
	outer, inner := observe(t, nil), observe(t, nil)
	sub := lambda(t, "step", func(_ context.Context, in string) (string, error) { return in, nil })
	g := lambda(t, "call", func(ctx context.Context, in string) (string, error) {
		return sub.Invoke(ctx, in, compose.WithCallbacks(inner.h))
	})
	_, err := g.Invoke(t.Context(), "x", compose.WithCallbacks(outer.h))
	check(t, err)
	outer.want(t, `
phase_update started graph graph input="x"
  phase_update started node call input="x"
    phase_update started graph graph input="x"
      phase_update started node step input="x"
      phase_update completed node step output="x"
    phase_update completed graph graph output="x"
  phase_update completed node call output="x"
phase_update completed graph graph output="x"
`)
	inner.want(t, `
phase_update started graph graph input="x"
  phase_update started node step input="x"
  phase_update completed node step output="x"
phase_update completed graph graph output="x"
`)
}

func TestManyRunsAtOnce(t *testing.T) {
	o := observe(t, nil)
	var all sync.WaitGroup
	check(t, o.h.Run(t.Context(), func(ctx context.Context) (any, error) {
		for range 16 {
			all.Go(func() {
				g := react(t, scripted(calls("get_weather", `{"city":"Oslo"}`, "get_weather", `{"city":"Rome"}`), says("a", "b")), weather(t))
				s, err := g.Stream(ctx, hello(), compose.WithCallbacks(o.h))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := concat(s); err != nil {
					t.Error(err)
				}
				s.Close()
			})
		}
		all.Wait()
		return nil, nil
	}))
	got := o.outline(t)
	for want, n := range map[string]int{"phase_update completed graph": 16, "tool_result": 32, "thought completed": 32, "done": 1} {
		if strings.Count(got, want) != n {
			t.Errorf("%d of %q, want %d", strings.Count(got, want), want, n)
		}
	}
}

func TestTwoJobsAtOnce(t *testing.T) {
	global := eino.NewHandler(nil, nil)
	var jobs [2]observed
	var all sync.WaitGroup
	for i := range jobs {
		jobs[i] = observe(t, nil)
		for range 8 {
			all.Go(func() {
				g := react(t, scripted(calls("get_weather", `{"city":"Oslo"}`), says("a", "b")), weather(t))
				s, err := g.Stream(eino.WithJob(t.Context(), jobs[i].job), hello(), compose.WithCallbacks(global))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := concat(s); err != nil {
					t.Error(err)
				}
				s.Close()
			})
		}
	}
	all.Wait()
	for _, o := range jobs {
		eventually(t, "every run is told of to its end", func() bool {
			check(t, o.job.Flush(t.Context()))
			got := memlog.Outline(o.store.Events("job"))
			return strings.Count(got, "phase_update completed graph") == 8 && strings.Count(got, "tool_result") == 8 && strings.Count(got, "thought completed") == 16
		})
	}
}

func TestHandlerOfNoJobIsNotNeeded(t *testing.T) {
	h := eino.NewHandler(nil, nil)
	if h.Needed(t.Context(), nil, callbacks.TimingOnStart) {
		t.Error("needed without a job")
	}
	ran := false
	check(t, h.Run(t.Context(), func(context.Context) (any, error) { ran = true; return nil, nil }))
	if !ran {
		t.Error("Run did not call")
	}
}

func TestAPanicOfRunIsToldAndGoesOn(t *testing.T) {
	o := observe(t, nil)
	func() {
		defer func() {
			if p := recover(); p != "mine" {
				t.Errorf("recovered %v", p)
			}
		}()
		_ = o.h.Run(t.Context(), func(context.Context) (any, error) { panic("mine") })
	}()
	o.want(t, `error panic error="panic: mine" scope=job fatal`)
}

func TestComponentsAreToldByTheirKind(t *testing.T) {
	o := observe(t, nil)
	root := &callbacks.RunInfo{Name: "rag", Component: compose.ComponentOfGraph}
	ctx := o.h.OnStart(t.Context(), root, "q")
	docs := []*schema.Document{(&schema.Document{ID: "1", Content: "text", MetaData: map[string]any{"secret": 1}}).WithDenseVector([]float64{1, 2})}
	for _, c := range []struct {
		component components.Component
		in, out   any
	}{
		{components.ComponentOfRetriever, "q", docs},
		{components.ComponentOfEmbedding, []string{"q"}, [][]float64{{1, 2, 3}}},
		{components.ComponentOfIndexer, docs, []string{"1"}},
		{components.ComponentOfTransformer, docs, docs},
		{components.ComponentOfPrompt, map[string]any{"x": "y"}, []*schema.Message{schema.UserMessage("y")}},
	} {
		info := &callbacks.RunInfo{Component: c.component, Type: "Fake"}
		o.h.OnEnd(o.h.OnStart(ctx, info, c.in), info, c.out)
	}
	o.h.OnEnd(ctx, root, nil)
	o.want(t, `
phase_update started graph rag input="q"
  phase_update started retriever Fake input="q"
  phase_update completed retriever Fake output=[{"id":"1","content":"text"}]
  phase_update started embedding Fake input=["q"]
  phase_update completed embedding Fake output={"vectors":1,"dimensions":3}
  phase_update started indexer Fake input=[{"id":"1","content":"text"}]
  phase_update completed indexer Fake output=["1"]
  phase_update started transformer Fake input=[{"id":"1","content":"text"}]
  phase_update completed transformer Fake output=[{"id":"1","content":"text"}]
  phase_update started prompt Fake input={"x":"y"}
  phase_update completed prompt Fake output="y"
phase_update completed graph rag
`)
}

func TestAStoreThatIsAwayDoesNotHinderTheAgent(t *testing.T) {
	store := memlog.New()
	store.Fault = func(int) memlog.Fault { return memlog.Fault{Before: tidings.ErrUnavailable} }
	job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	t.Cleanup(func() { _ = job.Close(context.Background()) })
	h := eino.NewHandler(job, nil)
	g := react(t, scripted(says("fine")))
	m, err := g.Invoke(t.Context(), hello(), compose.WithCallbacks(h))
	check(t, err)
	if m.Content != "fine" {
		t.Errorf("the agent said %q", m.Content)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := job.Close(ctx); err == nil {
		t.Error("Close says that everything was stored")
	}
}

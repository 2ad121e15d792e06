package tidingsgenkit_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/firebase/genkit/go/ai"
	"github.com/firebase/genkit/go/genkit"

	"tidings"
	tidingsgenkit "tidings/callback/genkit"
	"tidings/internal/memlog"
)

func TestAFlowWithAStepAToolAndAStreamedAnswer(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, asks("c1", "get_weather", city{"Oslo"}), says("It ", "is ", "sunny"))
	flow := genkit.DefineFlow(w.Genkit, "weatherFlow", func(ctx context.Context, q string) (string, error) {
		prompt, err := genkit.Run(ctx, "prep", func() (string, error) { return q + "!", nil })
		if err != nil {
			return "", err
		}
		return w.text(ctx, prompt, streamed())
	})
	_, err := s.run(func(ctx context.Context) (string, error) { return flow.Run(ctx, "hi") })
	must(t, err)
	s.tells(`
phase_update started job
phase_update started flow weatherFlow
  phase_update started step prep
  phase_update completed step prep output="hi!"
  phase_update started chain generate
    thought started llm fake/m model=fake/m
    thought completed llm fake/m model=fake/m usage={"input_tokens":11,"output_tokens":3}
    tool_call tool tool=get_weather call=c1 input={"city":"Oslo"}
    tool_result tool tool=get_weather call=c1 output="sunny in Oslo"
    thought started llm fake/m model=fake/m
    thought delta "It is sunny"
    thought completed llm fake/m model=fake/m content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
  phase_update completed chain generate
phase_update completed flow weatherFlow output="It is sunny"
done completed output="It is sunny" usage={"input_tokens":22,"output_tokens":6}
`)
	s.status(tidings.StatusCompleted)
}

func TestWithoutAFlowTheGenerationIsTheRoot(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, asks("c1", "get_weather", city{"Oslo"}), says("It is sunny"))
	_, err := s.run(func(ctx context.Context) (string, error) { return w.text(ctx, "hi") })
	must(t, err)
	s.tells(`
phase_update started job
phase_update started chain generate
  thought started llm fake/m model=fake/m
  thought completed llm fake/m model=fake/m usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=get_weather call=c1 input={"city":"Oslo"}
  tool_result tool tool=get_weather call=c1 output="sunny in Oslo"
  thought started llm fake/m model=fake/m
  thought completed llm fake/m model=fake/m content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
phase_update completed chain generate
done completed output="It is sunny" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestNestedIterationsAreOneGeneration(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, asks("c1", "get_weather", city{"Oslo"}), asks("c2", "get_weather", city{"Rome"}), says("done"))
	_, err := s.run(func(ctx context.Context) (string, error) { return w.text(ctx, "hi") })
	must(t, err)
	s.outline()
	if n := s.count(tidings.TypePhaseUpdate, `"status":"started","run_id"`); n != 1 {
		t.Errorf("%d runs around model and tools, want one generation", n)
	}
}

func TestSpansAloneTellOfFlowsModelsAndTools(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, asks("c1", "get_weather", city{"Oslo"}), says("It is sunny"))
	flow := genkit.DefineFlow(w.Genkit, "plain", func(ctx context.Context, q string) (string, error) {
		resp, err := genkit.Generate(ctx, w.Genkit, ai.WithPrompt(q), ai.WithTools(w.tools...))
		if err != nil {
			return "", err
		}
		return resp.Text(), nil
	})
	_, err := s.run(func(ctx context.Context) (string, error) { return flow.Run(ctx, "hi") })
	must(t, err)
	s.outline()
	for _, name := range []string{"plain", "generate", "fake/m", "get_weather"} {
		if s.count(tidings.TypePhaseUpdate, `"phase":"`+name+`","status":"completed"`) == 0 {
			t.Errorf("no run of %s:\n%s", name, memlog.Outline(s.log.Events("job")))
		}
	}
}

func TestThoughtsAreReasoning(t *testing.T) {
	for name, more := range map[string][]ai.GenerateOption{"streamed": {streamed()}, "whole": nil} {
		t.Run(name, func(t *testing.T) {
			s := start(t, nil)
			w := newWorld(t, turn{thoughts: "The user says hi.", pieces: []string{"Hi!"}})
			_, err := s.run(func(ctx context.Context) (string, error) { return w.text(ctx, "hi", more...) })
			must(t, err)
			if n := strings.Count(s.outline(), `channel=reasoning "The user says hi."`); n != 1 {
				t.Errorf("the thought is told %d times", n)
			}
		})
	}
}

func TestAggregatedChunksAreNotDoubled(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, turn{pieces: []string{"It ", "is ", "sunny"}, aggregated: true})
	_, err := s.run(func(ctx context.Context) (string, error) { return w.text(ctx, "hi", streamed()) })
	must(t, err)
	if text := s.outline(); !strings.Contains(text, `delta "It is sunny"`) {
		t.Errorf("got:\n%s", text)
	}
}

func TestTheHookTurnsNoStreamingOn(t *testing.T) {
	w := newWorld(t, says("a", "b"))
	streams := false
	look := ai.MiddlewareFunc(func(context.Context) (*ai.Hooks, error) {
		return &ai.Hooks{WrapModel: func(ctx context.Context, p *ai.ModelParams, next ai.ModelNext) (*ai.ModelResponse, error) {
			streams = p.Callback != nil
			return next(ctx, p)
		}}, nil
	})
	s := start(t, nil)
	_, err := s.run(func(ctx context.Context) (string, error) {
		resp, err := genkit.Generate(ctx, w.Genkit, ai.WithPrompt("hi"), ai.WithUse(tidingsgenkit.Middleware(), look))
		return resp.Text(), err
	})
	must(t, err)
	if streams {
		t.Error("the model was asked to stream though nobody listens")
	}
}

func TestToolErrorFailsTheFlowAndIsToldOnce(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, asks("c1", "get_weather", city{"Nowhere"}))
	flow := genkit.DefineFlow(w.Genkit, "weatherFlow", func(ctx context.Context, q string) (string, error) { return w.text(ctx, q) })
	_, err := s.run(func(ctx context.Context) (string, error) { return flow.Run(ctx, "hi") })
	wantError(t, err, "city not found")
	s.tells(`
phase_update started job
phase_update started flow weatherFlow
  phase_update started chain generate
    thought started llm fake/m model=fake/m
    thought completed llm fake/m model=fake/m usage={"input_tokens":11,"output_tokens":3}
    tool_call tool tool=get_weather call=c1 input={"city":"Nowhere"}
    tool_result tool tool=get_weather call=c1 error="error calling tool get_weather: city not found"
  phase_update failed chain generate caused-below
phase_update failed flow weatherFlow caused-below
error error="tool \"get_weather\" failed: error calling tool get_weather: city not found" usage={"input_tokens":11,"output_tokens":3} scope=job caused-below fatal
`)
	s.status(tidings.StatusFailed)
}

func TestSiblingOfAFailedToolMayEndAfterTheFlow(t *testing.T) {
	s := start(t, &tidings.HandlerOptions{Automatic: true})
	over := make(chan struct{})
	w := newWorld(t, turn{calls: []*ai.ToolRequest{
		{Ref: "c1", Name: "fails", Input: city{"Nowhere"}}, {Ref: "c2", Name: "slow", Input: city{"Oslo"}},
	}})
	began := make(chan struct{})
	w.tool("fails", func(*ai.ToolContext, city) (string, error) {
		<-began
		return "", errNoCity
	})
	w.tool("slow", func(ctx *ai.ToolContext, _ city) (string, error) {
		close(began)
		<-over
		return "late", ctx.Err()
	})
	flow := genkit.DefineFlow(w.Genkit, "weatherFlow", func(ctx context.Context, q string) (string, error) { return w.text(ctx, q) })
	_, err := flow.Run(tidingsgenkit.WithJob(t.Context(), s.Handler), "hi")
	wantError(t, err, "city not found")
	close(over)
	s.await("the end", func() bool { return s.log.Summary("job").Closed })
	if n := s.count(tidings.TypeToolResult, `"output":"late"`); n != 1 {
		t.Errorf("the late result is told %d times:\n%s", n, s.outline())
	}
	s.outline()
	s.status(tidings.StatusFailed)
}

func TestModelErrorFailsTheFlow(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, turn{pieces: []string{"It "}, err: errors.New("stream broke")})
	flow := genkit.DefineFlow(w.Genkit, "weatherFlow", func(ctx context.Context, q string) (string, error) { return w.text(ctx, q, streamed()) })
	_, err := s.run(func(ctx context.Context) (string, error) { return flow.Run(ctx, "hi") })
	wantError(t, err, "stream broke")
	s.tells(`
phase_update started job
phase_update started flow weatherFlow
  phase_update started chain generate
    thought started llm fake/m model=fake/m
    thought delta "It "
    error error="stream broke" scope=llm
  phase_update failed chain generate caused-below
phase_update failed flow weatherFlow caused-below
error error="stream broke" scope=job caused-below fatal
`)
	s.status(tidings.StatusFailed)
}

func TestErrorThatTheFlowSurvivesFailsNothing(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, turn{err: errors.New("model exploded")})
	flow := genkit.DefineFlow(w.Genkit, "weatherFlow", func(ctx context.Context, q string) (string, error) {
		if _, err := w.text(ctx, q); err == nil {
			return "", errors.New("no error came")
		}
		return "never mind", nil
	})
	_, err := s.run(func(ctx context.Context) (string, error) { return flow.Run(ctx, "hi") })
	must(t, err)
	s.outline()
	s.status(tidings.StatusCompleted)
}

func TestPanicOfAModelIsToldAndGoesOn(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, turn{panics: true})
	func() {
		defer func() {
			if p := recover(); p != "the model broke" {
				t.Errorf("recovered %v, want the model's own panic", p)
			}
		}()
		_, _ = s.run(func(ctx context.Context) (string, error) { return w.text(ctx, "hi") })
	}()
	s.tells(`
phase_update started job
phase_update started chain generate
  thought started llm fake/m model=fake/m
  error panic error="panic: the model broke" scope=llm
phase_update failed chain generate caused-below
error panic error="panic: the model broke" scope=job caused-below fatal
`)
}

func TestAutomaticJobEndsWithTheRootFlow(t *testing.T) {
	s := start(t, &tidings.HandlerOptions{Automatic: true})
	w := newWorld(t, says("ok"))
	inner := genkit.DefineFlow(w.Genkit, "inner", func(ctx context.Context, q string) (string, error) { return w.text(ctx, q) })
	outer := genkit.DefineFlow(w.Genkit, "outer", func(ctx context.Context, q string) (string, error) { return inner.Run(ctx, q) })
	_, err := outer.Run(tidingsgenkit.WithJob(t.Context(), s.Handler), "hi")
	must(t, err)
	s.tells(`
phase_update started job
phase_update started flow outer
  phase_update started action inner
    phase_update started chain generate
      thought started llm fake/m model=fake/m
      thought completed llm fake/m model=fake/m content="ok" usage={"input_tokens":11,"output_tokens":3}
    phase_update completed chain generate
  phase_update completed action inner output="ok"
phase_update completed flow outer output="ok"
done completed output="ok" usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestFlowInsideAToolLiesBeneathTheCall(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, asks("c1", "ask_flow", city{"Oslo"}), says("ok"))
	inner := genkit.DefineFlow(w.Genkit, "inner", func(context.Context, string) (string, error) { return "found", nil })
	w.tool("ask_flow", func(ctx *ai.ToolContext, in city) (string, error) {
		_, step := s.Phase(ctx, "by hand")
		step.End(nil)
		return inner.Run(ctx, in.City)
	})
	_, err := s.run(func(ctx context.Context) (string, error) { return w.text(ctx, "hi") })
	must(t, err)
	s.tells(`
phase_update started job
phase_update started chain generate
  thought started llm fake/m model=fake/m
  thought completed llm fake/m model=fake/m usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=ask_flow call=c1 input={"city":"Oslo"}
    phase_update started chain by hand
    phase_update completed chain by hand
    phase_update started action inner
    phase_update completed action inner output="found"
  tool_result tool tool=ask_flow call=c1 output="found"
  thought started llm fake/m model=fake/m
  thought completed llm fake/m model=fake/m content="ok" usage={"input_tokens":11,"output_tokens":3}
phase_update completed chain generate
done completed output="ok" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestPhasesByHandLieInTheFlowAndAroundTheModel(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, says("ok"))
	flow := genkit.DefineFlow(w.Genkit, "weatherFlow", func(ctx context.Context, q string) (string, error) {
		ctx, plan := s.Phase(tidingsgenkit.Context(ctx), "plan")
		defer plan.End(nil)
		return w.text(ctx, q)
	})
	_, err := s.run(func(ctx context.Context) (string, error) { return flow.Run(ctx, "hi") })
	must(t, err)
	s.tells(`
phase_update started job
phase_update started flow weatherFlow
  phase_update started chain plan
    phase_update started chain generate
      thought started llm fake/m model=fake/m
      thought completed llm fake/m model=fake/m content="ok" usage={"input_tokens":11,"output_tokens":3}
    phase_update completed chain generate
  phase_update completed chain plan
phase_update completed flow weatherFlow output="ok"
done completed output="ok" usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestToolThatInterruptsLeavesTheJobWaiting(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, asks("c1", "pay", city{"Oslo"}), says("Paid."))
	pay := w.tool("pay", func(ctx *ai.ToolContext, _ city) (string, error) {
		return "", ctx.Interrupt(&ai.InterruptOptions{Metadata: map[string]any{"question": "Sure?"}})
	})
	var first *ai.ModelResponse
	_, err := s.run(func(ctx context.Context) (string, error) {
		var err error
		first, err = w.generate(ctx, "hi")
		return "", err
	})
	must(t, err)
	s.await("the interrupt", func() bool { return s.log.Summary("job").Status == tidings.StatusWaiting })
	_, err = s.run(func(ctx context.Context) (string, error) {
		return w.text(ctx, "", ai.WithMessages(first.History()...), ai.WithToolResponses(pay.Respond(first.Interrupts()[0], "yes", nil)))
	})
	must(t, err)
	s.tells(`
phase_update started job
phase_update started chain generate
  thought started llm fake/m model=fake/m
  thought completed llm fake/m model=fake/m usage={"input_tokens":11,"output_tokens":3}
  tool_call tool tool=pay call=c1 input={"city":"Oslo"}
  phase_update interrupted tool pay
phase_update interrupted chain generate
phase_update resumed chain generate
  thought started llm fake/m model=fake/m
  thought completed llm fake/m model=fake/m content="Paid." usage={"input_tokens":11,"output_tokens":3}
phase_update completed chain generate
done completed output="Paid." usage={"input_tokens":22,"output_tokens":6}
`)
	s.status(tidings.StatusCompleted)
}

func TestInterruptThatTheFlowAnswersItselfDoesNotKeepTheJobWaiting(t *testing.T) {
	s := start(t, &tidings.HandlerOptions{Automatic: true})
	w := newWorld(t, asks("c1", "pay", city{"Oslo"}), says("Paid."))
	pay := w.tool("pay", func(ctx *ai.ToolContext, _ city) (string, error) { return "", ctx.Interrupt(nil) })
	flow := genkit.DefineFlow(w.Genkit, "shop", func(ctx context.Context, q string) (string, error) {
		first, err := w.generate(ctx, q)
		if err != nil {
			return "", err
		}
		return w.text(ctx, "", ai.WithMessages(first.History()...), ai.WithToolResponses(pay.Respond(first.Interrupts()[0], "yes", nil)))
	})
	_, err := flow.Run(tidingsgenkit.WithJob(t.Context(), s.Handler), "hi")
	must(t, err)
	s.tells(`
phase_update started job
phase_update started flow shop
  phase_update started chain generate
    thought started llm fake/m model=fake/m
    thought completed llm fake/m model=fake/m usage={"input_tokens":11,"output_tokens":3}
    tool_call tool tool=pay call=c1 input={"city":"Oslo"}
    phase_update interrupted tool pay
  phase_update interrupted chain generate
    phase_update resumed tool pay value="yes"
    tool_result tool tool=pay call=c1 output="yes"
  phase_update started chain generate
    thought started llm fake/m model=fake/m
    thought completed llm fake/m model=fake/m content="Paid." usage={"input_tokens":11,"output_tokens":3}
  phase_update completed chain generate
phase_update completed flow shop output="Paid."
done completed output="Paid." usage={"input_tokens":22,"output_tokens":6}
`)
	s.status(tidings.StatusCompleted)
}

func TestRequestToStopEndsTheFlowsContextAndTheJobAsCancelled(t *testing.T) {
	s := start(t, nil)
	working := make(chan struct{})
	w := newWorld(t, turn{do: func(ctx context.Context) error { close(working); return stopped(ctx) }})
	flow := genkit.DefineFlow(w.Genkit, "weatherFlow", func(ctx context.Context, q string) (string, error) {
		return w.text(context.WithoutCancel(ctx), q) // as a durable stream runs it
	})
	go func() {
		<-working
		e, _ := tidings.NewEvent(tidings.TypeCancelRequested, map[string]string{"reason": "enough"})
		_, _ = s.log.Append(context.Background(), "job", tidings.Batch{Events: []tidings.Event{e}})
	}()
	if _, err := s.run(func(ctx context.Context) (string, error) { return flow.Run(ctx, "hi") }); err == nil {
		t.Fatal("the flow ended without an error")
	}
	s.outline()
	s.status(tidings.StatusCancelled)
}

func TestManyJobsInOneProcessAreToldApart(t *testing.T) {
	const jobs = 20
	store := memlog.New()
	w := newWorld(t, says("ok"))
	flow := genkit.DefineFlow(w.Genkit, "echo", func(ctx context.Context, q string) (string, error) { return w.text(ctx, q, streamed()) })
	var all sync.WaitGroup
	for i := range jobs {
		id := "job-" + string(rune('a'+i))
		all.Go(func() {
			job := tidings.Start(t.Context(), id, store, nil)
			if _, err := tidingsgenkit.Run(t.Context(), job, func(ctx context.Context) (string, error) { return flow.Run(ctx, id) }); err != nil {
				t.Error(err)
			}
			if err := job.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	want := memlog.Outline(store.Events("job-a"))
	for i := range jobs {
		id := "job-" + string(rune('a'+i))
		if got := memlog.Outline(store.Events(id)); got != want {
			t.Errorf("job %s tells\n%s\nand another\n%s", id, got, want)
		}
	}
}

func TestFlowsOfNoJobAreNotObserved(t *testing.T) {
	w := newWorld(t, asks("c1", "get_weather", city{"Oslo"}), says("ok"))
	flow := genkit.DefineFlow(w.Genkit, "echo", func(ctx context.Context, q string) (string, error) { return w.text(ctx, q, streamed()) })
	_, err := flow.Run(t.Context(), "hi")
	must(t, err)
	_, err = tidingsgenkit.Run(t.Context(), nil, func(ctx context.Context) (string, error) { return flow.Run(ctx, "hi") })
	must(t, err)
	_, err = flow.Run(tidingsgenkit.WithJob(t.Context(), nil), "hi")
	must(t, err)
}

func TestServedFlowsHaveAJobEach(t *testing.T) {
	store := memlog.New()
	w := newWorld(t, says("ok"))
	flow := genkit.DefineFlow(w.Genkit, "echo", func(ctx context.Context, q string) (string, error) { return w.text(ctx, q) })
	server := httptest.NewServer(tidingsgenkit.Serve(genkit.Handler(flow), func(r *http.Request) *tidings.Handler {
		return tidings.Start(r.Context(), r.Header.Get("X-Job"), store, &tidings.HandlerOptions{Automatic: true})
	}))
	defer server.Close()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, strings.NewReader(`{"data":"hi"}`))
	must(t, err)
	req.Header.Set("X-Job", "job-7")
	resp, err := http.DefaultClient.Do(req)
	must(t, err)
	_ = resp.Body.Close()
	server.Close() // waits until the job is closed
	if got := store.Summary("job-7").Status; got != tidings.StatusCompleted {
		t.Errorf("the job is %s:\n%s", got, memlog.Outline(store.Events("job-7")))
	}
}

func TestToolThatIsRunAgainAfterAnInterruptIsOneCall(t *testing.T) {
	s := start(t, nil)
	w := newWorld(t, asks("c1", "pay", city{"Oslo"}), says("Paid."))
	pay := genkit.DefineTool(w.Genkit, "pay", "Pays.", func(ctx *ai.ToolContext, _ city) (string, error) {
		if ctx.Resumed == nil {
			return "", ctx.Interrupt(nil)
		}
		return "paid", nil
	})
	w.tools = append(w.tools, pay)
	_, err := s.run(func(ctx context.Context) (string, error) {
		ctx, shop := s.Phase(ctx, "shop")
		defer shop.End(nil)
		first, err := w.generate(ctx, "hi")
		if err != nil {
			return "", err
		}
		again, err := pay.RestartWith(first.Interrupts()[0], ai.WithResumedMetadata[city](map[string]any{"sure": true}))
		if err != nil {
			return "", err
		}
		return w.text(ctx, "", ai.WithMessages(first.History()...), ai.WithToolRestarts(again))
	})
	must(t, err)
	s.tells(`
phase_update started job
phase_update started chain shop
  phase_update started chain generate
    thought started llm fake/m model=fake/m
    thought completed llm fake/m model=fake/m usage={"input_tokens":11,"output_tokens":3}
    tool_call tool tool=pay call=c1 input={"city":"Oslo"}
    phase_update interrupted tool pay
  phase_update interrupted chain generate
    phase_update resumed tool pay value={"sure":true}
  phase_update started chain generate
    tool_result tool tool=pay call=c1 output="paid"
    thought started llm fake/m model=fake/m
    thought completed llm fake/m model=fake/m content="Paid." usage={"input_tokens":11,"output_tokens":3}
  phase_update completed chain generate
phase_update completed chain shop
done completed output="Paid." usage={"input_tokens":22,"output_tokens":6}
`)
}

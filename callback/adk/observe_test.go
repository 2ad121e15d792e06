package adk_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"testing"

	"google.golang.org/adk/v2/agent"
	"google.golang.org/adk/v2/session"

	"tidings"
	"tidings/callback/adk"
	"tidings/internal/memlog"
)

func TestObserveEndsTheJobOfAPluginThatHasIt(t *testing.T) {
	s := start(t, nil)
	r := newRunner(t, newAgent(t, "weather", newModel(turn{err: errors.New("model exploded")}), nil), adk.Plugin(s.Handler, nil))
	err := drain(adk.Observe(s.Handler, r.Run(s.Context(), "user", "session", message("hi"), streaming)))
	wantError(t, err, "model exploded")
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  error error="model exploded" scope=llm
phase_update failed agent weather caused-below
error error="model exploded" scope=job caused-below fatal
`)
	s.status(tidings.StatusFailed)
}

func TestWithoutTheIteratorAFailedModelStillFailsTheAgents(t *testing.T) {
	s := start(t, &tidings.HandlerOptions{Automatic: true})
	r := newRunner(t, newAgent(t, "weather", newModel(turn{err: errors.New("model exploded")}), nil), adk.Plugin(s.Handler, nil))
	wantError(t, drain(r.Run(t.Context(), "user", "session", message("hi"), streaming)), "model exploded")
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  error error="model exploded" scope=llm
phase_update failed agent weather caused-below
error error="model exploded" scope=job caused-below fatal
`)
	s.status(tidings.StatusFailed)
}

func TestRunThatFailsBeforeTheAgentFailsTheJob(t *testing.T) {
	s := start(t, nil)
	r := newRunner(t, newAgent(t, "weather", newModel(says("never")), nil), adk.Plugin(nil, nil))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := drain(adk.Run(ctx, s.Handler, r, "user", "session", message("hi"), streaming))
	if err == nil {
		t.Fatal("the run succeeded")
	}
	s.outline()
	s.status(tidings.StatusFailed)
}

func TestReaderThatStopsAfterTheFinalAnswerEndsTheJobDone(t *testing.T) {
	s := start(t, nil)
	r := newRunner(t, newAgent(t, "weather", newModel(says("It is sunny")), nil), adk.Plugin(nil, nil))
	for e, err := range adk.Run(t.Context(), s.Handler, r, "user", "session", message("hi"), streaming) {
		must(t, err)
		if e.IsFinalResponse() {
			break
		}
	}
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought delta "It is sunny"
  thought completed llm fake-model model=fake-model content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather
done completed output="It is sunny" usage={"input_tokens":11,"output_tokens":3}
`)
	s.status(tidings.StatusCompleted)
}

func TestReaderThatStopsBeforeTheAnswerBreaksTheJobOff(t *testing.T) {
	s := start(t, nil)
	r := newRunner(t, newAgent(t, "weather", newModel(says("It is", " sunny")), nil), adk.Plugin(nil, nil))
	for _, err := range adk.Run(t.Context(), s.Handler, r, "user", "session", message("hi"), streaming) {
		must(t, err)
		break
	}
	s.outline()
	s.status(tidings.StatusFailed)
	if f := s.failureOf("weather"); f.kind != "aborted" && f.cause == "" {
		t.Errorf("the agent ended with %+v, want it to be aborted", f)
	}
}

func TestReaderThatGoesOnAfterAnErrorStillFailsTheJob(t *testing.T) {
	s := start(t, nil)
	r := newRunner(t, failing(t, "custom", errors.New("custom failed")), adk.Plugin(nil, nil))
	for range adk.Run(t.Context(), s.Handler, r, "user", "session", message("hi"), streaming) {
		continue
	}
	s.tells(`
phase_update started job
phase_update started agent custom input="hi"
phase_update failed agent custom error="custom failed"
error error="custom failed" scope=job caused-below fatal
`)
	s.status(tidings.StatusFailed)
}

func TestSeveralTurnsInOneJobEndItOnce(t *testing.T) {
	s := start(t, nil)
	r := newRunner(t, newAgent(t, "weather", newModel(says("Hi!"), says("Bye!")), nil), adk.Plugin(s.Handler, nil))
	for _, text := range []string{"hi", "bye"} {
		must(t, drain(adk.ObserveTurn(s.Handler, r.Run(s.Context(), "user", "session", message(text), streaming))))
	}
	s.End("two turns", nil)
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought delta "Hi!"
  thought completed llm fake-model model=fake-model content="Hi!" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather
phase_update started agent weather input="bye"
  thought started llm fake-model model=fake-model
  thought delta "Bye!"
  thought completed llm fake-model model=fake-model content="Bye!" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather
done completed output="two turns" usage={"input_tokens":22,"output_tokens":6}
`)
}

func TestRequestToStopEndsTheAgentsContextAndTheJobAsCancelled(t *testing.T) {
	s := start(t, nil)
	working := make(chan struct{})
	m := newModel(turn{
		do:     func(context.Context) { close(working) },
		ctxErr: stopped,
	})
	go func() {
		<-working
		e, _ := tidings.NewEvent(tidings.TypeCancelRequested, map[string]string{"reason": "enough", "by": "ada"})
		_, _ = s.log.Append(context.Background(), "job", tidings.Batch{Events: []tidings.Event{e}})
	}()
	if err := s.run(newAgent(t, "weather", m, nil), streaming); err == nil {
		t.Fatal("the run ended without an error")
	}
	s.outline()
	s.status(tidings.StatusCancelled)
}

func TestPanicOfAnAgentEndsTheJobAndGoesOn(t *testing.T) {
	s := start(t, nil)
	a := custom(t, "chaos", func(agent.InvocationContext) iter.Seq2[*session.Event, error] {
		return func(func(*session.Event, error) bool) { panic("the agent broke") }
	})
	func() {
		defer func() {
			if p := recover(); p != "the agent broke" {
				t.Errorf("recovered %v, want the agent's own panic", p)
			}
		}()
		_ = s.run(a, streaming)
	}()
	s.outline()
	s.status(tidings.StatusFailed)
	if got := s.log.Summary("job").Error; !strings.Contains(got, "the agent broke") {
		t.Errorf("the job's error is %q", got)
	}
}

func TestOnePluginServesManyJobsAtOnce(t *testing.T) {
	const jobs = 20
	store := memlog.New()
	m := newModel(says("ok"))
	r := newRunner(t, parallel(t, newAgent(t, "one", m, nil), newAgent(t, "two", m, nil)), adk.Plugin(nil, nil))
	var all sync.WaitGroup
	for i := range jobs {
		all.Go(func() {
			id := "job-" + string(rune('a'+i))
			job := tidings.Start(t.Context(), id, store, nil)
			if err := drain(adk.Run(t.Context(), job, r, "user", id, message(id), streaming)); err != nil {
				t.Error(err)
			}
			if err := job.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range jobs {
		id := "job-" + string(rune('a'+i))
		text := memlog.Outline(store.Events(id))
		if n := strings.Count(text, "thought completed"); n != 2 || !strings.Contains(text, `started agent par input="`+id+`"`) || !strings.Contains(text, "done completed") {
			t.Errorf("job %s:\n%s", id, text)
		}
	}
}

func TestJobIsFoundByTheSession(t *testing.T) {
	s := start(t, nil)
	p := adk.Plugin(nil, &adk.Options{Job: func(run agent.InvocationContext) *tidings.Handler {
		if run.Session().ID() == "session" {
			return s.Handler
		}
		return nil
	}})
	r := newRunner(t, newAgent(t, "weather", newModel(says("Hi!")), nil), p)
	must(t, drain(r.Run(t.Context(), "user", "another", message("hi"), streaming)))
	must(t, drain(r.Run(t.Context(), "user", "session", message("hi"), streaming)))
	s.End(nil, nil)
	s.tells(`
phase_update started job
phase_update started agent weather input="hi"
  thought started llm fake-model model=fake-model
  thought delta "Hi!"
  thought completed llm fake-model model=fake-model content="Hi!" usage={"input_tokens":11,"output_tokens":3}
phase_update completed agent weather
done completed usage={"input_tokens":11,"output_tokens":3}
`)
}

func TestJobIsFoundByTheContext(t *testing.T) {
	s := start(t, nil)
	r := newRunner(t, newAgent(t, "weather", newModel(says("Hi!")), nil), adk.Plugin(nil, nil))
	ctx, phase := s.Phase(adk.WithJob(t.Context(), s.Handler), "answer")
	must(t, drain(adk.Observe(s.Handler, r.Run(ctx, "user", "session", message("hi"), streaming))))
	phase.End(nil)
	s.outline()
	if want := s.runOf("answer"); s.seen(tidings.TypePhaseUpdate)[2].Parent != want {
		t.Errorf("the agent does not lie beneath the phase around it:\n%s", s.outline())
	}
}

func TestRunsOfNoJobAreNotObserved(t *testing.T) {
	r := newRunner(t, newAgent(t, "weather", newModel(calls("c1", "get_weather", map[string]any{"city": "Oslo"}), says("Hi!")), withTools(weather(t))), adk.Plugin(nil, nil))
	must(t, drain(adk.Run(t.Context(), nil, r, "user", "session", message("hi"), streaming)))
	must(t, drain(adk.Observe(nil, r.Run(t.Context(), "user", "session", message("hi"), streaming))))
}

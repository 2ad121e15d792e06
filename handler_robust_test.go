package tidings_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidings"
	"tidings/internal/memlog"
)

func TestNilHandlerLetsCodeRunUnobserved(t *testing.T) {
	var job *tidings.Handler
	ctx, run := job.Phase(t.Context(), "plan")
	if ctx != t.Context() {
		t.Error("the context changed")
	}
	run.Progress(1, "x")
	run.Interrupt(nil)
	run.Resume(nil)
	run.Output(1)
	run.Custom("x", nil)
	run.State(nil)
	run.StatePatch(nil)
	run.End(nil)
	m := job.Model(ctx, "x")
	m.Delta("", "x")
	m.Usage(tidings.Usage{})
	m.Cost(1, "USD")
	m.FinishReason("stop")
	m.End("", nil)
	m.Run().End(nil)
	_, tool := job.ToolStart(ctx, "x", "", nil)
	tool.End(nil, nil)
	out, err := job.Tool(ctx, "x", "", nil, func(context.Context) (any, error) { return 7, nil })
	if out != 7 || err != nil {
		t.Errorf("Tool gave %v, %v", out, err)
	}
	job.Custom("x", nil)
	job.State(nil)
	job.StatePatch(nil)
	job.Error(ctx, errors.New("x"), "job")
	job.Emit(tidings.Event{Type: "x"})
	job.Interrupt(nil)
	job.Resume(nil)
	ran := false
	if err := job.Run(ctx, func(context.Context) (any, error) { ran = true; return nil, nil }); err != nil || !ran {
		t.Errorf("Run gave %v", err)
	}
	job.End(nil, nil)
	if job.Context() == nil || job.Flush(ctx) != nil || job.Close(ctx) != nil || job.Stats() != (tidings.HandlerStats{}) || job.JobID() != "" || run.ID() != "" {
		t.Error("a nil handler did something")
	}
}

type badValue struct{}

func (badValue) MarshalJSON() ([]byte, error) { panic("boom") }

type badError struct{}

func (badError) Error() string { panic("boom") }

func (badError) Is(error) bool { panic("boom") }

// TestBadValuesOfTheAgentHarmNobody: whatever an agent hands over, every event is
// published, and it is valid JSON.
func TestBadValuesOfTheAgentHarmNobody(t *testing.T) {
	store := memlog.New()
	job := tidings.Start(t.Context(), "job", store, nil)
	cyclic := map[string]any{}
	cyclic["self"] = cyclic
	var nilError *badPointer
	bad := []any{badValue{}, make(chan int), func() {}, cyclic, math.NaN(), badError{}, nilError,
		json.RawMessage("{broken"), json.RawMessage("\"\xff\""), "\xff\x00", []byte{0xff}, &badValue{}, map[badKey]int{{}: 1}}
	for _, v := range bad {
		job.Custom("bad", v)
		job.State(v)
		_, run := job.PhaseWith(t.Context(), tidings.RunInfo{Name: "\xff\x00", Input: v, Namespace: []string{"\xff"}})
		run.Output(v)
		run.Progress(math.NaN(), "")
		run.Progress(math.Inf(1), "\xff")
		run.Progress(-1, "x")
		run.Progress(17, "x")
		run.Interrupt(v)
		run.Resume(v)
		_, _ = job.Tool(t.Context(), "x", "", v, func(context.Context) (any, error) { return v, nil })
		run.End(nil)
	}
	m := job.Model(t.Context(), "\xff")
	m.Delta("\xff", "\xff")
	m.Cost(math.Inf(1), "USD")
	m.End("\xff", nil)
	_, run := job.Phase(t.Context(), "fails")
	_, _ = job.Tool(t.Context(), "x", "", nil, func(context.Context) (any, error) { return nil, badError{} })
	run.End(badError{})
	job.Error(t.Context(), badError{}, "chain")
	job.Emit(tidings.Event{Type: ""})
	job.Emit(tidings.Event{Type: "x", Data: []byte("{")})
	job.End(badValue{}, badError{})
	if err := job.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	log := store.Events("job")
	if got, want := len(log), 1+len(bad)*12+3+4+1+1; got != want {
		t.Errorf("%d events, want %d", got, want)
	}
	for _, e := range log {
		if err := e.Validate(); err != nil {
			t.Errorf("%s %q: %v", e.Type, e.Data, err)
		}
	}
	if j := store.Summary("job"); j.Status != tidings.StatusFailed || j.Error == "" {
		t.Errorf("the job is %s: %q", j.Status, j.Error)
	}
	if s := job.Stats(); s.Dropped != 2 || s.Strays != 0 {
		t.Errorf("stats %+v", s)
	}
}

type badPointer struct{ text string }

func (b *badPointer) Error() string { return b.text } // panics on nil

type badKey struct{}

func (badKey) MarshalText() ([]byte, error) { panic("boom") }

func TestValuesAreSnapshots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		gate := true
		store.Fault = func(int) memlog.Fault {
			if gate {
				return memlog.Fault{Before: tidings.ErrUnavailable}
			}
			return memlog.Fault{}
		}
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Logger: quiet()})
		state := map[string]int{"n": 1}
		data := json.RawMessage(`{"n":1}`)
		job.State(state)
		job.Emit(tidings.Event{Type: "x", Data: data})
		state["n"] = 2
		data[5] = '2'
		store.Mu.Lock()
		gate = false
		store.Mu.Unlock()
		if err := job.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		log := store.Events("job")
		if string(log[1].Data) != `{"snapshot":{"n":1}}` || string(log[2].Data) != `{"n":1}` {
			t.Errorf("published %s and %s", log[1].Data, log[2].Data)
		}
	})
}

func TestRedactionSeesEveryValueBeforeItLeaves(t *testing.T) {
	store := memlog.New()
	var mu sync.Mutex
	seen := map[string]bool{}
	job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{
		MaxFieldBytes: 30,
		Metadata:      json.RawMessage(`{"key":"secret"}`),
		Redact: func(eventType, field string, value json.RawMessage) json.RawMessage {
			mu.Lock()
			defer mu.Unlock()
			seen[eventType+"."+field] = true
			if strings.Contains(string(value), "panic") {
				panic("boom")
			}
			if strings.Contains(string(value), "null") {
				return nil
			}
			return json.RawMessage(strings.ReplaceAll(string(value), "secret", "***"))
		},
	})
	ctx, run := job.PhaseWith(t.Context(), tidings.RunInfo{Name: "p", Input: "secret"})
	run.Progress(0.1, "secret")
	run.Interrupt("secret")
	run.Resume("secret")
	m := job.Model(ctx, "m")
	m.Delta("", "secret")
	m.End("the secret", nil)
	_, _ = job.Tool(ctx, "t", "", "secret", func(context.Context) (any, error) { return strings.Repeat("x", 26) + "secret", nil })
	_, _ = job.Tool(ctx, "t", "", "panic with secret", func(context.Context) (any, error) { return nil, errors.New("secret") })
	job.Custom("x", "secret")
	job.Custom("x", "null secret")
	job.State([]string{"secret"})
	job.StatePatch([]string{"secret"})
	run.Output("secret")
	run.End(nil)
	job.End(nil, errors.New("secret"))
	if err := job.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, e := range store.Events("job") {
		if strings.Contains(string(e.Data), "secre") {
			t.Errorf("%s %s", e.Type, e.Data)
		}
	}
	for _, want := range []string{"phase_update.metadata", "phase_update.input", "phase_update.message", "phase_update.value", "phase_update.output", "thought.delta", "thought.content", "tool_call.input", "tool_result.output", "tool_result.error", "custom.value", "state.snapshot", "state.patch", "error.error"} {
		if !seen[want] {
			t.Errorf("the hook did not see %s", want)
		}
	}
}

func TestToolPublishesAPanicAndLetsItGoOn(t *testing.T) {
	store := memlog.New()
	job := tidings.Start(t.Context(), "job", store, nil)
	func() {
		defer func() {
			if p := recover(); p != "boom" {
				t.Errorf("recovered %v", p)
			}
		}()
		_, _ = job.Tool(t.Context(), "x", "c", nil, func(context.Context) (any, error) { panic("boom") })
	}()
	if err := job.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	log := store.Events("job")
	if last := string(log[len(log)-1].Data); !strings.Contains(last, `"error":"panic: boom"`) || !strings.Contains(last, `"error_kind":"panic"`) {
		t.Errorf("published %s", last)
	}
}

func TestToolThatEndsItsGoroutine(t *testing.T) {
	store := memlog.New()
	job := tidings.Start(t.Context(), "job", store, nil)
	var done sync.WaitGroup
	done.Go(func() {
		_, _ = job.Tool(t.Context(), "x", "c", nil, func(context.Context) (any, error) { runtime.Goexit(); return nil, nil })
	})
	done.Wait()
	if err := job.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if log := store.Events("job"); log[len(log)-1].Type != tidings.TypeToolResult {
		t.Errorf("the log ends with %s", log[len(log)-1].Type)
	}
}

func TestRunEndsTheJobAsFnEnds(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name  string
		fn    func(context.Context) (any, error)
		want  tidings.Status
		err   error
		panic any
	}{
		{name: "returns", fn: func(context.Context) (any, error) { return 1, nil }, want: tidings.StatusCompleted},
		{name: "fails", fn: func(context.Context) (any, error) { return nil, boom }, want: tidings.StatusFailed, err: boom},
		{name: "panics", fn: func(context.Context) (any, error) { panic("boom") }, want: tidings.StatusFailed, panic: "boom"},
		{name: "stops", want: tidings.StatusCancelled, err: context.Canceled, fn: func(ctx context.Context) (any, error) {
			<-ctx.Done()
			return nil, context.Cause(ctx)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			store := memlog.New()
			job := tidings.Start(t.Context(), "job", store, nil)
			if c.name == "stops" {
				if err := job.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				if _, err := store.Append(t.Context(), "job", tidings.Batch{Events: []tidings.Event{{Type: tidings.TypeCancelRequested}}}); err != nil {
					t.Fatal(err)
				}
			}
			func() {
				defer func() {
					if p := recover(); p != c.panic {
						t.Errorf("recovered %v, want %v", p, c.panic)
					}
				}()
				if err := job.Run(t.Context(), c.fn); !errors.Is(err, c.err) {
					t.Errorf("Run gave %v, want %v", err, c.err)
				}
			}()
			if got := store.Summary("job").Status; got != c.want {
				t.Errorf("the job is %s, want %s", got, c.want)
			}
		})
	}
}

func TestContextEndsWhenTheJobIsAskedToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		job := tidings.Start(t.Context(), "job", store, nil)
		time.Sleep(time.Minute)
		if err := job.Context().Err(); err != nil {
			t.Fatalf("the context ended by itself: %v", err)
		}
		if _, err := store.Append(t.Context(), "job", tidings.Batch{Events: []tidings.Event{{Type: tidings.TypeCancelRequested, Data: []byte(`{"by":"ann","reason":"enough"}`)}}}); err != nil {
			t.Fatal(err)
		}
		<-job.Context().Done()
		var cancelled *tidings.CancelledError
		cause := context.Cause(job.Context())
		if !errors.As(cause, &cancelled) || cancelled.By != "ann" || cancelled.Reason != "enough" || !errors.Is(cause, context.Canceled) || !errors.Is(cause, tidings.ErrCancelRequested) {
			t.Errorf("the cause is %v", cause)
		}
		job.End(nil, job.Context().Err())
		if err := job.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := store.Summary("job").Status; got != tidings.StatusCancelled {
			t.Errorf("the job is %s", got)
		}
	})
}

// TestManyGoroutines is for the race detector.
func TestManyGoroutines(t *testing.T) {
	store := memlog.New()
	job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Automatic: true})
	ctx, root := job.Phase(t.Context(), "root")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				ctx, run := job.Phase(ctx, "node")
				m := job.Model(ctx, "m")
				for range 5 {
					m.Delta("", "x")
					m.Usage(tidings.Usage{OutputTokens: 5})
				}
				m.End("", nil)
				_, err := job.Tool(ctx, "t", "", 1, func(context.Context) (any, error) { return nil, errors.New("x") })
				run.End(err)
				_ = job.Stats()
			}
		})
	}
	all.Wait()
	root.End(nil)
	if err := job.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	j := store.Summary("job")
	if j.Status != tidings.StatusCompleted || j.Usage.OutputTokens != 8*20*5 || job.Stats().Strays != 0 {
		t.Errorf("the job is %+v, stats %+v", j, job.Stats())
	}
}

func TestImpossibleJobRunsUnobserved(t *testing.T) {
	store := memlog.New()
	for _, opts := range []*tidings.HandlerOptions{{}, {Epoch: -1}} {
		id := "job"
		if opts.Epoch == 0 {
			id = "a{b}"
		}
		job := tidings.Start(t.Context(), id, store, opts)
		out, err := job.Tool(job.Context(), "x", "", nil, func(ctx context.Context) (any, error) { return 1, ctx.Err() })
		if out != 1 || err != nil {
			t.Errorf("Tool gave %v, %v", out, err)
		}
		job.End(nil, nil)
		var invalid *tidings.InvalidError
		if err := job.Close(t.Context()); !errors.As(err, &invalid) {
			t.Errorf("Close says %v", err)
		}
	}
	if len(store.Appends) > 0 {
		t.Errorf("%d appends", len(store.Appends))
	}
}

package eino_test

import (
	"context"
	"encoding/json"
	"strings"
	"sync"
	"testing"

	"github.com/cloudwego/eino/components/tool"
	"github.com/cloudwego/eino/components/tool/utils"
	"github.com/cloudwego/eino/compose"

	"tidings"
	"tidings/callback/eino"
	"tidings/internal/memlog"
)

// checkpoints keeps them in memory.
type checkpoints struct {
	mu   sync.Mutex
	data map[string][]byte
}

func (c *checkpoints) Get(_ context.Context, id string) ([]byte, bool, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d, ok := c.data[id]
	return d, ok, nil
}

func (c *checkpoints) Set(_ context.Context, id string, d []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.data == nil {
		c.data = map[string][]byte{}
	}
	c.data[id] = d
	return nil
}

// another is a second handler of the same job, as of a later process.
func (o observed) another(t testing.TB) observed {
	job := tidings.Start(t.Context(), "job", o.store, &tidings.HandlerOptions{CoalesceDeltas: -1, Epoch: 1 << 50})
	t.Cleanup(func() { _ = job.Close(context.Background()) })
	return observed{store: o.store, job: job, h: eino.NewHandler(job, nil)}
}

func observeAutomatic(t testing.TB) observed {
	store := memlog.New()
	job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{CoalesceDeltas: -1, Automatic: true})
	t.Cleanup(func() { _ = job.Close(context.Background()) })
	return observed{store: store, job: job, h: eino.NewHandler(job, nil)}
}

// asks is a graph of a and b, where b waits for an answer.
func asks(t testing.TB, store compose.CheckPointStore, o ...compose.GraphCompileOption) compose.Runnable[string, string] {
	t.Helper()
	g := compose.NewGraph[string, string]()
	check(t, g.AddLambdaNode("a", compose.InvokableLambda(func(_ context.Context, in string) (string, error) { return in, nil })))
	check(t, g.AddLambdaNode("b", compose.InvokableLambda(func(ctx context.Context, in string) (string, error) {
		if resumed, _, answer := compose.GetResumeContext[string](ctx); resumed {
			return answer, nil
		}
		return "", compose.Interrupt(ctx, "may I?")
	})))
	check(t, g.AddEdge(compose.START, "a"))
	check(t, g.AddEdge("a", "b"))
	check(t, g.AddEdge("b", compose.END))
	r, err := g.Compile(t.Context(), append(o, compose.WithGraphName("hitl"), compose.WithCheckPointStore(store))...)
	check(t, err)
	return r
}

// askedFor gives the interrupt IDs that viewers were shown.
func (o observed) askedFor(t testing.TB) (ids []string) {
	t.Helper()
	for _, e := range o.store.Events("job") {
		var d struct {
			Interrupts []struct {
				Value struct {
					InterruptID string `json:"interrupt_id"`
				}
			}
		}
		check(t, json.Unmarshal(e.Data, &d))
		for _, i := range d.Interrupts {
			ids = append(ids, i.Value.InterruptID)
		}
	}
	return ids
}

func TestInterruptInANodeAndResumeByThePublishedID(t *testing.T) {
	first := observe(t, nil)
	g := asks(t, &checkpoints{})
	err := first.h.Run(t.Context(), func(ctx context.Context) (any, error) {
		return g.Invoke(ctx, "x", compose.WithCallbacks(first.h), compose.WithCheckPointID("1"))
	})
	if _, ok := compose.ExtractInterruptInfo(err); !ok {
		t.Fatalf("the caller got %v, want the interrupt", err)
	}
	first.want(t, `
phase_update started graph hitl input="x"
  phase_update started node a input="x"
  phase_update completed node a output="x"
  phase_update started node b input="x"
  phase_update interrupted node b
phase_update interrupted graph hitl
`)
	if s := first.store.Summary("job"); s.Status != tidings.StatusWaiting {
		t.Fatalf("the job is %s, want waiting", s.Status)
	}
	ids := first.askedFor(t)
	if len(ids) != 1 || ids[0] == "" {
		t.Fatalf("viewers were shown the interrupts %q, want one", ids)
	}

	second := first.another(t)
	check(t, second.h.Run(t.Context(), func(ctx context.Context) (any, error) {
		return g.Invoke(compose.ResumeWithData(ctx, ids[0], "yes"), "", compose.WithCallbacks(second.h), compose.WithCheckPointID("1"))
	}))
	if got := second.outline(t); !strings.HasSuffix(got, "done completed output=\"yes\"\n") {
		t.Errorf("got\n%s", got)
	}
}

func TestInterruptBeforeANodeIsNoErrorOfTheRoot(t *testing.T) {
	o := observe(t, nil)
	g := asks(t, &checkpoints{}, compose.WithInterruptBeforeNodes([]string{"b"}))
	_, err := g.Invoke(t.Context(), "x", compose.WithCallbacks(o.h), compose.WithCheckPointID("1"))
	if _, ok := compose.ExtractInterruptInfo(err); !ok {
		t.Fatalf("the caller got %v, want the interrupt", err)
	}
	o.want(t, `
phase_update started graph hitl input="x"
  phase_update started node a input="x"
  phase_update completed node a output="x"
phase_update interrupted graph hitl
`)
	if all := o.store.Events("job"); !strings.Contains(string(all[len(all)-1].Data), `"value":{"before":["b"]`) {
		t.Errorf("the interrupt is %s", all[len(all)-1].Data)
	}
}

func TestResumeInTheSameHandlerIsToldAsResumed(t *testing.T) {
	o := observeAutomatic(t)
	g := asks(t, &checkpoints{})
	_, err := g.Invoke(t.Context(), "x", compose.WithCallbacks(o.h), compose.WithCheckPointID("1"))
	info, ok := compose.ExtractInterruptInfo(err)
	if !ok {
		t.Fatalf("the caller got %v, want the interrupt", err)
	}
	ctx := compose.ResumeWithData(t.Context(), info.InterruptContexts[0].ID, "yes")
	_, err = g.Invoke(ctx, "", compose.WithCallbacks(o.h), compose.WithCheckPointID("1"))
	check(t, err)
	got := o.outline(t)
	for _, want := range []string{"\nphase_update interrupted graph hitl\nphase_update resumed graph hitl", "\ndone completed output=\"yes\"\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("want %q in\n%s", want, got)
		}
	}
}

func TestInterruptInAToolIsNoResultAndNoError(t *testing.T) {
	o := observe(t, nil)
	book, err := utils.InferTool("book", "books a flight", func(ctx context.Context, in place) (string, error) {
		if resumed, _, _ := compose.GetResumeContext[string](ctx); resumed {
			return "booked", nil
		}
		return "", compose.Interrupt(ctx, map[string]string{"approve": in.City})
	})
	check(t, err)
	g := react(t, scripted(calls("book", `{"city":"Oslo"}`)), tool.BaseTool(book))
	_, err = g.Invoke(t.Context(), hello(), compose.WithCallbacks(o.h), compose.WithCheckPointID("1"))
	if _, ok := compose.ExtractInterruptInfo(err); !ok {
		t.Fatalf("the caller got %v, want the interrupt", err)
	}
	o.want(t, `
phase_update started graph react input="hi"
  thought started llm model model=Scripted
  thought completed llm model model=Scripted
  tool_call tool tool=book call=call_0 input={"city":"Oslo"}
  phase_update interrupted tool book
phase_update interrupted graph react
`)
	all := string(o.store.Events("job")[5].Data)
	if !strings.Contains(all, `"info":{"approve":"Oslo"}`) {
		t.Errorf("the interrupt does not say what is asked for: %s", all)
	}
}

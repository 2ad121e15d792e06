package eino_test

import (
	"context"
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"

	"tidings/callback/eino"
)

func TestTokensAreToldOnceAlthoughGraphsStreamThemAgain(t *testing.T) {
	o := observe(t, nil)
	g := react(t, scripted(calls("get_weather", `{"city":"Oslo"}`), says("It ", "is ", "sunny")), weather(t))
	check(t, o.h.Run(t.Context(), func(ctx context.Context) (any, error) {
		s, err := g.Stream(ctx, hello(), compose.WithCallbacks(o.h))
		if err != nil {
			return nil, err
		}
		return readAll(t, s)
	}))
	got := o.outline(t)
	for _, want := range []string{
		"phase_update started graph react\n  thought started llm model model=Scripted\n",
		"\n  tool_result tool tool=get_weather call=call_0 output=\"sunny in Oslo\"\n",
		"\n  thought completed llm model model=Scripted\n", // when the last copy of a stream is read is a matter of time
		`
  thought completed llm model model=Scripted content="It is sunny" usage={"input_tokens":11,"output_tokens":3}
`, `
phase_update completed graph react output="It is sunny"
done completed output="It is sunny" usage={"input_tokens":11,"output_tokens":3}
`,
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("want once: %s in\n%s", want, got)
		}
	}
	if n := strings.Count(got, "thought delta"); n != 1 || !strings.Contains(got, `thought delta "It is sunny"`) {
		t.Errorf("%d streams of tokens, want one, in\n%s", n, got)
	}
}

func TestAStreamThatBreaksMidwayIsAnErrorAlthoughEinoCallsNoOnError(t *testing.T) {
	o := observe(t, nil)
	broken := says("It ", "is")
	broken.err = errors.New("stream broke")
	g := react(t, scripted(broken))
	err := o.h.Run(t.Context(), func(ctx context.Context) (any, error) {
		s, err := g.Stream(ctx, hello(), compose.WithCallbacks(o.h))
		if err != nil {
			return nil, err
		}
		return readAll(t, s)
	})
	if err == nil || err.Error() != "stream broke" {
		t.Fatalf("the caller got %v", err)
	}
	o.want(t, `
phase_update started graph react
  thought started llm model model=Scripted
  thought delta "It is"
  error error="stream broke" scope=llm
phase_update failed graph react caused-below
error error="stream broke" usage={"input_tokens":11,"output_tokens":3} scope=job caused-below fatal
`)
}

func TestRootEndsAfterTheModelsLastTokenAlthoughItsOwnStreamEndsFirst(t *testing.T) {
	for range 20 {
		o := observe(t, nil)
		s, err := react(t, scripted(says("a", "b", "c"))).Stream(t.Context(), hello(), compose.WithCallbacks(o.h))
		check(t, err)
		_, err = readAll(t, s)
		check(t, err)
		check(t, o.h.Run(t.Context(), func(context.Context) (any, error) { return nil, nil }))
		got := o.outline(t)
		thought, root := strings.Index(got, "thought completed"), strings.Index(got, "phase_update completed graph")
		if thought < 0 || root < thought {
			t.Fatalf("got\n%s", got)
		}
	}
}

func TestAStreamThatTheCallerLeavesIsToldToItsEnd(t *testing.T) {
	o := observe(t, nil)
	check(t, o.h.Run(t.Context(), func(ctx context.Context) (any, error) {
		s, err := react(t, scripted(says("a", "b", "c"))).Stream(ctx, hello(), compose.WithCallbacks(o.h))
		check(t, err)
		_, err = s.Recv()
		s.Close()
		return "left", err
	}))
	if got := o.outline(t); !strings.Contains(got, `thought completed llm model model=Scripted content="abc"`) {
		t.Errorf("got\n%s", got)
	}
}

func TestReasoningAndToolCallPiecesOfAStream(t *testing.T) {
	o := observe(t, nil)
	index := 0
	piece := func(id, name, arguments string) *schema.Message {
		return schema.AssistantMessage("", []schema.ToolCall{{Index: &index, ID: id, Function: schema.FunctionCall{Name: name, Arguments: arguments}}})
	}
	think := &schema.Message{Role: schema.Assistant, ReasoningContent: "hm"}
	m := scripted(turn{chunks: []*schema.Message{think, piece("c1", "get_weather", `{"city":`), piece("", "", `"Oslo"}`)}}, says("ok"))
	s, err := react(t, m, weather(t)).Stream(t.Context(), hello(), compose.WithCallbacks(o.h))
	check(t, err)
	_, err = readAll(t, s)
	check(t, err)
	check(t, o.h.Run(t.Context(), func(context.Context) (any, error) { return nil, nil }))
	if got := o.outline(t); !strings.Contains(got, `delta channel=reasoning "hm"`) {
		t.Errorf("got\n%s", got)
	}
	var completed string
	for _, e := range o.store.Events("job") {
		if strings.Contains(string(e.Data), `"tool_calls"`) {
			completed = string(e.Data)
		}
	}
	if !strings.Contains(completed, `"tool_calls":[{"call_id":"c1","tool":"get_weather","input":{"city":"Oslo"}}]`) {
		t.Errorf("the model's tool call was told as %s", completed)
	}
}

func TestNodesThatTransformStreams(t *testing.T) {
	o := observe(t, nil)
	upper := func(_ context.Context, in *schema.StreamReader[string]) (*schema.StreamReader[string], error) {
		return schema.StreamReaderWithConvert(in, func(s string) (string, error) { return strings.ToUpper(s), nil }), nil
	}
	c := compose.NewChain[string, string]()
	c.AppendLambda(compose.TransformableLambda(upper), compose.WithNodeName("shout"))
	r, err := c.Compile(t.Context(), compose.WithGraphName("chain"))
	check(t, err)
	check(t, o.h.Run(t.Context(), func(ctx context.Context) (any, error) {
		s, err := r.Transform(ctx, schema.StreamReaderFromArray([]string{"a", "b"}), compose.WithCallbacks(o.h))
		if err != nil {
			return nil, err
		}
		defer s.Close()
		n := 0
		for {
			if _, err := s.Recv(); errors.Is(err, io.EOF) {
				return n, nil
			} else if err != nil {
				return nil, err
			}
			n++
		}
	}))
	got := o.outline(t)
	for _, want := range []string{
		"phase_update started chain chain\n  phase_update started node shout\n", // their input is a stream
		"\n  phase_update completed node shout output=\"AB\"\n",
		"\nphase_update completed chain chain output=\"AB\"\ndone completed output=2\n",
	} {
		if strings.Count(got, want) != 1 {
			t.Errorf("want once: %q in\n%s", want, got)
		}
	}
}

func TestOnStartWithStreamInputClosesItsCopy(t *testing.T) {
	o := observe(t, nil)
	r, w := schema.Pipe[callbacks.CallbackInput](0)
	o.h.OnStartWithStreamInput(t.Context(), &callbacks.RunInfo{Name: "n", Component: compose.ComponentOfGraph}, r)
	if !w.Send("nobody reads", nil) {
		t.Error("the copy is open")
	}
}

// Not parallel: it counts the goroutines of the whole process.
func TestNoGoroutineIsLeft(t *testing.T) {
	o := observe(t, nil)
	before := runtime.NumGoroutine()
	broken := says("x", "y")
	broken.err = errors.New("broke")
	g := react(t, scripted(calls("get_weather", `{"city":"Oslo"}`), says("a", "b"), broken), weather(t))
	for range 4 {
		s, err := g.Stream(t.Context(), hello(), compose.WithCallbacks(o.h))
		check(t, err)
		_, _ = s.Recv()
		s.Close()
	}
	eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before })
}

func TestAutomaticEndWaitsForTheStreams(t *testing.T) {
	o := observeAutomatic(t)
	h := eino.NewHandler(o.job, nil)
	s, err := react(t, scripted(says("It ", "is ", "sunny"))).Stream(t.Context(), hello(), compose.WithCallbacks(h))
	check(t, err)
	_, err = readAll(t, s)
	check(t, err)
	eventually(t, "the job ends", func() bool { return o.store.Summary("job").Closed })
	if got := o.outline(t); !strings.HasSuffix(got, "done completed output=\"It is sunny\" usage={\"input_tokens\":11,\"output_tokens\":3}\n") {
		t.Errorf("got\n%s", got)
	}
}

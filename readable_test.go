package tidings_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"tidings"
	"tidings/internal/memlog"
)

type stamped struct {
	When time.Time `json:"when"`
}

type embedded struct{ Inside int }

type oddStruct struct {
	embedded
	stamped
	Score   float64        `json:"score"`
	Name    string         `json:"name,omitempty"`
	Empty   map[string]int `json:"empty,omitempty"`
	Skipped int            `json:"-"`
	Done    chan int       `json:"done"`
	Nobody  *oddStruct     `json:"nobody"`
	Any     any            `json:"any"`
	Raw     []byte         `json:"raw"`
	hidden  func()
}

// TestValuesThatAreNotJSONStayReadable: one NaN or channel must not hide the rest
// of an input.
func TestValuesThatAreNotJSONStayReadable(t *testing.T) {
	cyclic := map[string]any{"question": "why"}
	cyclic["self"] = cyclic
	var deep any = "bottom"
	for range 20_000 {
		deep = []any{deep}
	}
	loop := []any{1}
	loop[0] = loop
	tests := []struct {
		name  string
		value any
		want  string
	}{
		{"NaN", map[string]any{"score": math.NaN(), "low": math.Inf(-1), "q": "x"}, `{"low":"-Infinity","q":"x","score":"NaN"}`},
		{"a NaN alone", math.NaN(), `"NaN"`},
		{"a channel", make(chan int), `"[a chan int]"`},
		{"a function among others", []any{1, func() {}, nil, true, "<a>"}, `[1,"[a func()]",null,true,"<a>"]`},
		{"a cycle of maps", cyclic, `{"question":"why","self":"[a cycle]"}`},
		{"a cycle of lists", loop, `["[a cycle]"]`},
		{"the same twice is no cycle", []any{cyclic["question"], cyclic["question"], math.NaN()}, `["why","why","NaN"]`},
		{"keys that are no strings", map[any]any{"b": 1, 2: "two", 1.5: nil, badKey{}: 3}, `{"1.5":null,"2":"two","[a tidings_test.badKey that can't be encoded: panic: boom]":3,"b":1}`},
		{"an error within", map[string]any{"err": io.EOF, "c": make(chan int)}, `{"c":"[a chan int]","err":"EOF"}`},
		{"a value that can't write itself", map[string]any{"bad": badValue{}, "good": 1}, `{"bad":"[a tidings_test.badValue that can't be encoded: panic: boom]","good":1}`},
		{"a struct", oddStruct{embedded: embedded{1}, Score: math.NaN(), Raw: []byte{1}, Any: time.Second, hidden: func() {}},
			`{"Inside":1,"when":"0001-01-01T00:00:00Z","score":"NaN","done":null,"nobody":null,"any":1000000000,"raw":"AQ=="}`},
		{"complex", []any{complex(1, 2), uintptr(7), int8(-1), float32(0.5)}, `["(1+2i)",7,-1,0.5]`},
		{"invalid UTF-8", map[string]any{"\xff": "\xff", "c": make(chan int)}, "{\"c\":\"[a chan int]\",\"\uFFFD\":\"\uFFFD\"}"},
		{"deeper than anyone reads", deep, strings.Repeat("[", 101) + `"[nests too deep]"` + strings.Repeat("]", 101)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			store := memlog.New()
			job := tidings.Start(t.Context(), "job", store, nil)
			job.Custom("odd", test.value)
			job.End(nil, nil)
			if err := job.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			e := store.Events("job")[1]
			want := `{"name":"odd","value":` + test.want + `}`
			if got := string(e.Data); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if err := e.Validate(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAnEndlessValueIsCut(t *testing.T) {
	type node struct {
		Next *node
		Bad  chan int
	}
	long := &node{}
	for range 50_000 {
		long = &node{Next: long}
	}
	wide := make([]any, 1<<20)
	wide[0] = math.NaN()
	store := memlog.New()
	job := tidings.Start(t.Context(), "job", store, nil)
	job.Custom("long", long)
	job.Custom("wide", wide)
	job.End(nil, nil)
	if err := job.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, e := range store.Events("job") {
		if err := e.Validate(); err != nil || len(e.Data) > 100<<10 {
			t.Errorf("%d bytes: %v", len(e.Data), err)
		}
	}
}

// TestTheJobIsFoundWhereverItsContextGoes: with the handler's own context, with
// one joined to it, and with one that only belongs to it.
func TestTheJobIsFoundWhereverItsContextGoes(t *testing.T) {
	job := tidings.Start(t.Context(), "job", memlog.New(), nil)
	joined, leave := job.Join(t.Context())
	for name, ctx := range map[string]context.Context{
		"Context": job.Context(), "Join": joined, "WithJob": tidings.WithJob(t.Context(), job),
	} {
		if found, run := tidings.FromContext(ctx); found != job || run != nil {
			t.Errorf("%s holds %v, %v", name, found, run)
		}
	}
	if ctx := tidings.WithJob(t.Context(), nil); ctx != t.Context() {
		t.Error("no job changed the context")
	}
	leave()
	if joined.Err() == nil || job.Context().Err() != nil {
		t.Error("leaving must end the joined context alone")
	}
	joined, leave = job.Join(t.Context())
	defer leave()
	job.End(nil, nil)
	if err := job.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-joined.Done()
	var nobody *tidings.Handler
	ctx, leave := nobody.Join(t.Context())
	leave()
	if found, _ := tidings.FromContext(ctx); found != nil || ctx.Err() == nil {
		t.Error("a nil handler's Join must only be ended by its function")
	}
}

// TestWithNothingToAppendToTheAgentRunsUnobserved: and is told why, at Close.
func TestWithNothingToAppendToTheAgentRunsUnobserved(t *testing.T) {
	var nowhere context.Context
	job := tidings.Start(nowhere, "job", nil, &tidings.HandlerOptions{Logger: quiet()})
	ran := false
	err := job.Run(t.Context(), func(ctx context.Context) (any, error) {
		_, run := job.Phase(ctx, "plan")
		run.End(nil)
		ran = ctx.Err() == nil
		return nil, nil
	})
	if !ran || err == nil || !strings.Contains(err.Error(), "give Start a store") {
		t.Errorf("ran: %v, error: %v", ran, err)
	}
	if errors.Is(err, context.Canceled) {
		t.Error("nobody was cancelled")
	}
}

// TestNothingIsTooLargeForAnEvent: an answer in one piece becomes several deltas,
// and names that a model made up are cut.
func TestNothingIsTooLargeForAnEvent(t *testing.T) {
	store := memlog.New()
	job := tidings.Start(t.Context(), "job", store, nil)
	huge := strings.Repeat("\xff", 100<<10) + strings.Repeat("naïve 🙂 ", 100<<10)
	m := job.Model(t.Context(), huge)
	m.Delta("", huge)
	m.ToolCall(huge, huge, nil)
	m.End("", nil)
	_, err := job.Tool(t.Context(), huge, huge, nil, func(context.Context) (any, error) { return nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	_, run := job.Phase(t.Context(), huge)
	run.End(nil)
	job.End(nil, nil)
	if err := job.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	text := ""
	for _, e := range store.Events("job") {
		if len(e.Data) > 512<<10 {
			t.Errorf("%s of %d bytes", e.Type, len(e.Data))
		}
		var d struct{ Status, Delta string }
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatal(err)
		}
		text += d.Delta
	}
	if text != strings.ToValidUTF8(strings.ReplaceAll(huge, "\xff", "\uFFFD"), "") {
		t.Errorf("the deltas add up to %d bytes of %d", len(text), len(huge))
	}
	if s := job.Stats(); s.Dropped > 0 {
		t.Errorf("dropped %d", s.Dropped)
	}
}

package eino_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cloudwego/eino/adk"
	"github.com/cloudwego/eino/callbacks"
	"github.com/cloudwego/eino/components"
	"github.com/cloudwego/eino/compose"
	"github.com/cloudwego/eino/schema"
	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files")

// What the handler makes of the callbacks that were recorded of real runs, also
// of an older version of Eino. Lines are sorted: when a stream ends is a matter
// of time.
func TestRecordedCallbacks(t *testing.T) {
	const folder = "../../../shared/data/callbacks"
	for _, name := range []string{"eino_callbacks", "eino_v0.9.13_adk_callbacks"} {
		t.Run(name, func(t *testing.T) {
			cases := readRecorded(t, filepath.Join(folder, name+".jsonl"))
			var got strings.Builder
			for _, c := range cases {
				fmt.Fprintf(&got, "# %s\n%s\n", c.name, c.replay(t))
			}
			golden := filepath.Join("testdata", name+".txt")
			if *update {
				check(t, os.WriteFile(golden, []byte(got.String()), 0o644))
			}
			want, err := os.ReadFile(golden)
			check(t, err)
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// recorded is one line of a capture.
type recorded struct {
	Case      string
	M         string
	Run       int
	Parent    int
	Info      *callbacks.RunInfo
	In, Out   string
	Err       string
	Interrupt bool
}

type recordedCase struct {
	name   string
	lines  []recorded
	stream map[int][]recorded // the chunks that came of each run
}

func readRecorded(t *testing.T, path string) (cases []*recordedCase) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Skipf("the recorded callbacks are not here: %v", err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r recorded
		check(t, json.Unmarshal(lines.Bytes(), &r))
		switch {
		case r.Case != "":
			cases = append(cases, &recordedCase{name: r.Case, stream: map[int][]recorded{}})
		case r.M == "  chunk", r.M == "  stream ERR":
			c := cases[len(cases)-1]
			c.stream[r.Run] = append(c.stream[r.Run], r)
		default:
			c := cases[len(cases)-1]
			c.lines = append(c.lines, r)
		}
	}
	check(t, lines.Err())
	return cases
}

// replay gives what is told of the case.
func (c *recordedCase) replay(t *testing.T) string {
	o := observe(t, nil)
	var open []*adk.AsyncGenerator[*adk.AgentEvent]
	contexts, infos := map[int]context.Context{0: t.Context()}, map[int]*callbacks.RunInfo{}
	for _, r := range c.lines {
		switch r.M {
		case "OnStart":
			infos[r.Run] = r.Info
			contexts[r.Run] = o.h.OnStart(contexts[r.Parent], r.Info, value(r.In))
		case "OnStartWithStreamInput":
			infos[r.Run] = r.Info
			contexts[r.Run] = o.h.OnStartWithStreamInput(contexts[r.Parent], r.Info, schema.StreamReaderFromArray([]callbacks.CallbackInput{r.In}))
		case "OnEnd":
			out, gen := output(infos[r.Run], r.Out)
			o.h.OnEnd(contexts[r.Run], infos[r.Run], out)
			if gen != nil {
				open = append(open, gen)
			}
		case "OnEndWithStreamOutput":
			o.h.OnEndWithStreamOutput(contexts[r.Run], infos[r.Run], c.copyOf(r.Run))
		case "OnError":
			err := errors.New(r.Err)
			if r.Interrupt {
				err = compose.NewInterruptAndRerunErr(nil) // what Eino gives can't be made from outside
			}
			o.h.OnError(contexts[r.Run], infos[r.Run], err)
		}
	}
	for _, gen := range open {
		gen.Close()
	}
	check(t, o.h.Run(t.Context(), func(context.Context) (any, error) { return nil, nil }))
	var lines []string
	for line := range strings.Lines(o.outline(t)) {
		if !strings.Contains(line, "thought delta") {
			lines = append(lines, callID.ReplaceAllString(line, ""))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

// callID matches those that were made up: the capture's contexts have none.
var callID = regexp.MustCompile(` call=\S+`)

// copyOf is the run's copy of its stream.
func (c *recordedCase) copyOf(run int) *schema.StreamReader[callbacks.CallbackOutput] {
	r, w := schema.Pipe[callbacks.CallbackOutput](len(c.stream[run]))
	for _, chunk := range c.stream[run] {
		if chunk.M == "  stream ERR" {
			w.Send(nil, errors.New(chunk.Err))
		} else {
			w.Send(value(chunk.Out), nil)
		}
	}
	w.Close()
	return r
}

// output gives, of an agent, also what its events come from.
func output(info *callbacks.RunInfo, text string) (any, *adk.AsyncGenerator[*adk.AgentEvent]) {
	if info.Component == adk.ComponentOfAgent {
		events, gen := adk.NewAsyncIteratorPair[*adk.AgentEvent]()
		return &adk.AgentCallbackOutput{Events: events}, gen
	}
	v := value(text)
	if v == nil && info.Component == components.ComponentOfChatModel {
		return schema.AssistantMessage("(cut)", nil), nil
	}
	return v, nil
}

// value reads a Go type and JSON. Long ones were cut when they were recorded and
// are lost.
func value(text string) any {
	kind, rest, _ := strings.Cut(text, " ")
	switch kind {
	case "string":
		return decoded[string](rest)
	case "*schema.Message":
		return decoded[*schema.Message](rest)
	case "[]*schema.Message":
		return decoded[[]*schema.Message](rest)
	}
	return nil
}

func decoded[T any](rest string) any {
	var v T
	if err := json.Unmarshal([]byte(rest), &v); err != nil {
		return nil
	}
	return v
}

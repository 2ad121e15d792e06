package trpcagent_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"trpc.group/trpc-go/trpc-agent-go/agent"
	"trpc.group/trpc-go/trpc-agent-go/event"
	"trpc.group/trpc-go/trpc-agent-go/model"
	"trpc.group/trpc-go/trpc-agent-go/plugin"
	"trpc.group/trpc-go/trpc-agent-go/tool"

	"tidings"
	"tidings/callback/trpcagent"
)

// recorded is one line of the capture. Runs are numbered there by the contexts
// that they gave: a callback gets the context that "run" or "parent" returned.
type recorded struct {
	Case    string          `json:"case"`
	M       string          `json:"m"`
	Agent   string          `json:"agent"`
	Inv     string          `json:"inv"`
	Err     json.RawMessage `json:"err"`
	Obj     string          `json:"obj"`
	Run     int             `json:"run"`
	Parent  int             `json:"parent"`
	Partial bool            `json:"partial"`
	Choices []model.Choice  `json:"choices"`
	Tool    string          `json:"tool"`
	Call    string          `json:"call"`
	Args    string          `json:"args"`
	Res     any             `json:"res"`
}

func (r *recorded) err() error {
	if text := strings.Trim(string(r.Err), `"`); text != "null" && text != "" {
		return errors.New(text)
	}
	return nil
}

// The capture of a real run, replayed: what the plugin makes of it.
func TestRecordedCallbacks(t *testing.T) {
	const path = "../../../shared/data/callbacks/trpc_agent_v1.11.2_callbacks.jsonl"
	file, err := os.Open(path)
	if err != nil {
		t.Skipf("the recorded callbacks are not here: %v", err)
	}
	defer file.Close()
	var got strings.Builder
	var re *replay
	finish := func() {}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		r, ok := readRecorded(lines.Text())
		switch {
		case !ok: // what the framework logged
		case r.Case != "":
			finish()
			s := newStory(t, &tidings.HandlerOptions{Automatic: true})
			re = &replay{t: t, m: hooks(t, trpcagent.Plugin(s.job, nil)), contexts: map[int]context.Context{0: t.Context()}}
			finish = func() { fmt.Fprintf(&got, "# %s\n%s", r.Case, s.outline()) }
		default:
			re.callback(r)
		}
	}
	finish()
	if diff := cmp.Diff(strings.TrimSpace(recordedOutline), strings.TrimSpace(got.String())); diff != "" {
		t.Errorf("the log differs (- want, + got):\n%s", diff)
	}
}

// readRecorded reads a line. Long ones were cut when they were recorded.
func readRecorded(text string) (r recorded, ok bool) {
	if !strings.HasPrefix(text, "{") {
		return r, false
	}
	if json.Unmarshal([]byte(text), &r) == nil {
		return r, true
	}
	choices, rest, _ := strings.Cut(strings.TrimPrefix(text, `{"choices":`), `,"done":`)
	if json.Unmarshal([]byte(choices), &r.Choices) != nil {
		return r, false
	}
	r.M, r.Partial = "AfterModel", strings.HasPrefix(rest, "false")
	if _, run, cut := strings.Cut(rest, `"run":`); cut {
		_, _ = fmt.Sscanf(run, "%d", &r.Run)
	}
	return r, true
}

// replay calls a plugin as the recorded runner did.
type replay struct {
	t        *testing.T
	m        *plugin.Manager
	root     *agent.Invocation
	contexts map[int]context.Context
	model    int // the last call's, for lines that were cut
}

func (re *replay) callback(r recorded) {
	re.t.Helper()
	var err error
	switch r.M {
	case "BeforeAgent":
		re.root = agent.NewInvocation(agent.WithInvocationID(r.Inv), agent.WithInvocationMessage(model.NewUserMessage("hi")))
		re.root.AgentName = r.Agent
		var res *agent.BeforeAgentResult
		if res, err = re.m.AgentCallbacks().RunBeforeAgent(re.contexts[r.Parent], &agent.BeforeAgentArgs{Invocation: re.root}); err == nil {
			re.contexts[r.Run] = res.Context
		}
	case "AfterAgent":
		_, err = re.m.AgentCallbacks().RunAfterAgent(re.contexts[r.Run], &agent.AfterAgentArgs{Invocation: re.root, Error: r.err()})
	case "BeforeModel":
		var res *model.BeforeModelResult
		if res, err = re.m.ModelCallbacks().RunBeforeModel(re.contexts[r.Parent], &model.BeforeModelArgs{}); err == nil {
			re.contexts[r.Run], re.model = res.Context, r.Run
		}
	case "AfterModel":
		if r.Run == 0 {
			r.Run = re.model
		}
		_, err = re.m.ModelCallbacks().RunAfterModel(re.contexts[r.Run], &model.AfterModelArgs{Response: &model.Response{Choices: r.Choices, IsPartial: r.Partial}})
	case "BeforeTool":
		var res *tool.BeforeToolResult
		if res, err = re.m.ToolCallbacks().RunBeforeTool(re.contexts[r.Parent], &tool.BeforeToolArgs{ToolName: r.Tool, ToolCallID: r.Call, Arguments: []byte(r.Args)}); err == nil {
			re.contexts[r.Run] = res.Context
		}
	case "AfterTool":
		_, err = re.m.ToolCallbacks().RunAfterTool(re.contexts[r.Run], &tool.AfterToolArgs{ToolCallID: r.Call, Result: r.Res, Error: r.err()})
	case "OnEvent":
		_, err = re.m.OnEvent(re.t.Context(), re.root, &event.Event{InvocationID: r.Inv, Response: &model.Response{Object: r.Obj, IsPartial: r.Partial}})
	case "AfterRun":
		err = re.m.AfterRun(re.t.Context(), &plugin.AfterRunArgs{Invocation: re.root})
	default:
		re.t.Errorf("unknown callback %s", r.M)
	}
	if err != nil {
		re.t.Error(err)
	}
}

const recordedOutline = `
# ok + tool error
phase_update started agent weather input="hi"
  thought started llm
  thought completed llm
  tool_call tool tool=get_weather call=call_0 input={"city":"Oslo"}
  tool_result tool tool=get_weather call=call_0 output="sunny in Oslo"
  tool_call tool tool=get_weather call=call_1 input={"city":"Nowhere"}
  tool_result tool tool=get_weather call=call_1 error="Error: callable tool execution failed: city not found"
  thought started llm
  thought delta "It is sunny"
  thought completed llm content="It is sunny"
phase_update completed agent weather
done completed
# model error
phase_update started agent weather input="hi"
  thought started llm
  error error="flow_error: model exploded" scope=llm
phase_update failed agent weather caused-below
error error="flow_error: model exploded" scope=job caused-below fatal
`

package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings/internal/memlog"
)

// What an agent without a framework tells, for each of the three ways it ends.
func TestTheLoopTellsItsStory(t *testing.T) {
	for i, want := range []string{`phase_update started agent-loop
phase_update started chain turn
  thought started llm scripted model=scripted
  thought delta channel=reasoning "I need a tool for that."
  thought completed llm scripted model=scripted usage={"input_tokens":20,"output_tokens":6}
  tool_call tool tool=weather call=call_Oslo input={"city":"Oslo"}
  phase_update progress tool weather
  tool_result tool tool=weather call=call_Oslo output="sunny, -3 degrees"
  tool_call tool tool=weather call=call_Rome input={"city":"Rome"}
  phase_update progress tool weather
  tool_result tool tool=weather call=call_Rome output="rain, 12 degrees"
phase_update completed chain turn output=""
phase_update started chain turn
  thought started llm scripted model=scripted
  thought delta "I was told: sunny, -3 degrees; rain, 12 degrees."
  thought completed llm scripted model=scripted content="I was told: sunny, -3 degrees; rain, 12 degrees." usage={"input_tokens":80,"output_tokens":9}
phase_update completed chain turn output="I was told: sunny, -3 degrees; rain, 12 degrees."
done completed output="I was told: sunny, -3 degrees; rain, 12 degrees." usage={"input_tokens":100,"output_tokens":15}
`, `phase_update started agent-loop
phase_update started chain turn
  thought started llm scripted model=scripted
  thought delta channel=reasoning "I need a tool for that."
  thought completed llm scripted model=scripted usage={"input_tokens":20,"output_tokens":6}
  tool_call tool tool=weather call=call_Atlantis input={"city":"Atlantis"}
  phase_update progress tool weather
  tool_result tool tool=weather call=call_Atlantis error="no weather station in Atlantis"
phase_update completed chain turn output=""
phase_update started chain turn
  thought started llm scripted model=scripted
  thought delta "I was told: error: no weather station in Atlantis."
  thought completed llm scripted model=scripted content="I was told: error: no weather station in Atlantis." usage={"input_tokens":60,"output_tokens":9}
phase_update completed chain turn output="I was told: error: no weather station in Atlantis."
done completed output="I was told: error: no weather station in Atlantis." usage={"input_tokens":80,"output_tokens":15}
`, `phase_update started agent-loop
phase_update started chain turn
  thought started llm scripted model=scripted
  thought delta channel=reasoning "I need a tool for that."
  error error="the model is overloaded" scope=llm
phase_update failed chain turn caused-below
error error="the model is overloaded" usage={"input_tokens":20,"output_tokens":6} scope=job caused-below fatal
`} {
		t.Run(questions[i], func(t *testing.T) {
			store := memlog.New()
			ask(t.Context(), store, "job", questions[i], scripted{})
			if diff := cmp.Diff(want, memlog.Outline(store.Events("job"))); diff != "" {
				t.Errorf("the log (-want +got):\n%s", diff)
			}
		})
	}
}

// The command runs by itself, and shows the jobs to their ends.
func TestTheCommand(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, "", "loop", 0); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"tidings tail --url http://127.0.0.1:", " loop-3", "done         completed", "error        the model is overloaded"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the output lacks %s:\n%s", part, out.String())
		}
	}
}

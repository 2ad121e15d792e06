package demo

import (
	"context"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"
)

// Rules is a [Model] that is no language model: fixed rules choose the tools
// from what the conversation holds, and fill sentences with what was measured.
// The same folder gives the same replies.
type Rules struct {
	// Pace is the time between two pieces of text, so that a viewer sees them
	// come as from a language model. Zero: as fast as possible.
	Pace time.Duration
}

// Name implements [Model].
func (*Rules) Name() string { return "rules" }

// Plan implements [Model].
func (*Rules) Plan() string {
	return "No language model will be used: built-in rules choose the tools and fill in the sentences."
}

// About implements [Model].
func (*Rules) About() string {
	return "No language model was used: built-in rules chose the tools and filled in the sentences."
}

// Reply implements [Model].
func (m *Rules) Reply(ctx context.Context, r Request, delta func(string)) (Reply, error) {
	reply := Reply{Finish: "stop"}
	k := recall(r.Messages)
	switch r.Phase {
	case PhaseSurvey:
		reply.Text, reply.Calls = k.survey()
	case PhaseOutline:
		reply.Text = k.outline()
	case PhaseMeasure:
		reply.Text, reply.Calls = k.measure()
	case PhaseSummarise:
		reply.Text = k.summarise()
	case PhaseWrite:
		reply.Text = k.overview()
	}
	reply.Text = strings.TrimSpace(reply.Text)
	for i := range reply.Calls {
		reply.Calls[i].ID = fmt.Sprintf("call_%d", k.answers+i+1)
		reply.Finish = "tool_calls"
	}
	return reply, m.stream(ctx, reply.Text, delta)
}

// stream gives the text word by word.
func (m *Rules) stream(ctx context.Context, text string, delta func(string)) error {
	for word := range strings.SplitAfterSeq(text, " ") {
		if err := pause(ctx, m.Pace); err != nil {
			return err
		}
		delta(word)
	}
	return nil
}

// pause waits, or returns why ctx ended.
func pause(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// knowledge is what the conversation tells so far: all that the rules go by.
type knowledge struct {
	answers   int            // of tools, of any kind
	asked     map[string]int // tool → answers, also failed ones
	listing   listing
	parts     []totals // of the measured folders
	whole     *totals
	manifests []manifest
	entries   []entryPoint
	notes     findings
	readings  []reading
}

func recall(messages []Message) knowledge {
	k := knowledge{asked: map[string]int{}}
	for _, m := range messages {
		if m.Role != RoleTool {
			continue
		}
		k.answers++
		k.asked[m.Tool]++
		k.learn(m.Tool, []byte(m.Text))
	}
	return k
}

// learn takes over what a tool answered. An answer of another shape, such as
// that of a failed call, teaches nothing.
func (k *knowledge) learn(name string, answer []byte) {
	switch name {
	case toolListFiles:
		var l listing
		if json.Unmarshal(answer, &l) == nil && l.Files >= k.listing.Files { // not one of a part
			k.listing = l
		}
	case toolMeasure:
		var t totals
		if json.Unmarshal(answer, &t) != nil || t.Files == 0 {
			return
		}
		if t.Path == "" {
			k.whole = &t
			return
		}
		k.parts = append(k.parts, t)
	case toolDependencies:
		var found struct{ Manifests []manifest }
		_ = json.Unmarshal(answer, &found)
		k.manifests = found.Manifests
	case toolEntryPoints:
		var found struct {
			EntryPoints []entryPoint `json:"entry_points"`
		}
		_ = json.Unmarshal(answer, &found)
		k.entries = found.EntryPoints
	case toolSearch:
		_ = json.Unmarshal(answer, &k.notes)
	case toolReadFile:
		var r reading
		if json.Unmarshal(answer, &r) == nil && r.Lines > 0 {
			k.readings = append(k.readings, r)
		}
	}
}

func call(tool string, input any) Call {
	raw, _ := json.Marshal(input) // maps of strings and numbers
	return Call{Tool: tool, Input: raw}
}

// survey looks at the folder, then says what is there.
func (k *knowledge) survey() (string, []Call) {
	if k.asked[toolListFiles] == 0 {
		return "I begin with a list of what is there. ", []Call{call(toolListFiles, map[string]any{})}
	}
	l := &k.listing
	if l.Files == 0 {
		return "There is no file in this folder that I may look at. ", nil
	}
	text := fmt.Sprintf("%s holds %s in %s, %s altogether. ", code(l.Name), plural(l.Files, "file"), plural(l.Folders, "folder"), size(l.Bytes))
	text += fmt.Sprintf("The largest part is %s. ", place(l.Tree[0].Path))
	if len(l.Skipped) > 0 {
		text += "I leave out " + counts(l.Skipped) + ". "
	}
	if len(l.Unread) > 0 {
		text += fmt.Sprintf("%s can't be read. ", plural(len(l.Unread), "entry"))
	}
	return text, nil
}

// maxParts bounds the folders that are measured one by one.
const maxParts = 6

func (k *knowledge) chosen() []treeFolder {
	return k.listing.Tree[:min(len(k.listing.Tree), maxParts)]
}

// outline says what will be done.
func (k *knowledge) outline() string {
	if k.listing.Files == 0 {
		return "With nothing to measure, the report will only say so. "
	}
	var names []string
	for _, f := range k.chosen() {
		names = append(names, place(f.Path))
	}
	text := "1. See what it depends on and where it starts.\n2. Measure " + strings.Join(names, ", ") + ".\n"
	if left := k.listing.Parts - len(names); left > 0 {
		text = strings.TrimSuffix(text, ".\n") + fmt.Sprintf(", and the other %s as part of the whole.\n", plural(left, "folder"))
	}
	return text + "3. Look for notes that were left for later.\n4. Read " + k.readPlan() + ".\n"
}

func (k *knowledge) readPlan() string {
	if readme := k.readme(); readme != "" {
		return code(readme) + ", the longest source file and one entry point"
	}
	return "the longest source file and one entry point"
}

// readme is the file by which the folder explains itself, the one nearest to
// the root first.
func (k *knowledge) readme() string {
	best := ""
	for _, p := range k.listing.Paths {
		if !strings.HasPrefix(strings.ToLower(path.Base(p)), "readme") {
			continue
		}
		if best == "" || strings.Count(p, "/") < strings.Count(best, "/") {
			best = p
		}
	}
	return best
}

// measure calls one group of tools after the other.
func (k *knowledge) measure() (string, []Call) {
	switch {
	case k.listing.Files == 0:
		return "There is nothing to measure. ", nil
	case k.asked[toolDependencies] == 0:
		return "First what the parts are made of, and where they start. ", []Call{call(toolDependencies, map[string]any{}), call(toolEntryPoints, map[string]any{})}
	case k.asked[toolMeasure] == 0:
		return k.found() + "Now the folders, the largest first. ", k.measureCalls()
	case k.asked[toolSearch] == 0:
		return k.measured() + "Next the whole, and notes left for later. ", []Call{
			call(toolMeasure, map[string]any{"path": ""}), call(toolSearch, map[string]any{"pattern": marks.String()})}
	case k.asked[toolReadFile] == 0:
		if calls := k.readCalls(); len(calls) > 0 {
			return k.noted() + "Some files tell more than figures; I read how they begin. ", calls
		}
	}
	return "That is enough to write from. ", nil
}

func (k *knowledge) measureCalls() []Call {
	var calls []Call
	for _, f := range k.chosen() {
		calls = append(calls, call(toolMeasure, map[string]any{"path": f.Path}))
	}
	return calls
}

func (k *knowledge) readCalls() []Call {
	var paths []string
	if readme := k.readme(); readme != "" {
		paths = append(paths, readme)
	}
	if k.whole != nil && len(k.whole.Longest) > 0 {
		paths = append(paths, k.whole.Longest[0].Path)
	}
	if len(k.entries) > 0 {
		paths = append(paths, k.entries[0].Path)
	}
	var calls []Call
	seen := map[string]bool{}
	for _, p := range paths {
		if !seen[p] {
			seen[p] = true
			calls = append(calls, call(toolReadFile, map[string]any{"path": p, "lines": 40}))
		}
	}
	return calls
}

func (k *knowledge) found() string {
	if len(k.manifests)+len(k.entries) == 0 {
		return "No manifest of a package manager and no entry point. "
	}
	direct := 0
	for _, m := range k.manifests {
		direct += len(m.Direct)
	}
	return fmt.Sprintf("%s naming %s; %s. ", plural(len(k.manifests), "manifest"), plural(direct, "dependency"), plural(len(k.entries), "entry point"))
}

func (k *knowledge) measured() string {
	lines := 0
	for _, t := range k.parts {
		lines += t.Lines
	}
	return fmt.Sprintf("%s in %s. ", plural(lines, "line"), plural(len(k.parts), "folder"))
}

func (k *knowledge) noted() string {
	if k.notes.Matches == 0 {
		return "No notes were left for later. "
	}
	return fmt.Sprintf("%s for later in %s. ", plural(k.notes.Matches, "note"), plural(k.notes.Files, "file"))
}

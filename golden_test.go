package tidings_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/internal/memlog"
)

var update = flag.Bool("update", false, "write the golden files anew from what the handler publishes")

// callbackCase is one file of testdata/callbacks; its README.md says what the
// members mean. Handlers in other languages pass the same files.
type callbackCase struct {
	Name    string `json:"name"`
	About   string `json:"about"`
	Options struct {
		Name          string            `json:"name,omitempty"`
		Labels        map[string]string `json:"labels,omitempty"`
		Metadata      json.RawMessage   `json:"metadata,omitempty"`
		Automatic     bool              `json:"automatic,omitempty"`
		GraceMs       int64             `json:"grace_ms,omitempty"`
		StreamWaitMs  int64             `json:"stream_wait_ms,omitempty"`
		MaxFieldBytes int               `json:"max_field_bytes,omitempty"`
	} `json:"options"`
	Callbacks []json.RawMessage `json:"callbacks"`
	Events    []callbackEvent   `json:"events"`
	Status    tidings.Status    `json:"status"`
	Strays    int64             `json:"strays"`
}

type callbackEvent struct {
	Type string          `json:"event_type"`
	Data json.RawMessage `json:"data"`
}

func TestCallbackCases(t *testing.T) {
	paths, err := filepath.Glob("testdata/callbacks/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".json"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { checkCase(t, path) })
		})
	}
}

func checkCase(t *testing.T, path string) {
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var c callbackCase
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&c); err != nil {
		t.Fatal(err)
	}
	got := play(t, c)
	if *update {
		c.Events, c.Status, c.Strays = got.Events, got.Status, got.Strays
		writeCase(t, path, c)
		return
	}
	if diff := cmp.Diff(plain(t, c.Events), plain(t, got.Events)); diff != "" {
		t.Errorf("%s\nevents (-want +got):\n%s", c.About, diff)
	}
	if got.Status != c.Status || got.Strays != c.Strays {
		t.Errorf("the job is %s with %d strays, want %s with %d", got.Status, got.Strays, c.Status, c.Strays)
	}
}

// play runs the callbacks and gives what was published.
func play(t *testing.T, c callbackCase) callbackCase {
	store := memlog.New()
	o := c.Options
	p := &player{t: t, store: store, runs: map[string]*tidings.Run{}, models: map[string]*tidings.ModelRun{}, tools: map[string]*tidings.ToolRun{}, errs: map[string]error{}}
	p.job = tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{
		Name: o.Name, Labels: o.Labels, Metadata: o.Metadata, Automatic: o.Automatic, MaxFieldBytes: o.MaxFieldBytes,
		Grace: time.Duration(o.GraceMs) * time.Millisecond, StreamWait: time.Duration(o.StreamWaitMs) * time.Millisecond,
	})
	for _, raw := range c.Callbacks {
		p.do(raw)
	}
	if err := p.job.Close(t.Context()); err != nil {
		t.Errorf("Close: %v", err)
	}
	c.Events = nil
	for _, e := range store.Events("job") {
		c.Events = append(c.Events, callbackEvent{e.Type, e.Data})
	}
	c.Events = joinDeltas(t, c.Events)
	c.Status, c.Strays = store.Summary("job").Status, p.job.Stats().Strays
	return c
}

type player struct {
	t      *testing.T
	store  *memlog.Log
	job    *tidings.Handler
	runs   map[string]*tidings.Run
	models map[string]*tidings.ModelRun
	tools  map[string]*tidings.ToolRun
	errs   map[string]error
}

// step is one callback.
type step struct {
	Do, Run, Parent, Name, Kind, Channel, Text, Message, Model, Tool, Currency, Reason, By, Scope string
	MessageID                                                                                     string `json:"message_id"`
	CallID                                                                                        string `json:"call_id"`
	EventType                                                                                     string `json:"event_type"`
	FinishReason                                                                                  string `json:"finish_reason"`
	NS                                                                                            []string
	Step, Attempt, Ms                                                                             int64
	Hidden                                                                                        bool
	Progress, Amount                                                                              float64
	Value, Input, Output, Data                                                                    json.RawMessage
	Usage                                                                                         tidings.Usage
	Error                                                                                         *stepError
}

type stepError struct {
	ID, Message, Wraps, Kind string
	Cancel, Timeout          bool
}

func (p *player) err(e *stepError) error {
	if e == nil {
		return nil
	}
	if known := p.errs[e.ID]; known != nil && e.ID != "" {
		return known
	}
	wraps := p.errs[e.Wraps]
	switch {
	case e.Cancel:
		wraps = context.Canceled
	case e.Timeout:
		wraps = context.DeadlineExceeded
	}
	err := error(&caseError{message: e.Message, wraps: wraps})
	if e.Kind != "" {
		err = &kindError{caseError{message: e.Message, wraps: wraps}, e.Kind}
	}
	if e.ID != "" {
		p.errs[e.ID] = err
	}
	return err
}

type caseError struct {
	message string
	wraps   error
}

func (e *caseError) Error() string { return e.message }
func (e *caseError) Unwrap() error { return e.wraps }

// kindError says its kind itself.
type kindError struct {
	caseError
	kind string
}

func (e *kindError) ErrorKind() string { return e.kind }

func (p *player) do(raw json.RawMessage) {
	var s step
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); err != nil {
		p.t.Fatalf("%s: %v", raw, err)
	}
	info := tidings.RunInfo{ID: s.Run, Name: s.Name, Kind: s.Kind, Namespace: s.NS, Step: s.Step, Attempt: s.Attempt, Hidden: s.Hidden, Parent: p.parent(s.Parent)}
	info.Input = value(s.Input)
	ctx := p.t.Context()
	switch s.Do {
	case "run_start":
		_, p.runs[s.Run] = p.job.PhaseWith(ctx, info)
	case "model_start":
		_, m := p.job.ModelWith(ctx, info, s.Model, s.MessageID)
		p.models[s.Run], p.runs[s.Run] = m, m.Run()
	case "tool_start":
		_, tool := p.job.ToolWith(ctx, info, s.Tool, s.CallID)
		p.tools[s.Run], p.runs[s.Run] = tool, tool.Run()
	case "wait":
		time.Sleep(time.Duration(s.Ms) * time.Millisecond) // virtual time
	case "cancel_requested":
		p.requestCancel(s)
	default:
		if !p.doRun(s) && !p.doJob(s) {
			p.t.Fatalf("unknown callback %q", s.Do)
		}
	}
}

func (p *player) doRun(s step) bool {
	run, model := p.runs[s.Run], p.models[s.Run]
	switch s.Do {
	case "run_progress":
		run.Progress(s.Progress, s.Message)
	case "run_interrupt":
		run.Interrupt(value(s.Value))
	case "run_resume":
		run.Resume(value(s.Value))
	case "run_output":
		run.Output(value(s.Output))
	case "run_end":
		run.End(p.err(s.Error))
	case "model_delta":
		model.Delta(s.Channel, s.Text)
	case "model_usage":
		model.Usage(s.Usage)
	case "model_cost":
		model.Cost(s.Amount, s.Currency)
	case "model_tool_call":
		model.ToolCall(s.CallID, s.Tool, value(s.Input))
	case "model_end":
		model.FinishReason(s.FinishReason)
		model.End(s.Text, p.err(s.Error))
	case "tool_end":
		p.tools[s.Run].End(value(s.Output), p.err(s.Error))
	default:
		return false
	}
	return true
}

func (p *player) doJob(s step) bool {
	run := p.runs[s.Run]
	switch {
	case s.Do == "custom" && run != nil:
		run.Custom(s.Name, value(s.Value))
	case s.Do == "custom":
		p.job.Custom(s.Name, value(s.Value))
	case s.Do == "state" && run != nil:
		run.State(value(s.Value))
	case s.Do == "state":
		p.job.State(value(s.Value))
	case s.Do == "state_patch" && run != nil:
		run.StatePatch(value(s.Value))
	case s.Do == "state_patch":
		p.job.StatePatch(value(s.Value))
	case s.Do == "error":
		p.job.Error(p.t.Context(), p.err(s.Error), s.Scope)
	case s.Do == "interrupt":
		p.job.Interrupt(value(s.Value))
	case s.Do == "resume":
		p.job.Resume(value(s.Value))
	case s.Do == "emit":
		p.job.Emit(tidings.Event{Type: s.EventType, Data: s.Data})
	case s.Do == "end":
		p.job.End(value(s.Output), p.err(s.Error))
	default:
		return false
	}
	return true
}

func (p *player) parent(id string) *tidings.Run {
	if id == "" {
		return nil
	}
	r := p.runs[id]
	if r == nil {
		p.t.Fatalf("no run %q was started", id)
	}
	return r
}

// requestCancel is somebody else asking the job to stop, after everything until
// now was stored; the handler knows of it when the next callback comes.
func (p *player) requestCancel(s step) {
	if err := p.job.Flush(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	data, _ := json.Marshal(map[string]string{"reason": s.Reason, "by": s.By})
	if _, err := p.store.Append(p.t.Context(), "job", tidings.Batch{Events: []tidings.Event{{Type: tidings.TypeCancelRequested, Data: data}}}); err != nil {
		p.t.Fatal(err)
	}
	<-p.job.Context().Done()
	if cause := context.Cause(p.job.Context()); !errors.Is(cause, tidings.ErrCancelRequested) {
		p.t.Errorf("the context ended by %v", cause)
	}
	synctest.Wait()
}

// value is what the agent gives: a string as such, as its odd characters count,
// anything else as JSON, so that numbers stay as they are.
func value(raw json.RawMessage) any {
	var s string
	switch {
	case raw == nil:
		return nil
	case raw[0] == '"' && json.Unmarshal(raw, &s) == nil:
		return s
	}
	return raw
}

// joinDeltas joins neighbouring deltas of one stream: how many events they
// become is a matter of time.
func joinDeltas(t *testing.T, events []callbackEvent) []callbackEvent {
	var out []callbackEvent
	var last map[string]any
	for _, e := range events {
		var d map[string]any
		if err := json.Unmarshal(e.Data, &d); err != nil || d["status"] != "delta" {
			out, last = append(out, e), nil
			continue
		}
		if last != nil && last["run_id"] == d["run_id"] && last["channel"] == d["channel"] {
			d["delta"] = last["delta"].(string) + d["delta"].(string)
			e.Data = ordered(t, out[len(out)-1].Data, d["delta"].(string))
			out = out[:len(out)-1]
		}
		out, last = append(out, e), d
	}
	return out
}

// ordered sets the delta and keeps the order of the members, for people who
// read the files.
func ordered(t *testing.T, data json.RawMessage, delta string) json.RawMessage {
	var old struct{ Delta string }
	if err := json.Unmarshal(data, &old); err != nil {
		t.Fatal(err)
	}
	from, _ := json.Marshal(old.Delta)
	to, _ := json.Marshal(delta)
	return bytes.Replace(data, append([]byte(`"delta":`), from...), append([]byte(`"delta":`), to...), 1)
}

// plain is the events as values that cmp shows well; numbers stay as written.
func plain(t *testing.T, events []callbackEvent) []map[string]any {
	out := []map[string]any{}
	for _, e := range events {
		var d any
		dec := json.NewDecoder(bytes.NewReader(e.Data))
		dec.UseNumber()
		if err := dec.Decode(&d); err != nil {
			t.Fatalf("%s: %v", e.Data, err)
		}
		out = append(out, map[string]any{"event_type": e.Type, "data": d})
	}
	return out
}

// writeCase writes one callback and one event a line.
func writeCase(t *testing.T, path string, c callbackCase) {
	var b bytes.Buffer
	line := func(v any) string {
		var out bytes.Buffer
		enc := json.NewEncoder(&out)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(v); err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(out.String())
	}
	b.WriteString("{\n\"name\": " + line(c.Name) + ",\n\"about\": " + line(c.About) + ",\n\"options\": " + line(c.Options) + ",\n\"callbacks\": [\n")
	for i, raw := range c.Callbacks {
		b.WriteString("  " + line(raw) + comma(i, len(c.Callbacks)) + "\n")
	}
	b.WriteString("],\n\"events\": [\n")
	for i, e := range c.Events {
		b.WriteString("  " + line(e) + comma(i, len(c.Events)) + "\n")
	}
	b.WriteString("],\n\"status\": " + line(c.Status) + ",\n\"strays\": " + line(c.Strays) + "\n}\n")
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func comma(i, n int) string {
	if i < n-1 {
		return ","
	}
	return ""
}

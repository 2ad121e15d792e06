package alert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"

	"tidings"
	"tidings/monitor"
)

// jobTally is what is remembered of one job that goes on.
type jobTally struct {
	At int64 `json:"at"` // last heard of, ms

	Calls []call `json:"calls,omitempty"` // the last ones, the newest last
	Text  uint64 `json:"text,omitempty"`  // of the last message
	Texts int    `json:"texts,omitempty"` // how often in a row

	Fails map[string]int `json:"fails,omitempty"` // of each tool, in a row

	Tokens int64              `json:"tokens,omitempty"`
	Cost   map[string]float64 `json:"cost,omitempty"`
}

// call is one call of a tool, as far as loops are concerned.
type call struct {
	ID   string `json:"id,omitempty"` // until its result is there
	New  bool   `json:"n,omitempty"`  // it begins a round: calls that run at once are one
	Tool string `json:"t"`
	In   uint64 `json:"i"`           // tool and canonical input
	Out  uint64 `json:"o,omitempty"` // its result; 0: none yet
}

const (
	keepCalls = 30
	// noProgress calls of the last keepCalls that have the same result are a loop,
	// also with others between them.
	noProgress = 6
)

// loop finds jobs that do the same again and again: the same tool with the same
// input in a row, two calls in turn, the same call with the same result over and
// over, or the same text. What a tool that polls does again is no loop before it
// is many times.
var loop = &detector{
	name: "loop", help: "a job does the same again and again", severity: Warning, keep: 2 * minute,
	defaults: map[string]any{"count": 3.0, "critical": 5.0, "cycles": 3.0, "texts": 3.0, "poll_count": 10.0, "poll_critical": 20.0,
		"polling": `(?i)(wait|poll|status|sleep|check_progress|heartbeat)`, "ignore": []string{"timestamp", "request_id", "nonce", "reason", "explanation", "thought"}},
	settings: map[string]string{
		"count": "the same call in a row", "critical": "so many are critical", "cycles": "A-B-A-B so often", "texts": "the same text in a row",
		"poll_count": "the same call in a row of a tool that polls", "poll_critical": "so many are critical",
		"polling": "pattern of the names of tools that poll", "ignore": "members of a call's input that don't make it another call"},
	check:   func(r *Rule) error { return r.pattern("polling") },
	observe: observeLoop,
}

func observeLoop(r *Rule, t *tally, c *monitor.Folded) {
	if c.Deleted || c.Job.Status.Ended() {
		t.clear(r, c.Event.JobID)
		return
	}
	switch c.Event.Type {
	case tidings.TypeToolCall:
		j := t.job(c)
		j.addCall(r, c)
		j.judge(r, t, c)
	case tidings.TypeToolResult, tidings.TypeError:
		if j := t.Jobs[c.Job.ID]; j != nil && j.result(c) {
			j.judge(r, t, c)
		}
	case tidings.TypeThought:
		if c.Facts.Content != "" {
			t.job(c).text(r, t, c)
		}
	}
}

func (j *jobTally) addCall(r *Rule, c *monitor.Folded) {
	f := c.Facts
	in := hash(f.Tool, canonical(inputOf(c), r.list("ignore")))
	if n := len(j.Calls); n > 0 && f.CallID != "" && j.Calls[n-1].ID == f.CallID {
		return // told twice
	}
	if len(j.Calls) >= keepCalls {
		j.Calls = slices.Delete(j.Calls, 0, len(j.Calls)-keepCalls+1)
	}
	j.Calls = append(j.Calls, call{ID: clip(f.CallID, 128), New: j.beginsRound(in), Tool: clip(f.Tool, 128), In: in})
}

// beginsRound reports whether a call runs by itself: the one before has its
// result, or this one was made in the round already.
func (j *jobTally) beginsRound(in uint64) bool {
	n := len(j.Calls)
	if n == 0 || j.Calls[n-1].Out != 0 {
		return true
	}
	for i := n - 1; i >= 0; i-- {
		if j.Calls[i].In == in {
			return true
		}
		if j.Calls[i].New {
			break
		}
	}
	return false
}

// result notes what a call gave.
func (j *jobTally) result(c *monitor.Folded) bool {
	f := c.Facts
	for i := len(j.Calls) - 1; i >= 0; i-- {
		k := &j.Calls[i]
		if k.Out == 0 && (f.CallID != "" && k.ID == f.CallID || f.CallID == "" && k.Tool == f.Tool && f.Tool != "") {
			k.Out, k.ID = hash(string(f.Output), f.Error), ""
			return true
		}
	}
	return false
}

// judge decides by the last calls whether the job is in a loop.
func (j *jobTally) judge(r *Rule, t *tally, c *monitor.Folded) {
	n := len(j.Calls)
	last := &j.Calls[n-1]
	polls := r.patterns["polling"].MatchString(last.Tool)
	count, critical := int(r.number("count")), int(r.number("critical"))
	if polls {
		count, critical = int(r.number("poll_count")), int(r.number("poll_critical"))
	}
	row, partly := j.inARow()
	switch same, cycles := j.sameResult(), j.cycles(); {
	case row >= count:
		j.raise(r, t, c, row, critical, fmt.Sprintf("called %s with the same input %d times in a row", last.Tool, row))
	case !polls && cycles >= int(r.number("cycles")):
		j.raise(r, t, c, cycles, critical, fmt.Sprintf("calls %s and %s in turn, the same each time, %d times", j.Calls[n-2].Tool, last.Tool, cycles))
	case !polls && same >= noProgress:
		j.raise(r, t, c, same, 2*noProgress, fmt.Sprintf("called %s with the same input and the same result %d times", last.Tool, same))
	case c.Event.Type == tidings.TypeToolCall && !partly && j.Texts < int(r.number("texts")):
		t.clear(r, c.Job.ID)
	}
}

func (j *jobTally) raise(r *Rule, t *tally, c *monitor.Folded, n, critical int, what string) {
	severity := ""
	if n >= critical {
		severity = Critical
	}
	labels := jobLabels(c.Job)
	if c.Facts.Tool != "" {
		labels["tool"] = c.Facts.Tool
	}
	t.raise(r, c.Job.ID, found{Severity: severity, Labels: labels, Job: c.Job.ID, Event: c.Event.ID, At: c.At, Value: ptr(float64(n)),
		Summary: "job " + c.Job.ID + named(c.Job.Name) + " " + what})
}

// inARow is how often the last round of calls was made without another one
// between. partly says that the last round is not complete yet, as far as the
// one before tells.
func (j *jobTally) inARow() (row int, partly bool) {
	var rounds []uint64 // the newest first; in whichever order the calls of one came
	sum, last := uint64(0), j.Calls[len(j.Calls)-1].In
	for i := len(j.Calls) - 1; i >= 0; i-- {
		sum += j.Calls[i].In
		partly = partly || len(rounds) == 1 && j.Calls[i].In == last
		if j.Calls[i].New {
			rounds = append(rounds, sum)
			sum = 0
		}
	}
	for row = 0; row < len(rounds) && rounds[row] == rounds[0]; row++ {
	}
	return row, partly && row < 2
}

// cycles is how often the last two calls were made in turn, if they differ.
func (j *jobTally) cycles() int {
	n := len(j.Calls)
	if n < 4 || j.Calls[n-1].In == j.Calls[n-2].In {
		return 0
	}
	a, b := j.Calls[n-2].In, j.Calls[n-1].In
	cycles := 0
	for i := n - 1; i >= 1 && j.Calls[i].In == b && j.Calls[i-1].In == a; i -= 2 {
		cycles++
	}
	return cycles
}

// sameResult is how many of the last calls are the last one that has a result,
// with that result.
func (j *jobTally) sameResult() int {
	last := len(j.Calls) - 1
	for last >= 0 && j.Calls[last].Out == 0 {
		last--
	}
	if last < 0 {
		return 0
	}
	n := 0
	for _, k := range j.Calls {
		if k.In == j.Calls[last].In && k.Out == j.Calls[last].Out {
			n++
		}
	}
	return n
}

const shortText = 20

// text counts the same text in a row. Short ones, as "Done." or "…", say nothing.
func (j *jobTally) text(r *Rule, t *tally, c *monitor.Folded) {
	text := strings.Join(strings.Fields(c.Facts.Content), " ")
	if len(text) < shortText {
		return
	}
	if h := hash(text); h == j.Text {
		j.Texts++
	} else {
		j.Text, j.Texts = h, 1
	}
	switch {
	case j.Texts >= int(r.number("texts")):
		j.raise(r, t, c, j.Texts, int(r.number("critical")), fmt.Sprintf("said the same %d times in a row: %s", j.Texts, strconv.Quote(clip(text, 80))))
	case j.Texts == 1 && !j.repeats(r):
		t.clear(r, c.Job.ID)
	}
}

func (j *jobTally) repeats(r *Rule) bool {
	if len(j.Calls) == 0 {
		return false
	}
	row, _ := j.inARow()
	return row >= int(r.number("count"))
}

// inputOf is what the tool was called with; publishers that are not ours call it
// by other names.
func inputOf(c *monitor.Folded) json.RawMessage {
	if len(c.Facts.Input) > 0 {
		return c.Facts.Input
	}
	var other struct {
		Arguments json.RawMessage `json:"arguments"`
		Args      json.RawMessage `json:"args"`
	}
	_ = json.Unmarshal(c.Event.Data, &other) // what is of another shape is none
	if len(other.Arguments) > 0 {
		return other.Arguments
	}
	return other.Args
}

// canonical gives equal inputs one form: keys sorted, numbers and white space
// normalised, what is ignored left out.
func canonical(raw json.RawMessage, ignore []string) string {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return string(raw)
	}
	if text, ok := v.(string); ok { // JSON within a string, as OpenAI's arguments are
		var inner any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if d.Decode(&inner) == nil && !d.More() {
			v = inner
		}
	}
	out, err := json.Marshal(normal(v, ignore)) // maps are written with sorted keys
	if err != nil {
		return string(raw)
	}
	return string(out)
}

func normal(v any, ignore []string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, member := range v {
			if slices.Contains(ignore, k) {
				delete(v, k)
				continue
			}
			v[k] = normal(member, ignore)
		}
		return v
	case []any:
		for i := range v {
			v[i] = normal(v[i], ignore)
		}
		return v
	case json.Number:
		if f, err := v.Float64(); err == nil && f == float64(int64(f)) {
			return int64(f)
		}
		return v
	case string:
		return strings.Join(strings.Fields(v), " ")
	}
	return v
}

func hash(parts ...string) uint64 {
	h := fnv.New64a()
	for _, p := range parts {
		_, _ = h.Write([]byte(p)) // never fails
		_, _ = h.Write([]byte{0})
	}
	return max(h.Sum64(), 1) // 0 is none
}

func clip(s string, size int) string {
	if len(s) <= size {
		return s
	}
	return strings.ToValidUTF8(s[:size-3], "") + "…"
}

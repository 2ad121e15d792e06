package tidings_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings"

	"github.com/google/go-cmp/cmp"
)

var began = time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)

// fold folds events written as "type {data}", one a second.
func fold(t testing.TB, events ...string) tidings.Job {
	t.Helper()
	var j tidings.Job
	for i, e := range parse(t, events) {
		j.Apply(&e)
		if want := began.Add(time.Duration(i) * time.Second); !j.UpdatedAt.Equal(want) {
			t.Fatalf("updated at %s; want %s", j.UpdatedAt, want)
		}
	}
	return j
}

func parse(t testing.TB, texts []string) []tidings.Event {
	t.Helper()
	events := make([]tidings.Event, len(texts))
	for i, text := range texts {
		eventType, data, _ := strings.Cut(text, " ")
		events[i] = tidings.Event{
			ID: tidings.ID{Ms: 1000 + uint64(i)}, JobID: "job", Type: eventType,
			Time: began.Add(time.Duration(i) * time.Second), Data: json.RawMessage(data),
		}
		if err := events[i].Validate(); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return events
}

const (
	created     = `phase_update {"phase":"job","status":"queued","name":"study"}`
	rootStarts  = `phase_update {"phase":"plan","status":"started","run_id":"r1"}`
	nodeStarts  = `phase_update {"phase":"node","status":"started","run_id":"r2","parent_run_id":"r1"}`
	interrupted = `phase_update {"phase":"plan","status":"interrupted","run_id":"r1"}`
	resumed     = `phase_update {"phase":"plan","status":"resumed","run_id":"r3"}`
	bareError   = `error {"error":"it broke"}`
	custom      = `custom {}`
	asked       = `cancel_requested {"by":"me","reason":"enough"}`
)

func TestJobStatus(t *testing.T) {
	const (
		queued, running, waiting, cancelling = tidings.StatusQueued, tidings.StatusRunning, tidings.StatusWaiting, tidings.StatusCancelling
		completed, failed, cancelled         = tidings.StatusCompleted, tidings.StatusFailed, tidings.StatusCancelled
	)
	for _, c := range []struct {
		name   string
		events []string
		want   tidings.Status
	}{
		{"created", []string{created}, queued},
		{"any event starts it", []string{created, custom}, running},
		{"without creation", []string{custom}, running},
		{"nested run starts it", []string{created, nodeStarts}, running},
		{"queued later changes nothing", []string{custom, created}, running},
		{"the root ended, the job did not", []string{rootStarts, `phase_update {"status":"completed"}`}, running},
		{"a chain failed, the job did not", []string{rootStarts, `phase_update {"status":"failed"}`}, running},

		{"done", []string{rootStarts, `done {"status":"completed"}`}, completed},
		{"done alone", []string{`done`}, completed},
		{"cancelled", []string{rootStarts, `cancelled {}`}, cancelled},
		{"fatal error", []string{rootStarts, `error {"error":"x","scope":"job","fatal":true}`}, failed},
		{"fatal without scope", []string{`error {"fatal":true}`}, failed},

		{"an existing publisher's error", []string{custom, bareError}, failed},
		{"more events behind it", []string{custom, bareError, custom}, running},
		{"another behind it", []string{custom, bareError, bareError}, failed},
		{"a tool's error behind it", []string{bareError, `error {"scope":"tool"}`}, running},
		{"a request to stop behind it", []string{bareError, asked}, cancelling},
		{"an interrupt behind it", []string{bareError, interrupted}, waiting},
		{"queued behind it", []string{bareError, created}, running},
		{"done behind it", []string{bareError, `done {}`}, completed},
		{"fatal of another shape is absent", []string{`error {"fatal":"true"}`}, failed},
		{"scope of another shape is absent", []string{`error {"scope":["tool"]}`}, failed},
		{"fatal null is absent", []string{`error {"fatal":null,"scope":null}`}, failed},
		{"data of another shape", []string{`error "it broke"`}, failed},

		{"a tool's error", []string{rootStarts, `error {"error":"x","scope":"tool"}`}, running},
		{"a chain's error", []string{rootStarts, `error {"error":"x","scope":"chain","parent_run_id":"r1"}`}, running},
		{"the model's error", []string{rootStarts, `error {"error":"x","scope":"llm","fatal":false}`}, running},
		{"not fatal", []string{rootStarts, `error {"error":"x","fatal":false}`}, running},
		{"an error in the queue", []string{created, `error {"scope":"chain"}`}, running},

		{"interrupted", []string{rootStarts, interrupted}, waiting},
		{"a node is interrupted", []string{rootStarts, nodeStarts, `phase_update {"status":"interrupted","parent_run_id":"r1"}`}, running},
		{"strays behind the interrupt", []string{rootStarts, interrupted, `thought {}`, `phase_update {"status":"completed","parent_run_id":"r1"}`, nodeStarts}, waiting},
		{"resumed", []string{rootStarts, interrupted, resumed}, running},
		{"resumed by a new root", []string{rootStarts, interrupted, rootStarts}, running},
		{"interrupted twice", []string{rootStarts, interrupted, resumed, interrupted}, waiting},
		{"done while waiting", []string{rootStarts, interrupted, `done {}`}, completed},
		{"an error while waiting", []string{rootStarts, interrupted, bareError}, failed},

		{"asked to stop", []string{rootStarts, asked}, cancelling},
		{"asked while queued", []string{created, asked}, cancelling},
		{"asked while waiting", []string{rootStarts, interrupted, asked}, cancelling},
		{"goes on for a while", []string{rootStarts, asked, custom, nodeStarts, `tool_result {}`}, cancelling},
		{"a new root meanwhile", []string{rootStarts, asked, rootStarts}, cancelling},
		{"interrupted meanwhile", []string{rootStarts, asked, interrupted}, cancelling},
		{"stopped", []string{rootStarts, asked, `cancelled {}`}, cancelled},
		{"ended before it could stop", []string{rootStarts, asked, `done {}`}, completed},
		{"failed while stopping", []string{rootStarts, asked, `error {"fatal":true}`}, failed},
		{"an existing publisher's error while stopping", []string{rootStarts, asked, bareError, custom}, cancelling},

		{"a task is queued", []string{`task_queued {}`}, queued},
		{"a task starts", []string{`task_queued {}`, `task_started {}`}, running},
		{"a task gets on", []string{`task_queued {}`, `task_progress {"progress":0.5}`}, running},
		{"a task is retried", []string{`task_started {}`, bareError, `task_retried {"attempt":2}`}, queued},
		{"and starts again", []string{`task_started {}`, `task_retried {}`, `task_started {}`}, running},
		{"retried though asked to stop", []string{`task_started {}`, asked, `task_retried {}`}, cancelling},
		{"a task completes", []string{`task_started {}`, `task_completed {}`}, completed},
		{"a task completes and the job waits for input", []string{`task_started {}`, rootStarts, interrupted, `task_completed {}`}, waiting},
		{"and is resumed by another task", []string{`task_started {}`, rootStarts, interrupted, `task_completed {}`, `task_started {}`}, running},
		{"a task fails", []string{`task_started {}`, `task_failed {"error":"x"}`}, failed},
		{"strays behind the verdict", []string{`task_failed {}`, `thought {}`, `task_progress {}`, `tool_result {}`}, failed},
		{"a tool's error behind the verdict", []string{`task_failed {}`, `error {"scope":"tool"}`, custom}, failed},
		{"an error behind the verdict", []string{`task_completed {}`, bareError}, failed},
		{"and then a stray", []string{`task_completed {}`, bareError, custom}, completed},
		{"asked to stop behind the verdict", []string{`task_completed {}`, asked}, completed},
		{"a new attempt behind the verdict", []string{`task_failed {}`, `task_started {}`}, running},
		{"a new root behind the verdict", []string{`task_failed {}`, rootStarts, bareError, custom}, running},
		{"done behind the verdict", []string{`task_failed {}`, `done {}`}, completed},

		{"types without a meaning", []string{created, `Done {}`, `state {"snapshot":{}}`}, running},
		{"statuses without a meaning", []string{created, `phase_update {"status":"received"}`, `phase_update {"status":7}`}, running},
	} {
		j := fold(t, c.events...)
		if j.Status != c.want {
			t.Errorf("%s: %s; want %s", c.name, j.Status, c.want)
		}
		if (j.EndedAt != nil) != j.Status.Ended() {
			t.Errorf("%s: status %s, ended at %v", c.name, j.Status, j.EndedAt)
		}
		if last := parse(t, c.events)[len(c.events)-1]; j.Closed != last.Terminal() || j.LastType != last.Type || j.LastID != last.ID {
			t.Errorf("%s: closed %t, last event %s %s", c.name, j.Closed, j.LastType, j.LastID)
		}
	}
}

// A job ended when the event said so that made it what it is.
func TestJobEndedAt(t *testing.T) {
	for _, c := range []struct {
		events []string
		second int
	}{
		{[]string{custom, `done {}`}, 1},
		{[]string{bareError, custom, bareError}, 2},
		{[]string{bareError, bareError}, 1},
		{[]string{bareError, `done {}`}, 1},
		{[]string{`task_completed {}`, custom, custom}, 0},
		{[]string{`task_completed {}`, custom, `done {}`}, 2},
	} {
		j := fold(t, c.events...)
		if want := began.Add(time.Duration(c.second) * time.Second); j.EndedAt == nil || !j.EndedAt.Equal(want) {
			t.Errorf("%q: ended at %v; want %s", c.events, j.EndedAt, want)
		}
	}
}

func TestJobError(t *testing.T) {
	for _, c := range []struct {
		events []string
		want   string
	}{
		{[]string{bareError}, "it broke"},
		{[]string{bareError, custom}, ""},
		{[]string{bareError, `done {}`}, ""},
		{[]string{bareError, `error {}`}, "it broke"}, // the next has no text of its own
		{[]string{`error {"error":{"code":7}}`}, `{"code":7}`},
		{[]string{`error {"error":null}`}, ""},
		{[]string{`error {"error":"a","scope":"tool"}`}, ""},
		{[]string{`error {"error":"a","scope":"tool"}`, `error {"error":"b","fatal":true}`}, "b"},
		{[]string{`task_failed {"error":"worker lost"}`, custom}, "worker lost"},
		{[]string{`tool_result {"error":"a"}`, `phase_update {"status":"failed","error":"b"}`}, ""},
	} {
		if got := fold(t, c.events...).Error; got != c.want {
			t.Errorf("%q: error %q; want %q", c.events, got, c.want)
		}
	}
}

func TestJobFacts(t *testing.T) {
	j := fold(t,
		`phase_update {"phase":"job","status":"queued","name":"study","labels":{"team":"a","env":"test","n":5},"metadata":{"n":1e400}}`,
		`task_queued {"task":"study.run","queue":"slow"}`,
		`task_started {"worker":"w1","attempt":1}`,
		`phase_update {"phase":"plan","status":"started","name":"agent","labels":{"env":"live"},"run_id":"r1"}`,
		`phase_update {"phase":"node","status":"progress","progress":0.25,"message":"half of the half","parent_run_id":"r1","name":"n","labels":{"x":"y"}}`,
		`thought {"status":"delta","delta":"about \"usage\""}`,
		`thought {"status":"completed","usage":{"input_tokens":120,"output_tokens":30,"cached_input_tokens":100,"reasoning_tokens":10}}`,
		`thought {"status":"completed","usage":{"input_tokens":1,"output_tokens":2.5}}`,
		asked,
		`cancel_requested {"by":"another","reason":"later"}`,
	)
	half := 0.25
	want := tidings.Job{
		ID: "job", Name: "study", Status: tidings.StatusCancelling, Labels: map[string]string{"team": "a", "env": "live"},
		Metadata: json.RawMessage(`{"n":1e400}`), CreatedAt: began, UpdatedAt: began.Add(9 * time.Second), Events: 10,
		FirstID: tidings.ID{Ms: 1000}, LastID: tidings.ID{Ms: 1009}, LastType: "cancel_requested",
		Phase: "node", Progress: &half, Message: "half of the half",
		Cancel: &tidings.CancelRequest{By: "me", Reason: "enough", At: began.Add(8 * time.Second)},
		Task:   &tidings.Task{Task: "study.run", Queue: "slow", Worker: "w1", Attempt: 1},
		Usage:  &tidings.Usage{InputTokens: 121, OutputTokens: 30, CachedInputTokens: 100, ReasoningTokens: 10},
	}
	if diff := cmp.Diff(want, j); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestJobDoneSumsUp(t *testing.T) {
	usage := `thought {"usage":{"input_tokens":5,"output_tokens":5}}`
	j := fold(t, usage, usage, `done {"usage":{"input_tokens":11,"output_tokens":10},"cost":0.0125}`)
	if *j.Usage != (tidings.Usage{InputTokens: 11, OutputTokens: 10}) || string(j.Cost) != "0.0125" {
		t.Errorf("usage %+v, cost %s; want what done says", j.Usage, j.Cost)
	}
	j = fold(t, usage, usage, `done {"usage":{"input_tokens":5,"output_tokens":5}}`)
	if want := (tidings.Usage{InputTokens: 10, OutputTokens: 10}); *j.Usage != want {
		t.Errorf("usage %+v; want what both runs of a resumed job took, %+v", *j.Usage, want)
	}
	j = fold(t, usage, usage, `done {"cost":null}`)
	if *j.Usage != (tidings.Usage{InputTokens: 10, OutputTokens: 10}) || j.Cost != nil {
		t.Errorf("usage %+v, cost %s; want the sum, and no cost", j.Usage, j.Cost)
	}
}

// A member of another shape counts as absent, not as empty.
func TestJobForgivesOddShapes(t *testing.T) {
	sound := []string{
		`phase_update {"phase":"plan","status":"started","name":"study","progress":0.5,"message":"m","labels":{"a":"b"},"metadata":{"k":1}}`,
		`thought {"usage":{"input_tokens":5,"output_tokens":5}}`,
	}
	odd := []string{
		`phase_update {"phase":1,"status":"progress","name":[],"progress":"90%","message":{},"labels":"none","metadata":null}`,
		`phase_update {"status":"progress","labels":{"a":null,"b":7},"progress":null}`,
		`phase_update [1,2]`, `phase_update "x"`, `phase_update null`,
		`thought {"usage":"a lot"}`, `thought {"usage":null}`, `thought {"usage":[1]}`,
		`task_progress {"attempt":"first","progress":[]}`,
	}
	want, got := fold(t, sound...), fold(t, append(sound, odd...)...)
	want.Events, want.LastID, want.LastType, want.UpdatedAt, want.Task = got.Events, got.LastID, got.LastType, got.UpdatedAt, got.Task
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-sound +odd):\n%s", diff)
	}
	if j := fold(t, `done {"usage":"a lot"}`); j.Usage != nil {
		t.Errorf("usage %+v out of nothing", j.Usage)
	}
}

// A summary that was handed out does not change when the fold goes on.
func TestJobIsAValue(t *testing.T) {
	var j tidings.Job
	events := parse(t, []string{
		`phase_update {"status":"queued","labels":{"a":"1"},"metadata":{"a":1},"progress":0.1}`, asked, `task_started {"worker":"w1"}`, `thought {"usage":{"input_tokens":1}}`, `task_failed {}`,
		`phase_update {"status":"started","labels":{"a":"2","b":"3"},"metadata":{"a":2},"progress":0.2}`, `cancel_requested {"by":"b"}`, `task_started {"worker":"w2"}`, `thought {"usage":{"input_tokens":1}}`, `done {"usage":{"input_tokens":9},"cost":1}`,
	})
	for i := range events {
		handedOut := j
		before := encode(t, &handedOut)
		j.Apply(&events[i])
		if after := encode(t, &handedOut); after != before {
			t.Errorf("%s changed what was handed out:\n%s\n%s", events[i].Type, before, after)
		}
	}
}

func encode(t testing.TB, j *tidings.Job) string {
	t.Helper()
	text, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A store keeps the summary as JSON and goes on folding after it was opened
// again: at every place that gives the same as folding in one go.
func TestJobRoundTrip(t *testing.T) {
	check := func(events []tidings.Event) {
		t.Helper()
		var whole, kept tidings.Job
		for i := range events {
			whole.Apply(&events[i])
			text := encode(t, &kept)
			kept = tidings.Job{}
			if err := json.Unmarshal([]byte(text), &kept); err != nil {
				t.Fatal(err)
			}
			kept.Apply(&events[i])
			if diff := cmp.Diff(whole, kept); diff != "" {
				t.Fatalf("after event %d, %s (-in one go +kept):\n%s", i, events[i].Type, diff)
			}
		}
	}
	check(parse(t, []string{created, `task_queued {"task":"t"}`, `task_started {"attempt":1}`, rootStarts, nodeStarts, bareError, custom, interrupted, resumed,
		`thought {"usage":{"input_tokens":5}}`, asked, `task_failed {"error":"a"}`, `error {"error":"b"}`, custom, `task_started {}`, `error {"error":"c","fatal":true}`}))
	check(parse(t, []string{`phase_update {"name":"ünï \u0000 \ud800","labels":{"":"","a":"\u2028"},"metadata":{"n":1e400,"z":1,"a":[]},"progress":1e-7}`, `done {"usage":{"output_tokens":3},"cost":0.10}`}))
	for _, run := range recordedRuns(t) {
		check(run)
	}
}

// recordedRuns are real runs of an agent, if they are there.
func recordedRuns(t *testing.T) [][]tidings.Event {
	t.Helper()
	files, _ := filepath.Glob("../shared/data/agent-runs/*.jsonl")
	var runs [][]tidings.Event
	for _, file := range files {
		f, err := os.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		dec := json.NewDecoder(f)
		var run []tidings.Event
		for dec.More() {
			e := tidings.Event{ID: tidings.ID{Ms: 1000, Seq: uint64(len(run))}, Time: began}
			if err := dec.Decode(&e); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			run = append(run, e)
		}
		_ = f.Close()
		runs = append(runs, run)
	}
	return runs
}

func TestJobOfRecordedRuns(t *testing.T) {
	runs := recordedRuns(t)
	if len(runs) == 0 {
		t.Skip("no recorded runs beside the repository")
	}
	for _, run := range runs {
		var j tidings.Job
		for i := range run {
			j.Apply(&run[i])
			if i < len(run)-1 && j.Status != tidings.StatusRunning {
				t.Fatalf("%s is %s after event %d of %d, %s %s", j.ID, j.Status, i, len(run), run[i].Type, run[i].Data)
			}
		}
		if j.Status != tidings.StatusCompleted || !j.Closed || j.Name != "airline_agent" || j.Events != int64(len(run)) || j.Error != "" {
			t.Errorf("%s ends as %+v", run[0].JobID, j)
		}
	}
}

func TestStalled(t *testing.T) {
	now := began.Add(time.Hour)
	past, future := now.Add(-time.Minute), now.Add(time.Second)
	at := func(t time.Time) tidings.ID { return tidings.ID{Ms: uint64(t.UnixMilli())} }
	running, cancelling := tidings.StatusRunning, tidings.StatusCancelling
	for _, c := range []struct {
		name   string
		job    tidings.Job
		silent time.Duration
		want   bool
	}{
		{"lease holds", tidings.Job{Status: running, LeaseUntil: &future, LastID: at(began)}, time.Minute, false},
		{"lease ran out", tidings.Job{Status: running, LeaseUntil: &past, LastID: at(began)}, 0, true},
		{"lease ran out, then came an event", tidings.Job{Status: running, LeaseUntil: &past, LastID: at(now.Add(-time.Second))}, 0, false},
		{"lease ran out, then came an event, then nothing", tidings.Job{Status: running, LeaseUntil: &past, LastID: at(past.Add(time.Second))}, 0, true},
		{"lease ran out, then someone asked it to stop", tidings.Job{Status: cancelling, LeaseUntil: &past, LastID: at(now), LastType: tidings.TypeCancelRequested}, 0, true},
		{"while it should stop", tidings.Job{Status: cancelling, LeaseUntil: &past}, 0, true},
		{"no lease, silent", tidings.Job{Status: running, LastID: at(began)}, time.Minute, true},
		{"no lease, not silent for long", tidings.Job{Status: running, LastID: at(began)}, 2 * time.Hour, false},
		{"no lease, silence not looked at", tidings.Job{Status: running, LastID: at(began)}, 0, false},
		{"no lease, silent by the publisher's clock only", tidings.Job{Status: running, UpdatedAt: began, LastID: at(now)}, time.Minute, false},
		{"queued", tidings.Job{Status: tidings.StatusQueued, LeaseUntil: &past, LastID: at(began)}, time.Minute, false},
		{"waiting", tidings.Job{Status: tidings.StatusWaiting, LeaseUntil: &past, LastID: at(began)}, time.Minute, false},
		{"over", tidings.Job{Status: tidings.StatusFailed, LeaseUntil: &past, LastID: at(began)}, time.Minute, false},
	} {
		if got := c.job.Stalled(now, c.silent); got != c.want {
			t.Errorf("%s: stalled %t", c.name, got)
		}
	}
}

func TestJobsQueryMatches(t *testing.T) {
	yes, no := true, false
	past := began.Add(-time.Second)
	j := tidings.Job{Name: "study", Status: tidings.StatusRunning, CreatedAt: began, Labels: map[string]string{"a": "1", "b": ""}, LeaseUntil: &past}
	for _, q := range []tidings.JobsQuery{
		{}, {Name: "study"}, {Status: []tidings.Status{"failed", "running"}}, {Labels: map[string]string{"a": "1"}}, {Labels: map[string]string{"b": ""}},
		{Since: began}, {Until: began.Add(1)}, {Stalled: &yes}, {Cursor: "x", Limit: 1},
	} {
		if !q.Matches(&j, began) {
			t.Errorf("%+v does not let it pass", q)
		}
	}
	for _, q := range []tidings.JobsQuery{
		{Name: "Study"}, {Status: []tidings.Status{"failed"}}, {Labels: map[string]string{"a": "2"}}, {Labels: map[string]string{"c": ""}},
		{Labels: map[string]string{"a": "1", "c": "1"}}, {Since: began.Add(1)}, {Until: began}, {Stalled: &no}, {Name: "study", Until: began},
	} {
		if q.Matches(&j, began) {
			t.Errorf("%+v lets it pass", q)
		}
	}
}

// The fold takes whatever a publisher may send, and its summary is JSON that
// reads as the same summary.
func FuzzJobApply(f *testing.F) {
	for _, e := range []string{created, rootStarts, bareError, interrupted, asked, `thought {"usage":{"input_tokens":5}}`, `task_failed {"error":"x"}`, `done {"cost":1e400}`} {
		eventType, data, _ := strings.Cut(e, " ")
		f.Add(eventType, data, "error", `{"fatal":true}`)
	}
	f.Fuzz(func(t *testing.T, type1, data1, type2, data2 string) {
		var whole, kept tidings.Job
		for i, e := range []tidings.Event{event(type1, data1), event(type2, data2), event(type1, data1), event("custom", `{}`)} {
			if e.Validate() != nil {
				return
			}
			e.JobID, e.ID, e.Time = "job", tidings.ID{Ms: uint64(i + 1)}, began.Add(time.Duration(i)*time.Second)
			whole.Apply(&e)
			kept.Apply(&e)
			if whole.Status.Ended() != (whole.EndedAt != nil) {
				t.Fatalf("status %q, ended at %v", whole.Status, whole.EndedAt)
			}
			text := encode(t, &kept)
			kept = tidings.Job{}
			if err := json.Unmarshal([]byte(text), &kept); err != nil {
				t.Fatal(err)
			}
			if again := encode(t, &whole); again != text || encode(t, &kept) != text {
				t.Fatalf("in one go %s\nkept %s", again, text)
			}
		}
	})
}

func ExampleJob_Apply() {
	var j tidings.Job
	for _, e := range []tidings.Event{
		{JobID: "job-42", Type: tidings.TypePhaseUpdate, Data: []byte(`{"phase":"plan","status":"started","name":"study"}`)},
		{JobID: "job-42", Type: tidings.TypeError, Data: []byte(`{"error":"no such page","scope":"tool"}`)},
		{JobID: "job-42", Type: tidings.TypeDone, Data: []byte(`{"status":"completed"}`)},
	} {
		j.Apply(&e)
		fmt.Println(j.Name, j.Status)
	}
	// Output:
	// study running
	// study running
	// study completed
}

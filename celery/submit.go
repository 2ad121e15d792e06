package celery

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"tidings"
)

// Task is a task to put on a queue: the member "queue" of a job that is created
// over HTTP, beside its "type".
type Task struct {
	Type      string                     `json:"type,omitempty"`
	Task      string                     `json:"task"`                // its name, as "app.generate"
	Args      []json.RawMessage          `json:"args,omitempty"`      // positional arguments
	Kwargs    map[string]json.RawMessage `json:"kwargs,omitempty"`    // keyword arguments
	Queue     string                     `json:"queue,omitempty"`     // empty: celery
	ETA       *time.Time                 `json:"eta,omitempty"`       // not before
	Countdown *float64                   `json:"countdown,omitempty"` // likewise, in seconds from now
	Expires   json.RawMessage            `json:"expires,omitempty"`   // not after: a time, or seconds from now
	Priority  int                        `json:"priority,omitempty"`  // 0 to 9; on Redis 0 comes first, on RabbitMQ last
	Headers   map[string]json.RawMessage `json:"headers,omitempty"`   // more headers of the message
}

const defaultQueue = "celery"

// parseTask reads a task and says what is wrong with it.
func parseTask(text json.RawMessage, now time.Time) (t Task, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&t); err != nil {
		return t, invalid("", "must be an object with task, args, kwargs, queue, eta or countdown, expires, priority, headers: "+err.Error())
	}
	switch {
	case t.Task == "":
		return t, invalid("task", `must be the task's name, such as "app.generate"`)
	case len(t.Task) > 255 || strings.ContainsFunc(t.Task, isControl):
		return t, invalid("task", "must be at most 255 bytes without control characters")
	case len(t.Queue) > 255 || strings.ContainsFunc(t.Queue, isControl):
		return t, invalid("queue", "must be at most 255 bytes without control characters")
	case t.Priority < 0 || t.Priority > 9:
		return t, invalid("priority", "must be from 0 to 9")
	case t.ETA != nil && t.Countdown != nil:
		return t, invalid("countdown", "can't be given beside eta")
	case t.Countdown != nil && (*t.Countdown < 0 || *t.Countdown > 1e9):
		return t, invalid("countdown", "must be seconds, at least 0")
	}
	if t.Queue == "" {
		t.Queue = defaultQueue
	}
	if t.Countdown != nil {
		eta := now.Add(time.Duration(*t.Countdown * float64(time.Second)))
		t.ETA = &eta
	}
	_, err = t.expires(now)
	return t, err
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func invalid(field, reason string) error {
	return &tidings.InvalidError{Field: strings.TrimSuffix("queue."+field, "."), Reason: reason}
}

// expires gives the time after which no worker begins the task; zero: never.
func (t *Task) expires(now time.Time) (time.Time, error) {
	if len(t.Expires) == 0 || string(t.Expires) == "null" {
		return time.Time{}, nil
	}
	var secs float64
	if json.Unmarshal(t.Expires, &secs) == nil && secs > 0 && secs < 1e9 {
		return now.Add(time.Duration(secs * float64(time.Second))), nil
	}
	var at time.Time
	if json.Unmarshal(t.Expires, &at) == nil {
		return at, nil
	}
	return time.Time{}, invalid("expires", "must be seconds from now, or a time such as 2026-11-24T09:20:01Z")
}

// taskMessage is a message of the task protocol, version 2
// (https://docs.celeryq.dev/en/stable/internals/protocol.html#version-2).
type taskMessage struct {
	id      string
	headers map[string]any
	body    []any
}

func newTaskMessage(id string, t *Task, now time.Time) (taskMessage, error) {
	args, kwargs := t.Args, t.Kwargs
	if args == nil {
		args = []json.RawMessage{}
	}
	if kwargs == nil {
		kwargs = map[string]json.RawMessage{}
	}
	expires, err := t.expires(now)
	if err != nil {
		return taskMessage{}, err
	}
	headers := map[string]any{}
	for name, value := range t.Headers {
		headers[name] = value
	}
	for name, value := range map[string]any{
		"lang": "py", "task": t.Task, "id": id, "shadow": nil, "eta": pythonTime(t.ETA), "expires": nil, "group": nil, "group_index": nil,
		"retries": 0, "timelimit": []any{nil, nil}, "root_id": id, "parent_id": nil, "argsrepr": argsRepr(args), "kwargsrepr": kwargsRepr(kwargs),
		"origin": "tidings", "ignore_result": false,
	} {
		headers[name] = value
	}
	if !expires.IsZero() {
		headers["expires"] = pythonTime(&expires)
	}
	none := map[string]any{"callbacks": nil, "errbacks": nil, "chain": nil, "chord": nil}
	return taskMessage{id: id, headers: headers, body: []any{args, kwargs, none}}, nil
}

// pythonTime is a time as datetime.isoformat writes it; nil for none.
func pythonTime(t *time.Time) any {
	if t == nil {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000+00:00")
}

// redis is the message as kombu puts it on a list.
func (m *taskMessage) redis(queue string, priority int) ([]byte, error) {
	return sealEnvelope(m.body, m.headers, properties{
		CorrelationID: m.id, DeliveryMode: 2, Priority: priority,
		DeliveryInfo: &deliveryInfo{RoutingKey: queue}, DeliveryTag: tidings.NewJobID(),
	})
}

// Submit implements [tidings.TaskQueue]. The task's ID is the job's.
func (b *Bridge) Submit(ctx context.Context, job tidings.JobSpec, text json.RawMessage) (created bool, err error) {
	now := time.Now()
	t, err := parseTask(text, now)
	if err != nil {
		return false, err
	}
	if err := tidings.ValidateJobID(job.ID); err != nil {
		return false, err
	}
	if job.Name == "" {
		job.Name = t.Task
	}
	m, err := newTaskMessage(job.ID, &t, now)
	if err != nil {
		return false, err
	}
	if taken, err := b.taken(ctx, job.ID); taken || err != nil {
		return false, err
	}
	if err := b.queued(ctx, job, &t); err != nil {
		return false, err
	}
	return b.broker.send(ctx, t.Queue, t.Priority, m)
}

// taken reports whether a worker has the job's task, or had it.
func (b *Bridge) taken(ctx context.Context, jobID string) (bool, error) {
	job, err := b.store.Job(ctx, jobID)
	switch {
	case errors.Is(err, tidings.ErrUnknownJob):
		return false, nil
	case err != nil:
		return false, err
	case job.Closed:
		return false, &tidings.ClosedError{JobID: jobID, LastID: job.LastID}
	}
	return job.Task != nil && job.Task.Worker != "", nil
}

// queued writes task_queued, once: its producer is that of the step which a
// bridge would tell of an event task-sent.
func (b *Bridge) queued(ctx context.Context, job tidings.JobSpec, t *Task) error {
	if _, _, err := tidings.Create(ctx, b.store, job); err != nil {
		return err
	}
	d := data{TaskID: job.ID, Task: t.Task, Queue: t.Queue, Attempt: 1}
	if t.ETA != nil {
		d.ETA = t.ETA.UTC().Format(time.RFC3339Nano)
	}
	producer := tidings.Producer{ID: producerID(job.ID, job.ID), Epoch: place{kind: sent}.epoch()}
	_, err := b.store.Append(ctx, job.ID, tidings.Batch{Events: []tidings.Event{newEvent(tidings.TypeTaskQueued, time.Now(), d)}, Producer: &producer})
	var fenced *tidings.FencedError
	if errors.As(err, &fenced) {
		return nil // a worker has it already
	}
	return err
}

// argsRepr and kwargsRepr are what events show of a task's arguments. Python's
// repr of JSON values differs from JSON by a few words only.
func argsRepr(args []json.RawMessage) string {
	parts := make([]string, len(args))
	for i, a := range args {
		parts[i] = pythonRepr(a)
	}
	return shortened("[" + strings.Join(parts, ", ") + "]")
}

func kwargsRepr(kwargs map[string]json.RawMessage) string {
	var parts []string
	for _, name := range sortedKeys(kwargs) {
		key, _ := json.Marshal(name)
		parts = append(parts, pythonRepr(key)+": "+pythonRepr(kwargs[name]))
	}
	return shortened("{" + strings.Join(parts, ", ") + "}")
}

func shortened(s string) string {
	const limit = 1024
	if len(s) <= limit {
		return s
	}
	return strings.ToValidUTF8(s[:limit], "") + "..."
}

func sortedKeys(m map[string]json.RawMessage) []string { return slices.Sorted(maps.Keys(m)) }

// pythonRepr writes a JSON value as Python would.
func pythonRepr(value json.RawMessage) string {
	var out strings.Builder
	p := literal{text: string(value)}
	for p.text != "" {
		switch c := p.text[0]; {
		case c == '"':
			end := stringEnd([]byte(p.text), 0)
			var s string
			_ = json.Unmarshal([]byte(p.text[:end]), &s)
			out.WriteString(pythonString(s))
			p.text = p.text[end:]
		case p.skip("true"):
			out.WriteString("True")
		case p.skip("false"):
			out.WriteString("False")
		case p.skip("null"):
			out.WriteString("None")
		default:
			out.WriteByte(c)
			p.text = p.text[1:]
		}
	}
	return out.String()
}

func pythonString(s string) string {
	quote := "'"
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = `"`
	}
	return quote + strings.NewReplacer(`\`, `\\`, quote, `\`+quote, "\n", `\n`, "\r", `\r`, "\t", `\t`).Replace(s) + quote
}

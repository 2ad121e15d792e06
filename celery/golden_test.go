package celery

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write the golden files anew")

func golden(t *testing.T, name string, value any) {
	t.Helper()
	got, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is other than before (%v):\n%s", name, err, got)
	}
}

// sealed gives a message of Redis with its body as JSON and without its random tag.
func sealed(t *testing.T, message []byte) any {
	t.Helper()
	var e map[string]any
	if err := json.Unmarshal(message, &e); err != nil {
		t.Fatal(err)
	}
	body, err := openEnvelope(message)
	if err != nil {
		t.Fatal(err)
	}
	e["body"] = body
	properties, _ := e["properties"].(map[string]any)
	if properties["delivery_tag"] == "" || properties["delivery_info"] == nil {
		t.Error("without delivery_tag and delivery_info a worker dies of the message")
	}
	properties["delivery_tag"] = "a random one"
	return e
}

// The messages that workers get: a task of protocol 2, and commands.
func TestMessagesOnTheWire(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 9, 20, 1, 0, time.UTC)
	task, err := parseTask([]byte(`{"task":"app.generate","args":["a",1.0,null],"kwargs":{"prompt":"it's","deep":{"x":[true]}},
		"queue":"slow","countdown":5,"expires":60,"priority":5,"headers":{"tenant":"t1","id":"not this"}}`), now)
	if err != nil {
		t.Fatal(err)
	}
	m, err := newTaskMessage("job-42", &task, now)
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.redis(task.Queue, task.Priority)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "task_message.json", sealed(t, text))

	revoke := command{method: "revoke", arguments: map[string]any{"task_id": "job-42", "terminate": true, "signal": "SIGTERM"}}
	query := command{method: "query_task", arguments: map[string]any{"ids": []string{"job-42"}}, expires: 3 * time.Second}
	enable := command{method: "enable_events", arguments: map[string]any{}}
	golden(t, "pidbox_messages.json", []any{
		revoke.body("", ""), revoke.headers(now), query.body("ticket", "oid"), query.headers(now), enable.body("", ""), enable.headers(now),
	})
}

// What was recorded of Celery 5.2 can be read, all of it.
func TestRecordedMessages(t *testing.T) {
	t.Parallel()
	path := "../../shared/data/callbacks/celery_wire_samples.jsonl"
	f, err := os.Open(path)
	if err != nil {
		t.Skipf("there is no recording: %v", err)
	}
	defer f.Close()
	kinds := map[string]int{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var sample struct {
			Kind  string          `json:"kind"`
			Event json.RawMessage `json:"event"`
		}
		if err := json.Unmarshal(lines.Bytes(), &sample); err != nil {
			t.Fatal(err)
		}
		name, isEvent := strings.CutPrefix(sample.Kind, "event:")
		if !isEvent {
			continue
		}
		events, err := parseEvents(sample.Event)
		if err != nil || len(events) != 1 || events[0].Type != name || events[0].at().IsZero() {
			t.Errorf("%s gives %+v, %v", name, events, err)
			continue
		}
		kinds[name]++
		if strings.HasPrefix(name, "task-") && events[0].UUID == "" {
			t.Errorf("%s without its task", name)
		}
	}
	if len(kinds) < 5 {
		t.Errorf("only %v were recorded", kinds)
	}
}

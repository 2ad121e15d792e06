package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const recordedRuns = "../../shared/data/agent-runs"

// Recorded runs come back as they were written: every event, in order, its data
// unchanged but for white space between tokens.
func TestReplayOfRecordedRuns(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob(filepath.Join(recordedRuns, "*.jsonl"))
	if len(files) == 0 {
		t.Skip("no recorded runs beside the repository")
	}
	onEachStore(t, func(t *testing.T, s *server) {
		ctx := testContext(t, 2*time.Minute)
		_, errs, code := s.tidings(ctx, nil, append([]string{"replay"}, absolute(t, files)...)...)
		if code != 0 {
			t.Fatalf("replay: exit code %d: %s", code, errs)
		}
		total := 0
		for _, file := range files {
			total += compareRun(t, s, file)
		}
		t.Logf("%d jobs, %d events", len(files), total)
	})
}

func absolute(t *testing.T, files []string) []string {
	out := make([]string, len(files))
	for i, f := range files {
		abs, err := filepath.Abs(f)
		if err != nil {
			t.Fatal(err)
		}
		out[i] = abs
	}
	return out
}

func compareRun(t *testing.T, s *server, file string) int {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	type event struct {
		Type string          `json:"event_type"`
		Data json.RawMessage `json:"data"`
	}
	var want []event
	for _, line := range lines(text) {
		var e event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatal(err)
		}
		want = append(want, e)
	}
	job := strings.TrimSuffix(filepath.Base(file), ".jsonl")
	resp, err := http.Get(s.url() + "/v1/jobs/" + job + "/events?limit=10000")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Events []event `json:"events"`
	}
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatalf("%s: %s: %.200s", job, err, body)
	}
	if len(got.Events) != len(want) {
		t.Fatalf("%s: %d events came back, %d were replayed", job, len(got.Events), len(want))
	}
	for i, e := range got.Events {
		var compact bytes.Buffer
		if err := json.Compact(&compact, want[i].Data); err != nil {
			t.Fatal(err)
		}
		if e.Type != want[i].Type || !bytes.Equal(e.Data, compact.Bytes()) {
			t.Fatalf("%s: event %d came back as %s %s, want %s %s", job, i, e.Type, e.Data, want[i].Type, compact.Bytes())
		}
	}
	return len(want)
}

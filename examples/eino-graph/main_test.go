package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestOneCommandShowsEveryPath(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, "", "weather", time.Millisecond, nil); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"tool_call    tool get_weather {\"city\":\"Oslo\"}",
		"tool_result  tool get_weather \"snow\"",
		"done         completed \"The weather is Oslo: snow, Rome: sunny.\"",
		"answer: The weather is Oslo: snow, Rome: sunny.",
		"no weather station in Atlantis", // the tool's error …
		"phase_update completed node apologise",
		"answer: I am sorry, I can't find that place.", // … does not fail the job
		"error        \"the connection to the model was lost\"",
		"phase_update failed graph weather",
		"failed: the connection to the model was lost",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("want %q in\n%s", want, &out)
		}
	}
}

func TestQuestionsOfTheCommandLine(t *testing.T) {
	var out bytes.Buffer
	if err := run(t.Context(), &out, "", "weather", time.Millisecond, []string{"How are you?"}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "answer: I only know about the weather in cities.") {
		t.Errorf("got\n%s", &out)
	}
}

func TestAServerThatIsNotThereIsSaid(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := run(ctx, io.Discard, "http://127.0.0.1:1", "weather", 0, nil); err == nil {
		t.Error("no error")
	}
}

// The jobs, published to the server that TIDINGS_URL names, are watched live
// with "tidings tail".
func TestWatchedLiveWithTail(t *testing.T) {
	tidings := filepath.Join(t.TempDir(), "tidings")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", tidings, "./cmd/tidings")
	build.Dir = "../.."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s, err := embedded(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()

	type tail struct {
		out  []byte
		code int
	}
	tails := make([]tail, len(questions))
	var watching sync.WaitGroup
	r, w := io.Pipe()
	watching.Go(func() { // starts a tail as soon as its command is printed
		n := 0
		for lines := bufio.NewScanner(r); lines.Scan(); {
			_, command, ok := strings.Cut(lines.Text(), "watch it: tidings ")
			if !ok || n == len(tails) {
				continue
			}
			watched := &tails[n]
			n++
			cmd := exec.CommandContext(t.Context(), tidings, strings.Fields(command)...)
			watching.Go(func() {
				var failed *exec.ExitError
				out, err := cmd.CombinedOutput()
				watched.out, watched.code = out, 0
				if errors.As(err, &failed) {
					watched.code = failed.ExitCode()
				} else if err != nil {
					watched.code = -1
				}
			})
		}
	})
	err = run(t.Context(), w, s.url, "weather", 5*time.Millisecond, nil)
	_ = w.Close()
	watching.Wait()
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		text string
		code int
	}{
		{"The weather is Oslo: snow, Rome: sunny.", 0},
		{"err=no weather station in Atlantis", 0},
		{"the connection to the model was lost", 1},
	} {
		if got := tails[i]; got.code != want.code || !strings.Contains(string(got.out), want.text) {
			t.Errorf("tail %d: exit code %d, want %d, and %q in\n%s", i+1, got.code, want.code, want.text, got.out)
		}
	}
}

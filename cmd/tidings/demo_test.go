package main_test

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a model is for is said before anything has happened; what it did is said
// at the end, and that is less if it failed.
func TestDemoSaysWhichModelItUsed(t *testing.T) {
	dir := filepath.Dir(writeFile(t, "main.go", "package main\n"))
	env := []string{"OPENAI_API_KEY=a-key", "OPENAI_BASE_URL=http://127.0.0.1:1/v1", "OPENAI_MODEL=some-model"}
	out := ok(t, env, "", "demo", dir, "--addr", "127.0.0.1:0", "--exit", "--fast")
	first, _, _ := strings.Cut(out, "\n")
	if !strings.Contains(first, "some-model at 127.0.0.1:1 will ") || strings.Contains(first, "wrote") {
		t.Errorf("the first line is %q; want what will be used", first)
	}
	_, end, found := strings.Cut(out, "The report is ")
	if !found || !strings.Contains(end, "some-model") || !strings.Contains(end, "built-in rules") || strings.Contains(out, "were sent") {
		t.Errorf("the end is %q; want that the model failed and what was used instead", end)
	}
}

// As in "tidings demo | head -1".
func TestDemoCleansUpWhenNobodyReadsOn(t *testing.T) {
	dir, temp := filepath.Dir(writeFile(t, "main.go", "package main\n")), t.TempDir()
	demo := command(t.Context(), t, []string{"TMPDIR=" + temp}, "demo", dir, "--addr", "127.0.0.1:0", "--fast")
	out, err := demo.StdoutPipe()
	if err == nil {
		err = demo.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	out.Close()
	_ = demo.Wait() // what it returns is the exit code
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("the demo (%v) left behind: %v %v", demo.ProcessState, left, err)
	}
	if code := demo.ProcessState.ExitCode(); code != 141 {
		t.Errorf("%v; want 141, as of a program that SIGPIPE ended", demo.ProcessState)
	}
}

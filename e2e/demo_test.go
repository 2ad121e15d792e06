package e2e

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings/internal/redistest"
)

// The demo studies a folder, writes its report and goes.
func TestDemo(t *testing.T) {
	t.Parallel()
	for _, st := range []struct {
		name string
		args func(t *testing.T) []string
	}{
		{"embedded", func(*testing.T) []string { return nil }},
		{"redis", func(t *testing.T) []string { return []string{"--redis", redistest.Server(t).URL()} }},
	} {
		t.Run(st.name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			dir := t.TempDir()
			write(t, dir, "go.mod", "module example\n\ngo 1.26\n")
			write(t, dir, "main.go", "package main\n\n// TODO: say more\nfunc main() { println(\"hello\") }\n")
			args := append([]string{"demo", "--exit", "--addr", freeAddr(t)}, st.args(t)...)
			cmd := exec.CommandContext(ctx, binary, args...)
			cmd.Dir = dir
			var out bytes.Buffer
			cmd.Stdout, cmd.Stderr = &out, &out
			if err := cmd.Run(); err != nil {
				t.Fatalf("%v\n%s", err, out.Bytes())
			}
			reports, _ := filepath.Glob(filepath.Join(dir, "*.md"))
			if len(reports) != 1 {
				t.Fatalf("reports: %v\n%s", reports, out.Bytes())
			}
			report, err := os.ReadFile(reports[0])
			if err != nil || !bytes.Contains(report, []byte("main.go")) {
				t.Errorf("the report does not speak of main.go: %v\n%s", err, report)
			}
			for _, want := range []string{"curl", "/v1/jobs/", "Last-Event-ID"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("the demo does not print %q:\n%s", want, out.Bytes())
				}
			}
		})
	}
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

package demo_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"tidings"
	"tidings/demo"
	"tidings/pebblelog"
)

// openStore opens a real store for a test.
func openStore(t *testing.T) *pebblelog.Store {
	t.Helper()
	store, err := pebblelog.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

// tree makes a folder of files.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var project = map[string]string{
	"go.mod":                    "module example\n\nrequire (\n\tgithub.com/alpha/one v1.0.0\n\tgithub.com/beta/two v1.0.0 // indirect\n)\n",
	"README.md":                 "# Example\n\nA small example that counts sheep.\n",
	"cmd/sheep/main.go":         "package main\n\nfunc main() {\n\tcount(3)\n}\n",
	"cmd/sheep/count.go":        "package main\n\n// TODO: count goats too\nfunc count(n int) {}\n\nfunc other() {}\n",
	"web/package.json":          `{"name":"sheep-web","scripts":{"build":"x"},"dependencies":{"left-pad":"1"},"devDependencies":{"vite":"5"}}`,
	"web/app.js":                "function a() {\n  return 1\n}\n",
	"tools/pyproject.toml":      "[project]\nname = \"sheep-tools\"\ndependencies = [\n  \"httpx>=0.27\",\n  \"rich\",\n]\n",
	"tools/run.py":              "def main():\n    pass\n\nif __name__ == \"__main__\":\n    main()  # FIXME exit code\n",
	"node_modules/x/index.js":   "never looked at\n",
	".git/config":               "never looked at\n",
	"out/build.log":             "ignored\n",
	".gitignore":                "/out/\n*.tmp\n!keep.tmp\n",
	"a.tmp":                     "ignored\n",
	"keep.tmp":                  "kept\n",
	".env":                      "SECRET_TOKEN=hunter2 TODO\n",
	"docs/image.png":            "\x89PNG\r\n\x00\x00\x00",
	"docs/strange | `name`.txt": "text\n",
}

// run studies a folder as fast as possible and gives its report and events.
func run(t *testing.T, cfg demo.Config) (demo.Result, string, []tidings.Event) {
	t.Helper()
	store := openStore(t)
	cfg.To = store
	if cfg.Report == "" {
		cfg.Report = filepath.Join(t.TempDir(), "report.md")
	}
	result, err := demo.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	report, err := os.ReadFile(result.Report)
	if err != nil {
		t.Fatal(err)
	}
	return result, string(report), history(t, store, result.JobID)
}

func history(t *testing.T, store tidings.Reader, job string) []tidings.Event {
	t.Helper()
	var out []tidings.Event
	var q tidings.Query
	for {
		page, err := store.Read(context.WithoutCancel(t.Context()), job, q)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, page.Events...)
		if !page.More {
			return out
		}
		q.After = tidings.Cursor{ID: out[len(out)-1].ID}
	}
}

func mustContain(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}

func TestReportStatesWhatIsInTheFolder(t *testing.T) {
	result, report, events := run(t, demo.Config{Dir: tree(t, project)})

	mustContain(t, report,
		"No language model was used",
		"A small example that counts sheep.", // in its own words
		"| files | 13 |",                     // 17 less .git, node_modules, out, a.tmp
		"`cmd/sheep/main.go`: Go program",
		"`tools/run.py`: Python program",
		"`web/package.json`: npm run build",
		"`github.com/alpha/one`; 1 indirect",
		"`left-pad`; for development `vite`",
		"`httpx`, `rich`",
		"FIXME (1), TODO (1)",
		"`cmd/sheep/count.go` line 3: `// TODO: count goats too`",
		"ignored by .gitignore (2), installed packages (1), version control (1)",
		"may hold secrets (1)", "binary (1)",
		"`cmd/`",
	)
	if strings.Contains(report, "hunter2") {
		t.Error("the report quotes a file that may hold secrets")
	}
	for _, e := range events {
		if strings.Contains(string(e.Data), "hunter2") {
			t.Errorf("event %s quotes a file that may hold secrets", e.ID)
		}
	}
	if result.Status != tidings.StatusCompleted || result.Files != 13 || result.Model != "rules" || result.Moved {
		t.Errorf("result: %+v", result)
	}
}

func TestEventsTellAWellFormedStory(t *testing.T) {
	_, _, events := run(t, demo.Config{Dir: tree(t, project)})
	s := read(t, events)

	if got := strings.Join(s.phases, " "); got != strings.Join(demo.Phases, " ") {
		t.Errorf("phases began in the order %s", got)
	}
	for _, tool := range []string{"list_files", "measure", "read_file", "search", "dependencies", "entry_points", "write_report"} {
		if s.tools[tool] == 0 {
			t.Errorf("tool %s was never called", tool)
		}
	}
	if s.deltas == 0 {
		t.Error("no text came as deltas")
	}
	last := events[len(events)-1]
	if last.Type != tidings.TypeDone {
		t.Errorf("the last event is %s", last.Type)
	}
	mustContain(t, string(last.Data), "No language model was used")
}

// story is what a viewer makes of a job's events.
type story struct {
	phases []string
	tools  map[string]int
	deltas int
}

// read checks what must hold of every job: each run that began has ended, every
// parent is known before its children, and there is one terminal event, the
// last.
func read(t *testing.T, events []tidings.Event) story {
	t.Helper()
	s := story{tools: map[string]int{}}
	open, known := map[string]bool{}, map[string]bool{}
	for i, e := range events {
		var d struct {
			Phase, Status, Tool string
			Run                 string `json:"run_id"`
			Parent              string `json:"parent_run_id"`
			Kind                string
		}
		if err := json.Unmarshal(e.Data, &d); err != nil {
			t.Fatalf("event %s: %v", e.ID, err)
		}
		if d.Parent != "" && !known[d.Parent] {
			t.Errorf("event %d (%s) names a parent that nobody has seen", i, e.Type)
		}
		if e.Terminal() != (i == len(events)-1) {
			t.Errorf("event %d of %d (%s): a terminal event must be the last, and the last terminal", i, len(events), e.Type)
		}
		switch {
		case d.Run == "":
		case e.Type == tidings.TypeToolCall || d.Status == "started":
			open[d.Run], known[d.Run] = true, true
		case e.Type == tidings.TypeToolResult || d.Status == "completed" || d.Status == "failed" || e.Type == tidings.TypeError:
			delete(open, d.Run)
		}
		switch {
		case e.Type == tidings.TypePhaseUpdate && d.Status == "started" && d.Kind == "chain":
			s.phases = append(s.phases, d.Phase)
		case e.Type == tidings.TypeToolCall:
			s.tools[d.Tool]++
		case e.Type == tidings.TypeThought && d.Status == "delta":
			s.deltas++
		}
	}
	if len(open) > 0 {
		t.Errorf("%d runs never ended", len(open))
	}
	return s
}

func TestStudyOfThisRepository(t *testing.T) {
	_, report, events := run(t, demo.Config{Dir: ".."})
	read(t, events)
	mustContain(t, report, "`go.mod` (Go, `tidings`)", "`bench/main.go`: Go program", "| Go |", "`demo/`")
}

func TestTheSameFolderGivesTheSameFigures(t *testing.T) {
	dir := tree(t, project)
	figures := func() string {
		_, report, _ := run(t, demo.Config{Dir: dir, JobID: "same"})
		_, rest, _ := strings.Cut(report, "## In short")
		return rest
	}
	if a, b := figures(), figures(); a != b {
		t.Errorf("two studies differ:\n%s\n---\n%s", a, b)
	}
}

func TestEmptyFolder(t *testing.T) {
	_, report, events := run(t, demo.Config{Dir: t.TempDir()})
	read(t, events)
	mustContain(t, report, "holds no file that could be studied", "| files | 0 |")
}

func TestNamesThatAreNoText(t *testing.T) {
	dir := tree(t, project)
	name := filepath.Join(dir, "bad\xff\nname.go")
	if err := os.WriteFile(name, []byte("package bad\n// TODO: rename this file\n"), 0o644); err != nil {
		t.Skipf("this file system takes no such name: %v", err)
	}
	_, report, events := run(t, demo.Config{Dir: dir})
	read(t, events)
	mustContain(t, report, `bad\xff\nname.go`, "rename this file", "| files | 14 |")
}

func TestWhatIsNoFileIsLeftAlone(t *testing.T) {
	dir := tree(t, project)
	outside := filepath.Join(t.TempDir(), "outside.txt")
	if err := os.WriteFile(outside, []byte("TODO: the agent must not see this\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link.txt")); err != nil {
		t.Skip(err)
	}
	if err := os.Symlink(dir, filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil { // reading it would block for ever
		t.Fatal(err)
	}
	_, report, _ := run(t, demo.Config{Dir: dir})
	mustContain(t, report, "symbolic links (2)", "no regular files (1)", "| files | 13 |")
	if strings.Contains(report, "must not see") {
		t.Error("the agent left its folder")
	}
}

func TestUnreadableFilesAreNamed(t *testing.T) {
	if runtime.GOOS == "windows" || os.Geteuid() == 0 {
		t.Skip("this user may read everything")
	}
	dir := tree(t, project)
	if err := os.Chmod(filepath.Join(dir, "web"), 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.Chmod(filepath.Join(dir, "web"), 0o755) })
	if err := os.Chmod(filepath.Join(dir, "README.md"), 0); err != nil {
		t.Fatal(err)
	}
	_, report, _ := run(t, demo.Config{Dir: dir})
	mustContain(t, report, "Could not be read: `web/` (permission denied)", "Could not be read: `README.md` (permission denied)")
}

func TestSomebodysFileIsNotOverwritten(t *testing.T) {
	place := t.TempDir()
	own := filepath.Join(place, "notes.md")
	if err := os.WriteFile(own, []byte("# My own notes\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg := demo.Config{Dir: tree(t, project), Report: own}
	first, _, _ := run(t, cfg)
	if !first.Moved || first.Report != filepath.Join(place, "notes-2.md") {
		t.Errorf("the report went to %s (moved: %v)", first.Report, first.Moved)
	}
	if text, _ := os.ReadFile(own); string(text) != "# My own notes\n" {
		t.Errorf("the file is now %q", text)
	}
	// A former report is replaced, under the same name.
	second, _, _ := run(t, cfg)
	if second.Report != first.Report {
		t.Errorf("the second report went to %s", second.Report)
	}
	if left, _ := filepath.Glob(filepath.Join(place, ".tidings-report-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestReportInsideTheFolderIsNotStudied(t *testing.T) {
	dir := tree(t, project)
	cfg := demo.Config{Dir: dir, Report: filepath.Join(dir, "tidings-report.md")}
	run(t, cfg)
	result, report, _ := run(t, cfg)
	mustContain(t, report, "| files | 13 |", "this report (1)")
	if result.Moved {
		t.Error("a former report was not replaced")
	}
}

func TestWhatCannotBeginLeavesNoJob(t *testing.T) {
	store := openStore(t)
	for name, cfg := range map[string]demo.Config{
		"no folder":        {Dir: filepath.Join(t.TempDir(), "none")},
		"a file":           {Dir: "demo_test.go"},
		"nowhere to write": {Report: filepath.Join(t.TempDir(), "none", "report.md")},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.To, cfg.JobID = store, strings.ReplaceAll(name, " ", "-")
			if cfg.Report == "" {
				cfg.Report = filepath.Join(t.TempDir(), "report.md")
			}
			if _, err := demo.Run(t.Context(), cfg); err == nil {
				t.Fatal("no error")
			}
			if _, err := store.Job(t.Context(), cfg.JobID); !errors.Is(err, tidings.ErrUnknownJob) {
				t.Errorf("the job: %v", err)
			}
		})
	}
}

// hesitant is a model that says when it is asked and then waits to be stopped.
type hesitant struct {
	demo.Rules
	asked chan struct{}
}

func (m *hesitant) Reply(ctx context.Context, r demo.Request, delta func(string)) (demo.Reply, error) {
	if r.Phase != demo.PhaseMeasure {
		return m.Rules.Reply(ctx, r, delta)
	}
	delta("Let me think")
	m.asked <- struct{}{}
	<-ctx.Done()
	return demo.Reply{}, context.Cause(ctx)
}

func TestARequestToStopEndsTheStudy(t *testing.T) {
	store := openStore(t)
	model := &hesitant{asked: make(chan struct{}, 1)}
	cfg := demo.Config{To: store, JobID: "stopped", Dir: tree(t, project), Report: filepath.Join(t.TempDir(), "report.md"), Model: model, Logger: slog.New(slog.DiscardHandler)}
	type outcome struct {
		result demo.Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		result, err := demo.Run(t.Context(), cfg)
		done <- outcome{result, err}
	}()
	<-model.asked
	// The first events are on their way; a request needs the job to be known.
	deadline := time.Now().Add(10 * time.Second)
	for {
		err := tidings.RequestCancel(t.Context(), store, "stopped", "a tester", "seen enough")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	got := <-done
	if !errors.Is(got.err, tidings.ErrCancelRequested) || got.result.Status != tidings.StatusCancelled || got.result.Report != "" {
		t.Errorf("result %+v, error %v", got.result, got.err)
	}
	events := history(t, store, "stopped")
	read(t, events)
	last := events[len(events)-1]
	if last.Type != tidings.TypeCancelled {
		t.Errorf("the last event is %s %s", last.Type, last.Data)
	}
	mustContain(t, string(last.Data), "a tester", "seen enough")
	if _, err := os.Stat(cfg.Report); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a report of a cancelled study: %v", err)
	}
}

func TestTheCallersContextEndsTheStudy(t *testing.T) {
	store := openStore(t)
	ctx, stop := context.WithCancel(t.Context())
	model := &hesitant{asked: make(chan struct{}, 1)}
	go func() {
		<-model.asked
		stop()
	}()
	result, err := demo.Run(ctx, demo.Config{To: store, Dir: tree(t, project), Report: filepath.Join(t.TempDir(), "report.md"), Model: model, Logger: slog.New(slog.DiscardHandler)})
	if !errors.Is(err, context.Canceled) || result.Status != tidings.StatusCancelled {
		t.Errorf("result %+v, error %v", result, err)
	}
	events := history(t, store, result.JobID)
	if last := events[len(events)-1]; last.Type != tidings.TypeCancelled {
		t.Errorf("the last event is %s %s", last.Type, last.Data)
	}
}

func TestPaceLetsViewersWatch(t *testing.T) {
	start := time.Now()
	_, _, events := run(t, demo.Config{Dir: tree(t, map[string]string{"a.txt": "text\n"}), Pace: time.Millisecond})
	if s := read(t, events); s.deltas < 10 {
		t.Errorf("only %d deltas in %s", s.deltas, time.Since(start))
	}
}

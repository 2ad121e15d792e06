package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tidings/app"
)

// A person at the panel, in a real browser: js/panel/suite.mjs does what its cases
// say and reports each. Not parallel: one browser at a time, and nothing of this
// package beside it.
//
// With TIDINGS_SCREENSHOTS=1 the pictures of the documentation are made anew.
func TestPanel(t *testing.T) {
	needs(t, "node", "chromium", "js/node_modules/playwright-core/package.json", "js/node_modules/axe-core/package.json")
	ctx := testContext(t, 6*time.Minute)
	s := serve(t, "--data", t.TempDir())
	locked := serve(t, "--data", t.TempDir(), "--api-key", panelKey, "--read-only")
	beneath := serveBeneath(t, "/ops/tidings")
	alerting := serveAlerts(t)
	pictures := t.ArtifactDir()
	if os.Getenv("TIDINGS_SCREENSHOTS") == "1" {
		pictures = absolute(t, []string{"../docs/img"})[0]
	}
	recorded, _ := filepath.Glob("../../shared/data/callbacks/langgraph_js_mapped.jsonl")

	suite := &suite{t: t, commands: map[string]func(){
		"kill":  s.kill,
		"start": s.start,
	}}
	config, err := json.Marshal(map[string]any{
		"url": s.url(), "locked": locked.url(), "key": panelKey, "beneath": beneath, "alerting": alerting, "pictures": pictures,
		"recorded": absolute(t, recorded), "only": os.Getenv("TIDINGS_PANEL_CASE"),
	})
	if err != nil {
		t.Fatal(err)
	}
	suite.run(ctx, "panel/suite.mjs", string(config))
}

const panelKey = "a-key-for-the-panel-test"

// serveBeneath starts a server whose paths all have the prefix, and gives its
// URL with it.
func serveBeneath(t *testing.T, prefix string) string {
	t.Helper()
	s := &server{t: t, addr: freeAddr(t), args: []string{"--data", t.TempDir(), "--prefix", prefix}, prefix: prefix}
	s.start()
	t.Cleanup(s.kill)
	return s.url() + prefix
}

// panelRules resolve at once, so that a test need not wait for it.
const panelRules = `builtin: false
every: 1s
rules:
  - {name: jobs_failing, keep_firing_for: 0s}
  - {name: loop, keep_firing_for: 0s}
  - {name: watchdog}
`

// serveAlerts starts a server with those rules and gives its URL.
func serveAlerts(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "rules.yaml", panelRules)
	a, err := app.Start(t.Context(), app.Config{
		Addr: "127.0.0.1:0", DataDir: filepath.Join(dir, "data"), RulesFile: filepath.Join(dir, "rules.yaml"), LogOutput: io.Discard,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a.URL()
}

// suite runs a script of browser cases. It prints one JSON object a line: a case
// that ended, or a command to do before it goes on.
type suite struct {
	t        *testing.T
	commands map[string]func()
}

type suiteLine struct {
	Case    string // that ended
	OK      bool
	Skip    string // why it was not run
	Detail  string // what failed, or was measured
	Seconds float64
	Do      string // the command
}

func (s *suite) run(ctx context.Context, script, config string) {
	s.t.Helper()
	cmd := exec.CommandContext(ctx, "node", script, config)
	cmd.Dir = "js"
	dieWithTest(cmd)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	cases := s.follow(out, in)
	if err := cmd.Wait(); err != nil {
		s.t.Errorf("%s: %v\n%s", script, err, tail(errs.Bytes(), 4<<10))
	}
	if cases == 0 {
		s.t.Errorf("%s ran no case", script)
	}
}

// follow reports the cases and does the commands until the script ends.
func (s *suite) follow(out io.Reader, in io.Writer) (cases int) {
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line suiteLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			s.t.Errorf("not a line of the suite: %s", lines.Bytes())
			continue
		}
		if line.Do != "" {
			s.commands[line.Do]()
			fmt.Fprintln(in, "done")
			continue
		}
		cases++
		s.t.Run(strings.ReplaceAll(line.Case, " ", "_"), func(t *testing.T) { line.report(t) })
	}
	return cases
}

func (l *suiteLine) report(t *testing.T) {
	switch {
	case l.Skip != "":
		t.Skip(l.Skip)
	case !l.OK:
		t.Errorf("%.1f s: %s", l.Seconds, l.Detail)
	case l.Detail != "":
		t.Logf("%.1f s: %s", l.Seconds, l.Detail)
	}
}

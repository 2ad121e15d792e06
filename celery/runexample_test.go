package celery

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The example does what its README shows.
func TestExampleRuns(t *testing.T) {
	t.Parallel()
	python := python(t)
	if err := exec.Command(python, "-c", "import langgraph, tidings").Run(); err != nil {
		t.Skipf("%s has no LangGraph or no tidings; scripts/install.sh installs them", python)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "../examples/celery/run.sh")
	cmd.Env = append(os.Environ(), "TIDINGS_PYTHON="+python, "PYTHONDONTWRITEBYTECODE=1")
	// The script ends what it started.
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 20 * time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, want := range []string{
		"○ task app.ask received on agents@example", "→ weather", "It is sunny in Oslo and raining in Rome.", "■ done",
		"agents@example  celery  alive", "! asked to stop by", "■ cancelled: terminated",
	} {
		if !strings.Contains(string(out), want) {
			t.Errorf("%q is missing in\n%s", want, out)
		}
	}
}

package logtest

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

const breakVariable = "LOGTEST_BREAK"

// A suite that can't fail says nothing: each broken promise must make the case
// that holds it fail, and the stores must not die of it.
func TestSuiteFindsBrokenPromises(t *testing.T) {
	if os.Getenv(breakVariable) != "" {
		t.Skip("runs inside itself")
	}
	for broken, finds := range map[string]string{
		"drop":         "append/order",
		"reorder":      "append/concurrent-writers",
		"half-batch":   "append/batch-refused-whole",
		"idempotence":  "producer/concurrent-retries",
		"fencing":      "producer/zombie-race",
		"closing":      "close/terminal-events",
		"incarnation":  "rewound/created-again",
		"rewound":      "rewound/beyond-the-end",
		"gap":          "retention/gap-when-following",
		"follow-twice": "follow/property",
		"follow-skips": "follow/property",
		"feed":         "feed/all-jobs",
		"time":         "data/time",
		"data":         "data/odd-json",
		"reopening":    "store/reopen",
		"paging":       "jobs/newest-first",
		"fold":         "job/fold",
		"deletion":     "delete/under-a-follower",
	} {
		t.Run(broken, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.short", "-test.run=^TestSuite$/^"+strings.ReplaceAll(finds, "/", "$/^")+"$")
			cmd.Env = append(os.Environ(), breakVariable+"="+broken)
			out, err := cmd.CombinedOutput()
			if err == nil {
				t.Fatal("the suite passes")
			}
			if !strings.Contains(string(out), "--- FAIL: TestSuite/"+finds+" ") {
				t.Errorf("%s does not fail:\n%s", finds, out)
			}
		})
	}
}

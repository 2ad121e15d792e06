package adk

import (
	"fmt"
	"os"
	"testing"
)

// TestMain checks that nothing of a run is kept once it is over.
func TestMain(m *testing.M) {
	code := m.Run()
	if left, observed := len(running.invocations), len(running.observed); left > 0 || observed > 0 {
		fmt.Fprintf(os.Stderr, "%d invocations and %d observed jobs are left\n", left, observed)
		code = 1
	}
	os.Exit(code)
}

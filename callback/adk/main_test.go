package adk

import (
	"fmt"
	"testing"

	"tidings/internal/leak"
)

// TestMain checks that nothing of a run is kept once it is over.
func TestMain(m *testing.M) {
	leak.Main(m, func() error {
		if left, observed := len(running.invocations), len(running.observed); left > 0 || observed > 0 {
			return fmt.Errorf("%d invocations and %d observed jobs are left", left, observed)
		}
		return nil
	})
}

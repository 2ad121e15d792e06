package tidings_test

import (
	"testing"

	"tidings/internal/leak"
)

// TestMain checks that no goroutine of ours outlives the tests.
func TestMain(m *testing.M) { leak.Main(m) }

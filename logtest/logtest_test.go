package logtest

import (
	"context"
	"os"
	"testing"
	"time"

	"tidings"
)

// The suite passes on a store that keeps every promise, and, with a promise
// named in the environment, runs on one that breaks it (see broken_test.go).
func TestSuite(t *testing.T) {
	h := harness(os.Getenv(breakVariable))
	if os.Getenv(breakVariable) != "" {
		h.Timeout = 2 * time.Second
	}
	Run(t, h)
}

func harness(broken string) Harness {
	return Harness{
		Open: func(t *testing.T, o Options) tidings.Store {
			m := newMemory(broken, o.Retention)
			t.Cleanup(func() { _ = m.Close() })
			return m
		},
		Reopen: func(t *testing.T, s tidings.Store) tidings.Store {
			_ = s.Close()
			m := s.(*memory).reopened()
			t.Cleanup(func() { _ = m.Close() })
			return m
		},
		Retain: func(_ context.Context, s tidings.Store) error { s.(*memory).retain(); return nil },
	}
}

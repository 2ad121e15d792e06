package pebblelog_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"

	"tidings"
	"tidings/logtest"
	"tidings/pebblelog"
)

// TestConformance holds the store to what every store promises.
func TestConformance(t *testing.T) {
	var folders sync.Map // of *pebblelog.Store
	type place struct {
		dir  string
		opts *pebblelog.Options
	}
	open := func(t *testing.T, p place) tidings.Store {
		s, err := pebblelog.Open(p.dir, p.opts)
		if err != nil {
			t.Fatal(err)
		}
		folders.Store(s, p)
		t.Cleanup(func() {
			if err := s.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
		return s
	}
	logtest.Run(t, logtest.Harness{
		Open: func(t *testing.T, o logtest.Options) tidings.Store {
			return open(t, place{t.TempDir(), &pebblelog.Options{
				Retention:         o.Retention,
				RetentionInterval: -1, // only when a case asks for it
				Logger:            slog.New(slog.DiscardHandler),
			}})
		},
		Reopen: func(t *testing.T, s tidings.Store) tidings.Store {
			if err := s.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			p, _ := folders.Load(s)
			return open(t, p.(place))
		},
		Retain: func(ctx context.Context, s tidings.Store) error {
			return s.(*pebblelog.Store).Retain(ctx)
		},
	})
}

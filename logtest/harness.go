package logtest

import (
	"context"
	"testing"
	"time"

	"tidings"
)

// Harness says how to get at the store under test.
type Harness struct {
	// Open gives a fresh, empty store and has the test close it at its end. It
	// is called many times, also at the same time.
	Open func(t *testing.T, o Options) tidings.Store

	// Reopen closes the store and opens it again on the same data and with the
	// same options, and has the test close that one too. Nil skips the cases
	// that need it.
	Reopen func(t *testing.T, s tidings.Store) tidings.Store

	// Retain runs one pass of retention now. Nil skips the cases that need it.
	Retain func(ctx context.Context, s tidings.Store) error

	// Skip gives the reason why a case, by its name, can't hold for this store.
	Skip map[string]string

	// Timeout is how long one case may take. Zero: two minutes.
	Timeout time.Duration
}

// Options of a store that a case needs.
type Options struct {
	Retention tidings.Retention
}

// testCase is one promise. Cases without options share a store.
type testCase struct {
	name    string
	run     func(*env)
	own     *Options // a store of its own, with these
	reopens bool
	retains bool
}

// cases lists the suite, file by file.
var cases = concat(appendCases, dataCases, producerCases, readCases, followCases,
	trimCases, rewindCases, closingCases, jobCases, leaseCases, feedCases, storeCases)

func concat(lists ...[]testCase) []testCase {
	var all []testCase
	for _, list := range lists {
		all = append(all, list...)
	}
	return all
}

// Run runs the suite. It returns when every case is under way; they end before
// t does.
func Run(t *testing.T, h Harness) {
	if h.Timeout == 0 {
		h.Timeout = 2 * time.Minute
	}
	shared := h.Open(t, Options{})
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if reason := h.skips(c); reason != "" {
				t.Skip(reason)
			}
			t.Parallel()
			store := shared
			if c.own != nil {
				store = h.Open(t, *c.own)
			}
			c.run(newEnv(t, h, store))
		})
	}
}

func (h *Harness) skips(c testCase) string {
	switch {
	case h.Skip[c.name] != "":
		return h.Skip[c.name]
	case c.reopens && h.Reopen == nil:
		return "the harness has no Reopen: this store can't be opened again on the same data"
	case c.retains && h.Retain == nil:
		return "the harness has no Retain: this store forgets nothing"
	}
	return ""
}

// Package leak lets the tests of a package fail that leave goroutines of ours
// behind.
package leak

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// patience is how long goroutines get to end after the last test: a busy machine
// takes its time.
const patience = 30 * time.Second

// Main runs the tests and ends the process, with an error if goroutines are left
// that run our code or were started by it. Those of frameworks and of the
// standard library are not looked at. Call it last in TestMain; each of also
// may object to something else.
func Main(m *testing.M, also ...func() error) {
	code := m.Run()
	if code == 0 {
		for _, left := range wait(patience) {
			fmt.Fprintf(os.Stderr, "a goroutine is left behind:\n%s\n\n", left)
			code = 1
		}
		for _, check := range also {
			if err := check(); err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// wait gives the stacks of the goroutines of ours that don't end in time.
func wait(patience time.Duration) []string {
	deadline := time.Now().Add(patience)
	for {
		left := ours(stacks())
		if len(left) == 0 || time.Now().After(deadline) {
			return left
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// stacks gives the stack of each goroutine but the calling one.
func stacks() []string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			all := strings.Split(string(buf[:n]), "\n\n")
			return all[1:]
		}
		buf = make([]byte, 2*len(buf))
	}
}

// ours are the stacks that pass through our packages, but for the test's own
// goroutine.
func ours(stacks []string) []string {
	var left []string
	for _, s := range stacks {
		if hasOurs(s) && !strings.Contains(s, "testing.(*M).Run") {
			left = append(left, s)
		}
	}
	return left
}

func hasOurs(stack string) bool {
	for line := range strings.Lines(stack) {
		line = strings.TrimPrefix(line, "created by ")
		if strings.HasPrefix(line, "tidings.") || strings.HasPrefix(line, "tidings/") {
			return true
		}
	}
	return false
}

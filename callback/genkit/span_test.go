package tidingsgenkit

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
)

// TestMain checks that nothing of a flow is kept once it is over.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil))) // tests provoke warnings
	Install()
	Install() // a second time does nothing
	code := m.Run()
	if left := len(spans.open); left > 0 {
		fmt.Fprintf(os.Stderr, "%d spans are left\n", left)
		code = 1
	}
	os.Exit(code)
}

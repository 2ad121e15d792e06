package tidingsgenkit

import (
	"fmt"
	"io"
	"log/slog"
	"testing"

	"tidings/internal/leak"
)

// TestMain checks that nothing of a flow is kept once it is over.
func TestMain(m *testing.M) {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil))) // tests provoke warnings
	Install()
	Install() // a second time does nothing
	leak.Main(m, func() error {
		if left := len(spans.open); left > 0 {
			return fmt.Errorf("%d spans are left", left)
		}
		return nil
	})
}

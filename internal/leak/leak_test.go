package leak

import (
	"strings"
	"testing"
	"time"
)

func TestAGoroutineThatIsLeftIsFoundAndOneThatEndsIsNot(t *testing.T) {
	stop := make(chan struct{})
	go func() { <-stop }()
	left := wait(50 * time.Millisecond)
	if len(left) != 1 || !strings.Contains(left[0], "TestAGoroutineThatIsLeft") {
		t.Errorf("found %q", left)
	}
	close(stop)
	if left := wait(30 * time.Second); len(left) != 0 {
		t.Errorf("found %q", left)
	}
}

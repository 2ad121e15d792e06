package httpapi

import (
	"runtime/debug"
	"sync"
	"time"
)

// crowd gives memory back to the system once a crowd of viewers has connected.
// A request takes several times what the quiet viewer keeps that it becomes,
// and a server that is quiet from then on would collect that only minutes
// later. Safe for concurrent use.
type crowd struct {
	mu    sync.Mutex
	came  int // since memory was given back
	timer *time.Timer
	over  bool
}

const (
	crowdSize  = 500
	crowdCalms = 2 * time.Second // after the last one came
)

// join counts a viewer.
func (c *crowd) join() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.came++
	switch {
	case c.came < crowdSize || c.over:
	case c.timer == nil:
		c.timer = time.AfterFunc(crowdCalms, c.settle)
	default:
		c.timer.Reset(crowdCalms)
	}
}

func (c *crowd) settle() {
	c.mu.Lock()
	c.came = 0
	over := c.over
	c.mu.Unlock()
	if !over {
		debug.FreeOSMemory()
	}
}

// stop keeps the crowd from settling any more.
func (c *crowd) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.timer != nil {
		c.timer.Stop()
	}
}

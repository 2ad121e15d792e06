package httpapi

import (
	"testing"
	"testing/synctest"
	"time"
)

// Memory is given back once after a crowd, not after each viewer.
func TestCrowdSettlesOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &crowd{}
		came := func() int {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.came
		}
		for range crowdSize - 1 {
			c.join()
		}
		if c.timer != nil {
			t.Error("a few viewers are taken for a crowd")
		}
		c.join()
		time.Sleep(crowdCalms / 2)
		c.join() // still coming
		time.Sleep(crowdCalms / 2)
		synctest.Wait()
		if came() == 0 {
			t.Error("the crowd settled while viewers came")
		}
		time.Sleep(crowdCalms)
		synctest.Wait()
		if came() != 0 {
			t.Errorf("%d viewers are waited for after the crowd has settled", came())
		}
		for range crowdSize {
			c.join()
		}
		c.stop()
		time.Sleep(2 * crowdCalms)
		synctest.Wait()
		if came() != crowdSize {
			t.Error("the crowd settled after it was stopped")
		}
	})
}

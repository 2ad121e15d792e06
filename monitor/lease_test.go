package monitor

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// table is a lease for several nodes on the clock of the test, as Redis keeps
// one on its own.
type table struct {
	mu    sync.Mutex
	owner *seat
	until time.Time
	epoch int64
}

// seat is the State of one node.
type seat struct {
	memory
	table *table
	away  bool // the node can't reach the table
}

func (s *seat) Hold(_ context.Context, ttl time.Duration) (int64, error) {
	t := s.table
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case s.away:
		return 0, errors.New("unreachable")
	case t.owner != s && time.Now().Before(t.until):
		return 0, nil
	case t.owner != s:
		t.owner = s
		t.epoch++
	}
	t.until = time.Now().Add(ttl)
	return t.epoch, nil
}

func (s *seat) Release(context.Context) error {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	if s.table.owner == s {
		s.table.until = time.Time{}
	}
	return nil
}

func (t *table) seat(ctx context.Context) (*seat, *lease) {
	s := &seat{table: t}
	l := newLease(s, Options{}.withDefaults().LeaseTTL, quiet)
	go l.keep(ctx)
	return s, l
}

func epochOf(l *lease) int64 {
	epoch, _ := l.current()
	return epoch
}

// A node that dies is replaced within ten seconds, and never are there two.
func TestAnotherTakesOverWithinTenSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		all := &table{}
		first, a := all.seat(ctx)
		time.Sleep(2 * time.Second)
		_, b := all.seat(ctx)
		time.Sleep(time.Minute)
		if epochOf(a) != 1 || epochOf(b) != 0 {
			t.Fatalf("epochs %d and %d", epochOf(a), epochOf(b))
		}
		_, held := a.current()
		all.mu.Lock()
		first.away = true
		all.mu.Unlock()
		cut := time.Now()
		for epochOf(b) == 0 {
			time.Sleep(100 * time.Millisecond)
			if epochOf(a) != 0 && epochOf(b) != 0 {
				t.Fatal("two nodes hold the lease")
			}
		}
		if took := time.Since(cut); took > 10*time.Second {
			t.Errorf("it took %v", took)
		}
		if held.Err() == nil {
			t.Error("the one who was cut off still works")
		}
	})
}

// One that ends properly is replaced at the next look.
func TestReleasedLeaseIsTakenSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		all := &table{}
		first, stop := context.WithCancel(ctx)
		_, a := all.seat(first)
		time.Sleep(3 * time.Second)
		_, b := all.seat(ctx)
		time.Sleep(time.Second)
		stop()
		a.release()
		time.Sleep(b.ttl/renewals + time.Millisecond)
		if epochOf(b) != 2 {
			t.Error("nobody has taken it")
		}
	})
}

// A process that stood still does not act on a lease that has run out meanwhile.
func TestLeaseRunsOutByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLease(&seat{table: &table{}}, 6*time.Second, quiet)
		l.renew(t.Context())
		_, held := l.current()
		time.Sleep(7 * time.Second) // nobody renews it
		if epoch, _ := l.current(); epoch != 0 || held.Err() == nil {
			t.Errorf("epoch %d", epoch)
		}
	})
}

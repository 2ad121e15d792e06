package redislog

import (
	"testing"
	"time"

	"tidings/internal/redistest"
)

// The lease goes from one holder to the next, and what an earlier one still
// writes is refused, on a Cluster too.
func TestDocumentsAreFenced(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]func(testing.TB) string{
		"one server": func(t testing.TB) string { return redistest.Server(t).URL() },
		"a cluster":  func(t testing.TB) string { return redistest.Cluster(t).URL() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := open(t, url(t))
			old, next := s.Documents("monitor"), s.Documents("monitor")
			epoch := hold(t, old, time.Hour)
			if epoch == 0 || hold(t, old, time.Hour) != epoch {
				t.Fatal("the lease can't be renewed")
			}
			if got := hold(t, next, time.Hour); got != 0 {
				t.Fatalf("two hold the lease: %d", got)
			}
			if !save(t, old, "one", epoch) {
				t.Fatal("the holder may not write")
			}
			if err := next.Release(t.Context()); err != nil || hold(t, old, time.Hour) != epoch {
				t.Fatal("another's release took the lease away", err)
			}
			if err := old.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !save(t, old, "two", epoch) {
				t.Error("nobody has the lease, and the last holder is refused")
			}
			later := hold(t, next, time.Hour)
			if later <= epoch {
				t.Fatalf("epoch %d follows %d", later, epoch)
			}
			if save(t, old, "three", epoch) || save(t, old, "three", later) {
				t.Error("a holder that lost the lease has written")
			}
			data, version, err := next.Load(t.Context(), "doc")
			if string(data) != "two" || version != 2 || err != nil {
				t.Errorf("%q, version %d, %v", data, version, err)
			}
		})
	}
}

func TestDocumentsSwap(t *testing.T) {
	t.Parallel()
	s := open(t, redistest.Server(t).URL())
	d := s.Documents("monitor")
	if data, version, err := d.Load(t.Context(), "doc"); data != nil || version != 0 || err != nil {
		t.Fatalf("%q, version %d, %v", data, version, err)
	}
	for i, c := range []struct {
		version int64
		ok      bool
	}{{1, false}, {0, true}, {0, false}, {1, true}} {
		ok, err := d.Swap(t.Context(), "doc", []byte{0xff, byte(i)}, c.version)
		if ok != c.ok || err != nil {
			t.Errorf("%d: version %d: %v, %v", i, c.version, ok, err)
		}
	}
	if data, version, err := d.Load(t.Context(), "doc"); string(data) != "\xff\x03" || version != 2 || err != nil {
		t.Errorf("%q, version %d, %v", data, version, err)
	}
}

func hold(t *testing.T, d *Documents, ttl time.Duration) int64 {
	t.Helper()
	epoch, err := d.Hold(t.Context(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	return epoch
}

func save(t *testing.T, d *Documents, data string, epoch int64) bool {
	t.Helper()
	ok, err := d.Save(t.Context(), "doc", []byte(data), epoch)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

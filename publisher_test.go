package tidings_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tidings"
	"tidings/internal/memlog"
)

func named(name string) tidings.Event {
	e, err := tidings.NewEvent(tidings.TypeCustom, map[string]string{"name": name})
	if err != nil {
		panic(err)
	}
	return e
}

func TestPublishRepeatsUntilTheStoreAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		store.Fault = flaky(rand.New(rand.NewPCG(1, 2)))
		p := tidings.NewPublisher(store, nil)
		for i := range 200 {
			r, err := p.Publish(t.Context(), "job", named(fmt.Sprint(i)))
			if err != nil {
				t.Fatal(err)
			}
			if r.LastID.IsZero() && i > 0 {
				t.Fatalf("receipt %+v", r)
			}
		}
		equal(t, names(t, store, "job"), numbered(200))
	})
}

func TestPublishSettlesWhatItGaveUpOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		down := true
		store.Fault = func(int) memlog.Fault {
			if down {
				return memlog.Fault{After: tidings.ErrUnavailable} // written, but who knows
			}
			return memlog.Fault{}
		}
		p := tidings.NewPublisher(store, &tidings.PublisherOptions{Epoch: 1})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := p.Publish(ctx, "job", named("0"))
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, tidings.ErrUnavailable) {
			t.Fatalf("Publish says %v", err)
		}
		down = false
		if _, err := p.Publish(t.Context(), "job", named("1")); err != nil {
			t.Fatal(err)
		}
		equal(t, names(t, store, "job"), numbered(2))
	})
}

func TestPublishOneAfterAnotherInEachJob(t *testing.T) {
	store := memlog.New()
	p := tidings.NewPublisher(store, nil)
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			if _, err := p.Publish(t.Context(), fmt.Sprint("job-", i%4), named("a"), named("b")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range 4 {
		got := names(t, store, fmt.Sprint("job-", i))
		if len(got) != 32 {
			t.Errorf("job-%d has %d events, want 32", i, len(got))
		}
		for j := 0; j < len(got); j += 2 {
			if got[j] != "a" || got[j+1] != "b" {
				t.Errorf("a batch was torn: %v", got)
			}
		}
	}
}

func TestLaterPublisherTakesOver(t *testing.T) {
	store := memlog.New()
	first, second := tidings.NewPublisher(store, nil), tidings.NewPublisher(store, nil)
	for _, p := range []*tidings.Publisher{first, second} {
		if _, err := p.Publish(t.Context(), "job", named("x")); err != nil {
			t.Fatal(err)
		}
	}
	var fenced *tidings.FencedError
	if _, err := first.Publish(t.Context(), "job", named("zombie")); !errors.As(err, &fenced) {
		t.Errorf("the earlier publisher got %v, want a *FencedError", err)
	}
}

func TestPublishAfterTheStoreForgot(t *testing.T) {
	for _, epoch := range []int64{0, 3} {
		store := memlog.New()
		p := tidings.NewPublisher(store, &tidings.PublisherOptions{Epoch: epoch})
		for i := range 6 {
			if i%2 == 0 {
				store.Forget()
			}
			if _, err := p.Publish(t.Context(), "job", named(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, names(t, store, "job"), numbered(6))
	}
}

// A queue that delivers a task again without counting gives a second start with
// the first one's epoch. Its events must not pass for the first one's.
func TestSecondStartWithTheSameEpochLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := memlog.New()
		for i := range 3 {
			p := tidings.NewPublisher(store, &tidings.PublisherOptions{Epoch: 1})
			for j := range 2 {
				if _, err := p.Publish(t.Context(), "job", named(fmt.Sprint(4*i+j))); err != nil {
					t.Fatal(err)
				}
			}
			job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Epoch: 1})
			job.Custom(fmt.Sprint(4*i+2), nil)
			job.Custom(fmt.Sprint(4*i+3), nil)
			if err := job.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		equal(t, names(t, store, "job"), numbered(12))
	})
}

func TestPublishAfterTheEndIsRefused(t *testing.T) {
	store := memlog.New()
	for _, epoch := range []int64{0, 1} {
		p := tidings.NewPublisher(store, &tidings.PublisherOptions{Epoch: epoch})
		job := fmt.Sprint("job-", epoch)
		done, _ := tidings.NewEvent(tidings.TypeDone, nil)
		if _, err := p.Publish(t.Context(), job, named("0"), done); err != nil {
			t.Fatal(err)
		}
		var closed *tidings.ClosedError
		if _, err := p.Publish(t.Context(), job, named("late")); !errors.As(err, &closed) {
			t.Errorf("after the end: %v, want a *ClosedError", err)
		}
	}
}

func TestPublishOfABadEventWritesNothing(t *testing.T) {
	store := memlog.New()
	p := tidings.NewPublisher(store, nil)
	var invalid *tidings.InvalidError
	if _, err := p.Publish(t.Context(), "job", named("0"), tidings.Event{Type: "x", Data: []byte("{")}); !errors.As(err, &invalid) || invalid.Field != "events[1].data" {
		t.Errorf("Publish says %v", err)
	}
	if _, err := p.Publish(t.Context(), "job"); !errors.As(err, &invalid) {
		t.Errorf("Publish of nothing says %v", err)
	}
	if len(store.Events("job")) != 0 {
		t.Errorf("something was written")
	}
}

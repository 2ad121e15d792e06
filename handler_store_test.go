package tidings_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"tidings"
	"tidings/internal/memlog"
	"tidings/pebblelog"
)

// These tests use a real store, where the others use a log in memory for the
// sake of a virtual clock.

func realStore(t *testing.T) *pebblelog.Store {
	t.Helper()
	store, err := pebblelog.Open(t.TempDir(), &pebblelog.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func readAll(t *testing.T, store tidings.Reader, jobID string) []tidings.Event {
	t.Helper()
	var all []tidings.Event
	after := tidings.Cursor{}
	for {
		page, err := store.Read(t.Context(), jobID, tidings.Query{After: after})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Events...)
		if !page.More {
			return all
		}
		after.ID = all[len(all)-1].ID
	}
}

// shakyStore is a real store behind a bad line.
type shakyStore struct {
	*pebblelog.Store
	calls atomic.Int64
	fault func(call int) memlog.Fault
}

func (s *shakyStore) Append(ctx context.Context, jobID string, b tidings.Batch) (tidings.Receipt, error) {
	f := s.fault(int(s.calls.Add(1)))
	if f.Before != nil {
		return tidings.Receipt{}, f.Before
	}
	r, err := s.Store.Append(ctx, jobID, b)
	if err == nil && f.After != nil {
		return tidings.Receipt{}, f.After
	}
	return r, err
}

func TestRealStoreGetsEveryEventOnce(t *testing.T) {
	store := &shakyStore{Store: realStore(t), fault: flaky(rand.New(rand.NewPCG(3, 4)))}
	dir := t.TempDir()
	want := 0
	for attempt := range int64(3) { // the later ones take over, and what was spooled with them
		job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Epoch: attempt + 1, SpoolDir: dir, QueueBytes: 64 << 10, BlockFor: time.Minute, Logger: quiet()})
		for range 500 {
			job.Custom(fmt.Sprint(want), nil)
			want++
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if attempt == 2 {
			job.End(nil, nil)
			ctx = t.Context()
		}
		if err := job.Close(ctx); err != nil {
			t.Fatal(err)
		}
		cancel()
	}
	var got []string
	for _, e := range readAll(t, store, "job") {
		if e.Type == tidings.TypeCustom {
			got = append(got, nameOf(t, e))
		}
	}
	equal(t, got, numbered(want))
}

func nameOf(t *testing.T, e tidings.Event) string {
	t.Helper()
	m := memlog.New()
	if _, err := m.Append(t.Context(), "job", tidings.Batch{Events: []tidings.Event{e}}); err != nil {
		t.Fatal(err)
	}
	return names(t, m, "job")[0]
}

func TestRealStoreCancelAndLease(t *testing.T) {
	store := realStore(t)
	job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{HeartbeatEvery: 10 * time.Millisecond})
	deadline := time.Now().Add(10 * time.Second)
	for {
		j, err := store.Job(t.Context(), "job")
		if err == nil && j.LeaseUntil != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("no lease: %+v, %v", j, err)
		}
		time.Sleep(time.Millisecond)
	}
	if err := tidings.RequestCancel(t.Context(), store, "job", "ann", "enough"); err != nil {
		t.Fatal(err)
	}
	<-job.Context().Done()
	job.End(nil, context.Cause(job.Context()))
	if err := job.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	j, err := store.Job(t.Context(), "job")
	if err != nil || j.Status != tidings.StatusCancelled || j.Cancel == nil || j.Cancel.By != "ann" {
		t.Errorf("the job is %+v, %v", j, err)
	}
}

func TestRealStoreTakeOver(t *testing.T) {
	store := realStore(t)
	zombie := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Logger: quiet()})
	if err := zombie.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	next := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Logger: quiet()})
	if err := next.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	zombie.End("too late", nil)
	var fenced *tidings.FencedError
	if err := zombie.Close(t.Context()); !errors.As(err, &fenced) {
		t.Errorf("the zombie's Close says %v", err)
	}
	next.End("in time", nil)
	if err := next.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	log := readAll(t, store, "job")
	if len(log) != 3 || log[2].Type != tidings.TypeDone {
		t.Errorf("the log is %v", log)
	}
}

func TestStoreClosedBeforeTheHandler(t *testing.T) {
	store, err := pebblelog.Open(t.TempDir(), &pebblelog.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	job := tidings.Start(t.Context(), "job", store, &tidings.HandlerOptions{Logger: quiet(), SpoolDir: t.TempDir()})
	if err := job.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	job.Custom("spooled", nil)
	job.End(nil, nil)
	if err := job.Close(t.Context()); err != nil {
		t.Errorf("Close with a spool says %v", err)
	}
	if s := job.Stats(); s.Spooled != 2 || s.Dropped != 0 {
		t.Errorf("stats %+v", s)
	}
}

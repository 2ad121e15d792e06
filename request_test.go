package tidings_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"regexp"
	"slices"
	"testing"
	"time"

	"tidings"
	"tidings/pebblelog"
)

func openStore(t *testing.T) tidings.Store {
	t.Helper()
	s, err := pebblelog.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestCreate(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	spec := tidings.JobSpec{Name: "nightly", Labels: map[string]string{"team": "a"}, Metadata: json.RawMessage(`{"n":1e400}`)}
	id, first, err := tidings.Create(t.Context(), s, spec)
	if err != nil || id == "" || first.Duplicate {
		t.Fatalf("created %q, %+v, %v", id, first, err)
	}
	j, err := s.Job(t.Context(), id)
	if err != nil || j.Status != tidings.StatusQueued || j.Name != "nightly" || j.Labels["team"] != "a" || string(j.Metadata) != `{"n":1e400}` {
		t.Errorf("job is %+v, %v", j, err)
	}
	spec.ID, spec.Name = id, "another"
	if _, again, err := tidings.Create(t.Context(), s, spec); err != nil || !again.Duplicate || again.LastID != first.LastID {
		t.Errorf("created again: %+v, %v; want a duplicate", again, err)
	}
	if again, err := s.Job(t.Context(), id); err != nil || again.Name != "nightly" || again.Events != 1 {
		t.Errorf("creating again changed the job: %+v, %v", again, err)
	}
	for _, bad := range []tidings.JobSpec{{ID: "a{b}"}, {Metadata: json.RawMessage(`{`)}} {
		if _, _, err := tidings.Create(t.Context(), s, bad); !isInvalid(err) {
			t.Errorf("%+v: error is %v; want an *InvalidError", bad, err)
		}
	}
}

func isInvalid(err error) bool {
	_, ok := errors.AsType[*tidings.InvalidError](err)
	return ok
}

// A job that began without having been created takes over name and labels.
func TestCreateAfterTheFirstEvent(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	write(t, s, "job", event("custom", `{}`))
	if _, r, err := tidings.Create(t.Context(), s, tidings.JobSpec{ID: "job", Name: "late"}); err != nil || r.Duplicate {
		t.Fatalf("%+v, %v", r, err)
	}
	if j, err := s.Job(t.Context(), "job"); err != nil || j.Name != "late" || j.Status != tidings.StatusRunning {
		t.Errorf("job is %+v, %v", j, err)
	}
}

func write(t *testing.T, s tidings.Store, job string, events ...tidings.Event) {
	t.Helper()
	if _, err := s.Append(t.Context(), job, tidings.Batch{Events: events}); err != nil {
		t.Fatal(err)
	}
}

func TestRequestCancel(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	if err := tidings.RequestCancel(t.Context(), s, "job", "me", "x"); !errors.Is(err, tidings.ErrUnknownJob) {
		t.Errorf("unknown job: %v", err)
	}
	write(t, s, "job", event("custom", `{}`))
	for _, by := range []string{"first", "second"} {
		if err := tidings.RequestCancel(t.Context(), s, "job", by, "enough"); err != nil {
			t.Fatal(err)
		}
	}
	j, err := s.Job(t.Context(), "job")
	if err != nil || j.Status != tidings.StatusCancelling || j.Events != 2 || j.Cancel.By != "first" || j.Cancel.Reason != "enough" {
		t.Errorf("job is %+v, %v", j, err)
	}
	write(t, s, "job", tidings.Event{Type: "cancelled"})
	err = tidings.RequestCancel(t.Context(), s, "job", "third", "late")
	if closed, ok := errors.AsType[*tidings.ClosedError](err); !ok || closed.JobID != "job" || closed.LastID.IsZero() {
		t.Errorf("ended job: %v; want a *ClosedError", err)
	}
}

// A request is seen whenever it comes: before the wait, during it, and in a
// job that did not exist when the wait began.
func TestAwaitCancel(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	wait := func(job string) chan error {
		result := make(chan error, 1)
		go func() { result <- tidings.AwaitCancel(t.Context(), s, job) }()
		return result
	}
	early := wait("job")
	write(t, s, "job", event("custom", `{}`))
	running := wait("job")
	write(t, s, "job", event("custom", `{}`), event("thought", `{"delta":"cancel_requested"}`))
	if err := tidings.RequestCancel(t.Context(), s, "job", "me", "enough"); err != nil {
		t.Fatal(err)
	}
	for name, result := range map[string]chan error{"early": early, "running": running, "late": wait("job")} {
		if err := <-result; err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}

	write(t, s, "other", event("custom", `{}`))
	ended := wait("other")
	write(t, s, "other", tidings.Event{Type: "done"})
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("job that ended: %v; want io.EOF", err)
	}
	for _, job := range []string{"job that is not", "third"} {
		write(t, s, "third", event("custom", `{}`))
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("no longer wanted")
		cancel(why)
		if err := tidings.AwaitCancel(ctx, s, job); !errors.Is(err, why) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v; want the context's error", job, err)
		}
	}
}

// IDs of jobs are UUIDs of version 7 whose text orders by time.
func TestNewJobID(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	var times []string
	for range 1000 {
		id := tidings.NewJobID()
		if !form.MatchString(id) || seen[id] || tidings.ValidateJobID(id) != nil {
			t.Fatalf("%q is malformed or was given before", id)
		}
		seen[id] = true
		times = append(times, id[:13]) // the milliseconds
	}
	if !slices.IsSorted(times) {
		t.Error("IDs do not order by time")
	}
	var ms int64
	for _, c := range []byte(times[0][:8] + times[0][9:]) {
		ms = ms*16 + int64(c&0xf) + 9*int64(c>>6)
	}
	if age := time.Since(time.UnixMilli(ms)); age < -time.Minute || age > time.Hour {
		t.Errorf("%s says that it is %s old", times[0], age)
	}
}

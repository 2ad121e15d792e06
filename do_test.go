package tidings_test

import (
	"context"
	"errors"
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/internal/memlog"
)

func TestDoTellsAFunctionAsARun(t *testing.T) {
	store := memlog.New()
	job := tidings.Start(t.Context(), "job", store, nil)
	err := job.Run(t.Context(), func(ctx context.Context) (any, error) {
		n, err := tidings.Do(ctx, job, tidings.RunInfo{Name: "count", Input: "abc"}, func(ctx context.Context) (int, error) {
			_, err := tidings.Do(ctx, job, tidings.RunInfo{Name: "nothing"}, func(context.Context) (struct{}, error) { return struct{}{}, nil })
			return 3, err
		})
		if n != 3 || err != nil {
			t.Errorf("Do returned %d, %v", n, err)
		}
		_, err = tidings.Do(ctx, job, tidings.RunInfo{Name: "fails"}, func(context.Context) (string, error) { return "half", errors.New("no") })
		if err == nil {
			t.Error("the error is lost")
		}
		func() {
			defer func() {
				if p := recover(); p != "oh" {
					t.Errorf("the panic came out as %v", p)
				}
			}()
			_, _ = tidings.Do(ctx, job, tidings.RunInfo{Name: "panics"}, func(context.Context) (string, error) { panic("oh") })
		}()
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_, _ = tidings.Do(ctx, job, tidings.RunInfo{Name: "exits"}, func(context.Context) (string, error) { runtime.Goexit(); return "", nil })
		}()
		<-gone
		return nil, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `phase_update started job
phase_update started chain count input="abc"
  phase_update started chain nothing
  phase_update completed chain nothing
phase_update completed chain count output=3
phase_update started chain fails
phase_update failed chain fails error="no"
phase_update started chain panics
phase_update failed chain panics error="panic: oh"
phase_update started chain exits
phase_update failed chain exits error="it ended its goroutine without returning"
done completed
`
	if diff := cmp.Diff(want, memlog.Outline(store.Events("job"))); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
}

// Without a job the function is called all the same.
func TestDoWithoutAJob(t *testing.T) {
	n, err := tidings.Do(t.Context(), nil, tidings.RunInfo{Name: "count"}, func(context.Context) (int, error) { return 3, nil })
	if n != 3 || err != nil {
		t.Errorf("Do returned %d, %v", n, err)
	}
}

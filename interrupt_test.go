package tidings_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tidings"
	"tidings/internal/memlog"
)

// An agent that can't wait for an answer returns ErrInterrupted through all its
// levels. The job waits; started again, it goes on.
func TestInterruptThatClimbsAsAnError(t *testing.T) {
	store := memlog.New()
	work := func(answer string) error {
		job := tidings.Start(t.Context(), "job", store, nil)
		return job.Run(t.Context(), func(ctx context.Context) (any, error) {
			return tidings.Do(ctx, job, tidings.RunInfo{Name: "agent", Kind: "agent"}, func(ctx context.Context) (string, error) {
				paid, err := job.Tool(ctx, "pay", "c1", nil, func(ctx context.Context) (any, error) {
					if answer == "" {
						_, run := tidings.FromContext(ctx)
						run.Interrupt("Pay?")
						return nil, tidings.ErrInterrupted
					}
					return "paid", nil
				})
				if err != nil {
					return "", fmt.Errorf("paying: %w", err)
				}
				return paid.(string), nil
			})
		})
	}
	if err := work(""); !errors.Is(err, tidings.ErrInterrupted) {
		t.Fatalf("the interrupted job returned %v", err)
	}
	if status := store.Summary("job").Status; status != tidings.StatusWaiting {
		t.Errorf("the job is %s", status)
	}
	if err := work("yes"); err != nil {
		t.Fatal(err)
	}
	want := `phase_update started job
phase_update started agent agent
  tool_call tool tool=pay call=c1
  phase_update interrupted tool pay
phase_update interrupted agent agent
phase_update started job
phase_update started agent agent
  tool_call tool tool=pay call=c1
  tool_result tool tool=pay call=c1 output="paid"
phase_update completed agent agent output="paid"
done completed output="paid"
`
	if diff := cmp.Diff(want, memlog.Outline(store.Events("job"))); diff != "" {
		t.Errorf("the log (-want +got):\n%s", diff)
	}
}

// However an agent comes to wait, the log says so once and stays open.
func TestInterruptOfAJobWithoutRuns(t *testing.T) {
	for name, ask := range map[string]func(job *tidings.Handler){
		"asked for by the job":     func(job *tidings.Handler) { job.Interrupt("Go on?") },
		"nobody said what it asks": func(*tidings.Handler) {},
		"ended twice":              func(job *tidings.Handler) { job.End(nil, tidings.ErrInterrupted) },
		"asked for by a root that ended": func(job *tidings.Handler) {
			_, run := job.Phase(t.Context(), "ask")
			run.Interrupt("Go on?")
			run.End(nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			store := memlog.New()
			job := tidings.Start(t.Context(), "job", store, nil)
			err := job.Run(t.Context(), func(context.Context) (any, error) {
				ask(job)
				return nil, tidings.ErrInterrupted
			})
			if !errors.Is(err, tidings.ErrInterrupted) {
				t.Errorf("Run returned %v", err)
			}
			if s := store.Summary("job"); s.Status != tidings.StatusWaiting || s.EndedAt != nil {
				t.Errorf("the job is %s", s.Status)
			}
			if s := job.Stats(); s.Strays != 0 {
				t.Errorf("%d strays", s.Strays)
			}
		})
	}
}

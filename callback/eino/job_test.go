package eino_test

import (
	"context"
	"testing"

	"github.com/cloudwego/eino/compose"

	"tidings"
	"tidings/callback/eino"
)

// TestAHandlerFindsTheJobOfAnyContext: what tidings.Handler.Run gives will do, and
// a node finds the job in its own. Attached beside a handler that has the job, it
// tells nothing twice.
func TestAHandlerFindsTheJobOfAnyContext(t *testing.T) {
	for name, with := range map[string]func(o observed) []*eino.Handler{
		"alone":   func(observed) []*eino.Handler { return []*eino.Handler{eino.NewHandler(nil, nil)} },
		"before":  func(o observed) []*eino.Handler { return []*eino.Handler{eino.NewHandler(nil, nil), o.h} },
		"behind":  func(o observed) []*eino.Handler { return []*eino.Handler{o.h, eino.NewHandler(nil, nil)} },
		"another": func(o observed) []*eino.Handler { return []*eino.Handler{o.h, eino.NewHandler(o.job, nil)} },
	} {
		t.Run(name, func(t *testing.T) {
			o := observe(t, nil)
			g := lambda(t, "a", func(ctx context.Context, in string) (string, error) {
				job, run := tidings.FromContext(ctx)
				run.Progress(0.5, "looking")
				if job != o.job {
					t.Error("the node did not find the job")
				}
				return in, nil
			})
			check(t, o.job.Run(t.Context(), func(ctx context.Context) (any, error) {
				var options []compose.Option
				for _, h := range with(o) {
					options = append(options, compose.WithCallbacks(h))
				}
				return g.Invoke(ctx, "x", options...)
			}))
			o.want(t, `
phase_update started graph graph input="x"
  phase_update started node a input="x"
  phase_update progress node a
  phase_update completed node a output="x"
phase_update completed graph graph output="x"
done completed output="x"
`)
		})
	}
	// Neither is there one where there is no job.
	g := lambda(t, "a", func(_ context.Context, in string) (string, error) { return in, nil })
	_, err := g.Invoke(t.Context(), "x", compose.WithCallbacks(eino.NewHandler(nil, nil)))
	check(t, err)
}

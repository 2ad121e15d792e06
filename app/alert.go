package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"tidings/alert"
	"tidings/monitor"
)

// startAlerts reads the rules; the monitor feeds them from then on.
func (a *App) startAlerts(ctx context.Context) error {
	if a.config.NoAlerts {
		return nil
	}
	state, err := a.monitorState()
	if err != nil {
		return err
	}
	panel := a.config.PublicURL
	if panel == "" {
		panel = a.URL()
	}
	a.alerts, err = alert.Start(ctx, alert.Options{State: state, File: a.config.RulesFile, Notifier: makeNotifier, Outside: a.outside, PanelURL: panel, Logger: a.log})
	if err != nil {
		return fmt.Errorf("the alert rules can't be used:\n%w", err)
	}
	return nil
}

// observer is the alerts, if there are any.
func (a *App) observer() monitor.Observer {
	if a.alerts == nil {
		return nil
	}
	return a.alerts
}

// ReloadRules reads the rules file again. If it is wrong, the rules stay as they
// are.
func (a *App) ReloadRules() error {
	if a.alerts == nil {
		return nil
	}
	return a.alerts.Reload()
}

// outside asks the task queues and the store how they are.
func (a *App) outside(ctx context.Context) alert.Outside {
	out := alert.Outside{Known: true, HasQueues: len(a.queues) > 0, Health: a.store.Health(ctx)}
	if viewers := a.viewers.Load(); viewers != nil { // else it is being started
		out.ViewerGaps = viewers.Stats().Gaps
	}
	for _, name := range slices.Sorted(maps.Keys(a.queues)) {
		workers, err := a.queues[name].Workers(ctx)
		depths, depthErr := a.queues[name].Depths(ctx)
		if err = errors.Join(err, depthErr); err != nil {
			out.HasQueues, out.Error = false, err.Error() // half of it would mislead
			break
		}
		out.Workers = append(out.Workers, workers...)
		out.Queues = append(out.Queues, depths...)
	}
	return out
}

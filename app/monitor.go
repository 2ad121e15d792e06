package app

import (
	"context"
	"path/filepath"

	"tidings/monitor"
	"tidings/redislog"
)

// startMonitor keeps the monitor's state where the store is: in its Redis, or in
// a folder within its own.
func (a *App) startMonitor(ctx context.Context) error {
	state, err := a.monitorState()
	if err != nil {
		return err
	}
	a.monitor, err = monitor.Start(ctx, a.store, &monitor.Options{State: state, SilentAfter: a.config.SilentAfter, Logger: a.log})
	return err
}

func (a *App) monitorState() (monitor.State, error) {
	if redis, ok := a.store.(*redislog.Store); ok {
		return redis.Documents("monitor"), nil
	}
	return monitor.OpenFolder(filepath.Join(a.config.DataDir, "monitor"))
}

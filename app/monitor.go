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
	a.monitor, err = monitor.Start(ctx, a.store, &monitor.Options{State: state, Observer: a.observer(), SilentAfter: a.config.SilentAfter, Logger: a.log})
	return err
}

// monitorState is where the monitor and the alerts keep theirs.
func (a *App) monitorState() (state monitor.State, err error) {
	if a.state != nil {
		return a.state, nil
	}
	if redis, ok := a.store.(*redislog.Store); ok {
		a.state = redis.Documents("monitor")
		return a.state, nil
	}
	folder, err := monitor.OpenFolder(filepath.Join(a.config.DataDir, "monitor"))
	if err != nil {
		return nil, err
	}
	a.state = folder
	return folder, nil
}

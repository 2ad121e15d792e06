package app

import (
	"context"
	"errors"
	"fmt"

	"tidings"
	"tidings/celery"
	"tidings/runner"
)

// checkQueues: what is set for a task queue needs one.
func (c *Config) checkQueues() error {
	if o := &c.Celery; o.BrokerURL == "" && (o.BackendURL != "" || o.JobArg != "" || o.KeyPrefix != "" || o.BackendKeyPrefix != "" || o.Passive) {
		return errors.New("settings of Celery need the URL of its broker")
	}
	return nil
}

// startQueues connects the task queues, by their type.
func (a *App) startQueues(ctx context.Context) error {
	a.queues = map[string]tidings.TaskQueue{}
	var err error
	if len(a.config.Commands) > 0 {
		opts := runner.Options{Commands: a.config.Commands, Env: []string{"TIDINGS_URL=" + a.URL()}, Logger: a.log}
		if a.runner, err = runner.Start(ctx, a.store, opts); err != nil {
			return err
		}
		a.queues[runner.QueueType] = a.runner
	}
	if a.config.Celery.BrokerURL != "" {
		opts := a.config.Celery
		opts.Logger = a.log
		if a.celery, err = celery.Start(ctx, a.store, opts); err != nil {
			return fmt.Errorf("can't connect to Celery: %w", err)
		}
		a.queues["celery"] = a.celery
	}
	return nil
}

// closeQueues ends them, and the programs that run.
func (a *App) closeQueues() error {
	var err error
	if a.runner != nil {
		err = a.runner.Close()
	}
	if a.celery != nil {
		err = errors.Join(err, a.celery.Close())
	}
	return err
}

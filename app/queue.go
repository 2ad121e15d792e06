package app

import (
	"context"
	"errors"
	"fmt"

	"tidings"
	"tidings/celery"
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
	if a.config.Celery.BrokerURL == "" {
		return nil
	}
	opts := a.config.Celery
	opts.Logger = a.log
	var err error
	if a.celery, err = celery.Start(ctx, a.store, opts); err != nil {
		return fmt.Errorf("can't connect to Celery: %w", err)
	}
	a.queues["celery"] = a.celery
	return nil
}

package main

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"tidings/app"
	"tidings/runner"
)

// celeryFlags connect a Celery application.
type celeryFlags struct {
	CeleryBroker        string `help:"Broker of a Celery application whose tasks are jobs: redis://host:6379/0 or amqp://host." placeholder:"URL"`
	CeleryBackend       string `help:"Its result backend on Redis, or none. Default: the broker, if that is Redis." placeholder:"URL"`
	CeleryJobArg        string `help:"Keyword argument of its tasks that holds the ID of the job. Default: the task's ID is the job's." placeholder:"NAME"`
	CeleryKeyPrefix     string `help:"Its global_keyprefix." placeholder:"TEXT"`
	CeleryBackendPrefix string `help:"The global_keyprefix of its result backend." placeholder:"TEXT"`
	CeleryPassive       bool   `help:"Don't tell its workers to send events; start them with -E."`
}

func (f *celeryFlags) apply(c *app.Config) {
	c.Celery.BrokerURL, c.Celery.BackendURL, c.Celery.JobArg = f.CeleryBroker, f.CeleryBackend, f.CeleryJobArg
	c.Celery.KeyPrefix, c.Celery.BackendKeyPrefix, c.Celery.Passive = f.CeleryKeyPrefix, f.CeleryBackendPrefix, f.CeleryPassive
}

// commandFlags name the programs that jobs may run. They are a mapping, which
// only a config file can hold.
type commandFlags struct {
	Jobs string `hidden:"" help:"Commands that jobs may run on this machine, by name, as YAML; for the config file."`
}

func (f *commandFlags) apply(c *app.Config) error {
	if f.Jobs == "" {
		return nil
	}
	dec := yaml.NewDecoder(strings.NewReader(f.Jobs))
	dec.KnownFields(true)
	c.Commands = map[string]runner.Command{}
	if err := dec.Decode(&c.Commands); err != nil {
		return fmt.Errorf("the commands in serve: jobs: are wrong: %w", err)
	}
	return nil
}

package main

import (
	"context"
	"fmt"
	"os/user"

	"tidings"
)

type cancelCmd struct {
	Job    string `arg:"" help:"Job to stop."`
	Reason string `help:"Why, for those who watch." placeholder:"TEXT"`
	By     string `help:"Who asks. Default: the name you are logged in with." placeholder:"NAME"`

	Terminate bool   `help:"End the process that runs it, if it is a task of a task queue."`
	Signal    string `help:"Signal to end it with. Default: SIGTERM." placeholder:"NAME"`
}

func (cancelCmd) Help() string {
	return `Asks the job to stop. It stops when its program hears of it; "tidings tail" shows when it has.

Examples:

    tidings cancel job-42
    tidings cancel job-42 --reason "wrong input"
    tidings cancel job-42 --terminate`
}

// Run asks the job to stop.
func (c *cancelCmd) Run(ctx context.Context, e *env) error {
	to, err := e.client()
	if err != nil {
		return err
	}
	by := c.By
	if by == "" {
		if u, err := user.Current(); err == nil {
			by = u.Username
		}
	}
	report, err := to.Stop(ctx, c.Job, tidings.StopOptions{By: by, Reason: c.Reason, Terminate: c.Terminate, Signal: c.Signal})
	if err != nil {
		return aboutJob(c.Job, err)
	}
	if report != nil && report.Warning != "" {
		fmt.Fprintf(e.err, "tidings: %s\n", report.Warning)
	}
	_, err = fmt.Fprintf(e.out, "asked %s to stop\n", oneLine(c.Job, 300))
	return err
}

type deleteCmd struct {
	Jobs []string `arg:"" name:"job" help:"Jobs to delete."`
}

func (deleteCmd) Help() string {
	return `Deletes jobs with all their events, for good. Those who watch one are told. It stops at the first that can't be deleted.

Examples:

    tidings delete job-42
    tidings jobs -q --status failed --until 24h | xargs tidings delete`
}

// Run deletes the jobs.
func (d *deleteCmd) Run(ctx context.Context, e *env) error {
	c, err := e.client()
	if err != nil {
		return err
	}
	for _, job := range d.Jobs {
		if err := c.Delete(ctx, job); err != nil {
			return aboutJob(job, err)
		}
		if _, err := fmt.Fprintf(e.out, "deleted %s\n", oneLine(job, 300)); err != nil {
			return err
		}
	}
	return nil
}

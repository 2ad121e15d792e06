package runner

import (
	"context"
	"encoding/json"
	"slices"

	"tidings"
)

// recover finds the jobs of an earlier start: those that wait go on waiting, and
// those that ran on this machine have failed with it.
func (q *Queue) recover(ctx context.Context) error {
	query := tidings.JobsQuery{Status: []tidings.Status{tidings.StatusQueued, tidings.StatusRunning, tidings.StatusCancelling}, Limit: 500}
	var found []tidings.Job
	for {
		page, err := q.store.Jobs(ctx, query)
		if err != nil {
			return err
		}
		for _, job := range page.Jobs {
			if job.Task != nil && job.Labels[label] == QueueType {
				found = append(found, job)
			}
		}
		if query.Cursor = page.NextCursor; query.Cursor == "" {
			break
		}
	}
	slices.Reverse(found) // the oldest first
	for i := range found {
		if err := q.recoverJob(ctx, &found[i]); err != nil {
			return err
		}
	}
	return nil
}

func (q *Queue) recoverJob(ctx context.Context, job *tidings.Job) error {
	switch {
	case job.Task.Worker == q.host:
		return q.giveUp(ctx, job.ID, "the server ended while it ran", "server_stopped")
	case job.Task.Worker != "":
		return nil // another machine's
	case job.Cancel != nil:
		_, err := q.tell(ctx, job.ID, stepOver, tidings.TypeCancelled, map[string]string{"reason": job.Cancel.Reason, "by": job.Cancel.By})
		return err
	}
	l := q.commands[job.Task.Task]
	if l == nil {
		return q.giveUp(ctx, job.ID, "its command is not among those of this server any more", "unknown_command")
	}
	input, err := q.inputOf(ctx, job.ID)
	if err != nil {
		return err
	}
	l.put(waiting{job.ID, input})
	return nil
}

func (q *Queue) giveUp(ctx context.Context, jobID, why, kind string) error {
	_, err := q.tell(ctx, jobID, stepOver, tidings.TypeError, map[string]any{"error": why, "kind": kind, "scope": "job", "fatal": true})
	return err
}

// inputOf finds a job's input in its log.
func (q *Queue) inputOf(ctx context.Context, jobID string) (json.RawMessage, error) {
	page, err := q.store.Read(ctx, jobID, tidings.Query{Limit: 10})
	if err != nil {
		return nil, err
	}
	for i := range page.Events {
		var d data
		if page.Events[i].Type == tidings.TypeTaskQueued && json.Unmarshal(page.Events[i].Data, &d) == nil {
			return d.Input, nil
		}
	}
	return nil, nil
}

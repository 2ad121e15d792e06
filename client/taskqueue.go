package client

import (
	"context"
	"encoding/json"
	"net/http"

	"tidings"
)

// Submit creates a job and puts it on a task queue of the server. The task is a
// JSON object: its member "type" names the queue, such as "celery", and may be
// left out if the server has one; the others are the queue's own. Submitting a
// job again changes nothing. It returns the job. Errors: [*tidings.InvalidError],
// [*tidings.ClosedError], and those of every request.
func (c *Client) Submit(ctx context.Context, spec tidings.JobSpec, task json.RawMessage) (tidings.Job, error) {
	var job tidings.Job
	if spec.ID == "" { // a lost answer must not put a second job on the queue
		spec.ID = tidings.NewJobID()
	}
	body, err := json.Marshal(struct {
		tidings.JobSpec
		Queue json.RawMessage `json:"queue"`
	}{spec, task})
	if err != nil {
		return job, &tidings.InvalidError{Field: "queue", Reason: err.Error()}
	}
	err = c.do(ctx, &request{method: http.MethodPost, path: "/v1/jobs", body: body, jobID: spec.ID}, &job)
	return job, err
}

// Stop asks the job to stop, as [Client.Cancel] does, and has its task queue
// stop its task. The report is nil if the job is of no task queue.
func (c *Client) Stop(ctx context.Context, jobID string, opts tidings.StopOptions) (*tidings.StopReport, error) {
	if err := tidings.ValidateJobID(jobID); err != nil {
		return nil, err
	}
	body, err := json.Marshal(struct {
		Reason    string `json:"reason,omitempty"`
		By        string `json:"by,omitempty"`
		Terminate bool   `json:"terminate,omitempty"`
		Signal    string `json:"signal,omitempty"`
	}{opts.Reason, opts.By, opts.Terminate, opts.Signal})
	if err != nil {
		return nil, err
	}
	var out struct {
		Stop *tidings.StopReport `json:"stop"`
	}
	err = c.do(ctx, &request{method: http.MethodPost, path: jobPath(jobID, "cancel"), body: body, jobID: jobID}, &out)
	return out.Stop, err
}

// Workers gives the workers of the server's task queues.
func (c *Client) Workers(ctx context.Context) ([]tidings.Worker, error) {
	var out struct {
		Workers []tidings.Worker `json:"workers"`
	}
	err := c.do(ctx, &request{method: http.MethodGet, path: "/v1/workers"}, &out)
	return out.Workers, err
}

// Depths says how much waits in the server's task queues.
func (c *Client) Depths(ctx context.Context) ([]tidings.QueueDepth, error) {
	var out struct {
		Queues []tidings.QueueDepth `json:"queues"`
	}
	err := c.do(ctx, &request{method: http.MethodGet, path: "/v1/queues"}, &out)
	return out.Queues, err
}

package client

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidings"
)

// Job gives the summary of one job. It implements [tidings.Reader].
func (c *Client) Job(ctx context.Context, jobID string) (tidings.Job, error) {
	if err := tidings.ValidateJobID(jobID); err != nil {
		return tidings.Job{}, err
	}
	var job tidings.Job
	err := c.do(ctx, &request{method: http.MethodGet, path: jobPath(jobID, ""), jobID: jobID}, &job)
	return job, err
}

// Jobs lists jobs, the newest first. It implements [tidings.Reader].
func (c *Client) Jobs(ctx context.Context, q tidings.JobsQuery) (tidings.JobsPage, error) {
	var page tidings.JobsPage
	err := c.do(ctx, &request{method: http.MethodGet, path: "/v1/jobs", query: jobsQuery(&q)}, &page)
	return page, err
}

func jobsQuery(q *tidings.JobsQuery) url.Values {
	v := url.Values{}
	if len(q.Status) > 0 {
		statuses := make([]string, len(q.Status))
		for i, s := range q.Status {
			statuses[i] = string(s)
		}
		v.Set("status", strings.Join(statuses, ","))
	}
	setText(v, "name", q.Name)
	for key, value := range q.Labels {
		v.Add("label", key+"="+value)
	}
	slices.Sort(v["label"])
	setTime(v, "since", q.Since)
	setTime(v, "until", q.Until)
	setText(v, "cursor", q.Cursor)
	setInt(v, "limit", min(q.Limit, maxPageJobs))
	if q.Stalled != nil {
		v.Set("stalled", strconv.FormatBool(*q.Stalled))
	}
	return v
}

func setText(v url.Values, name, text string) {
	if text != "" {
		v.Set(name, text)
	}
}

func setInt(v url.Values, name string, n int) {
	if n != 0 {
		v.Set(name, strconv.Itoa(n))
	}
}

func setTime(v url.Values, name string, t time.Time) {
	if !t.IsZero() {
		v.Set(name, t.UTC().Format(time.RFC3339Nano))
	}
}

// Create makes a job known before anything happens in it, as [tidings.Create]
// does, and returns its ID. Creating a job again changes nothing.
func (c *Client) Create(ctx context.Context, spec tidings.JobSpec) (string, error) {
	body, err := json.Marshal(spec)
	if err != nil {
		return "", &tidings.InvalidError{Field: "metadata", Reason: err.Error()}
	}
	var out struct {
		ID string `json:"id"`
	}
	err = c.do(ctx, &request{method: http.MethodPost, path: "/v1/jobs", body: body, jobID: spec.ID}, &out)
	return out.ID, err
}

// Cancel asks the job to stop; by says who asks, and may be empty as reason
// may. The job stops when its handler hears of it, which is not waited for.
// Errors: [tidings.ErrUnknownJob], [*tidings.ClosedError] if it has ended, and
// those of every request.
func (c *Client) Cancel(ctx context.Context, jobID, by, reason string) error {
	_, err := c.Stop(ctx, jobID, tidings.StopOptions{By: by, Reason: reason})
	return err
}

// Delete removes a job and its log. An unknown one is [tidings.ErrUnknownJob].
func (c *Client) Delete(ctx context.Context, jobID string) error {
	if err := tidings.ValidateJobID(jobID); err != nil {
		return err
	}
	return c.do(ctx, &request{method: http.MethodDelete, path: jobPath(jobID, ""), jobID: jobID}, nil)
}

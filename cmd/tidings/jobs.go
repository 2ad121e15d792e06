package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"tidings"
	"tidings/client"
)

type jobsCmd struct {
	Status  []string          `help:"Only jobs of these statuses: queued, running, waiting, cancelling, completed, failed, cancelled." placeholder:"STATUS"`
	Name    string            `help:"Only jobs of this name."`
	Label   map[string]string `help:"Only jobs with this label; may be repeated." placeholder:"KEY=VALUE"`
	Since   string            `help:"Only jobs created at or after this time, or so long ago." placeholder:"TIME|AGE"`
	Until   string            `help:"Only jobs created before this time, or so long ago." placeholder:"TIME|AGE"`
	Stalled bool              `help:"Only jobs that give no sign of life."`
	Limit   int               `help:"At most so many; 0: all." default:"50"`
	JSON    bool              `name:"json" help:"Print each job as one line of JSON."`
	Quiet   bool              `short:"q" help:"Print only the job IDs."`
}

func (jobsCmd) Help() string {
	return `Lists jobs, the newest first.

Examples:

    tidings jobs
    tidings jobs --status running,waiting --since 1h
    tidings jobs --label team=search --json | jq .id`
}

// Run lists the jobs.
func (j *jobsCmd) Run(ctx context.Context, e *env) error {
	q, err := j.query(time.Now())
	if err != nil {
		return err
	}
	c, err := e.client()
	if err != nil {
		return err
	}
	jobs, more, err := j.fetch(ctx, c, q)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(e.out)
	switch {
	case j.JSON:
		err = printJobsJSON(out, jobs)
	case j.Quiet:
		for i := range jobs {
			fmt.Fprintln(out, jobs[i].ID) // the flush tells what went wrong
		}
	default:
		err = printTable(out, jobs, e.palette(e.out), time.Now())
	}
	if err == nil {
		err = out.Flush()
	}
	if more && isTerminal(e.err) {
		fmt.Fprintf(e.err, "There are more; --limit 0 shows all.\n")
	}
	return err
}

func (j *jobsCmd) query(now time.Time) (tidings.JobsQuery, error) {
	q := tidings.JobsQuery{Name: j.Name, Labels: j.Label}
	if j.Limit < 0 {
		return q, fmt.Errorf("--limit: %d jobs can't be listed; give 1 or more, or 0 for all", j.Limit)
	}
	for _, text := range j.Status {
		s, err := parseStatus(text)
		if err != nil {
			return q, err
		}
		q.Status = append(q.Status, s)
	}
	var err error
	if q.Since, err = parseWhen("since", j.Since, now); err != nil {
		return q, err
	}
	if q.Until, err = parseWhen("until", j.Until, now); err != nil {
		return q, err
	}
	if j.Stalled {
		q.Stalled = &j.Stalled
	}
	return q, nil
}

func parseStatus(text string) (tidings.Status, error) {
	names := make([]string, len(tidings.Statuses))
	for i, s := range tidings.Statuses {
		if string(s) == text {
			return s, nil
		}
		names[i] = string(s)
	}
	return "", fmt.Errorf("--status: %q is no status; there are %s", text, strings.Join(names, ", "))
}

// parseWhen reads a time, a date or an age such as 90m.
func parseWhen(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(text); err == nil {
		return now.Add(-age), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--%s: %q is neither a time such as 2026-11-24T09:20:00Z or 2026-11-24 nor an age such as 90m", flag, text)
}

// fetch reads as many pages as are wanted.
func (j *jobsCmd) fetch(ctx context.Context, c *client.Client, q tidings.JobsQuery) (jobs []tidings.Job, more bool, err error) {
	const pageSize = 500
	for {
		q.Limit = pageSize
		if j.Limit > 0 {
			q.Limit = min(pageSize, j.Limit-len(jobs))
		}
		page, err := c.Jobs(ctx, q)
		if err != nil {
			return nil, false, err
		}
		jobs = append(jobs, page.Jobs...)
		q.Cursor = page.NextCursor
		if q.Cursor == "" || (j.Limit > 0 && len(jobs) >= j.Limit) {
			return jobs, q.Cursor != "", nil
		}
	}
}

func printJobsJSON(out io.Writer, jobs []tidings.Job) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	for i := range jobs {
		if err := enc.Encode(&jobs[i]); err != nil {
			return err
		}
	}
	return nil
}

var statusColor = map[tidings.Status]string{
	tidings.StatusQueued: dim, tidings.StatusRunning: blue, tidings.StatusWaiting: yellow, tidings.StatusCancelling: yellow,
	tidings.StatusCompleted: green, tidings.StatusFailed: red, tidings.StatusCancelled: yellow,
}

// printTable aligns the columns first and colours afterwards: the codes would
// count as width.
func printTable(out io.Writer, jobs []tidings.Job, color palette, now time.Time) error {
	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "JOB\tSTATUS\tEVENTS\tCREATED\tTOOK\tNAME\tWHAT")
	for i := range jobs {
		job := &jobs[i]
		fmt.Fprintf(table, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", oneLine(job.ID, 60), statusText(job, now), job.Events,
			ago(now.Sub(job.CreatedAt)), took(job, now), oneLine(job.Name, 30), oneLine(what(job), 60))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	lines := strings.SplitAfter(text.String(), "\n")
	lines[0] = color.paint(bold, strings.TrimSuffix(lines[0], "\n")) + "\n"
	for i := range jobs {
		status := string(jobs[i].Status)
		lines[i+1] = strings.Replace(lines[i+1], "  "+status, "  "+color.paint(statusColor[jobs[i].Status], status), 1)
	}
	_, err := io.WriteString(out, strings.Join(lines, ""))
	return err
}

func statusText(job *tidings.Job, now time.Time) string {
	if job.Stalled(now, 0) {
		return string(job.Status) + " (stalled)"
	}
	return string(job.Status)
}

func ago(d time.Duration) string {
	if d < time.Second {
		return "just now"
	}
	return d.Truncate(time.Second).String() + " ago"
}

func took(job *tidings.Job, now time.Time) string {
	if job.EndedAt != nil {
		return first2(short(job.EndedAt.Sub(job.CreatedAt)), "0s")
	}
	return now.Sub(job.CreatedAt).Truncate(time.Second).String()
}

// what is the most telling of what is known.
func what(job *tidings.Job) string {
	switch {
	case job.Error != "":
		return job.Error
	case job.Cancel != nil && !job.Status.Ended():
		return joinNonEmpty(": ", "asked to stop", job.Cancel.Reason)
	}
	progress := ""
	if job.Progress != nil && !job.Status.Ended() {
		progress = fmt.Sprintf("%.0f %%", *job.Progress*100)
	}
	return joinNonEmpty("  ", job.Phase, progress, job.Message)
}

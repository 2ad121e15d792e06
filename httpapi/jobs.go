package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tidings"
)

// jobView is a job as the API shows it.
type jobView struct {
	tidings.Job
	Stalled bool `json:"stalled"`
}

func (s *Server) view(job tidings.Job) jobView {
	return jobView{Job: job, Stalled: job.Stalled(time.Now(), s.opts.SilentAfter)}
}

// createJob answers POST /v1/jobs.
func (s *Server) createJob(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		tidings.JobSpec
		Queue json.RawMessage `json:"queue"`
	}
	if err := s.decodeBody(w, r, &body); err != nil {
		return err
	}
	spec := body.JobSpec
	chosen := spec.ID != ""
	if !chosen {
		spec.ID = tidings.NewJobID()
	}
	if err := validateSpec(&spec); err != nil {
		return err
	}
	if who := caller(r); !who.May(Publish, spec.ID) {
		if !chosen && who.Can(Publish) && len(who.Jobs) > 0 {
			return notAllowed(Publish, "the job would get a random ID, which is not among those that "+strconv.Quote(who.Name)+" may use; give an id that matches "+patternsOf(who))
		}
		return forbidden(who, Publish, spec.ID)
	}
	if len(body.Queue) > 0 && string(body.Queue) != "null" {
		return s.submitJob(w, r, spec, body.Queue)
	}
	_, receipt, err := tidings.Create(r.Context(), s.store, spec)
	if err != nil {
		return err
	}
	job, err := s.store.Job(r.Context(), spec.ID)
	if err != nil {
		return err
	}
	w.Header().Set("Location", jobPath(spec.ID))
	status := http.StatusCreated
	if receipt.Duplicate {
		status = http.StatusOK
	}
	return writeJSON(w, status, s.view(job))
}

func validateSpec(spec *tidings.JobSpec) error {
	if err := tidings.ValidateJobID(spec.ID); err != nil {
		return &tidings.InvalidError{Field: "id", Reason: err.(*tidings.InvalidError).Reason}
	}
	if len(spec.Name) > maxNameBytes {
		return &tidings.InvalidError{Field: "name", Reason: fmt.Sprintf("%d bytes long; at most %d are allowed", len(spec.Name), maxNameBytes)}
	}
	if len(spec.Labels) > maxLabels {
		return &tidings.InvalidError{Field: "labels", Reason: fmt.Sprintf("%d labels; at most %d are allowed", len(spec.Labels), maxLabels)}
	}
	for key := range spec.Labels {
		if key == "" || strings.Contains(key, "=") {
			return &tidings.InvalidError{Field: "labels", Reason: "a label's key must not be empty or contain ="}
		}
	}
	return validateMetadata(spec)
}

func validateMetadata(spec *tidings.JobSpec) error {
	if len(spec.Metadata) == 0 || string(spec.Metadata) == "null" {
		spec.Metadata = nil
		return nil
	}
	if !bytes.HasPrefix(bytes.TrimSpace(spec.Metadata), []byte("{")) {
		return &tidings.InvalidError{Field: "metadata", Reason: "must be a JSON object"}
	}
	return nil
}

// getJob answers GET /v1/jobs/{id}.
func (s *Server) getJob(w http.ResponseWriter, r *http.Request, jobID string) error {
	job, err := s.store.Job(r.Context(), jobID)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, s.view(job))
}

// deleteJob answers DELETE /v1/jobs/{id}.
func (s *Server) deleteJob(w http.ResponseWriter, r *http.Request, jobID string) error {
	if err := s.store.Delete(r.Context(), jobID); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// cancelJob answers POST /v1/jobs/{id}/cancel.
func (s *Server) cancelJob(w http.ResponseWriter, r *http.Request, jobID string) error {
	var body struct {
		Reason string `json:"reason"`
		By     string `json:"by"`
		stopOptions
	}
	if err := s.decodeBody(w, r, &body); err != nil {
		return err
	}
	if err := body.validate(); err != nil {
		return err
	}
	if body.By == "" {
		body.By = caller(r).Name
	}
	if err := tidings.RequestCancel(r.Context(), s.store, jobID, body.By, body.Reason); err != nil {
		return err
	}
	stop := s.stopTask(r, jobID, tidings.StopOptions{Terminate: body.Terminate, Signal: body.Signal, By: body.By, Reason: body.Reason})
	job, err := s.store.Job(r.Context(), jobID)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusAccepted, struct {
		jobView
		Stop *tidings.StopReport `json:"stop,omitempty"` // what the task queue said to it
	}{s.view(job), stop})
}

const maxLease = 24 * time.Hour

// heartbeat answers POST /v1/jobs/{id}/heartbeat.
func (s *Server) heartbeat(w http.ResponseWriter, r *http.Request, jobID string) error {
	lease, err := s.parseLease(w, r)
	if err != nil {
		return err
	}
	if err := s.store.Heartbeat(r.Context(), jobID, lease); err != nil {
		return err
	}
	job, err := s.store.Job(r.Context(), jobID)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, struct {
		CancelRequested bool       `json:"cancel_requested"`
		LeaseUntil      *time.Time `json:"lease_until"`
	}{job.Cancel != nil, job.LeaseUntil})
}

func (s *Server) parseLease(w http.ResponseWriter, r *http.Request) (tidings.Lease, error) {
	producer, err := parseProducer(r.Header, false)
	if err != nil {
		return tidings.Lease{}, err
	}
	var body struct {
		TTL json.Number `json:"ttl_ms"`
	}
	if err := s.decodeBody(w, r, &body); err != nil {
		return tidings.Lease{}, err
	}
	lease := tidings.Lease{Producer: producer}
	if body.TTL == "" {
		return lease, nil
	}
	ms, err := body.TTL.Int64()
	if err != nil || ms < 1 || ms > maxLease.Milliseconds() {
		return lease, &tidings.InvalidError{Field: "ttl_ms", Reason: "must be whole milliseconds from 1 to 86400000, a day"}
	}
	lease.TTL = time.Duration(ms) * time.Millisecond
	return lease, nil
}

// listJobs answers GET /v1/jobs with the jobs that pass the filters and that the
// caller may read, the newest first.
func (s *Server) listJobs(w http.ResponseWriter, r *http.Request) error {
	q, err := parseJobsQuery(r.URL.Query())
	if err != nil {
		return err
	}
	who, limit := caller(r), q.Limit
	stalled := q.Stalled
	q.Stalled = nil // what counts as stalled is this server's setting
	views := []jobView{}
	next := ""
	for scanned := 0; ; {
		q.Limit = limit - len(views) // never more than fit
		got, err := s.store.Jobs(r.Context(), q)
		if err != nil {
			return err
		}
		for i := range got.Jobs {
			view := s.view(got.Jobs[i])
			if who.May(Read, view.ID) && (stalled == nil || *stalled == view.Stalled) {
				views = append(views, view)
			}
		}
		scanned += len(got.Jobs)
		next, q.Cursor = got.NextCursor, got.NextCursor
		if next == "" || len(views) == limit || scanned >= maxJobsScan {
			break
		}
	}
	return writeJSON(w, http.StatusOK, struct {
		Jobs       []jobView `json:"jobs"`
		NextCursor string    `json:"next_cursor"`
	}{views, next})
}

func parseJobsQuery(v url.Values) (tidings.JobsQuery, error) {
	q := tidings.JobsQuery{Name: v.Get("name"), Cursor: v.Get("cursor")}
	for _, name := range typesOf(v["status"]) {
		status := tidings.Status(name)
		if !slices.Contains(tidings.Statuses, status) {
			return q, &tidings.InvalidError{Field: "status", Reason: fmt.Sprintf("%.64q is no status; there are %v", name, tidings.Statuses)}
		}
		q.Status = append(q.Status, status)
	}
	for _, label := range v["label"] {
		key, value, ok := strings.Cut(label, "=")
		if !ok || key == "" {
			return q, &tidings.InvalidError{Field: "label", Reason: "must look like key=value"}
		}
		if q.Labels == nil {
			q.Labels = map[string]string{}
		}
		if had, twice := q.Labels[key]; twice && had != value {
			return q, &tidings.InvalidError{Field: "label", Reason: fmt.Sprintf("%.64q can't have two values at once", key)}
		}
		q.Labels[key] = value
	}
	var err error
	if q.Since, err = timeParam(v, "since"); err != nil {
		return q, err
	}
	if q.Until, err = timeParam(v, "until"); err != nil {
		return q, err
	}
	if q.Limit, err = intParam(v, "limit", tidings.DefaultJobsLimit, 1, maxJobsPage); err != nil {
		return q, err
	}
	q.Stalled, err = stalledParam(v)
	return q, err
}

func timeParam(v url.Values, name string) (time.Time, error) {
	text := v.Get(name)
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, &tidings.InvalidError{Field: name, Reason: "must be RFC 3339, such as 2026-11-24T09:20:01Z (a + is written %2B)"}
	}
	return t, nil
}

func stalledParam(v url.Values) (*bool, error) {
	switch v.Get("stalled") {
	case "":
		return nil, nil
	case "true":
		return new(true), nil
	case "false":
		return new(false), nil
	}
	return nil, &tidings.InvalidError{Field: "stalled", Reason: "must be true or false"}
}

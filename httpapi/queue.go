package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"tidings"
)

// submitJob answers a POST /v1/jobs that has a queue: the job is created and its
// task put on the queue.
func (s *Server) submitJob(w http.ResponseWriter, r *http.Request, spec tidings.JobSpec, task json.RawMessage) error {
	queue, err := s.queueOf(task)
	if err != nil {
		return err
	}
	if who := caller(r); !who.May(Submit, spec.ID) {
		return forbidden(who, Submit, spec.ID)
	}
	created, err := queue.Submit(r.Context(), spec, task)
	if err != nil {
		return err
	}
	job, err := s.store.Job(r.Context(), spec.ID)
	if err != nil {
		return err
	}
	w.Header().Set("Location", jobPath(spec.ID))
	status := http.StatusAccepted
	if !created {
		status = http.StatusOK
	}
	return writeJSON(w, status, struct {
		jobView
		EventsURL string `json:"events_url"` // where to watch it
	}{s.view(job), jobPath(spec.ID) + "/events"})
}

func jobPath(jobID string) string { return "/v1/jobs/" + url.PathEscape(jobID) }

// queueOf finds the task queue that the task names by its type.
func (s *Server) queueOf(task json.RawMessage) (tidings.TaskQueue, error) {
	if len(s.opts.Queues) == 0 {
		return nil, &tidings.InvalidError{Field: "queue", Reason: "this server has no task queue; start it with --celery-broker, or with jobs in its config file"}
	}
	var named struct {
		Type string `json:"type"`
	}
	types := slices.Sorted(maps.Keys(s.opts.Queues))
	if err := json.Unmarshal(task, &named); err != nil || named.Type == "" && len(types) > 1 {
		return nil, &tidings.InvalidError{Field: "queue", Reason: "must be an object with a type, which is one of " + strings.Join(types, ", ")}
	}
	if named.Type == "" {
		named.Type = types[0]
	}
	queue := s.opts.Queues[named.Type]
	if queue == nil {
		return nil, &tidings.InvalidError{Field: "queue.type", Reason: fmt.Sprintf("%.64q is no task queue of this server; there is %s", named.Type, strings.Join(types, ", "))}
	}
	return queue, nil
}

// stopOptions are the members of a request to stop that are for a task queue.
type stopOptions struct {
	Terminate bool   `json:"terminate"`
	Signal    string `json:"signal"`
}

func (o *stopOptions) validate() error {
	switch o.Signal {
	case "", "SIGTERM", "SIGINT", "SIGQUIT", "SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2":
		return nil
	}
	return &tidings.InvalidError{Field: "signal", Reason: "must be the name of a signal that ends a process, such as SIGTERM or SIGKILL"}
}

// stopTask passes the request to stop on to the job's queue. It gives nil if the
// job is of none. The request itself is in the log, so what goes wrong is
// told, but is no failure.
func (s *Server) stopTask(r *http.Request, jobID string, opts tidings.StopOptions) *tidings.StopReport {
	for _, queue := range s.opts.Queues {
		report, err := queue.Stop(r.Context(), jobID, opts)
		switch {
		case errors.Is(err, tidings.ErrNoTask):
			continue
		case err != nil:
			s.log.Warn("a request to stop was not passed on to the task queue", "job", jobID, "error", err)
			report.Warning = "the task queue could not be told: " + err.Error()
		}
		return &report
	}
	return nil
}

// listWorkers answers GET /v1/workers.
func (s *Server) listWorkers(w http.ResponseWriter, r *http.Request) error {
	workers := []tidings.Worker{}
	for _, name := range slices.Sorted(maps.Keys(s.opts.Queues)) {
		some, err := s.opts.Queues[name].Workers(r.Context())
		if err != nil {
			return err
		}
		workers = append(workers, some...)
	}
	return writeJSON(w, http.StatusOK, map[string]any{"workers": workers})
}

// listQueues answers GET /v1/queues.
func (s *Server) listQueues(w http.ResponseWriter, r *http.Request) error {
	depths := []tidings.QueueDepth{}
	for _, name := range slices.Sorted(maps.Keys(s.opts.Queues)) {
		some, err := s.opts.Queues[name].Depths(r.Context())
		if err != nil {
			return err
		}
		depths = append(depths, some...)
	}
	return writeJSON(w, http.StatusOK, map[string]any{"queues": depths})
}

package celery

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"tidings"
)

// open is what reconciling needs to know of a task.
type open struct {
	id, job, worker, queue string
	place                  place
	seen                   time.Time
}

// quietFor is how long nothing must have been heard of a task before it is asked
// after.
const quietFor = 5 * time.Second

// reconcile finds out what became of open tasks that nobody told of: by their
// results, by asking the workers, and by whether these are alive. Tasks of which
// this node heard nothing, as before its start, come from the list of jobs.
func (b *Bridge) reconcile(ctx context.Context) {
	stopping := b.adopt(ctx)
	tasks := b.open()
	if len(tasks) == 0 {
		return
	}
	tasks = b.byResult(ctx, tasks)
	b.stopAgain(ctx, tasks, stopping)
	tasks = b.byWorker(ctx, tasks)
	b.keepAlive(ctx, tasks)
}

// open gives the open tasks of all shards.
func (b *Bridge) open() []open {
	var out []open
	for _, s := range b.shards {
		s.tracker.mu.Lock()
		for _, t := range s.tracker.tasks {
			if t.open() && t.verdict == nil && t.place.kind != 0 {
				out = append(out, open{id: t.id, job: t.job, worker: t.worker, queue: t.queue, place: t.place, seen: t.seen})
			}
		}
		s.tracker.mu.Unlock()
	}
	return out
}

// adopt takes up open jobs that are tasks of Celery and unknown to this node:
// those that were begun while no node listened, or before this one did. It gives
// the jobs that were asked to stop.
func (b *Bridge) adopt(ctx context.Context) (stopping map[string]*tidings.CancelRequest) {
	stopping = map[string]*tidings.CancelRequest{}
	known := b.jobs()
	q := tidings.JobsQuery{Status: []tidings.Status{tidings.StatusQueued, tidings.StatusRunning, tidings.StatusCancelling}, Limit: 500}
	for ctx.Err() == nil {
		page, err := b.store.Jobs(ctx, q)
		if err != nil {
			b.once("jobs", "open jobs can't be listed to reconcile them", err)
			return stopping
		}
		for i := range page.Jobs {
			job := &page.Jobs[i]
			if job.Task == nil {
				continue
			}
			if job.Cancel != nil {
				stopping[job.ID] = job.Cancel
			}
			if !known[job.ID] {
				b.adoptJob(ctx, job.ID)
			}
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			break
		}
	}
	return stopping
}

// adoptEnded takes up jobs whose task ended lately, so that they are closed even
// if the node that would have done so is gone.
func (b *Bridge) adoptEnded(ctx context.Context) {
	known := b.jobs()
	q := tidings.JobsQuery{Status: []tidings.Status{tidings.StatusCompleted, tidings.StatusFailed}, Since: time.Now().Add(-24 * time.Hour), Limit: 500}
	for ctx.Err() == nil {
		page, err := b.store.Jobs(ctx, q)
		if err != nil {
			return
		}
		for i := range page.Jobs {
			if job := &page.Jobs[i]; job.Task != nil && job.Task.Verdict != "" && !job.Closed && !known[job.ID] {
				b.adoptJob(ctx, job.ID)
			}
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			return
		}
	}
}

// jobs are those of the tasks that are known.
func (b *Bridge) jobs() map[string]bool {
	out := map[string]bool{}
	for _, s := range b.shards {
		s.tracker.mu.Lock()
		for _, t := range s.tracker.tasks {
			out[t.job] = true
		}
		s.tracker.mu.Unlock()
	}
	return out
}

// adoptJob looks through a job's log for the tasks in it.
func (b *Bridge) adoptJob(ctx context.Context, jobID string) {
	page, err := b.store.Read(ctx, jobID, tidings.Query{Backward: true})
	if err != nil {
		return
	}
	ids := map[string]bool{}
	for _, e := range page.Events {
		var d data
		if isTaskEvent(e.Type) && json.Unmarshal(e.Data, &d) == nil && d.TaskID != "" {
			ids[d.TaskID] = true
		}
	}
	for id := range ids {
		s := b.shardOf(id)
		past := s.past(ctx, jobID, id)
		s.tracker.mu.Lock()
		if t := s.tracker.task(id); !t.loaded {
			t.loaded, t.job = true, jobID
			for i := range past {
				s.tracker.recall(t, &past[i])
			}
			t.seen = time.Time{} // nothing was heard of it by this node
		}
		s.tracker.mu.Unlock()
	}
}

// byResult tells how tasks ended of which the result backend knows it.
func (b *Bridge) byResult(ctx context.Context, tasks []open) []open {
	if b.backend == nil {
		return tasks
	}
	var ids []string
	for _, t := range tasks {
		if time.Since(t.seen) > quietFor {
			ids = append(ids, t.id)
		}
	}
	results, err := b.backend.results(ctx, ids)
	if err != nil {
		b.once("results", "the result backend can't be read", err)
		return tasks
	}
	done := map[string]bool{}
	for i := range results {
		r := &results[i]
		if r.Status == stateSuccess || r.Status == stateFailure || r.Status == stateRevoked {
			done[r.TaskID] = true
			b.counts.reconciled.Add(1)
			b.hear(heard{result: r, reconciled: true})
		}
	}
	return slices.DeleteFunc(tasks, func(t open) bool { return done[t.id] })
}

// byWorker finds tasks whose worker is lost or knows nothing of them.
func (b *Bridge) byWorker(ctx context.Context, tasks []open) []open {
	var ids, lost []string
	for _, t := range tasks {
		if t.place.kind < received || time.Since(t.seen) < quietFor {
			continue
		}
		if alive, known := b.workers.alive(t.worker); alive {
			ids = append(ids, t.id)
		} else if known || time.Since(b.began) > missed*10*time.Second || time.Since(t.seen) > time.Minute && time.Since(b.began) > time.Minute {
			lost = append(lost, t.id)
		}
	}
	verdicts := b.unknownToWorkers(ctx, ids)
	b.lost(ctx, lost, verdicts)
	for id, v := range verdicts {
		b.conclude(ctx, id, v)
	}
	return slices.DeleteFunc(tasks, func(t open) bool { _, gone := verdicts[t.id]; return gone })
}

// lost gives a verdict on tasks whose worker is dead. One that was not
// acknowledged is delivered again: nothing is known against it.
func (b *Bridge) lost(ctx context.Context, ids []string, verdicts map[string]verdict) {
	if len(ids) == 0 {
		return
	}
	set := map[string]bool{}
	for _, id := range ids {
		set[id] = true
	}
	waiting, err := b.broker.unacked(ctx, set)
	if err != nil {
		b.once("unacked", "the broker does not say which tasks were not acknowledged", err)
		return
	}
	for _, id := range ids {
		if !waiting[id] {
			verdicts[id] = verdict{state: stateFailure, kind: "worker_lost", text: "the worker was lost while it ran the task", reconciled: true}
		}
	}
}

// unknownToWorkers asks the workers for the tasks, and gives a verdict on those
// that none of them has: they ended with no event and no result, as a task does that is
// ignored, or rejected after it was acknowledged.
func (b *Bridge) unknownToWorkers(ctx context.Context, ids []string) map[string]verdict {
	verdicts := map[string]verdict{}
	for chunk := range slices.Chunk(ids, 200) {
		known, complete := b.query(ctx, chunk)
		if !complete {
			return verdicts
		}
		for _, id := range chunk {
			switch {
			case known[id]:
				b.strike(id, 0)
			case b.strike(id, 1) >= 2: // asked twice, ten seconds apart
				verdicts[id] = verdict{state: stateSuccess, reason: "unknown", reconciled: true}
			}
		}
	}
	return verdicts
}

// strike counts how often workers did not know a task; 0 forgets it.
func (b *Bridge) strike(id string, n int) int {
	s := b.shardOf(id)
	s.tracker.mu.Lock()
	defer s.tracker.mu.Unlock()
	t := s.tracker.tasks[id]
	if t == nil {
		return 0
	}
	if n == 0 {
		t.strikes = 0
	}
	t.strikes += n
	return t.strikes
}

// queried is what query_task answers of one task: its state and the request.
type queried struct {
	ID     string         `json:"id"`
	Kwargs map[string]any `json:"kwargs"`
}

// query asks all workers for the tasks. complete is false if a worker that is
// alive did not answer.
func (b *Bridge) query(ctx context.Context, ids []string) (known map[string]bool, complete bool) {
	living := b.workers.living()
	replies, err := b.broker.ask(ctx, command{method: "query_task", arguments: map[string]any{"ids": ids}}, living, 3*time.Second)
	if err != nil {
		b.once("query", "workers can't be asked for their tasks", err)
		return nil, false
	}
	known = map[string]bool{}
	for _, reply := range replies {
		for id := range tasksOf(reply) {
			known[id] = true
		}
	}
	return known, living > 0 && len(replies) >= living
}

// tasksOf reads a reply to query_task: {worker: {id: [state, request]}}.
func tasksOf(reply json.RawMessage) map[string]queried {
	var byWorker map[string]map[string][]json.RawMessage
	out := map[string]queried{}
	if json.Unmarshal(reply, &byWorker) != nil {
		return out
	}
	for _, tasks := range byWorker {
		for id, pair := range tasks {
			var q queried
			if len(pair) == 2 && json.Unmarshal(pair[1], &q) == nil {
				out[id] = q
			}
		}
	}
	return out
}

// askJob asks the workers for the keyword argument of a task that holds its
// job's ID.
func (b *Bridge) askJob(ctx context.Context, taskID, name string) string {
	replies, err := b.broker.ask(ctx, command{method: "query_task", arguments: map[string]any{"ids": []string{taskID}}}, max(b.workers.living(), 1), time.Second)
	if err != nil {
		return ""
	}
	for _, reply := range replies {
		if id, ok := tasksOf(reply)[taskID].Kwargs[name].(string); ok {
			return id
		}
	}
	return ""
}

// conclude tells a verdict of reconciling.
func (b *Bridge) conclude(ctx context.Context, id string, v verdict) {
	b.counts.reconciled.Add(1)
	s := b.shardOf(id)
	s.tracker.mu.Lock()
	t := s.tracker.task(id)
	v.retries, v.at = t.place.retries, time.Now()
	transitions := s.tracker.tell(t, v)
	s.tracker.mu.Unlock()
	s.write(ctx, transitions)
}

// keepAlive renews the leases of jobs whose task runs on a worker that is alive,
// so that a long silent task does not count as stalled, and that of a lost worker does.
func (b *Bridge) keepAlive(ctx context.Context, tasks []open) {
	for _, t := range tasks {
		if t.place.kind != started {
			continue
		}
		if alive, _ := b.workers.alive(t.worker); alive {
			_ = b.store.Heartbeat(ctx, t.job, tidings.Lease{TTL: 3 * b.opts.reconcileEvery})
		}
	}
}

// poolOf reads the kind of a worker's pool from its reply to stats:
// {worker: {"pool": {"implementation": "celery.concurrency.prefork:TaskPool"}}}.
func poolOf(reply json.RawMessage, worker string) string {
	var byWorker map[string]struct {
		Pool struct {
			Implementation string `json:"implementation"`
		} `json:"pool"`
	}
	if json.Unmarshal(reply, &byWorker) != nil {
		return ""
	}
	return byWorker[worker].Pool.Implementation
}

func isPrefork(pool string) bool { return strings.Contains(pool, "prefork") }

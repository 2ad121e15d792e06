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
	begun                  time.Time // when its worker got it or began it, by the worker's clock
}

// reconcile finds out what became of open tasks that nobody told of: by their
// results, by asking the workers, and by whether these are alive. Tasks of which
// this node heard nothing, as before its start, come from the list of jobs.
func (b *Bridge) reconcile(ctx context.Context) {
	stopping, err := b.adopt(ctx)
	if err != nil {
		b.once("jobs", "open jobs can't be listed to reconcile them", err)
	}
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
			if t.open() && len(t.results) == 0 && t.place.kind != 0 {
				begun := t.startedAt
				if begun.IsZero() {
					begun = t.receivedAt
				}
				out = append(out, open{id: t.id, job: t.job, worker: t.worker, queue: t.queue, place: t.place, seen: t.seen, begun: begun})
			}
		}
		s.tracker.mu.Unlock()
	}
	return out
}

// adoptAll takes up what the log knows of open tasks, and lets the shards begin.
func (b *Bridge) adoptAll(ctx context.Context) {
	defer close(b.adopted)
	for ctx.Err() == nil {
		_, err := b.adopt(ctx)
		if err == nil {
			break
		}
		b.once("jobs", "open jobs can't be listed; the bridge waits for the store", err)
		pause(ctx, time.Second)
	}
	b.work.Go(func() {
		for ctx.Err() == nil && b.adoptEnded(ctx) != nil {
			pause(ctx, time.Second)
		}
	})
}

// adopt takes up open jobs that are tasks of Celery and unknown to this node:
// those that were begun while no node listened, or before this one did. It gives
// the jobs that were asked to stop.
func (b *Bridge) adopt(ctx context.Context) (stopping map[string]*tidings.CancelRequest, err error) {
	stopping = map[string]*tidings.CancelRequest{}
	known := b.jobs()
	q := tidings.JobsQuery{Status: []tidings.Status{tidings.StatusQueued, tidings.StatusRunning, tidings.StatusCancelling}, Limit: 500}
	for ctx.Err() == nil {
		page, err := b.store.Jobs(ctx, q)
		if err != nil {
			return stopping, err
		}
		for i := range page.Jobs {
			job := &page.Jobs[i]
			if !isOurs(job) {
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
	return stopping, ctx.Err()
}

// isOurs reports whether the job may be a task of Celery: other task queues label
// theirs.
func isOurs(job *tidings.Job) bool {
	queue := job.Labels["task_queue"]
	return job.Task != nil && (queue == "" || queue == queueType)
}

// adoptEnded takes up jobs whose task ended lately, so that they are closed even
// if the node that would have done so is gone.
func (b *Bridge) adoptEnded(ctx context.Context) error {
	known := b.jobs()
	q := tidings.JobsQuery{Status: []tidings.Status{tidings.StatusCompleted, tidings.StatusFailed}, Since: time.Now().Add(-24 * time.Hour), Limit: 500}
	for ctx.Err() == nil {
		page, err := b.store.Jobs(ctx, q)
		if err != nil {
			return err
		}
		for i := range page.Jobs {
			if job := &page.Jobs[i]; isOurs(job) && job.Task.Verdict != "" && !job.Closed && !known[job.ID] {
				b.adoptJob(ctx, job.ID)
			}
		}
		if q.Cursor = page.NextCursor; q.Cursor == "" {
			break
		}
	}
	return nil
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

// adoptJob looks through a job's log for the tasks in it, and reports whether
// there are any.
func (b *Bridge) adoptJob(ctx context.Context, jobID string) (found bool) {
	events, err := b.shards[0].pastEvents(ctx, jobID)
	if err != nil {
		return false
	}
	ids := map[string]bool{}
	for _, e := range events {
		var d data
		if json.Unmarshal(e.Data, &d) == nil && d.TaskID != "" {
			ids[d.TaskID] = true
		}
	}
	for id := range ids {
		past := ofTask(slices.Clone(events), id)
		s := b.shardOf(id)
		s.tracker.mu.Lock()
		if t := s.tracker.task(id); !t.loaded {
			t.loaded, t.job = true, jobID
			for i := range past {
				s.tracker.recall(t, &past[i])
			}
			t.seen = s.tracker.now().Add(-b.opts.quietFor - 1) // nothing was heard of it by this node
		}
		s.tracker.mu.Unlock()
	}
	return len(ids) > 0
}

// byResult tells how tasks ended of which the result backend knows it.
func (b *Bridge) byResult(ctx context.Context, tasks []open) []open {
	if b.backend == nil {
		return tasks
	}
	var ids []string
	for _, t := range tasks {
		if time.Since(t.seen) > b.opts.quietFor {
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

// byWorker finds tasks whose worker is lost or knows nothing of them. Those that
// wait for a worker are nobody's.
func (b *Bridge) byWorker(ctx context.Context, tasks []open) []open {
	var quiet []open
	for _, t := range tasks {
		if (t.place.kind == received || t.place.kind == started) && time.Since(t.seen) >= b.opts.quietFor {
			quiet = append(quiet, t)
		}
	}
	gone := map[string]bool{}
	for chunk := range slices.Chunk(quiet, 200) {
		for _, t := range b.strangers(ctx, chunk) {
			v := verdict{state: stateSuccess, reason: "unknown", reconciled: true}
			if alive, _ := b.workers.alive(t.worker); !alive || b.workers.restarted(t.worker, t.begun) {
				v = verdict{state: stateFailure, kind: "worker_lost", text: "the worker was lost while it ran the task", reconciled: true}
			}
			b.conclude(ctx, t, v)
			gone[t.id] = true
		}
	}
	return slices.DeleteFunc(tasks, func(t open) bool { return gone[t.id] })
}

// strangers gives those of the tasks that no worker has, nor will have: the
// workers were asked twice, in rounds of reconciling, and the broker does not
// hold the message.
func (b *Bridge) strangers(ctx context.Context, tasks []open) []open {
	known, silent, answered := b.query(ctx, tasks)
	var suspects []open
	ids := map[string]bool{}
	for _, t := range tasks {
		alive, _ := b.workers.alive(t.worker)
		switch {
		case known[t.id]:
			b.strike(t.id, 0)
		case answered[t.worker], !alive && silent == 0:
			suspects = append(suspects, t)
			ids[t.id] = true
		} // else its worker may be too busy to answer, as one without a pool is
	}
	if len(suspects) == 0 {
		return nil
	}
	waiting, err := b.broker.unacked(ctx, ids)
	if err != nil {
		b.once("unacked", "the broker does not say which tasks were not acknowledged", err)
		return nil
	}
	return slices.DeleteFunc(suspects, func(t open) bool {
		if waiting[t.id] {
			b.strike(t.id, 0)
			return true
		}
		return b.strike(t.id, 1) < 2
	})
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

// query asks all workers for the tasks. silent is how many are connected but did
// not answer; answered are the names of those that did.
func (b *Bridge) query(ctx context.Context, tasks []open) (known map[string]bool, silent int, answered map[string]bool) {
	known, answered = map[string]bool{}, map[string]bool{}
	// A heartbeat shows also those that send none by themselves.
	connected, err := b.broker.broadcast(ctx, command{method: "heartbeat", arguments: map[string]any{}})
	if err != nil {
		b.once("query", "workers can't be asked for their tasks", err)
		return known, 1, answered
	}
	ids := make([]string, len(tasks))
	for i, t := range tasks {
		ids[i] = t.id
	}
	replies := b.askAll(ctx, queryTask(ids...), connected)
	for _, reply := range replies {
		for worker, tasks := range parseReply[map[string]json.RawMessage](reply) {
			answered[worker] = true
			for id := range tasks {
				known[id] = true
			}
		}
	}
	if !slices.ContainsFunc(tasks, func(t open) bool { return !known[t.id] }) {
		return known, connected - len(replies), answered
	}
	// Up to Celery 5.6 a worker that lost its connection to the broker forgets what it
	// runs, except in this list.
	active := map[string]bool{}
	for _, reply := range b.askAll(ctx, command{method: "active", arguments: map[string]any{}}, connected) {
		for worker, tasks := range parseReply[[]queried](reply) {
			active[worker] = true
			for _, t := range tasks {
				known[t.ID] = true
			}
		}
	}
	return known, connected - len(active), active
}

// askAll gives the workers' replies to a command, as many as came in time.
func (b *Bridge) askAll(ctx context.Context, c command, connected int) []json.RawMessage {
	if connected == 0 {
		return nil
	}
	replies, err := b.broker.ask(ctx, c, connected, min(3*time.Second, 2*b.opts.reconcileEvery))
	if err != nil && ctx.Err() == nil {
		b.once("query", "workers can't be asked for their tasks", err)
	}
	return replies
}

// parseReply reads a reply, which is what each worker says.
func parseReply[T any](reply json.RawMessage) map[string]T {
	var byWorker map[string]T
	if json.Unmarshal(reply, &byWorker) != nil {
		return nil
	}
	return byWorker
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
	replies, err := b.broker.ask(ctx, queryTask(taskID), max(b.workers.living(), 1), time.Second)
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

// conclude tells a verdict of reconciling, unless the task moved on meanwhile.
func (b *Bridge) conclude(ctx context.Context, o open, v verdict) {
	s := b.shardOf(o.id)
	s.tracker.mu.Lock()
	t := s.tracker.tasks[o.id]
	if t == nil || t.place != o.place || len(t.results) > 0 || t.next != nil {
		s.tracker.mu.Unlock()
		return
	}
	v.at = time.Now()
	transitions := s.tracker.tell(t, v)
	s.tracker.mu.Unlock()
	for i := range transitions {
		transitions[i].concluded = true
	}
	b.counts.reconciled.Add(1)
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

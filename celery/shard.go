package celery

import (
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"slices"
	"time"

	"tidings"
)

// shards is how many tasks are written at the same time. What is heard of one
// task goes through one shard, in order.
const shards = 32

// shardQueue bounds what waits in a shard while the store is slow. What does not
// fit is dropped, counted, and made up for by reconciling.
const shardQueue = 4096

// heard is one message about a task.
type heard struct {
	event  *event
	result *result
	// reconciled marks what was asked for, not heard.
	reconciled bool
	at         time.Time
}

func (h *heard) taskID() string {
	if h.event != nil {
		return h.event.UUID
	}
	return h.result.TaskID
}

// shard writes what is heard of its tasks to their logs.
type shard struct {
	b       *Bridge
	tracker *tracker
	inbox   chan heard
}

var shardSeed = maphash.MakeSeed()

func (b *Bridge) shardOf(taskID string) *shard {
	return b.shards[maphash.String(shardSeed, taskID)%shards]
}

// hear passes a message on to the shard of its task, without waiting.
func (b *Bridge) hear(h heard) {
	h.at = time.Now()
	select {
	case b.shardOf(h.taskID()).inbox <- h:
	default:
		b.counts.dropped.Add(1)
		b.once("dropped", "events of tasks are dropped, as the store takes them too slowly; reconciling makes up for how tasks end", nil)
	}
}

func (s *shard) run(ctx context.Context) {
	merge := time.NewTicker(tick)
	defer merge.Stop()
	closing := time.NewTicker(time.Second)
	defer closing.Stop()
	sweep := time.NewTicker(keepEnded / 2)
	defer sweep.Stop()
	select { // what comes of a task that is not known yet may not say which job it is
	case <-ctx.Done():
		return
	case <-s.b.adopted:
	}
	for {
		select {
		case <-ctx.Done():
			return
		case h := <-s.inbox:
			if s.giveWay(ctx, h.at) {
				s.take(ctx, h)
			}
		case <-merge.C:
			s.write(ctx, s.tracker.due())
		case <-closing.C:
			s.closeJobs(ctx)
		case <-sweep.C:
			s.tracker.sweep(s.b.holds())
		}
	}
}

// behind is how far nodes without the lease stay behind the one with it, which
// alone writes progress: else the end of a task would often come before it.
const behind = time.Second

// giveWay waits until it is this node's turn to write what was heard at a time. It
// reports false if ctx ended before.
func (s *shard) giveWay(ctx context.Context, at time.Time) bool {
	if wait := time.Until(at.Add(behind)); wait > 0 && !s.b.holds() {
		pause(ctx, wait)
	}
	return ctx.Err() == nil
}

// closeJobs closes the logs of jobs whose task ended, unless the job goes on:
// it waits for input, or something came behind the task's end.
func (s *shard) closeJobs(ctx context.Context) {
	for _, t := range s.tracker.toClose() {
		job, err := s.b.store.Job(ctx, t.job)
		if errors.Is(err, tidings.ErrUnavailable) {
			s.tracker.closeLater(t)
		}
		if err == nil && !job.Closed && job.Task != nil && job.Task.Verdict != "" {
			s.write(ctx, s.tracker.close(t))
		}
	}
}

func (s *shard) take(ctx context.Context, h heard) {
	if needsPast(h) && !s.tracker.loaded(h.taskID()) {
		s.load(ctx, h)
	}
	if h.event != nil {
		s.write(ctx, s.tracker.event(h.event))
		return
	}
	s.write(ctx, s.tracker.result(h.result, h.reconciled))
}

// needsPast reports whether a message says too little of a task that nothing
// is known of. Where a task begins there is nothing to look up, but a task that
// is tried or delivered again did not begin here.
func needsPast(h heard) bool {
	return h.event == nil || h.event.Type != "task-sent"
}

func (s *shard) write(ctx context.Context, transitions []transition) {
	for _, t := range transitions {
		if t.undated && !s.b.holds() {
			continue // another node writes it
		}
		if t.task.elsewhere && !t.concluded {
			continue
		}
		s.append(ctx, t)
	}
}

// append writes one transition, once whichever nodes write it. It waits while
// the store is away.
func (s *shard) append(ctx context.Context, t transition) {
	producer := tidings.Producer{ID: producerID(t.task.id, t.jobID), Epoch: t.place.epoch()}
	if t.place == (place{}) {
		producer.ID, producer.Epoch = progressProducer(producer.ID, t.event), t.event.Time.UnixMicro()
	}
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		batch := tidings.Batch{Events: []tidings.Event{t.event}, Producer: &producer}
		receipt, err := s.b.store.Append(ctx, t.jobID, batch)
		var fenced *tidings.FencedError
		var over *tidings.ClosedError
		switch {
		case err == nil && receipt.Duplicate:
			s.b.counts.repeated.Add(1)
			return
		case err == nil:
			s.b.counts.written.Add(1)
			return
		case errors.As(err, &fenced):
			if t.place == (place{}) || !s.catchUp(ctx, &t) {
				s.b.counts.late.Add(1)
				return
			}
			producer.Epoch = t.place.epoch()
			continue
		case errors.As(err, &over):
			s.b.counts.late.Add(1)
			return
		case !errors.Is(err, tidings.ErrUnavailable):
			if ctx.Err() == nil {
				s.b.counts.refused.Add(1)
				s.b.once("refused", "an event of a task can't be written", err, "job", t.jobID, "event_type", t.event.Type)
			}
			return
		}
		s.b.once("unavailable", "the store takes no events; the bridge waits for it", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
	}
}

// progressProducer names the producer of what has no place: each kind of event
// has its own, whose epochs are times.
func progressProducer(id string, e tidings.Event) string {
	var d data
	_ = json.Unmarshal(e.Data, &d)
	id += "/" + d.Name
	return id[:min(len(id), tidings.MaxProducerIDBytes)]
}

// catchUp moves a transition behind a step that the log had already, if it
// comes behind that: another node heard of a try or a delivery that this one did not.
// What happened before the log's last step is late. It changes nothing of what
// this node knows, which goes by what it heard: most of what workers say does
// not tell of which try it is.
func (s *shard) catchUp(ctx context.Context, t *transition) bool {
	if t.guessed {
		return false
	}
	past := s.past(ctx, t.jobID, t.task.id)
	if len(past) == 0 || !t.event.Time.After(past[len(past)-1].Time) {
		return false
	}
	s.tracker.mu.Lock()
	defer s.tracker.mu.Unlock()
	task := t.task
	for i := range past {
		s.tracker.recall(task, &past[i])
	}
	if t.place.kind <= task.place.kind || task.place.kind >= ended {
		return false
	}
	t.place = place{retries: task.place.retries, delivery: task.place.delivery, kind: t.place.kind}
	task.move(t.place)
	var d data
	if json.Unmarshal(t.event.Data, &d) == nil {
		d.Attempt, d.Delivery = t.place.retries+1, t.place.delivery
		t.event = newEvent(t.event.Type, t.event.Time, d)
	}
	return true
}

// loaded reports whether the task's past is known.
func (tr *tracker) loaded(id string) bool {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	t := tr.tasks[id]
	return t != nil && t.loaded
}

// load looks up what the task's log knows of it, as after a restart.
func (s *shard) load(ctx context.Context, h heard) {
	id := h.taskID()
	jobID := s.jobOf(ctx, h)
	past := s.past(ctx, jobID, id)
	s.tracker.mu.Lock()
	defer s.tracker.mu.Unlock()
	t := s.tracker.task(id)
	t.loaded = true
	if jobID != id {
		t.job = jobID
	}
	for i := range past {
		s.tracker.recall(t, &past[i])
	}
}

// jobOf finds the job of a task whose first message says too little.
func (s *shard) jobOf(ctx context.Context, h heard) string {
	id := h.taskID()
	name := s.tracker.jobArg
	if name == "" {
		return id
	}
	named := ""
	if h.event != nil && h.event.Kwargs != "" {
		named, _ = keywordArgument(h.event.Kwargs, name)
	} else {
		named = s.b.askJob(ctx, id, name)
	}
	if named == "" || tidings.ValidateJobID(named) != nil {
		return id
	}
	return named
}

// maxPast bounds how much of a log is looked through for a task's last steps.
const maxPast = 5

// past reads the steps of a task from its job's log, oldest first.
func (s *shard) past(ctx context.Context, jobID, taskID string) []tidings.Event {
	events, _ := s.pastEvents(ctx, jobID)
	return ofTask(events, taskID)
}

// pastEvents reads the last steps of a job's tasks, oldest first. Where an agent
// has told much since, they are far from the log's end, and there is a step in
// its beginning.
func (s *shard) pastEvents(ctx context.Context, jobID string) (found []tidings.Event, err error) {
	before := tidings.ID{}
	for range maxPast {
		page, err := s.read(ctx, jobID, tidings.Query{Before: before, Backward: true})
		if err != nil {
			return found, err
		}
		for _, e := range page.Events {
			before = e.ID
			if isTaskEvent(e.Type) {
				found = append(found, e)
			}
		}
		if !page.More || len(found) > 0 && found[len(found)-1].Type == tidings.TypeTaskQueued {
			slices.Reverse(found)
			return found, nil
		}
	}
	slices.Reverse(found)
	if len(found) > 0 {
		return found, nil
	}
	page, err := s.read(ctx, jobID, tidings.Query{})
	return slices.DeleteFunc(page.Events, func(e tidings.Event) bool { return !isTaskEvent(e.Type) }), err
}

// read waits while the store is away.
func (s *shard) read(ctx context.Context, jobID string, q tidings.Query) (tidings.Page, error) {
	for {
		page, err := s.b.store.Read(ctx, jobID, q)
		if !errors.Is(err, tidings.ErrUnavailable) {
			return page, err
		}
		s.b.once("unavailable", "the store can't be read; the bridge waits for it", err)
		select {
		case <-ctx.Done():
			return page, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

func isTaskEvent(eventType string) bool {
	switch eventType {
	case tidings.TypeTaskQueued, tidings.TypeTaskStarted, tidings.TypeTaskRetried, tidings.TypeTaskCompleted, tidings.TypeTaskFailed, tidings.TypeCancelled:
		return true
	}
	return false
}

func ofTask(events []tidings.Event, taskID string) []tidings.Event {
	out := events[:0]
	for _, e := range events {
		var d data
		if json.Unmarshal(e.Data, &d) == nil && d.TaskID == taskID {
			out = append(out, e)
		}
	}
	return out
}

// recall takes over what an event of the log says of the task, with tr locked.
func (tr *tracker) recall(t *task, e *tidings.Event) {
	var d data
	if json.Unmarshal(e.Data, &d) != nil {
		return
	}
	for _, field := range []struct{ to, from *string }{{&t.name, &d.Task}, {&t.queue, &d.Queue}, {&t.worker, &d.Worker}, {&t.eta, &d.ETA}} {
		if *field.from != "" {
			*field.to = *field.from
		}
	}
	t.elsewhere = t.elsewhere || d.Source == sdkSource
	p := place{retries: max(d.Attempt-1, 0), delivery: d.Delivery, kind: kindOf(e.Type, &d)}
	if p.epoch() > t.place.epoch() {
		t.move(p)
	}
	if e.Time.After(t.toldUntil) {
		t.toldUntil = e.Time
	}
	switch p.kind {
	case sent:
		t.sentAt = e.Time
	case received:
		t.receivedAt = e.Time
	case started:
		t.startedAt = e.Time
	case ended:
		t.ending = verdict{state: stateFailure, at: e.Time, result: d.Result, kind: d.Kind, text: d.Error}
		if e.Type == tidings.TypeTaskCompleted {
			t.ending.state = stateSuccess
		}
		t.closeDue = tr.now().Add(tr.closeAfter)
	}
}

func kindOf(eventType string, d *data) kind {
	switch eventType {
	case tidings.TypeTaskStarted:
		return started
	case tidings.TypeTaskRetried:
		if d.Reason == "redelivered" {
			return rejected
		}
		return retried
	case tidings.TypeTaskCompleted, tidings.TypeTaskFailed:
		return ended
	case tidings.TypeCancelled, tidings.TypeDone, tidings.TypeError:
		return closed
	}
	if d.Status == "received" {
		return received
	}
	return sent
}

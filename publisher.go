package tidings

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// DefaultProducerID is the producer ID of publishers and handlers that name
// none. They share one so that a later start of the same job takes over from an
// earlier one.
const DefaultProducerID = "callback"

// PublisherOptions are the settings of a [Publisher]. The zero value works.
type PublisherOptions struct {
	// ProducerID names the writer within each job. Empty: [DefaultProducerID].
	// Two publishers that write to one job at the same time need two IDs, or
	// the later one fences the earlier one off.
	ProducerID string
	// Epoch orders the starts of one producer: a higher one takes over. Zero:
	// the Unix time in milliseconds at which the publisher was made; clocks of
	// different machines must then agree better than the time between two
	// starts of a job. If you give it, as the attempt number of a task queue,
	// give it always: an attempt number is lower than any clock.
	Epoch int64
}

// Publisher appends events and waits until they are durable. It numbers its
// batches, so that a batch whose reply was lost is sent again without giving a
// duplicate. For agents, which must not wait, there is [Handler].
//
// It remembers every job that it published to, in about 200 bytes, until
// [Publisher.Forget]; with an epoch of its own also no longer than until the
// job's terminal event.
//
// Safe for concurrent use: the batches of one job are appended one after
// another, those of different jobs at the same time.
type Publisher struct {
	to       Appender
	ownEpoch bool // the epoch was not given

	mu       sync.Mutex
	producer Producer // of the first batch of a job
	jobs     map[string]*publisherJob
}

// publisherJob holds the place of one job's next batch. The token channel is a
// lock that a waiting Publish can give up on.
type publisherJob struct {
	token   chan struct{}
	next    Producer // of the next batch
	unknown *Batch   // sent, but given up on without a reply
	fresh   bool     // nothing was sent that the store may have taken
}

// NewPublisher makes a publisher that writes to a store, or to a server by a
// client. Nil opts are the defaults.
func NewPublisher(to Appender, opts *PublisherOptions) *Publisher {
	o := PublisherOptions{}
	if opts != nil {
		o = *opts
	}
	return &Publisher{to: to, ownEpoch: o.Epoch == 0, producer: newProducer(o.ProducerID, o.Epoch), jobs: map[string]*publisherJob{}}
}

func newProducer(id string, epoch int64) Producer {
	if id == "" {
		id = DefaultProducerID
	}
	if epoch == 0 {
		epoch = nextEpoch()
	}
	return Producer{ID: id, Epoch: epoch}
}

var lastEpoch atomic.Int64

// nextEpoch is the Unix time in milliseconds, but never the same twice: two
// starts with one epoch would take each other's batches for duplicates.
func nextEpoch() int64 {
	for {
		last := lastEpoch.Load()
		next := max(time.Now().UnixMilli(), last+1)
		if lastEpoch.CompareAndSwap(last, next) {
			return next
		}
	}
}

// Publish appends the events to the job's log as one batch: all of them or
// none. It returns when they are durable. While the store can't be reached it
// tries again, with a growing pause, until ctx ends; what happened to the batch
// is then not known, and the next Publish to the job settles it first. Errors:
// those of [Appender.Append].
func (p *Publisher) Publish(ctx context.Context, jobID string, events ...Event) (Receipt, error) {
	b := Batch{Events: stamped(events)}
	if err := b.Validate(jobID); err != nil {
		return Receipt{}, err
	}
	j := p.job(jobID)
	select {
	case j.token <- struct{}{}:
	case <-ctx.Done():
		return Receipt{}, context.Cause(ctx)
	}
	defer func() { <-j.token }()
	if j.unknown != nil {
		if _, err := p.settle(ctx, jobID, j, *j.unknown); j.unknown != nil {
			return Receipt{}, err
		}
	}
	r, err := p.settle(ctx, jobID, j, b)
	if err == nil && p.ownEpoch && b.Events[len(b.Events)-1].Terminal() {
		p.Forget(jobID)
	}
	return r, err
}

// job gives what is known of a job.
func (p *Publisher) job(jobID string) *publisherJob {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.jobs[jobID]
	if j == nil {
		j = &publisherJob{token: make(chan struct{}, 1), next: p.producer, fresh: true}
		p.jobs[jobID] = j
	}
	return j
}

// Forget frees what the publisher remembers of a job. Don't call it while a
// Publish to the job is under way. A later Publish to the job is a new start.
func (p *Publisher) Forget(jobID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.jobs, jobID)
	if p.ownEpoch {
		p.producer.Epoch = nextEpoch() // or its batches would pass for those before
	}
}

// settle appends the batch under the job's next sequence, repeating it until
// the store says what became of it or ctx ends; then it is kept as unknown.
func (p *Publisher) settle(ctx context.Context, jobID string, j *publisherJob, b Batch) (Receipt, error) {
	var pause backoff
	reset := false
	for {
		producer := j.next
		b.Producer = &producer
		r, err := p.to.Append(ctx, jobID, b)
		var sequence *SequenceError
		switch {
		case err == nil && r.Duplicate && j.fresh:
			// Not ours: an earlier start had the same epoch. Ask for its count.
			j.next.Seq = MaxProducerNumber
			continue
		case err == nil:
			j.fresh = false
			j.next.Seq++
			j.unknown = nil
			return r, nil
		case errors.As(err, &sequence) && !reset:
			// The store has lost its memory of this producer.
			reset = true
			p.renumber(j, sequence)
			continue
		case refused(err):
			j.unknown = nil
			return Receipt{}, err
		}
		j.unknown, j.fresh = &b, false
		if waitErr := pause.wait(ctx); waitErr != nil {
			return Receipt{}, errors.Join(waitErr, err)
		}
	}
}

// renumber takes up the store's count: in a higher epoch, or, if the epoch is
// the caller's, in the same.
func (p *Publisher) renumber(j *publisherJob, err *SequenceError) {
	if p.ownEpoch {
		j.next.Epoch, j.next.Seq = max(nextEpoch(), j.next.Epoch+1), 0
	} else {
		j.next.Seq = err.Expected
	}
}

// refused reports whether err says for certain that the batch was not written
// and that repeating it would not help. An [Appender] of another package says so
// of an error of its own by a method Permanent.
func refused(err error) bool {
	var (
		permanent interface{ Permanent() bool }
		invalid   *InvalidError
		tooLarge  *TooLargeError
		closed    *ClosedError
		fenced    *FencedError
		sequence  *SequenceError
	)
	return errors.As(err, &invalid) || errors.As(err, &tooLarge) || errors.As(err, &closed) ||
		errors.As(err, &fenced) || errors.As(err, &sequence) || errors.Is(err, ErrStoreClosed) ||
		errors.As(err, &permanent) && permanent.Permanent()
}

// stamped copies the events and gives those without a time the present.
func stamped(events []Event) []Event {
	out := make([]Event, len(events))
	now := time.Now()
	for i, e := range events {
		if e.Time.IsZero() {
			e.Time = now
		}
		out[i] = e
	}
	return out
}

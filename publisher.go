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
	// the Unix time in milliseconds at which the publisher was made. If you
	// give it, as the attempt number of a task queue, give it always: an
	// attempt number is lower than any clock.
	Epoch int64
}

// Publisher appends events and waits until they are durable. It numbers its
// batches, so that a batch whose reply was lost is sent again without giving a
// duplicate. For agents, which must not wait, there is [Handler].
//
// Safe for concurrent use: the batches of one job are appended one after
// another, those of different jobs at the same time.
type Publisher struct {
	to       Appender
	producer Producer // Seq unused

	mu   sync.Mutex
	jobs map[string]*publisherJob
}

// publisherJob holds the place of one job's next batch. The token channel is a
// lock that a waiting Publish can give up on.
type publisherJob struct {
	token   chan struct{}
	users   int // under Publisher.mu: Publish calls that hold or await the token
	seq     int64
	epoch   int64
	unknown *Batch // sent, but given up on without a reply
}

// NewPublisher makes a publisher that writes to a store, or to a server by a
// client. Nil opts are the defaults.
func NewPublisher(to Appender, opts *PublisherOptions) *Publisher {
	o := PublisherOptions{}
	if opts != nil {
		o = *opts
	}
	return &Publisher{to: to, producer: newProducer(o.ProducerID, o.Epoch), jobs: map[string]*publisherJob{}}
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
	defer p.release(jobID, j)
	select {
	case j.token <- struct{}{}:
	case <-ctx.Done():
		return Receipt{}, context.Cause(ctx)
	}
	defer func() { <-j.token }()
	if j.unknown != nil {
		if _, err := p.settle(ctx, jobID, j, *j.unknown); err != nil && j.unknown != nil {
			return Receipt{}, err
		}
	}
	return p.settle(ctx, jobID, j, b)
}

// job gives the state of a job and counts its user.
func (p *Publisher) job(jobID string) *publisherJob {
	p.mu.Lock()
	defer p.mu.Unlock()
	j := p.jobs[jobID]
	if j == nil {
		j = &publisherJob{token: make(chan struct{}, 1), epoch: p.producer.Epoch}
		p.jobs[jobID] = j
	}
	j.users++
	return j
}

func (p *Publisher) release(string, *publisherJob) {}

// settle appends the batch under the job's next sequence, repeating it until
// the store says what became of it.
func (p *Publisher) settle(ctx context.Context, jobID string, j *publisherJob, b Batch) (Receipt, error) {
	var pause backoff
	for {
		b.Producer = &Producer{ID: p.producer.ID, Epoch: j.epoch, Seq: j.seq}
		r, err := p.to.Append(ctx, jobID, b)
		if err == nil {
			j.seq++
			j.unknown = nil
			return r, nil
		}
		if refused(err) {
			j.unknown = nil
			return Receipt{}, err
		}
		j.unknown = &b
		if waitErr := pause.wait(ctx); waitErr != nil {
			return Receipt{}, errors.Join(waitErr, err)
		}
	}
}

// refused reports whether err says for certain that the batch was not written
// and that repeating it would not help.
func refused(err error) bool {
	var (
		invalid  *InvalidError
		tooLarge *TooLargeError
		closed   *ClosedError
		fenced   *FencedError
		sequence *SequenceError
	)
	return errors.As(err, &invalid) || errors.As(err, &tooLarge) || errors.As(err, &closed) ||
		errors.As(err, &fenced) || errors.As(err, &sequence) || errors.Is(err, ErrStoreClosed)
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

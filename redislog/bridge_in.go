package redislog

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"tidings"
	"tidings/wire"
)

// startListening subscribes, and keeps the subscription until the bridge ends.
// It returns when the first one stands.
func (b *Bridge) startListening(ctx context.Context) error {
	first := make(chan error, 1)
	b.work.Go(func() { b.keepListening(first) })
	select {
	case err := <-first:
		if err != nil {
			return b.s.unavailable("subscribing to "+b.channel.glob(), err)
		}
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (b *Bridge) keepListening(first chan<- error) {
	delay, started := 50*time.Millisecond, false
	for b.ctx.Err() == nil {
		err := b.listen(func() {
			delay = 50 * time.Millisecond
			if !started {
				started = true
				first <- nil
			}
		})
		if !started {
			first <- err
			return
		}
		b.hearing.Store(false)
		b.hearingChanged()
		if b.ctx.Err() != nil {
			return
		}
		b.log.Warn("bridge: the subscription was lost and is made anew; messages meanwhile are lost unless another node hears them", "error", err)
		if !wait(b.ctx, nil, delay) {
			return
		}
		delay = min(2*delay, time.Second)
	}
}

func (b *Bridge) hearingChanged() {
	select {
	case b.changed <- struct{}{}:
	default:
	}
}

// probe is a channel on which the subscription hears itself: a connection may
// go deaf after a failover without an error.
func (b *Bridge) probe() string { return "{tidings:probe}:" + b.node + ":bridge" }

// listen makes one subscription, says when it stands, and serves it until it
// breaks.
func (b *Bridge) listen(standing func()) error {
	conn, release := b.anyNode().Dedicate()
	defer release()
	defer conn.Close() // not back to the pool with its subscriptions
	lost := conn.SetPubSubHooks(rueidis.PubSubHooks{OnMessage: b.onMessage})
	ctx, cancel := b.s.call(b.ctx)
	defer cancel()
	for _, r := range conn.DoMulti(ctx,
		conn.B().Subscribe().Channel(b.probe()).Build(),
		conn.B().Psubscribe().Pattern(b.channel.glob()).Build()) {
		if err := r.Error(); err != nil {
			return err
		}
	}
	b.heardAt.Store(time.Now().UnixMilli())
	b.hearing.Store(true)
	b.hearingChanged()
	standing()
	tick := time.NewTicker(b.s.opts.probeEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-lost:
			return err
		case <-b.ctx.Done():
			return b.ctx.Err()
		case <-tick.C:
			if err := b.prove(); err != nil {
				return err
			}
		}
	}
}

// anyNode is a server to listen to. In a Cluster all of them get what is
// published at any.
func (b *Bridge) anyNode() rueidis.Client {
	if b.s.isCluster() {
		for _, node := range b.s.client.Nodes() { // in a random order
			return node
		}
	}
	return b.s.client
}

// prove sends a message to itself and fails if those before did not come.
func (b *Bridge) prove() error {
	quiet := time.Since(time.UnixMilli(b.heardAt.Load()))
	if quiet > 2*b.s.opts.probeEvery+b.s.opts.Timeout {
		return errDeaf
	}
	ctx, cancel := b.s.call(b.ctx)
	defer cancel()
	// If it can't be sent, nothing comes back, which is told then.
	_ = b.s.client.Do(ctx, b.s.client.B().Publish().Channel(b.probe()).Message("probe").Build()).Error()
	return nil
}

// onMessage runs in the client's reading goroutine and must not wait.
func (b *Bridge) onMessage(m rueidis.PubSubMessage) {
	b.heardAt.Store(time.Now().UnixMilli())
	jobID, ok := b.channel.jobID(m.Channel)
	if !ok || isMirrored(m.Message) {
		return
	}
	if err := tidings.ValidateJobID(jobID); err != nil {
		b.refused.Add(1)
		b.log.Warn("bridge: a message was dropped", "channel", m.Channel, "error", err)
		return
	}
	now := time.Now().Truncate(time.Microsecond)
	e := wire.ParseMessage(jobID, []byte(m.Message))
	b.backlog.add(&message{event: e, untimed: !e.Time.Before(now), at: now})
}

// markField is in a message that the bridge has published; it holds the event's
// ID.
const markField = "tidings_id"

func isMirrored(text string) bool {
	if !strings.Contains(text, `"`+markField+`"`) {
		return false
	}
	var v struct {
		ID *string `json:"tidings_id"`
	}
	return json.Unmarshal([]byte(text), &v) == nil && v.ID != nil
}

// appenders is how many jobs are appended to at the same time.
const appenders = 16

// takeIn appends what is heard until ctx, the term, ends.
func (b *Bridge) takeIn(ctx context.Context, endTerm func(), term int64) {
	b.backlog.begin()
	defer b.backlog.end()
	for {
		select {
		case <-b.backlog.news:
		case <-ctx.Done():
			return
		}
		room := make(chan struct{}, appenders)
		var work sync.WaitGroup
		for jobID, messages := range b.backlog.take() {
			room <- struct{}{}
			work.Go(func() {
				defer func() { <-room }()
				if !b.appendAll(ctx, jobID, messages, term) {
					endTerm()
				}
			})
		}
		work.Wait()
	}
}

// appendAll appends messages of one job, in order. It reports false if the term
// is over, and stops when ctx ends: what is left then is in doubt for the next.
func (b *Bridge) appendAll(ctx context.Context, jobID string, messages []*message, term int64) bool {
	messages = b.skipKnown(ctx, jobID, messages)
	for len(messages) > 0 && ctx.Err() == nil {
		n := b.batchLength(messages)
		if err := b.appendBatch(ctx, jobID, messages[:n], term); err != nil {
			return false
		}
		messages = messages[n:]
	}
	return true
}

// skipKnown settles those of the first messages that an earlier holder of the
// lease has appended.
func (b *Bridge) skipKnown(ctx context.Context, jobID string, messages []*message) []*message {
	doubted := 0
	for doubted < len(messages) && messages[doubted].doubted {
		doubted++
	}
	if doubted == 0 {
		return messages
	}
	page, err := retryForever(ctx, func() (tidings.Page, error) {
		return b.s.Read(ctx, jobID, tidings.Query{Backward: true, Limit: 2*doubted + 100, MaxBytes: 2 * backlogBytes})
	})
	if err != nil {
		return messages // there is no log yet, or the append will say what is wrong
	}
	slices.Reverse(page.Events)
	ids := known(messages[:doubted], page.Events)
	b.backlog.settle(messages[:len(ids)], ids)
	return messages[len(ids):]
}

// batchLength is how many of the messages go into one append.
func (b *Bridge) batchLength(messages []*message) int {
	size, most := 0, min(1<<20, b.s.opts.MaxBatchBytes)
	for i, m := range messages {
		if size += len(m.event.Data); i > 0 && (size > most || i == tidings.DefaultLimit) {
			return i
		}
		if m.event.Terminal() {
			return i + 1
		}
	}
	return len(messages)
}

// batchBits of a producer's epoch count the batches of a term, the others the
// terms. So an epoch is used for one batch, with sequence 0: no sequences need
// to be kept by job, a repeated batch is recognised, and a batch of an earlier
// term is refused.
const batchBits = 32

var errTermOver = errors.New("the term of the lease is over")

func (b *Bridge) appendBatch(ctx context.Context, jobID string, messages []*message, term int64) error {
	count := b.batches.Add(1)
	if count >= 1<<batchBits {
		return errTermOver
	}
	batch := tidings.Batch{
		Events:   make([]tidings.Event, len(messages)),
		Producer: &tidings.Producer{ID: "tidings.bridge", Epoch: term<<batchBits | count},
	}
	for i, m := range messages {
		batch.Events[i] = m.event
	}
	receipt, err := retryForever(ctx, func() (tidings.Receipt, error) { return b.s.Append(ctx, jobID, batch) })
	var fenced *tidings.FencedError
	switch {
	case err == nil:
		b.appended.Add(int64(len(messages)))
		b.backlog.settle(messages, receipt.IDs)
		return nil
	case errors.As(err, &fenced):
		// Another node has the lease, or Redis forgot terms in a failover.
		b.minTerm.Store(max(b.minTerm.Load(), fenced.Current>>batchBits+1))
		return errTermOver
	case ctx.Err() != nil || errors.Is(err, tidings.ErrStoreClosed):
		return err
	}
	b.refused.Add(int64(len(messages)))
	b.backlog.settle(messages, nil)
	b.log.Warn("bridge: messages were dropped", "job", jobID, "messages", len(messages), "error", err)
	return nil
}

// retryForever runs f again while the store is unavailable and ctx lives.
func retryForever[T any](ctx context.Context, f func() (T, error)) (T, error) {
	delay := 20 * time.Millisecond
	for {
		v, err := f()
		if err == nil || !isUnavailable(err) || !wait(ctx, nil, delay) {
			return v, err
		}
		delay = min(2*delay, time.Second)
	}
}
